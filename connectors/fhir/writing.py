"""Parts of the FHIR resources that the hub writes: texts, dates, identifiers, answers of a form.

Pure. Nothing that came from a sender is trusted to fit FHIR's types: what does not is told as text,
or left out. `Pen` knows who may read an NHS number.
"""

from __future__ import annotations

import re
import unicodedata
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from typing import Any, Final

from connectors.fhir.death_events import ABSENT, ABSENT_CODES
from halyard.ids import derive
from halyard.nhs_number import check_digit
from schemas import death_fields
from schemas.deaths import CaseFact, Fact, FactKind

Resource = dict[str, Any]

NHS_NUMBER: Final = "https://fhir.nhs.uk/Id/nhs-number"
CASE: Final = "urn:halyard:fhir:case"
REQUEST: Final = "urn:halyard:fhir:report-request"
REFERENCE: Final = "urn:halyard:fhir:reference"
ORGANISATION: Final = "urn:halyard:fhir:organisation"
PANEL: Final = "urn:halyard:fhir:panel"
LOCAL_ID: Final = "urn:halyard:fhir:local-id"
TRACKING: Final = "urn:halyard:fhir:tracking"
CODES: Final = "urn:halyard:fhir:code"
PLAN: Final = "urn:halyard:fhir:plan"
TASK: Final = "urn:halyard:fhir:task"
INPUT: Final = "urn:halyard:fhir:input"
EXTENSION: Final = "urn:halyard:fhir:"

WITHHELD: Final = "[number withheld]"
MAX_PREFILLED: Final = 200
"""Answers that a report request tells; the form must fit into a message again, completed."""

