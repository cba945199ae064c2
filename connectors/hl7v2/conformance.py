"""What is wrong with a message, by rules that have names; and the rules of HL7 v2.4 itself.

A finding names segment, field and rule and never quotes a value. Structure, required fields,
repetitions, data types and HL7's own tables come from hl7apy's reference of v2.4; they are read
against our view of the bytes, because hl7apy drops segments that a structure does not have, and
quotes values in its messages. User-defined tables (IS) are not checked: the NHS has its own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final, NamedTuple

from hl7apy import load_reference
from hl7apy.exceptions import ChildNotFound

from connectors.hl7v2.er7 import HL7_NULL, Message, Segment
from connectors.hl7v2.times import moment

VERSION: Final = "2.4"
HL7: Final = "HL7 v2.4"
ITK: Final = "ITK HL7 v2.4"  # NPFIT-ELIBR-AREL-DST-0369
HUB: Final = "hub"


class Severity(StrEnum):
    """How bad: ``error``: the hub refuses the message, or can never use it. ``warning``: a rule is
    broken, or the hub must guess. ``info``: a dialect that does no harm.
    """

    ERROR = "error"
    WARNING = "warning"
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule: how bad, whose it is, and what to do."""

    severity: Severity
    source: str
    advice: str


@dataclass(frozen=True, slots=True)
class Finding:
    """A rule that a message breaks, and where (``PID-3``, ``NK1[2]-5``)."""

    place: str
    rule: str
    severity: Severity
    source: str
    advice: str


HL7_RULES: Final = {
    "segment-missing": Rule(Severity.WARNING, HL7, "Send this segment; the structure requires it."),
    "segment-not-in-itk": Rule(
        Severity.INFO, HL7, "HL7 requires this segment here, ITK does not have it: no harm."
    ),
    "segment-unexpected": Rule(
        Severity.WARNING, HL7, "This segment is not part of the structure; it is kept, not read."
    ),
    "segment-order": Rule(Severity.WARNING, HL7, "Send the segments in the structure's order."),
    "segment-repeated": Rule(
        Severity.WARNING, HL7, "Send this segment once; only the first is read."
    ),
    "segment-custom": Rule(Severity.INFO, HL7, "A segment of your own; it is kept, not read."),
    "line-not-a-segment": Rule(
        Severity.WARNING, HL7, "This line is no segment; escape line ends in text as \\.br\\."
    ),
    "field-missing": Rule(Severity.WARNING, HL7, "Fill this field; HL7 requires it."),
    "field-repeated": Rule(
        Severity.WARNING, HL7, "This field may not repeat; only the first repetition is read."
    ),
    "data-type": Rule(
        Severity.WARNING,
        HL7,
        "The content does not fit the field's data type (DT, NM, SI, TM, TS).",
    ),
    "code-not-in-table": Rule(Severity.INFO, HL7, "The code is not in HL7's table for this field."),
}

ITK_SEGMENTS: Final = frozenset({"ZU1", "ZU3", "ZU4", "ZU6", "ZU7", "ZU8"})
# Kinds of person records, not of visits: ITK has no PV1 in them
_WITHOUT_VISIT: Final = frozenset({"A28", "A31"})
# HL7 table 0354 of v2.4, of the triggers that a hospital sends about patients
_STRUCTURES: Final = {
    "ADT_A01": ("A01", "A04", "A08", "A13"),
    "ADT_A02": ("A02",),
    "ADT_A03": ("A03",),
    "ADT_A05": ("A05", "A14", "A28", "A31"),
    "ADT_A06": ("A06", "A07"),
    "ADT_A09": ("A09", "A10", "A11"),
    "ADT_A12": ("A12",),
    "ADT_A15": ("A15",),
    "ADT_A16": ("A16",),
    "ADT_A21": ("A21", "A22", "A23", "A25", "A26", "A27", "A29", "A32", "A33"),
    "ADT_A30": ("A30", "A34", "A35", "A36", "A46", "A47", "A48", "A49"),
    "ADT_A38": ("A38",),
    "ADT_A39": ("A39", "A40", "A41", "A42"),
    "ADT_A52": ("A52", "A53"),
}
STRUCTURE_OF: Final = {
    trigger: structure for structure, triggers in _STRUCTURES.items() for trigger in triggers
}
"""MSH-9.3 by trigger."""

_NAME: Final = re.compile(rb"[A-Z][A-Z0-9]{2}")
_NUMBER: Final = re.compile(r"[+-]?\d+(\.\d*)?|[+-]?\.\d+", re.ASCII)
_TIME: Final = re.compile(r"\d{2}(\d{2}(\d{2}(\.\d{1,4})?)?)?([+-]\d{4})?", re.ASCII)


class _Field(NamedTuple):
    number: int
    kind: str  # data type
    required: bool
    once: bool
    table: str | None


def finding(rule: str, place: str, rules: dict[str, Rule]) -> Finding:
    """`rule` of `rules`, broken at `place`."""
    known = rules[rule]
    return Finding(place, rule, known.severity, known.source, known.advice)


