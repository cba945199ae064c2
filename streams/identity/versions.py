"""What is settled of each notification (or report): its versions that are verified or taken back.

In memory, without I/O; kept up with the claims of a batch, so that no message need look at all
others of its notification.
"""

from __future__ import annotations

import uuid
from bisect import bisect_left, bisect_right
from collections import defaultdict

from stores.claims import ClaimRow, ClaimState
from stores.worklist import Notice
from streams.identity.death_ladder import VOIDED

_Place = tuple[int, int, uuid.UUID]


def notice_of(row: ClaimRow) -> Notice:
    """What a message is a version of: answers to two requests are two, though they share a key."""
    return row.key, row.request_id


class Versions:
    """See the module."""

    def __init__(self) -> None:
        self._settled: dict[Notice, int] = {}
        self._verified: dict[Notice, list[_Place]] = defaultdict(list)
        self._last: dict[str, _Place] = {}

    def put(self, row: ClaimRow, place: int) -> None:
        """A claim as it stands now; `place` is its own among those that were taken."""
        if row.version is None or not (row.state is ClaimState.VERIFIED or row.rule == VOIDED):
            return
        notice = notice_of(row)
        self._settled[notice] = max(row.version, self._settled.get(notice, row.version))
        if row.state is not ClaimState.VERIFIED:
            return
        one, verified = (row.version, place, row.reported_event_id), self._verified[notice]
        at = bisect_left(verified, one)
        if verified[at : at + 1] != [one]:
            verified.insert(at, one)
        self._last[row.key] = max(one, self._last.get(row.key, one), key=lambda each: each[1])

    def settled(self, notice: Notice) -> int:
        """The highest version of which the person is known, or which is a void; -1 if none is."""
        return self._settled.get(notice, -1)

    def verified(self, notice: Notice, version: int) -> uuid.UUID | None:
        """The event that says of whom a version is: the highest verified one up to it, else the
        verified one that was taken last.
        """
        known = self._verified.get(notice)
        if not known:
            return None
        upto = bisect_right(known, version, key=_version)
        if upto:
            return known[upto - 1][2]
        return max(known, key=lambda each: each[1])[2]

    def last(self, key: str) -> uuid.UUID | None:
        """The verified event of any notice of the key that was taken last."""
        found = self._last.get(key)
        return None if found is None else found[2]


def _version(place: _Place) -> int:
    return place[0]
