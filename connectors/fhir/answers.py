"""One answer of a form: its value in the type of its field, or why there is none. Pure."""

from __future__ import annotations

import re
from typing import Any, Final

from connectors.fhir.death_events import ABSENT, ABSENT_CODES, DATA_ABSENT
from connectors.fhir.quantities import number
from connectors.fhir.times import english_day, english_time, iso_date
from connectors.fhir.view import Json, coding, codings, extension, obj, text, words
from schemas.death_fields import Field

_TIME: Final = re.compile(r"(?:.*T)?([01][0-9]|2[0-3]):([0-5][0-9])(?:[:.Z+-].*)?", re.ASCII)
_YES: Final = frozenset({"true", "yes", "y"})
_NO: Final = frozenset({"false", "no", "n"})
# How people write that they do not know, or that a question does not arise
_ABSENT_WORDS: Final = {
    **dict.fromkeys(("nk", "n/k", "not known", "unknown"), "unknown"),
    **dict.fromkeys(("na", "n/a", "not applicable"), "not-applicable"),
    "not asked": "not-asked",
}
_DATA_ABSENT: Final = {
    "unknown": "unknown",
    "asked-unknown": "unknown",
    "temp-unknown": "unknown",
    "asked-declined": "unknown",
    "not-asked": "not-asked",
    "not-applicable": "not-applicable",
}
_MAX_CODE: Final = 40
_WHOLE_DATE: Final = len("2026-03-01")


def said(answer: Json) -> str:
    """What an answer says, as text; empty if it says nothing that is read."""
    for name, value in answer.items():
        if name.startswith("value") and (told := _said(value)):
            return told
    return ""


def is_unread(answer: Json) -> bool:
    """Whether there is a value that is not read, or not the whole of it: an attachment."""
    values = {name: one for name, one in answer.items() if name.startswith("value") and one}
    return "valueAttachment" in values or (bool(values) and not said(answer))


def _said(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    if not isinstance(value, dict):
        return ""
    amount = value.get("value")
    if isinstance(amount, int | float | str) and not isinstance(amount, bool):  # a Quantity
        unit = text(value, "unit") or text(value, "code")
        return " ".join(one for one in (text(value, "comparator"), str(amount), unit) if one)
    return (
        text(value, "display")
        or words(value)
        or text(value, "code")
        or text(value, "reference")
        or text(value, "identifier", "value")
        or text(value, "title")
    )


def absent_code(item: Json, answers: list[Json], marks: list[str], name: str) -> str | None:
    """Why a question has no answer, if its sender says so; None if not."""
    one: Json = answers[0] if answers else {}
    code = ""
    if text(one, "valueCoding", "system") == ABSENT:
        code = text(one, "valueCoding", "code")
        if code in ABSENT_CODES:
            return code
        marks.append(f"absent-unknown:{name}")
        return "unknown"
    for node in (item, one, *(obj(one, key) for key in one if key.startswith("_value"))):
        code = text(extension(node, DATA_ABSENT), "valueCode")
        if code:
            if code not in _DATA_ABSENT:
                marks.append(f"absent-unknown:{name}")
            return _DATA_ABSENT.get(code, "unknown")
    return None


def typed(known: Field, answer: Json) -> tuple[str | None, str | None]:
    """(value, why there is none) of an answer, in the type of a field that is not text; (None,
    None) if it is not of that type, or says two things.
    """
    told = said(answer)
    if known.type == "code":
        return _code(known, answer, told)
    code, spoken = _coded(answer)
    # what stands in words is what was meant: "9" may be a list's number of "not known"
    if why := next(
        (_ABSENT_WORDS[one] for one in (*spoken, told.lower()) if one in _ABSENT_WORDS), None
    ):
        return None, why
    if known.type in ("integer", "decimal"):
        return number(known, answer, told), None
    value = _value(known, told)
    if value is None and code and (not spoken or len(code) > 1):
        value = _value(known, code)
    return value, None if value is not None else _ABSENT_WORDS.get(code.lower())


def _coded(answer: Json) -> tuple[str, list[str]]:
    """The code of an answer, and its words in small letters."""
    concept = obj(answer, "valueCodeableConcept")
    first = next(codings(concept), None) or coding(answer.get("valueCoding"))
    told = (first.display, text(concept, "text"))
    code = first.code or text(answer, "valueReference", "identifier", "value")
    return code, [one.lower() for one in told if one]


def _code(known: Field, answer: Json, told: str) -> tuple[str | None, str | None]:
    code, spoken = _coded(answer)
    code = code or told
    lowered = code.lower()
    why = next((_ABSENT_WORDS[one] for one in spoken if one in _ABSENT_WORDS), None)
    if not known.codes:
        # an open set: organisations, areas, countries ("NA" is one)
        if why is not None and lowered not in spoken:
            return None, why
        if (why := _ABSENT_WORDS.get(lowered)) == "unknown":
            return None, why
        return (code.upper() if 0 < len(code) <= _MAX_CODE and " " not in code else None), None
    if lowered in known.codes and (why is None or lowered in (why, *spoken)):
        return lowered, None
    return None, why or _ABSENT_WORDS.get(lowered)


def _value(known: Field, told: str) -> str | None:
    kind = known.type
    # a birth is written down where it was, and told as it is written
    born = known.name.endswith(("birth-date", "birth-time"))
    if kind == "boolean":
        lowered = told.lower()
        return "true" if lowered in _YES else "false" if lowered in _NO else None
    if kind in ("date", "partial-date"):
        day = iso_date(told) if born else english_day(told)
        return day if day and (kind == "partial-date" or len(day) == _WHOLE_DATE) else None
    if kind == "time":
        return (None if born else english_time(told)) or short_time(told)
    return None


def short_time(told: str) -> str | None:
    """``HH:MM`` of a time or dateTime, as written there; None if there is none."""
    match = _TIME.fullmatch(told)
    return f"{match[1]}:{match[2]}" if match else None
