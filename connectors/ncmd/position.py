"""May the store go on where it stands? A pure decision (ADR 0029).

The offsets in the store are the truth. If the log does not hold the next one, versions of cases
may be lost for the store, and only a person can say that they were made good.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from halyard.errors import ConfigurationError
from stores.ncmd import Offset


class GapKind(StrEnum):
    """Why the log does not follow on the store."""

    RETENTION = "retention"  # the log begins after the store's offset
    BEYOND_END = "beyond-end"  # the log ends before it: truncated, or restored
    ANOTHER_LOG = "another-log"  # the topic was made anew, perhaps on another cluster


@dataclass(frozen=True, slots=True)
class Log:
    """A partition as the broker has it: its oldest offset, the one after its newest, the topic's
    id (empty if the broker tells none)."""

    start: int
    end: int
    incarnation: str


@dataclass(frozen=True, slots=True)
class Gap:
    """The store is at `expected`; the log can be read from `found`."""

    kind: GapKind
    partition: int
    expected: int
    found: int


def gap_of(partition: int, stored: Offset, log: Log) -> Gap | None:
    """The gap between store and log, or None if the store can go on."""
    kind = None
    known = bool(stored.incarnation and log.incarnation)
    # a log that was never read may be made anew
    if known and stored.incarnation != log.incarnation and stored.next_offset > 0:
        kind = GapKind.ANOTHER_LOG
    elif stored.next_offset < log.start:
        kind = GapKind.RETENTION
    elif stored.next_offset > log.end:
        kind = GapKind.BEYOND_END
    return None if kind is None else Gap(kind, partition, stored.next_offset, log.start)


class LogGap(ConfigurationError):
    """The log does not reach back to where the NCMD store stands."""


_WHY: Final = {
    GapKind.RETENTION: "the log's oldest record is {found}",
    GapKind.BEYOND_END: "the log ends before it",
    GapKind.ANOTHER_LOG: "the topic is another one than the store was filled from",
}


def refused(gaps: Sequence[Gap], leave: str) -> list[Gap]:
    """The gaps that `leave` does not name: ``partition:offset`` of each place where the store
    stands, with commas between, as `refusal` prints them. Leave given for one place lets no other
    pass, so a setting that was forgotten opens nothing."""
    given = set(leave.split(","))
    return [gap for gap in gaps if _place(gap) not in given]


def _place(gap: Gap) -> str:
    return f"{gap.partition}:{gap.expected}"


def refusal(topic: str, gaps: Sequence[Gap]) -> LogGap:
    """What to do about `gaps`, all that there are."""
    told = "; ".join(
        f"at offset {gap.expected} of {topic}/{gap.partition}, but "
        + _WHY[gap.kind].format(found=gap.found)
        for gap in gaps
    )
    return LogGap(
        f"The NCMD store stands {told}: versions of cases may be missing in it. Run "
        "`halyard cases republish --all`, then start this process with "
        f"HALYARD_NCMD__AFTER_GAP={','.join(map(_place, gaps))}."
    )
