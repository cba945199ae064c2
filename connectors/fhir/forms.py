"""A filled form (QuestionnaireResponse) as facts. Pure; never raises, nothing is refused.

Each item whose linkId is a field of ``schemas/death_fields.toml`` is a fact of that field's type.
What is of no field, or not of its field's type, is kept as text under ``unlisted.…`` and marked.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.fhir.answers import absent_code, is_unread, said, typed
from connectors.fhir.death_events import AS_AT, OPINION, SAID_BY, SAID_IN
from connectors.fhir.resources import Placed
from connectors.fhir.times import iso_date
from connectors.fhir.view import Json, extension, objs, text
from schemas.death_fields import UNLISTED, Field, catalogue, groups
from schemas.deaths import Fact, FactKind

MAX_TEXT: Final = 20_000
"""Characters of one answer."""
MAX_ROWS: Final = 100
"""Rows of one repeating group."""
MAX_FACTS: Final = 2_000
_SAFE: Final = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*", re.ASCII)
_MANY_DIGITS: Final = re.compile(r"[0-9]{5}")
_MAX_NAME: Final = 64


@dataclass(frozen=True, slots=True)
class _Loose:
    """A field of a group that stands outside a row of it."""

    known: Field
    item: Json = field(repr=False)
    answers: list[Json] = field(repr=False)


@dataclass(slots=True)
class _Reading:
    """What has been read so far. A name and row is there once; rows count from 1."""

    organisation: str
    marks: list[str]
    facts: dict[tuple[str, int], Fact] = field(default_factory=dict)
    rows: Counter[str] = field(default_factory=Counter)
    # by the section in which they stand, and their group
    loose: dict[tuple[str, str], list[_Loose]] = field(default_factory=dict)

    def mark(self, rule: str, place: str) -> None:
        self.marks.append(f"{rule}:{place}")


def read_forms(
    forms: Sequence[Placed], marks: list[str], organisation: str = ""
) -> tuple[Fact, ...]:
    """The facts of all forms of a message of `organisation`, in their order, those of a group that
    stand outside its rows last; adds to `marks`.
    """
    reading = _Reading(organisation, marks)
    for form in forms:
        for place, item in _items(form.content, form.place):
            _read(item, place, reading, None, form.place)
    for (_, group), fields in reading.loose.items():
        _place(group, fields, reading)
    return tuple(reading.facts.values())


def _items(node: Json, place: str) -> Iterator[tuple[str, Json]]:
    values = node.get("item")
    if isinstance(values, list):
        for number, one in enumerate(values):
            if isinstance(one, dict):
                yield f"{place}.item[{number}]", one


def _read(
    item: Json, place: str, reading: _Reading, row: tuple[str, int] | None, section: str
) -> None:
    """An item and what is in it. `row`: the group and the row in which it stands; `section`: the
    item that holds it.
    """
    name, answers = text(item, "linkId").lower(), objs(item, "answer")
    known = catalogue().get(name)
    if name in groups():
        if answers or not objs(item, "item") or _holds_own(item, reading):
            if reading.rows[name] >= MAX_ROWS:
                reading.mark("rows-cut", name)
                return
            reading.rows[name] += 1
        row, section = (name, reading.rows[name]), place
        _of_no_field(name, place, answers, reading, row[1])
    elif answers and len(reading.facts) >= MAX_FACTS:
        reading.mark("facts-cut", "QuestionnaireResponse.item")
        return
    elif _is_echo(item, reading):
        reading.mark("answer-echoed", name if known else place)
    elif known is None:
        _of_no_field(name, place, answers, reading)
    elif known.group is None or (row is not None and row[0] == known.group):
        _answer(known, item, answers, reading, row[1] if known.group and row else 0)
    else:
        loose = _Loose(known, item, answers)
        reading.loose.setdefault((section, known.group), []).append(loose)
    if not answers and name not in groups():
        section = place  # what it holds belongs together
    for number, one in enumerate(answers):
        for inner, deeper in _items(one, f"{place}.answer[{number}]"):
            _read(deeper, inner, reading, row, section)
    for inner, deeper in _items(item, place):
        _read(deeper, inner, reading, row, section)


def _is_echo(item: Json, reading: _Reading) -> bool:
    """Whether an item is of the hub's own making: what another said, sent back."""
    who = text(extension(item, SAID_BY), "valueIdentifier", "value")
    if who:
        return who != reading.organisation
    return bool(extension(item, SAID_BY) or extension(item, SAID_IN))


