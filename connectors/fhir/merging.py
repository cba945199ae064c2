"""What the Patient and the form of one message say together, each name and row once. Pure.

What belongs together comes from one of them: a time of death with its own day, an address with its
own postcode.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from schemas.deaths import Fact

# What identity goes by is the Patient's; a form that differs is marked
_PATIENT_FIRST: Final = frozenset({"child.family", "child.given", "child.birth-date", "child.sex"})
_COMPARED: Final = _PATIENT_FIRST | {"death.date"}
_DAY, _HOUR = "death.date", "death.time"
_HOME: Final = ("child.address", "child.postcode")
_OTHER_HOME: Final = ("child.alternative-address", "child.alternative-postcode")


def merged(patient: tuple[Fact, ...], form: tuple[Fact, ...], marks: list[str]) -> tuple[Fact, ...]:
    """The facts of both; adds to `marks`."""
    own = {one.name: one for one in patient if not one.row}
    said = {one.name: one for one in form if not one.row}
    own, said = _days(own, said)
    own, said = _homes(own, said, marks)
    found: list[Fact] = []
    for one in (*said.values(), *(one for one in form if one.row)):
        other = own.get(one.name) if not one.row else None
        if other and one.value and _differ(one.value, other.value) and one.name in _COMPARED:
            marks.append(f"form-differs:{one.name}")
        if other is None or (one.name not in _PATIENT_FIRST and one.value):
            found.append(one)
    there = {one.name for one in found if not one.row}
    found += [one for one in own.values() if one.name not in there]
    # further names of the Patient come after those of the form
    last = max((one.row for one in form if one.name.startswith("alias.")), default=0)
    found += [replace(one, row=one.row + last) for one in patient if one.row]
    return tuple(found)


def _days(own: dict[str, Fact], said: dict[str, Fact]) -> tuple[dict[str, Fact], dict[str, Fact]]:
    """Without a time of death that is not of the day that counts: the form's if it says one."""
    day, other = _value(said, _DAY), _value(own, _DAY)
    if day is not None and other is not None and day != other:
        own = _without(own, _HOUR)
    elif day is None and other is not None and _value(own, _HOUR) is not None:
        said = _without(said, _HOUR)
    return own, said


def _homes(
    own: dict[str, Fact], said: dict[str, Fact], marks: list[str]
) -> tuple[dict[str, Fact], dict[str, Fact]]:
    """With the Patient's home; the form's, if it is another, is the alternative one."""
    mine, theirs = ([_value(one, name) for name in _HOME] for one in (own, said))
    if not any(mine) or not any(theirs):
        return own, said
    pairs = list(zip(mine, theirs, strict=True))
    same = any(one and other and not _differ(one, other) for one, other in pairs)
    apart = not any(one and other for one, other in pairs)  # one says where, one the postcode
    if same or apart:
        kept = [name for name, one in zip(_HOME, mine, strict=True) if one]
        return own, _without(said, *kept)
    moved = {name: said[name] for name, told in zip(_HOME, theirs, strict=True) if told}
    marks.extend(f"form-differs:{name}" for name in moved)
    said = _without(said, *_HOME)
    if not any(_value(one, name) for one in (own, said) for name in _OTHER_HOME):
        for name, other in zip(_HOME, _OTHER_HOME, strict=True):
            if name in moved:
                said[other] = replace(moved[name], name=other)
    return own, said


def _value(facts: dict[str, Fact], name: str) -> str | None:
    return facts[name].value if name in facts else None


def _without(facts: dict[str, Fact], *names: str) -> dict[str, Fact]:
    return {name: one for name, one in facts.items() if name not in names}


def _differ(one: str, other: str | None) -> bool:
    return _plain(one) != _plain(other or "")


def _plain(value: str) -> str:
    return "".join(letter for letter in value.casefold() if letter.isalnum())