def check_hl7(message: Message, trigger: str) -> Iterator[Finding]:
    """What breaks the rules of HL7 v2.4 itself, in the order of the message."""
    lines = _lines(message)
    structure = message.get("MSH-9.3") or STRUCTURE_OF.get(trigger, "")
    seen: Counter[str] = Counter()
    yield from _check_structure(structure or f"ADT_{trigger}", lines, trigger)
    for name in lines:
        if not name:
            continue
        seen[name] += 1
        segment = message.segment(name, seen[name] - 1)
        yield from _check_fields(segment, _place(name, seen[name]))


def _lines(message: Message) -> list[str]:
    """The name of each line in order; empty for one that is no segment."""
    separator = message.delimiters.field
    body = message.data.replace(b"\r\n", b"\r").replace(b"\n", b"\r").strip(b"\r")
    names = []
    for line in body.split(b"\r"):
        if line.strip():
            whole = _NAME.match(line) and (line[3:4] == separator or len(line) == 3)
            names.append(line[:3].decode("ascii") if whole else "")
    return names


def _place(name: str, occurrence: int) -> str:
    return name if occurrence == 1 else f"{name}[{occurrence}]"


def _check_structure(structure: str, lines: list[str], trigger: str) -> Iterator[Finding]:
    places = _structure(structure)
    if places is None:
        return
    allowed = {name for names, _, _ in places for name in names}
    at = 0
    counts: Counter[str] = Counter()
    for name in lines:
        if not name:
            yield finding("line-not-a-segment", "", HL7_RULES)
        elif name.startswith("Z"):
            if name not in ITK_SEGMENTS:
                yield finding("segment-custom", name, HL7_RULES)
        elif name not in allowed:
            yield finding("segment-unexpected", name, HL7_RULES)
        else:
            counts[name] += 1
            ahead = next((i for i in range(at, len(places)) if name in places[i][0]), None)
            if ahead is None:
                yield finding("segment-order", _place(name, counts[name]), HL7_RULES)
                continue
            if counts[name] > 1 and ahead == at and places[at][2]:
                yield finding("segment-repeated", _place(name, counts[name]), HL7_RULES)
            at = ahead
    for names, required, _ in places:
        if required and len(names) == 1 and names[0] not in counts:
            known = names[0] == "PV1" and trigger in _WITHOUT_VISIT
            yield finding("segment-not-in-itk" if known else "segment-missing", names[0], HL7_RULES)


@lru_cache(maxsize=64)
def _structure(name: str) -> tuple[tuple[tuple[str, ...], bool, bool], ...] | None:
    """(segments, required, at most once) of each place in a structure; a group is one place."""
    try:
        reference = load_reference(name, "Message", VERSION)
    except ChildNotFound:
        return None
    return tuple(
        (tuple(_segments(child)), child[2][0] > 0, child[2][1] == 1 and child[3] == "SEG")
        for child in reference[1]
    )


def _segments(child: Any) -> Iterator[str]:
    if child[3] == "SEG":
        yield child[0]
    else:
        for inner in child[1][1]:
            yield from _segments(inner)


@lru_cache(maxsize=64)
def _fields(segment: str) -> tuple[_Field, ...]:
    try:
        reference = load_reference(segment, "Segment", VERSION)
    except ChildNotFound:
        return ()
    return tuple(
        _Field(int(name.partition("_")[2]), kind[2], low > 0, high == 1, kind[4])
        for name, kind, (low, high), _ in reference[1]
    )


def _check_fields(segment: Segment, name: str) -> Iterator[Finding]:
    for one in _fields(segment.name):
        place = f"{name}-{one.number}"
        raw = segment.field(one.number)
        if not raw or raw == HL7_NULL:
            if one.required:
                yield finding("field-missing", place, HL7_RULES)
            continue
        if segment.name == "MSH" and one.number <= 2:
            continue
        repetitions = len(segment.repetitions(one.number))
        if one.once and repetitions > 1:
            yield finding("field-repeated", place, HL7_RULES)
        for repetition in range(1, repetitions + 1):
            text = segment.text(one.number, 1, 1, repetition)
            if text and not _fits(text, one.kind):
                yield finding("data-type", place, HL7_RULES)
            elif text and one.kind == "ID" and one.table and not _in_table(text, one.table):
                yield finding("code-not-in-table", place, HL7_RULES)


def _in_table(code: str, table: str) -> bool:
    codes = _table(table)
    return not codes or code in codes


@lru_cache(maxsize=128)
def _table(name: str) -> frozenset[str]:
    """The codes of an HL7 table; empty for one that hl7apy does not have."""
    try:
        return frozenset(load_reference(name, "Table", VERSION)[1])
    except ChildNotFound:
        return frozenset()


def _fits(text: str, kind: str) -> bool:
    if kind == "TS":
        # partial times (a year, a month) are allowed, an impossible day is not
        return moment(text, "UTC") is not None or _partial(text)
    if kind == "DT":
        return _partial(text)
    if kind == "NM":
        return _NUMBER.fullmatch(text) is not None
    if kind == "SI":
        return text.isascii() and text.isdigit()
    if kind == "TM":
        return _TIME.fullmatch(text) is not None
    return True


def _partial(text: str) -> bool:
    """A year, a month or a day that there is."""
    if not (text.isascii() and text.isdigit() and len(text) in (4, 6, 8)):
        return False
    try:
        date(int(text[:4]), int(text[4:6] or 1), int(text[6:8] or 1))
    except ValueError:
        return False
    return True