_ODD: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
_CODE: Final = re.compile(r"[^\s]+(\s[^\s]+)*")
_ID: Final = re.compile(r"[A-Za-z0-9\-.]{1,64}", re.ASCII)
_PARTIAL: Final = re.compile(r"([0-9]{4})(-[0-9]{2})?(-[0-9]{2})?", re.ASCII)
_TIME: Final = re.compile(r"[0-9]{2}:[0-9]{2}(:[0-9]{2})?", re.ASCII)
# Ten digits, whatever signs stand between them (also what is not seen: joiners, soft hyphens); a
# look-ahead, so that none hides another
_NUMBER: Final = re.compile(r"(?<!\d)(?=(\d(?:[\W_]{0,8}\d){9})(?!\d))")
_WORDS_BETWEEN: Final = r"\D{0,12}"  # between the digits of a number that is known
_KNOWN_DIGITS: Final = 7  # fewer are no number
_WITHHELD: Final = re.compile(f"({re.escape(WITHHELD)})")
_GENDERS: Final = frozenset({"male", "female", "other", "unknown"})
_MAX_INTEGER: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes for one reader. Without `with_number` no NHS number is written, also not one that
    stands within a text.
    """

    cause: uuid.UUID  # of the whole: ids of its resources come from it
    with_number: bool
    numbers: tuple[str, ...] = field(default=(), repr=False)
    """The child's own, verified or claimed: found in a text however they are hidden."""

    def url(self, name: str) -> str:
        """The fullUrl of the resource that is called `name` here."""
        return f"urn:uuid:{self.id(name)}"

    def id(self, name: str) -> uuid.UUID:
        """Its id."""
        return derive("letter-part", str(self.cause), name)

    def entry(self, name: str, resource: Resource) -> Resource:
        """A Bundle's entry, with the resource's id set."""
        one = {"resourceType": resource["resourceType"], "id": str(self.id(name))}
        return {"fullUrl": self.url(name), "resource": {**one, **resource}}

    def refer(self, name: str) -> Resource:
        """A Reference to it."""
        return {"reference": self.url(name)}

    def text(self, value: str | None) -> str | None:
        """A FHIR string; None if there is nothing to say."""
        cleaned = _ODD.sub(" ", value or "").strip()
        if not self.with_number:
            cleaned = _without_numbers(cleaned, self.numbers)
        return cleaned or None

    def identifier(self, system: str, value: str | None) -> Resource | None:
        """An Identifier; None without a value, or with one that this reader may not have."""
        told = self.text(value)
        return {"system": system, "value": told} if told and WITHHELD not in told else None

    def own(self, system: str, value: str | None) -> Resource | None:
        """An Identifier that the reader itself gave, as it wrote it: that tells it nothing."""
        told = _ODD.sub(" ", value or "").strip()
        return {"system": system, "value": told} if told else None

    def code(self, value: str | None) -> str | None:
        """A FHIR code; None if it is none, or one that this reader may not have."""
        told = self.text(value)
        return code(told) if told == value else None

    def number(self, value: str | None) -> Resource | None:
        """The NHS number as an Identifier, if this reader may have it."""
        return {"system": NHS_NUMBER, "value": value} if value and self.with_number else None

    def organisation(self, code: str | None, name: str = "") -> Resource | None:
        """A Reference to an organisation by its ODS or GSS code."""
        given = self.identifier(ORGANISATION, code)
        return pruned({"identifier": given, "display": self.text(name)}) or None

    def patient(
        self, facts: Sequence[Fact], *, number: str | None = None, dead: bool = True
    ) -> Resource:
        """The child as the facts name it, deceased if `dead`; the first fact of a name counts."""
        said: dict[str, str] = {}
        for fact in facts:
            if fact.value is not None:
                said.setdefault(fact.name, fact.value)
        sex = said.get("child.sex")
        return pruned(
            {
                "resourceType": "Patient",
                "identifier": [self.number(number)],
                "name": [self.name(said.get("child.family"), said.get("child.given"))],
                "gender": None if sex is None else sex if sex in _GENDERS else "unknown",
                "birthDate": partial(said.get("child.birth-date")),
                **(deceased(said.get("death.date")) if dead else {}),
            }
        )

    def name(self, family: str | None, given: str | None) -> Resource | None:
        """A HumanName; given names are separated by spaces. They are cleaned before they are taken
        apart, and a number over both parts leaves none.
        """
        first, last = self.text(given) or "", self.text(family) or ""
        for whole in (f"{first} {last}", f"{last} {first}"):
            if (self.text(whole) or "").count(WITHHELD) > whole.count(WITHHELD):
                return None
        told = [
            word
            for part in _WITHHELD.split(first)
            for word in ([part] if part == WITHHELD else part.split())
        ]
        return pruned({"family": last, "given": told}) or None

    def answers(self, facts: Sequence[CaseFact], *, brief: bool = False) -> list[Resource]:
        """Items of a QuestionnaireResponse: one for each statement, rows of a group together, each
        with who said it and, unless `brief`, when and in which message.
        """
        items: list[Resource] = []
        rows: dict[tuple[str, int, str, uuid.UUID], Resource] = {}
        catalogue = death_fields.catalogue()
        for one in facts:
            item = self._item(one, catalogue.get(one.fact.name), brief=brief)
            if item is None:
                continue
            if not one.fact.row:
                items.append(item)
                continue
            group = one.fact.name.partition(".")[0]
            key = (group, one.fact.row, one.organisation, one.event_id)
            if key not in rows:
                rows[key] = {"linkId": self.text(group) or "row", "item": []}
                items.append(rows[key])
            rows[key]["item"].append(item)
        return items

    def _item(
        self, one: CaseFact, known: death_fields.Field | None, *, brief: bool
    ) -> Resource | None:
        name = self.text(one.fact.name)
        if name is None:
            return None
        answer = self._answer(one.fact, known)
        return pruned(
            {
                "linkId": name,
                "text": self.text(known.label) if known else None,
                "answer": [answer],
                "extension": [
                    extension("opinion", "valueBoolean", one.fact.kind is FactKind.OPINION or None),
                    extension("as-at", "valueDate", partial(one.fact.as_at)),
                    extension(
                        "said-by",
                        "valueIdentifier",
                        self.identifier(ORGANISATION, one.organisation),
                    ),
                    None
                    if brief
                    else extension("stated-at", "valueDateTime", moment(one.stated_at)),
                    None if brief else extension("event", "valueUri", f"urn:uuid:{one.event_id}"),
                ],
            }
        )

    def _answer(self, fact: Fact, known: death_fields.Field | None) -> Resource | None:
        told = self.text(fact.value)
        if told is None:
            listed = fact.absent in ABSENT_CODES
            return {"valueCoding": {"system": ABSENT, "code": fact.absent}} if listed else None
        if told == fact.value and known is not None and (typed := _typed(told, known.type)):
            return typed
        return {"valueString": told}


