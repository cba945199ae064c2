"""What is fuzzed, and what must hold for any bytes.

A target takes bytes and returns; whatever it raises is a finding. Each asks for more than "no
crash": the same bytes give the same answer, the cut into chunks changes nothing, nothing held is
larger than its limit, and what was taken can be written to the bus and read back.
"""

from __future__ import annotations

import itertools
import random
import uuid
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Final

from connectors.fhir.messages import Refusal, read_message
from connectors.fhir.outcomes import refused
from connectors.hl7v2 import ack, batch, mapping
from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.framing import Deframer, Frame, Item, frame
from connectors.local_authority.lines import Line, Lines
from connectors.local_authority.records import Accepted, parse_columns, parse_line
from connectors.local_authority.tables import Part, Record, RefusedFile, Table
from halyard.privacy import Keys
from schemas import codec
from schemas.events import FlagRecord, FlagSubmitted, PersonClaim, SubmissionKind
from stores.arrival_rules import DEFAULT_RULE
from stores.directory import Feed
from tests.fuzz.fhir_events import broken, fhir_events

Run = Callable[[bytes], Hashable]
"""Gives the *shape* of what came out (rules and kinds, no values): a new one is worth keeping."""

FEED: Final = Feed(source="rfuzz-ed", organisation="RFUZZ", facility="RFUZZ", application="EDIS")
KEYS: Final = Keys(
    bus=b"fuzz-bus-key-32-bytes-long-......", store=b"fuzz-store-key-32-bytes-........."
)
AT: Final = datetime(2026, 3, 14, 22, 0, tzinfo=UTC)
TODAY: Final = date(2026, 3, 14)
GSS: Final = "E06000999"
_ANY_ID: Final = uuid.UUID(int=1)


class Broke(AssertionError):
    """Something that must hold for any bytes did not. Names the rule, never the bytes."""


@dataclass(frozen=True, slots=True)
class Target:
    """One parser. `tokens` are what its language is made of; `max_bytes` bounds an input."""

    name: str
    run: Run
    tokens: tuple[bytes, ...]
    max_bytes: int = 4_096


def _must(holds: bool, rule: str) -> None:
    if not holds:
        raise Broke(rule)


def _kinds(marks: Sequence[str]) -> set[str]:
    return {mark.partition(":")[0] for mark in marks}


def _cuts(data: bytes, count: int = 8) -> list[bytes]:
    """`data` in chunks whose places follow from the bytes alone."""
    chance = random.Random(data)
    places = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(count)))
    bounds = [0, *places, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(bounds)]


# --- MLLP frames -----------------------------------------------------------------------------

_FRAME_LIMIT: Final = 200
_HEAD_LIMIT: Final = 32


def _deframe(chunks: Sequence[bytes], limit: int = _FRAME_LIMIT) -> list[Item]:
    deframer = Deframer(limit, _HEAD_LIMIT)
    items: list[Item] = []
    for chunk in chunks:
        items += deframer.feed(chunk)
    left = deframer.finish()
    _must(deframer.finish() is None, "mllp.finish-once")
    return items if left is None else [*items, left]


def _mllp(data: bytes) -> Hashable:
    whole = _deframe([data])
    _must(_deframe(_cuts(data)) == whole, "mllp.cut-changes-nothing")
    if len(data) <= 200:
        singles = [data[at : at + 1] for at in range(len(data))]
        _must(_deframe(singles) == whole, "mllp.byte-by-byte")
    for item in whole:
        if isinstance(item, Frame):
            _must(len(item.data) <= _FRAME_LIMIT, "mllp.frame-limit")
            _must(b"\x1c" not in item.data and item.data in data, "mllp.frame-is-of-the-stream")
            batch.split(item.data)
        else:
            _must(len(item.head) <= _HEAD_LIMIT, "mllp.head-limit")
            _must(len(item.head) <= item.length <= len(data), "mllp.length")
    return tuple(type(item).__name__ + getattr(item, "kind", "") for item in whole[:4])


# --- ER7, and the events of it ----------------------------------------------------------------


def _er7(data: bytes) -> Hashable:
    data = data.replace(b"\x1c", b"")  # which no frame can hold
    shape: set[Hashable] = set()
    split = batch.split(data)
    for one in (data,) if split is None else split.messages[:8]:
        _walk(one)
        taken = _er7_events(one)
        _must(_er7_events(one) == taken, "er7.same-bytes-same-events")
        for event in taken:
            _must(codec.decode(codec.encode(event)) == event, "er7.event-survives-the-bus")
            _must(event.message == one, "er7.bytes-kept")
            shape |= {event.kind, event.arrival_rule, *_kinds(event.marks)}
        refusal = None if taken else "no-pid"
        answer = ack.acknowledge(one, refusal)
        _must(answer == ack.acknowledge(one, refusal), "er7.answer-is-pure")
        _must(_deframe([frame(answer)], 100_000) == [Frame(answer)], "er7.answer-can-be-framed")
    return frozenset(shape)