def _holds_own(item: Json, reading: _Reading) -> bool:
    """Whether anything in an item is no echo."""
    inside = objs(item, "item") + [
        one for answer in objs(item, "answer") for one in objs(answer, "item")
    ]
    return any(not _is_echo(one, reading) or _holds_own(one, reading) for one in inside)


def _place(group: str, fields: list[_Loose], reading: _Reading) -> None:
    """Loose fields of a section as rows after those of the group: together where each is there
    equally often, else each in a row of its own. Whose role it is must not be guessed.
    """
    often = Counter(one.known.name for one in fields)
    together = len(set(often.values())) == 1
    first, taken = reading.rows[group], Counter[str]()
    for number, one in enumerate(fields, 1):
        taken[one.known.name] += 1
        row = first + (taken[one.known.name] if together else number)
        reading.rows[group] = max(reading.rows[group], row)
        if len(reading.facts) >= MAX_FACTS:
            reading.mark("facts-cut", "QuestionnaireResponse.item")
            return
        _answer(one.known, one.item, one.answers, reading, row)


def _of_no_field(
    name: str, place: str, answers: list[Json], reading: _Reading, row: int = 0
) -> None:
    """Keep answers that no field of the catalogue asked for."""
    if any(is_unread(one) for one in answers):
        reading.mark("answer-unread", place)
    if _unlisted(name, place, [said(one) for one in answers], reading, row):
        reading.mark("link-unknown" if name else "link-missing", place)


def _answer(known: Field, item: Json, answers: list[Json], reading: _Reading, row: int) -> None:
    """A fact of the catalogue's: its value, or why it has none; else what was said, unlisted."""
    code = absent_code(item, answers, reading.marks, known.name)
    if code is not None:
        _keep(known, reading, row, absent=code, item=item)
        return
    if any(is_unread(answer) for answer in answers):
        reading.mark("answer-unread", known.name)
    told = [one for answer in answers if (one := said(answer))]
    if known.type == "text":
        if told:
            _keep(known, reading, row, value="\n".join(told), item=item)
        return
    if len(answers) > 1:
        reading.mark("several-answers", known.name)
    if not answers:
        return
    value, code = typed(known, answers[0])
    if value is not None or code is not None:
        _keep(known, reading, row, value=value, absent=code, item=item)
    elif first := said(answers[0]):
        rule = "code-unknown" if known.type == "code" else f"{known.type}-invalid"
        reading.mark(rule, known.name)
        _unlisted(known.name, "", [first], reading, row)


def _keep(
    known: Field,
    reading: _Reading,
    row: int,
    *,
    item: Json,
    value: str | None = None,
    absent: str | None = None,
) -> None:
    if row > 2 * MAX_ROWS:
        reading.mark("rows-cut", known.group or known.name)
        return
    if (known.name, row) in reading.facts:
        reading.mark("answer-repeated", known.name)
        return
    if value is not None and len(value) > MAX_TEXT:
        reading.mark("text-cut", known.name)
        value = value[:MAX_TEXT]
    stated = extension(item, OPINION).get("valueBoolean")
    opinion = stated if isinstance(stated, bool) else known.opinion
    as_at_text = text(extension(item, AS_AT), "valueDate")
    as_at = iso_date(as_at_text) if as_at_text else None
    if as_at_text and as_at is None:
        reading.mark("as-at-invalid", known.name)
    reading.facts[(known.name, row)] = Fact(
        name=known.name,
        row=row,
        value=value,
        absent=absent,
        kind=FactKind.OPINION if opinion else FactKind.FACT,
        as_at=as_at,
    )


def _unlisted(name: str, place: str, told: list[str], reading: _Reading, row: int) -> bool:
    """Keep what was said under a name that holds nothing personal, in its row if that is free;
    False if nothing was.
    """
    value = "\n".join(one for one in told if one)
    if not value:
        return False
    safe = _SAFE.fullmatch(name) and len(name) <= _MAX_NAME and not _MANY_DIGITS.search(name)
    fact_name = f"{UNLISTED}.{name}" if safe else UNLISTED
    while (fact_name, row) in reading.facts:
        row += 1
    if row > 2 * MAX_ROWS:
        reading.mark("rows-cut", UNLISTED)
        return True
    if len(value) > MAX_TEXT:
        reading.mark("text-cut", place or name)
        value = value[:MAX_TEXT]
    reading.facts[(fact_name, row)] = Fact(name=fact_name, row=row, value=value)
    return True
