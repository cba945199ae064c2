"""Numbers of forms in the unit that their field has. Pure.

A number whose unit is another is converted; one whose unit is not known, that is of something else,
or that is only a bound, is none: a child of 3,200 g must not become one of 3,200 kg.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from connectors.fhir.view import Json, text
from schemas.death_fields import Field

_NUMBER: Final = re.compile(r"(-?[0-9]{1,9}(?:\.[0-9]{1,12})?)\s*(.*)", re.ASCII | re.DOTALL)
_MAX_PLACES: Final = 6
# What each unit measures, and how many of its measure's least one it is
_UNITS: Final = {
    name: (measure, Decimal(factor))
    for measure, factor, names in (
        ("mass", "0.001", "mg milligram milligrams"),
        ("mass", "1", "g gm gms gram grams gramme grammes"),
        ("mass", "1000", "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes"),
        ("length", "1", "mm millimetre millimetres"),
        ("length", "10", "cm cms centimetre centimetres"),
        ("length", "1000", "m metre metres"),
        ("weeks", "1", "wk wks week weeks"),
        ("bmi", "1", "kg/m2 kg/m^2 kg/m²"),
        ("count", "1", "1 {count}"),
    )
    for name in names.split()
}
# By the end of a field's name
_OWN: Final = {"-kg": "kg", "-grams": "g", "-cm": "cm", "-weeks": "wk", "-bmi": "kg/m2"}


def number(known: Field, answer: Json, told: str) -> str | None:
    """The number that `answer` (in words: `told`) gives to a field of type integer or decimal, in
    the field's unit; None if that cannot be told.
    """
    quantity = answer.get("valueQuantity")
    if isinstance(quantity, dict):
        if quantity.get("comparator") is not None:
            return None
        amount = _decimal(quantity.get("value"))
        units = {text(quantity, name) for name in ("unit", "code")} - {""}
    else:
        match = _NUMBER.fullmatch(told)
        amount = _decimal(match[1]) if match else None
        units = {match[2].strip()} - {""} if match else set()
    if amount is None:
        return None
    own = next((unit for end, unit in _OWN.items() if known.name.endswith(end)), "1")
    found = {_UNITS.get(unit.lower()) for unit in units} or {_UNITS[own]}
    unit = found.pop()
    if found or unit is None or unit[0] != _UNITS[own][0]:
        return None
    return _written(amount * unit[1] / _UNITS[own][1], known.type == "integer")


def _decimal(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        found = Decimal(str(value).strip())
    except InvalidOperation:
        return None
    return found if found.is_finite() and abs(found) < 10**9 else None


def _written(amount: Decimal, whole: bool) -> str | None:
    """`amount` without an exponent or idle noughts; None if it has too many places."""
    places = f"{amount:f}".partition(".")[2].rstrip("0")
    if len(places) > (0 if whole else _MAX_PLACES):
        return None
    plain = f"{amount:f}".partition(".")[0]
    plain = f"{plain}.{places}" if places else plain
    return "0" if plain == "-0" else plain
