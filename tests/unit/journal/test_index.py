"""What the journal keeps of a record: ids, times, place and digest; never a body."""

from __future__ import annotations

import dataclasses
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.journal.index import UNKNOWN_SOURCE, UNREADABLE, entry_of
from halyard.kafka import Headers, Incoming, cloudevent_headers
from halyard.privacy import Keys
from schemas.codec import Event, encode
from schemas.deaths import CaseChanged, ReportRequested
from schemas.events import AlertChanged, AlertReceipt, AttendanceVerified
from tests.unit.schemas.samples import AT, NUMBER, SAMPLES

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
NOW = datetime(2026, 3, 2, tzinfo=UTC)
STAMP = 1_772_368_216_000  # 2026-03-01T12:30:16Z
TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def _record(
    value: bytes, headers: Headers = (), *, stamp: int = STAMP, offset: int = 7
) -> Incoming:
    return Incoming("safeguarding.alert.changed.v1", 3, offset, "", value, headers, stamp)


def _headers(event: Event, **changes: bytes) -> Headers:
    made = dict(
        cloudevent_headers(
            event_id=event.event_id,
            event_type=type(event).__name__,
            source="RXX-ADT",
            time=AT,
            traceparent=TRACEPARENT,
        )
    )
    return tuple({**made, **changes}.items())


@pytest.mark.parametrize("event", SAMPLES, ids=lambda event: type(event).__name__)
def test_an_event_is_indexed_by_its_ids(event: Event) -> None:
    """Ids, times, place, length and digest come from headers, record and schema."""
    value = encode(event)
    entry = entry_of(_record(value, _headers(event)), KEYS, NOW)
    assert entry.event_id == event.event_id
    assert entry.event_type == type(event).__name__
    assert (entry.topic, entry.partition, entry.offset) == ("safeguarding.alert.changed.v1", 3, 7)
    assert entry.source == "RXX-ADT"
    assert entry.trace_id == TRACE
    assert entry.event_time == AT
    assert entry.recorded_at == datetime(2026, 3, 1, 12, 30, 16, tzinfo=UTC)
    assert entry.value_bytes == len(value)
    assert entry.value_digest == KEYS.digest(value)


def test_the_cause_is_the_reported_event_else_the_alert_or_case() -> None:
    """A verified event names the reported one, an alert's change and receipt name the alert, a
    case's change what changed it, a report request its case."""
    causes = {
        type(event): entry_of(_record(encode(event)), KEYS, NOW).caused_by for event in SAMPLES
    }
    by_type = {type(event): event for event in SAMPLES}
    verified, changed = by_type[AttendanceVerified], by_type[AlertChanged]
    assert isinstance(verified, AttendanceVerified)
    assert isinstance(changed, AlertChanged)
    assert causes[AttendanceVerified] == verified.reported_event_id
    assert causes[AlertChanged] == causes[AlertReceipt] == changed.alert_id
    changed_case, requested = by_type[CaseChanged], by_type[ReportRequested]
    assert isinstance(changed_case, CaseChanged)
    assert isinstance(requested, ReportRequested)
    assert causes[CaseChanged] == changed_case.cause
    assert causes[ReportRequested] == requested.case_id
    # attendances, flags, deaths, reports and changed numbers as they came in, looks, rejected ones
    assert sum(cause is None for cause in causes.values()) == 7


def test_without_headers_the_event_speaks() -> None:
    """A record of ours without CloudEvents headers has its event's id, and a trace of its own."""
    event = SAMPLES[0]
    entry = entry_of(_record(encode(event)), KEYS, NOW)
    assert entry.event_id == event.event_id
    assert entry.trace_id == event.event_id.hex
    assert entry.source == UNKNOWN_SOURCE
    assert entry.event_time == entry.recorded_at


def test_a_record_without_any_id_gets_one_from_its_place() -> None:
    """The same place always gives the same id, another place another."""
    first = entry_of(_record(b"?"), KEYS, NOW)
    assert first.event_type == UNREADABLE
    assert first == entry_of(_record(b"?"), KEYS, NOW)
    assert first.event_id != entry_of(_record(b"?", offset=8), KEYS, NOW).event_id


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ce_id", b"not-a-uuid"),
        ("ce_source", b"line\x00end"),
        ("ce_source", b"/halyard/" + b"x" * 121),
        ("ce_source", "Müller, Anna".encode()),
        ("ce_time", b"yesterday"),
        ("ce_time", b"2026-03-01T12:30:15"),
        ("ce_time", b"0001-01-01T00:00:00+14:00"),
        ("traceparent", b"00-" + b"0" * 32 + b"-b7ad6b7169203331-01"),
        ("traceparent", b"00-xyz-01"),
        ("traceparent", b"\xff\xfe"),
    ],
)
def test_a_header_out_of_form_is_left_out(name: str, value: bytes) -> None:
    """What a stranger puts into a header neither stops the journal nor reaches a row."""
    event = SAMPLES[0]
    odd = entry_of(_record(encode(event), _headers(event, **{name: value})), KEYS, NOW)
    plain = entry_of(_record(encode(event), _headers(event)), KEYS, NOW)
    without = {
        "ce_id": plain,  # the event has it too
        "ce_source": dataclasses.replace(plain, source=UNKNOWN_SOURCE),
        "ce_time": dataclasses.replace(plain, event_time=plain.recorded_at),
        "traceparent": dataclasses.replace(plain, trace_id=event.event_id.hex),
    }
    assert odd == without[name]


@pytest.mark.parametrize("stamp", [-1, 0, 10**18, -(10**18)])
def test_a_record_without_a_sensible_timestamp_has_the_present_one(stamp: int) -> None:
    """PostgreSQL and Python can hold every time of an entry."""
    assert entry_of(_record(b"", stamp=stamp), KEYS, NOW).recorded_at == NOW


@given(
    value=st.binary(max_size=64),
    headers=st.lists(
        st.tuples(
            st.sampled_from(["ce_id", "ce_type", "ce_source", "ce_time", "traceparent", "x"]),
            st.binary(max_size=40),
        ),
        max_size=6,
    ),
    stamp=st.integers(min_value=-(2**63), max_value=2**63 - 1),
)
def test_no_record_stops_the_journal(
    value: bytes, headers: list[tuple[str, bytes]], stamp: int
) -> None:
    """Any bytes give an entry that PostgreSQL can hold."""
    entry = entry_of(_record(value, tuple(headers), stamp=stamp), KEYS, NOW)
    assert "\x00" not in entry.source + entry.trace_id + entry.event_type
    assert len(entry.trace_id) == 32
    assert abs(entry.event_time - NOW) < timedelta(days=366 * 100)
    assert isinstance(entry.event_id, uuid.UUID)


def test_an_entry_holds_nothing_of_the_body() -> None:
    """Number, names and local id of a report are in no field of its entry."""
    event = SAMPLES[0]
    text = repr(entry_of(_record(encode(event), _headers(event)), KEYS, NOW))
    for personal in (NUMBER, "Exâmple", "L1'", "cough"):
        assert personal not in text