def _typed(value: str, kind: death_fields.Type) -> Resource | None:
    """The answer in the field's type; None if it is not of it, or is text."""
    match kind:
        case "code":
            fits = code(value)
            return {"valueCoding": {"system": CODES, "code": fits}} if fits else None
        case "date" | "partial-date":
            return {"valueDate": value} if partial(value) else None
        case "time":
            return _time(value)
        case "boolean":
            return {"valueBoolean": value == "true"} if value in ("true", "false") else None
        case "integer":
            plain = value.isascii() and value.isdigit() and len(value) <= 10
            fits_in = plain and int(value) <= _MAX_INTEGER
            return {"valueInteger": int(value)} if fits_in else None
        case _:  # a decimal as JSON's number could lose digits that somebody wrote
            return None


def _time(value: str) -> Resource | None:
    if not _TIME.fullmatch(value):
        return None
    try:
        return {"valueTime": time.fromisoformat(value).isoformat()}
    except ValueError:
        return None


def _without_numbers(text: str, known: Sequence[str]) -> str:
    """`text` with each ten digits that could be an NHS number (modulus 11) taken out, and with the
    digits of each of `known`, whatever stands between or around them.
    """
    plain = _plain(text)
    spans = [
        match.span(1)
        for match in _NUMBER.finditer(plain)
        if _valid("".join(one for one in match.group(1) if one.isdigit()))
    ]
    for number in known:
        digits = [one for one in _plain(number) if one in "0123456789"]
        if len(digits) >= _KNOWN_DIGITS:
            found = re.finditer(_WORDS_BETWEEN.join(digits), plain, re.DOTALL)
            spans += [match.span() for match in found]
    kept, end = [], 0
    for start, stop in sorted(spans):
        if start >= end:
            kept += [text[end:start], WITHHELD]
        end = max(end, stop)
    return "".join((*kept, text[end:]))


def _valid(digits: str) -> bool:
    return check_digit(digits[:9]) == int(digits[9])


def _plain(text: str) -> str:
    """`text` with every digit of whatever script or size as 0 to 9, sign for sign."""
    if text.isascii():
        return text
    return "".join(str(unicodedata.digit(one, one)) for one in text)


def code(value: str | None) -> str | None:
    """A FHIR code; None if it is none."""
    return value if value and _CODE.fullmatch(value) and not _ODD.search(value) else None


def resource_id(value: str) -> str | None:
    """A FHIR id; None if it is none."""
    return value if _ID.fullmatch(value) else None


def partial(value: str | None) -> str | None:
    """A FHIR date (YYYY, YYYY-MM, YYYY-MM-DD); None if it is none, or no day of the calendar."""
    if not value or not (found := _PARTIAL.fullmatch(value)):
        return None
    year, month, day = found.groups()
    try:
        date.fromisoformat(f"{year}{month or '-01'}{day or '-01'}")
    except ValueError:
        return None
    return value


def moment(at: datetime) -> str:
    """A FHIR instant or dateTime, in UTC."""
    return at.astimezone(UTC).isoformat()


def deceased(died: str | None) -> Resource:
    """Patient.deceased[x] of somebody who died; the day if it is known."""
    on = partial(died)
    return {"deceasedDateTime": on} if on else {"deceasedBoolean": True}


def extension(name: str, kind: str, value: object) -> Resource | None:
    """An Extension of our own; None without a value."""
    return None if value is None else {"url": EXTENSION + name, kind: value}


def coded(system: str, value: str, words: str | None = None) -> Resource:
    """A CodeableConcept."""
    concept: Resource = {"coding": [{"system": system, "code": value}]}
    return {**concept, "text": words} if words else concept


def pruned(node: Mapping[str, Any]) -> Resource:
    """`node` without what is None or empty, also in its lists: FHIR has no empty elements."""
    kept: Resource = {}
    for name, value in node.items():
        whole = [one for one in value if one] if isinstance(value, list) else value
        if whole is not None and whole not in ([], {}, ""):
            kept[name] = whole
    return kept
