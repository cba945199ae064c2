"""Which of a feed's messages are arrivals: rules of the directory."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from stores.entry import Entry


def _capitals(code: str) -> str:
    text = code.strip().upper()
    if not text:
        raise ValueError("an empty code can never be met; leave it out")
    return text


Codes = tuple[Annotated[str, AfterValidator(_capitals)], ...]

ARRIVAL_TRIGGERS: Final = ("A01", "A04", "A06")
"""Those whose kind can be an arrival; a FHIR arrival has the one of the same meaning."""

# v3-ActCode, as FHIR has it in Encounter.class -> HL7 table 0004, as rules compare it
_FHIR_CLASSES: Final = {"EMER": "E", "AMB": "O", "PRENC": "P"} | dict.fromkeys(
    ("IMP", "ACUTE", "NONAC", "OBSENC"), "I"
)


def _arriving(trigger: str) -> str:
    code = _capitals(trigger)
    if code not in ARRIVAL_TRIGGERS:
        raise ValueError(f"only {', '.join(ARRIVAL_TRIGGERS)} can be an arrival; write one of them")
    return code


def _visit_class(text: str) -> str:
    code = _capitals(text)
    if code in _FHIR_CLASSES:
        raise ValueError(
            f"{code} is FHIR's code, which no message has here; write {_FHIR_CLASSES[code]}"
        )
    return code


class Clause(Entry):
    """One way to arrive: every condition that is given must hold; codes as the sender writes them,
    compared in capitals and without spaces around them.

    `name` says in each event and each dry run which clause decided.
    """

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    triggers: tuple[Annotated[str, AfterValidator(_arriving)], ...] = ("A01", "A04")
    classes: tuple[
        Annotated[str, AfterValidator(_visit_class)], ...
    ] = ()  # PV1-2; Encounter.class as E (EMER), I (IMP), O (AMB)
    admission_methods: Codes = ()  # PV1-4, NHS Data Dictionary
    departments: Codes = ()  # the hospital's own codes, as PV1-3.1
    sites: Codes = ()  # ODS codes, as PV1-3.4


class ArrivalRule(Entry):
    """Which messages of a feed are arrivals: any clause of `arrive`, and none of `never`."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    arrive: tuple[Clause, ...] = Field(min_length=1)
    never: tuple[Clause, ...] = ()


DEFAULT_RULE = ArrivalRule(
    name="default",
    arrive=(
        Clause(name="emergency-class", classes=("E",)),
        Clause(
            name="admission-method",
            triggers=("A01", "A06"),
            admission_methods=(
                *("21", "22", "23", "24", "25", "28", "2A", "2B", "2C", "2D", "31", "32"),
            ),
        ),
    ),
)
"""A registration or admission of class E; an admission, also of an outpatient (A06), with an
emergency or maternity method (NHS Data Dictionary), so that maternity and direct-admission wards
count."""