def _walk(data: bytes) -> None:
    """Read fields as nobody does who knows what they mean."""
    try:
        message = Message.parse(data)
    except Er7Error:
        return
    for name in message.names[:12]:
        for segment in message.segments(name)[:2]:
            for number in range(0, min(segment.count, 40) + 2, 3):
                segment.text(number)
                for repetition in range(1, len(segment.repetitions(number)[:3]) + 1):
                    segment.text(number, 2, 1, repetition)


def _er7_events(data: bytes) -> tuple[Any, ...]:
    try:
        message = Message.parse(data)
        return mapping.to_attendances(
            message, feed=FEED, rule=DEFAULT_RULE, keys=KEYS, received_at=AT
        )
    except Er7Error:
        return ()


# --- Files of flags ---------------------------------------------------------------------------

_LINE_LIMIT: Final = 1_000


def _flag(record: FlagRecord, claim: PersonClaim, marks: tuple[str, ...], line: Line) -> None:
    event = FlagSubmitted(
        event_id=_ANY_ID,
        source=GSS,
        organisation=GSS,
        upload_id=_ANY_ID,
        line=line.number,
        sequence=1,
        kind=SubmissionKind.RECORD,
        received_at=AT,
        source_person="s",
        source_patient="p",
        record=record,
        claim=claim,
        marks=marks,
        message=line.content,
    )
    _must(codec.decode(codec.encode(event)) == event, "flag.survives-the-bus")
    for text in (claim.nhs_number, claim.family, *claim.given, record.local_id):
        _must(not text or "\x00" not in text, "flag.no-nul")


def _lines(chunks: Sequence[bytes]) -> list[Line]:
    lines = Lines(_LINE_LIMIT)
    return [*(line for chunk in chunks for line in lines.feed(chunk)), *lines.end()]


def _json_lines(data: bytes) -> Hashable:
    shape: set[str] = set()
    found = _lines([data])
    _must(_lines(_cuts(data)) == found, "lines.cut-changes-nothing")
    for line in found:
        _must(len(line.content) <= _LINE_LIMIT, "lines.limit")
        parsed = parse_line(line.content, gss=GSS, today=TODAY)
        _must(parse_line(line.content, gss=GSS, today=TODAY) == parsed, "lines.pure")
        if isinstance(parsed, Accepted):
            _flag(parsed.record, parsed.claim, parsed.marks, line)
            shape |= {"taken", *parsed.marks}
        else:
            _must(bool(parsed) and all(one.message for one in parsed), "lines.refusal-says-what")
            shape |= {one.rule for one in parsed}
    return frozenset(shape)


def _parts(chunks: Sequence[bytes]) -> list[Part]:
    table = Table(_LINE_LIMIT)
    return [*(part for chunk in chunks for part in table.feed(chunk)), *table.end()]


def _csv(data: bytes) -> Hashable:
    shape: set[str] = set()
    found = _parts([data])
    _must(_parts(_cuts(data)) == found, "csv.cut-changes-nothing")
    for place, part in enumerate(found):
        _must(len(part.line.content) <= _LINE_LIMIT, "csv.limit")
        if isinstance(part, Record):
            parsed = parse_columns(part.columns, gss=GSS, today=TODAY, marks=part.marks)
            if isinstance(parsed, Accepted):
                _flag(parsed.record, parsed.claim, parsed.marks, part.line)
                shape |= {"taken", *parsed.marks}
            else:
                shape |= {one.rule for one in parsed}
            continue
        _must(all(one.message for one in part.refusals), "csv.refusal-says-what")
        shape |= {one.rule for one in part.refusals}
        if isinstance(part, RefusedFile):
            _must(place == len(found) - 1, "csv.nothing-after-a-refused-file")
    return frozenset(shape)


# --- FHIR -------------------------------------------------------------------------------------


