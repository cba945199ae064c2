"""One line of a flag file: strictly read, or refused by field and rule.

A line is a JSON object with the columns of `FlagLine`. What identity can judge better is left to
it: an NHS number in a wrong format is taken in and answered CPR04. A phone number is never a reason
to keep a child's plan out, nor is a pupil number or a list of siblings: what cannot be taken is
left out, and marked. An empty text is the same as null.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from connectors.identifiers import MOST_SIBLINGS, Scheme, made, upn_is_valid
from connectors.local_authority.rules import RULES, Refusal
from schemas.events import FlagRecord, Identifier, PersonClaim, PlanType

__all__ = [
    "COLUMNS",
    "RULES",
    "SPARE",
    "Accepted",
    "FlagLine",
    "Refusal",
    "parse_columns",
    "parse_line",
]

COLUMNS: Final = (
    "nhs_number",
    "family",
    "given",
    "birth_date",
    "plan_type",
    "start",
    "end",
    "delete",
    "la_gss",
    "local_id",
    "phone_office",
    "phone_emergency",
    "upn",
    "siblings",
)

PHONE: Final = "phone.not_taken"
"""Mark of a record without a phone that its line has."""
UPN: Final = "upn.not_taken"
UPN_LETTER: Final = "upn.check_letter"
"""Mark of a record whose unique pupil number has another check letter than it should."""
SIBLINGS: Final = "siblings.not_taken"

SPARE: Final = {
    "phone_office": PHONE,
    "phone_emergency": PHONE,
    "upn": UPN,
    "siblings": SIBLINGS,
}
"""Columns that never keep a child's plan out: what cannot be taken is left out, with this mark."""

EARLIEST_BIRTH: Final = "1900-01-01"  # of an unborn child's mother too
EARLIEST: Final = "1990-01-01"  # start, end, delete: no plan of a child today is older
YEARS_AHEAD: Final = 20  # from today: no plan outlasts its child's 18th birthday

_PHONES: Final = frozenset({"phone_office", "phone_emergency"})
_BESIDE: Final = frozenset({"upn", "siblings"})
_PHONE_LENGTH: Final = 60
_SEPARATORS: Final = re.compile("[;|]")

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
# A key that cannot be a value of a person in the wrong place
_COLUMN_NAME = re.compile(r"[A-Za-z][A-Za-z_]{0,39}", re.ASCII)
_PLAN_TYPES: Final = {
    "CPP": PlanType.CPP,
    "LAC": PlanType.LAC,
    "UCPP": PlanType.UCPP,
    "UCP": PlanType.UCPP,  # as the CP-IS upload writes it
}
_PYDANTIC_RULES: Final = {
    "missing": "column.required",
    "extra_forbidden": "column.unknown",
    "string_type": "column.not_text",
    "string_too_long": "column.too_long",
    "literal_error": "plan_type.unknown",
}


@dataclass(frozen=True, slots=True)
class Accepted:
    """A line that follows every rule."""

    record: FlagRecord
    claim: PersonClaim
    marks: tuple[str, ...] = ()
    # the authority's own local ids of the person's siblings; None: the record says nothing of them
    siblings: tuple[str, ...] | None = field(default=None, repr=False)


class _Twice(ValueError):
    def __init__(self, column: str) -> None:
        super().__init__()
        self.column = column


