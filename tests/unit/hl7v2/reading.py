"""How tests read a message: into its events, under fixed keys and a fixed clock."""

from __future__ import annotations

from datetime import UTC, datetime

from connectors.hl7v2.er7 import Message
from connectors.hl7v2.mapping import to_attendances
from halyard.privacy import Keys
from schemas.events import AttendanceReported
from stores.arrival_rules import DEFAULT_RULE, ArrivalRule
from stores.directory import Feed
from tests.unit.hl7v2.messages import FEED

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
NOW = datetime(2026, 3, 14, 21, 42, 35, tzinfo=UTC)


def events(
    data: bytes, *, feed: Feed = FEED, rule: ArrivalRule = DEFAULT_RULE, at: datetime = NOW
) -> tuple[AttendanceReported, ...]:
    """All events of the message."""
    return to_attendances(Message.parse(data), feed=feed, rule=rule, keys=KEYS, received_at=at)


def event(
    data: bytes, *, feed: Feed = FEED, rule: ArrivalRule = DEFAULT_RULE, at: datetime = NOW
) -> AttendanceReported:
    """The one event of the message."""
    (found,) = events(data, feed=feed, rule=rule, at=at)
    return found