def _fhir(data: bytes) -> Hashable:
    read = read_message(data)
    if isinstance(read, Refusal):
        _must(bool(read.rule), "fhir.refusal-names-its-rule")
        refused(read.issues)
        return read.rule
    events = fhir_events(read, FEED, KEYS, AT)
    again = read_message(data)
    _must(
        not isinstance(again, Refusal) and fhir_events(again, FEED, KEYS, AT) == events,
        "fhir.same-bytes-same-events",
    )
    for event in events:
        _must(codec.decode(codec.encode(event)) == event, "fhir.event-survives-the-bus")
        rule = broken(event)
        _must(rule is None, str(rule))
    return frozenset((event.kind, *_kinds(event.marks)) for event in events)


# ----------------------------------------------------------------------------------------------

_HL7: Final = (
    b"MSH|^~\\&|",
    b"\rEVN|",
    b"\rPID|",
    b"\rPV1|",
    b"\rPV2|",
    b"\rMRG|",
    b"\rZU8|",
    b"\rOBX|",
    b"\rDG1|",
    b"|",
    b"^",
    b"~",
    b"&",
    b"\\",
    b'""',
    b"ADT^A01",
    b"ADT^A04^ADT_A01",
    b"ADT^A40",
    b"ADT^A34",
    b"ADT^A11",
    b"9990000018^^^NHS^NH",
    b"T123^^^RFUZZ^MR",
    b"NSTS01",
    b"20260314213000",
    b"20261025013000",
    b"UNICODE",
    b"8859/1",
    b"\\T\\",
    b"\\X0D\\",
    b"\\X00\\",
    b"\rMSH|^~\\&|",
    b"FHS|^~\\&|\rBHS|^~\\&|\r",
    b"\rBTS|1\rFTS|1",
)
_JSON: Final = (
    b"{",
    b"}",
    b"[",
    b"]",
    b'"',
    b":",
    b",",
    b"null",
    b"true",
    b"1e999",
    b"\\u0000",
    b"\\ud800",
)

TARGETS: Final = {
    target.name: target
    for target in (
        Target(
            "mllp", _mllp, (b"\x0b", b"\x1c", b"\x1c\r", b"\r", b"\x0bMSH|", b"\x0b" * 3, b"\x00")
        ),
        Target("er7", _er7, _HL7, 2_500),
        Target(
            "json-lines",
            _json_lines,
            (
                *_JSON,
                b"\n",
                b"\r\n",
                b"\xef\xbb\xbf",
                b'"nhs_number":"9990000018"',
                b'"family":"Test"',
                b'"given":"Child"',
                b'"birth_date":"2019-06-02"',
                b'"plan_type":"CPP"',
                b'"plan_type":"UCPP"',
                b'"start":"2026-01-01"',
                b'"end":"2026-02-29"',
                b'"delete":null',
                b'"local_id":"L1"',
            ),
        ),
        Target(
            "csv",
            _csv,
            (
                b",",
                b";",
                b"\t",
                b'"',
                b'""',
                b"\n",
                b"\r\n",
                b"\r",
                b"\xef\xbb\xbf",
                b"\xff\xfe",
                b"sep=;\n",
                b"PK\x03\x04",
                b"nhs_number,family,given,birth_date,plan_type,start,end,delete,local_id\n",
                b"9990000018",
                b"02/06/2019",
                b"43618",
                b"2-Jun-19",
                b"CPP",
                b"UCPP",
                b"=1+1",
            ),
        ),
        Target(
            "fhir",
            _fhir,
            (
                *_JSON,
                b'"resourceType":"Bundle"',
                b'"type":"message"',
                b'"entry":[',
                b'"resource":{',
                b'"resourceType":"Encounter"',
                b'"resourceType":"Patient"',
                b'"resourceType":"MessageHeader"',
                b'"reference":"urn:uuid:',
                b'"fullUrl":',
                b'"identifier":[{"system":"https://fhir.nhs.uk/Id/nhs-number","value":"9990000018"}]',
                b'"start":"2026-03-14T21:30:00Z"',
                b'"deceasedBoolean":true',
                b'"resourceType":"Parameters"',
                b'{"name":"version","valuePositiveInt":2}',
                b'"resourceType":"QuestionnaireResponse"',
                b'{"linkId":"death.date","answer":[{"valueDate":"2026-03-01"}]}',
            ),
            8_192,
        ),
    )
}


def crash_rule(error: BaseException) -> str:
    """What a finding is called: the rule, or the exception's class and the place that raised."""
    if isinstance(error, Broke):
        return str(error)
    trace, place = error.__traceback__, "?"
    while trace is not None:
        frame = trace.tb_frame
        if "site-packages" not in frame.f_code.co_filename:
            place = f"{frame.f_globals.get('__name__')}:{trace.tb_lineno}"
        trace = trace.tb_next
    return f"{type(error).__name__} at {place}"