def _checked(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    value = value.strip()
    if _CONTROL.search(value):
        raise ValueError("column.characters")
    return value or None


def _dated(value: Any) -> Any:
    value = _checked(value)
    if not isinstance(value, str):
        return value
    if not _DATE.fullmatch(value):
        raise ValueError("date.not_iso")
    try:
        date.fromisoformat(value)
    except ValueError:
        raise ValueError("date.no_such_day") from None
    return value


def _required(value: Any) -> Any:
    if value is None:
        raise ValueError("column.required")
    return value


_Date = Annotated[str | None, BeforeValidator(_dated)]
_Name = Annotated[str | None, Field(max_length=200), BeforeValidator(_checked)]
_Short = Annotated[str | None, Field(max_length=40), BeforeValidator(_checked)]
_Phone = Annotated[str | None, BeforeValidator(_checked)]


class FlagLine(BaseModel):
    """The columns, at the edge."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    # validators run from the last to the first: a text is cleaned, then it must be there
    plan_type: Annotated[
        Literal["CPP", "LAC", "UCPP", "UCP"], BeforeValidator(_required), BeforeValidator(_checked)
    ]
    local_id: Annotated[
        str, Field(max_length=64), BeforeValidator(_required), BeforeValidator(_checked)
    ]
    nhs_number: _Short = None
    family: _Name = None
    given: _Name = None
    birth_date: _Date = None
    start: _Date = None
    end: _Date = None
    delete: _Date = None
    la_gss: _Short = None
    phone_office: _Phone = None
    phone_emergency: _Phone = None


def parse_line(line: bytes, *, gss: str, today: date) -> Accepted | tuple[Refusal, ...]:
    """The record of one line, or every reason why it is refused (at least one).

    `gss` is the sender's own code. Never raises; no refusal holds a value of the line.
    """
    columns = _columns(line)
    if isinstance(columns, Refusal):
        return (columns,)
    return parse_columns(columns, gss=gss, today=today)


def parse_columns(
    columns: Mapping[str, Any], *, gss: str, today: date, marks: Sequence[str] = ()
) -> Accepted | tuple[Refusal, ...]:
    """The record of these columns, whatever file they stood in; `marks` are added to its own.

    Never raises; no refusal holds a value.
    """
    lost = {name for name in _PHONES if not _is_phone(columns.get(name))}
    siblings = _siblings(columns)
    upn = made(Scheme.UPN, columns.get("upn"), gss) if _is_text(columns.get("upn")) else None
    if upn is None and columns.get("upn") not in (None, ""):
        lost.add("upn")
    if siblings is None and "siblings" in columns:
        lost.add("siblings")
    found = [SPARE[name] for name in COLUMNS if name in lost]
    if upn is not None and not upn_is_valid(upn.value):
        found.append(UPN_LETTER)
    marks = tuple(dict.fromkeys((*marks, *found)))
    try:
        flag = FlagLine.model_validate(
            {
                name: None if name in lost else value
                for name, value in columns.items()
                if name not in _BESIDE
            }
        )
    except ValidationError as error:
        return tuple(_refusal(issue) for issue in error.errors(include_url=False)[:20])
    if refusals := tuple(_across(flag, gss, today)):
        return refusals
    return _accepted(flag, gss, tuple(marks), upn, siblings)


def _siblings(columns: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The local ids in ``siblings``, text or list, in order; None if it is not there, or cannot be
    read as local ids of a family.
    """
    if "siblings" not in columns:
        return None
    value = columns["siblings"]
    if _is_text(value):
        value = _SEPARATORS.split(value or "")
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        return None
    named = dict.fromkeys(one.strip() for one in value)
    named.pop("", None)
    named.pop(str(columns.get("local_id")).strip(), None)
    if len(named) > MOST_SIBLINGS or not all(made(Scheme.LA_CHILD_ID, one) for one in named):
        return None
    return tuple(named)


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_phone(value: Any) -> bool:
    if not isinstance(value, str):
        return value is None
    return len(value.strip()) <= _PHONE_LENGTH and not _CONTROL.search(value.strip())


def _columns(line: bytes) -> dict[str, Any] | Refusal:
    try:
        text = line.decode()
    except UnicodeDecodeError:
        return Refusal("", "line.not_utf8")
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except _Twice as twice:
        return Refusal(_shown(twice.column), "column.twice")
    except (ValueError, RecursionError):
        return Refusal("", "line.not_json")
    return found if isinstance(found, dict) else Refusal("", "line.not_object")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _Twice(name)
        found[name] = value
    return found


def _no_constant(_name: str) -> None:
    raise ValueError  # NaN and Infinity are not JSON


def _refusal(issue: Any) -> Refusal:
    place = _shown(str(issue["loc"][0])) if issue["loc"] else ""
    if issue["type"] == "value_error":
        return Refusal(place, str(issue["ctx"]["error"]))
    return Refusal(place, _PYDANTIC_RULES.get(issue["type"], "line.not_object"))


def _shown(column: str) -> str:
    """A column's name as an answer may repeat it: a name, not a value that took its place."""
    return column if _COLUMN_NAME.fullmatch(column) else "(not a column name)"


def _across(flag: FlagLine, gss: str, today: date) -> Sequence[Refusal]:
    refusals = []
    if flag.la_gss not in (None, gss):
        refusals.append(Refusal("la_gss", "la_gss.other_authority"))
    if flag.start is None and flag.delete is None:
        refusals.append(Refusal("start", "column.required"))
    if flag.start is not None and flag.end is not None and flag.end < flag.start:
        refusals.append(Refusal("end", "date.end_before_start"))
    if flag.birth_date is not None and flag.birth_date > today.isoformat():
        refusals.append(Refusal("birth_date", "date.not_before_today"))
    if flag.birth_date is not None and flag.birth_date < EARLIEST_BIRTH:
        refusals.append(Refusal("birth_date", "date.not_plausible"))
    # as texts, which compare like the days: 29 February has no day of its own in every year
    latest = f"{today.year + YEARS_AHEAD}{today.isoformat()[4:]}"
    for name, stated in (("start", flag.start), ("end", flag.end), ("delete", flag.delete)):
        if stated is not None and not EARLIEST <= stated <= latest:
            refusals.append(Refusal(name, "date.not_plausible"))
    if flag.nhs_number is None and (flag.family is None or flag.birth_date is None):
        refusals.append(Refusal("nhs_number", "person.not_identifiable"))
    return refusals


def _accepted(
    flag: FlagLine,
    gss: str,
    marks: tuple[str, ...],
    upn: Identifier | None,
    siblings: tuple[str, ...] | None,
) -> Accepted:
    return Accepted(
        record=FlagRecord(
            plan_type=_PLAN_TYPES[flag.plan_type],
            start=flag.start,
            end=flag.end,
            delete=flag.delete,
            la_gss=gss,
            local_id=flag.local_id,
            phone_office=flag.phone_office,
            phone_emergency=flag.phone_emergency,
        ),
        claim=PersonClaim(
            nhs_number=flag.nhs_number,
            family=flag.family,
            given=tuple((flag.given or "").split()),
            birth_date=flag.birth_date,
            local_id=flag.local_id,
            identifiers=() if upn is None else (upn,),
        ),
        siblings=siblings,
        marks=(("plan_type.alias",) if flag.plan_type == "UCP" else ()) + marks,
    )
