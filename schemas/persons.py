"""Whom an event is about, as its sender says it. Shapes as in `schemas.events`."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class NhsNumberStatus(StrEnum):
    """NHS number status indicator (NHS Data Dictionary; HL7 table 0445 as NSTS01..08)."""

    UNKNOWN = "UNKNOWN"
    VERIFIED = "S01"  # number present and verified
    NOT_TRACED = "S02"  # present but not traced
    TRACE_REQUIRED = "S03"
    NO_OR_MULTIPLE_MATCH = "S04"  # trace attempted
    NEEDS_RESOLUTION = "S05"  # number and details conflict
    IN_PROGRESS = "S06"
    NOT_PRESENT = "S07"  # and trace not required
    POSTPONED = "S08"  # baby under six weeks old


@dataclass(frozen=True, slots=True)
class Identifier:
    """An organisation's own identifier of a person, beside the NHS number.

    `scheme` is a code of `connectors.identifiers.Scheme`; `assigner` the ODS or GSS code, else the
    namespace, that the sender gave; empty if it said none. Evidence of nothing (ADR 0048).
    """

    scheme: str
    value: str = field(repr=False)
    assigner: str = ""


@dataclass(frozen=True, slots=True)
class PersonClaim:
    """Who the sender says the event is about, as sent (nothing is verified yet)."""

    nhs_number: str | None = field(default=None, repr=False)
    nhs_number_status: NhsNumberStatus = NhsNumberStatus.UNKNOWN
    family: str | None = field(default=None, repr=False)
    given: tuple[str, ...] = field(default=(), repr=False)
    birth_date: str | None = field(default=None, repr=False)
    gender: str | None = field(default=None, repr=False)
    postcode: str | None = field(default=None, repr=False)
    local_id: str | None = field(default=None, repr=False)
    other_numbers: tuple[str, ...] = field(default=(), repr=False)  # further usable NHS numbers
    identifiers: tuple[Identifier, ...] = field(default=(), repr=False)  # beside `local_id`
    multiple_birth: bool | None = field(default=None, repr=False)  # None: nothing is said
    birth_order: int | None = field(default=None, repr=False)  # 1 to 7; 1 may be an only child's

    @property
    def one_of_several(self) -> bool:
        """Whether the sender says that the person is a twin, or one of more."""
        return self.multiple_birth is True or (self.birth_order or 1) > 1


NOBODY: Final = PersonClaim()
"""Nothing is said of anybody."""
