"""Which of a hospital's patients it has merged into which (A34, A40): pseudonyms, kept for good."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "merges.sql")

MOST = 50
"""Ids that may be one patient's by merges. More is a bin into which a hospital merges whatever is
wrong (test patients, say): none of its merges is followed, and no batch waits for all of them.
"""


@dataclass(frozen=True, slots=True)
class Merge:
    """A retired patient and the one that stays, each as the key of its claims and as the patient of
    its visits: the same pseudonym (store key). `event_id` is the reported merge's.
    """

    retired_key: str
    retired_patient: str
    surviving_key: str
    surviving_patient: str
    recorded_at: datetime
    message_at: datetime
    event_id: uuid.UUID

    @property
    def order(self) -> tuple[datetime, datetime, uuid.UUID]:
        """Of two merges of one retired patient the later holds."""
        return self.recorded_at, self.message_at, self.event_id


class Families:
    """Which ids are linked by merges, in whatever direction."""

    def __init__(self, merges: Iterable[Merge] = ()) -> None:
        self._parent: dict[str, str] = {}
        self._size: dict[str, int] = {}
        for merge in merges:
            self.join(merge)

    def join(self, merge: Merge) -> None:
        """Link the two ids of a merge, and all that are linked with them."""
        small, large = self.root(merge.retired_key), self.root(merge.surviving_key)
        if small == large:
            return
        if self._size.get(small, 1) > self._size.get(large, 1):
            small, large = large, small
        self._parent[small] = large
        self._size[large] = self._size.get(large, 1) + self._size.get(small, 1)

    def root(self, key: str) -> str:
        """The same for all linked ids, until more are linked."""
        while (parent := self._parent.get(key)) is not None:
            key = parent
        return key

    def crowded(self, key: str) -> bool:
        """Whether more ids are linked with `key` than can be one patient's."""
        return self._size.get(self.root(key), 1) > MOST

    def of(self, merges: Iterable[Merge], keys: Iterable[str]) -> list[Merge]:
        """Those of `merges` that are linked with `keys`, without crowded families."""
        roots = {self.root(key) for key in keys if not self.crowded(key)}
        return [one for one in merges if self.root(one.retired_key) in roots]


async def family(connection: Connection, keys: Iterable[str]) -> list[Merge]:
    """Every merge that is linked with one of `keys`, however far; of a crowded family enough to
    show that it is.
    """
    found: dict[str, Merge] = {}
    families, seen = Families(), set[str]()
    near = set(keys)
    while near:
        parameters = {"keys": sorted(near), "most": MOST + 1}
        cursor = await connection.execute(_SQL["near"], parameters)
        seen |= near
        met: set[str] = set()
        for merge in [Merge(**row) for row in await cursor.fetchall()]:
            found[merge.retired_key] = merge
            families.join(merge)
            met |= {merge.retired_key, merge.surviving_key}
        near = {key for key in met - seen if not families.crowded(key)}
    return sorted(found.values(), key=lambda one: one.retired_key)


async def put(connection: Connection, merges: Sequence[Merge]) -> None:
    """Store `merges`; the caller holds the locks of their keys."""
    if merges:
        async with connection.cursor() as cursor:
            rows = [asdict(one) for one in sorted(merges, key=lambda one: one.retired_key)]
            await cursor.executemany(_SQL["put"], rows)
