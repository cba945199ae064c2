"""A record of the bus becomes an entry of the journal: ids, times, place, digest; never a body.

Nothing a stranger writes can stop the journal: what is not in the expected form is left out, and a
record that no schema of ours explains is indexed all the same.
"""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from typing import Final

from halyard.errors import ContractError
from halyard.ids import derive
from halyard.kafka import TRACEPARENT, Headers, Incoming, header
from halyard.privacy import Keys
from schemas.codec import Event, decode
from stores.journal import Entry

UNREADABLE: Final = "unreadable"
UNKNOWN_SOURCE: Final = "unknown"

_SOURCE = re.compile(r"(?:/halyard/)?([A-Za-z0-9._:/-]{1,120})")
# W3C Trace Context, version-format of version 00; an all-zero trace id is invalid there
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*")
_YEARS = range(2000, 2101)  # times outside are a sender's mistake


def entry_of(record: Incoming, keys: Keys, now: datetime) -> Entry:
    """The entry for `record`; `now` stands in for a timestamp that the record lacks."""
    try:
        event: Event | None = decode(record.value)
    except ContractError:
        event = None
    recorded_at = _from_milliseconds(record.timestamp_ms) or now
    event_id = (
        _uuid(header(record.headers, "ce_id"))
        or (event.event_id if event is not None else None)
        or derive("unnamed-record", record.topic, record.partition, record.offset)
    )
    return Entry(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        event_id=event_id,
        event_type=UNREADABLE if event is None else type(event).__name__,
        source=_source(record.headers),
        trace_id=_trace_id(record.headers) or event_id.hex,
        caused_by=_cause(event),
        event_time=_time(header(record.headers, "ce_time")) or recorded_at,
        recorded_at=recorded_at,
        value_bytes=len(record.value),
        value_digest=keys.digest(record.value),
    )


def _cause(event: Event | None) -> uuid.UUID | None:
    for name in ("reported_event_id", "alert_id", "cause", "case_id"):
        cause = getattr(event, name, None)
        if isinstance(cause, uuid.UUID):
            return cause
    return None


def _uuid(text: str | None) -> uuid.UUID | None:
    try:
        return uuid.UUID(text) if text else None
    except ValueError:
        return None


def _source(headers: Headers) -> str:
    match = _SOURCE.fullmatch(header(headers, "ce_source") or "")
    return UNKNOWN_SOURCE if match is None else match[1]


def _trace_id(headers: Headers) -> str | None:
    match = _TRACEPARENT.fullmatch(header(headers, TRACEPARENT) or "")
    return None if match is None else match[1]


def _time(text: str | None) -> datetime | None:
    try:
        time = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo and time.year in _YEARS else None


def _from_milliseconds(stamp: int) -> datetime | None:
    try:
        time = datetime.fromtimestamp(stamp / 1000, UTC)
    except (OverflowError, OSError, ValueError):
        return None
    return time if time.year in _YEARS else None
