"""Identifiers beside the NHS number: which schemes are kept, and what may be one.

The same for HL7 v2, FHIR and flag files. Kept is what an agency finds the person by in its own
system; passports, National Insurance numbers, accounts and visits are nobody's business here and
are left out. Nothing here is evidence of who somebody is (ADR 0048). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from connectors.persons import shared_local_id, usable_number
from halyard.wording import is_control, turns_order
from schemas.events import AttendanceReported, FlagSubmitted, Identifier, PersonClaim

MOST: Final = 10
"""Identifiers of one claim that are kept, beside the sender's own local id."""

MOST_SIBLINGS: Final = 20
"""Siblings that one flag record may state."""

LENGTH: Final = 64  # characters of a value
_ASSIGNER_LENGTH: Final = 100

_UPN: Final = re.compile(r"[A-HJ-NP-RT-Z][0-9]{11}[0-9A-HJ-NP-RT-Z]", re.ASCII)
# 0 to 22: no I, O and S
_UPN_LETTERS: Final = "ABCDEFGHJKLMNPQRTUVWXYZ"  # pragma: allowlist secret


class Scheme(StrEnum):
    """Whose numbering it is. Codes never change their meaning; new ones may come."""

    HOSPITAL_NUMBER = "hospital-number"  # a provider's record number (v2-0203 MR, PI)
    LA_CHILD_ID = "la-child-id"  # a local authority's own id of the child, or mother
    UPN = "unique-pupil-number"
    LOCAL_RECORD = "local-record"  # of an agency, where nothing tells more


def made(scheme: Scheme, value: str | None, assigner: str = "") -> Identifier | None:
    """An identifier, stripped; None for what names nobody: empty, a placeholder (UNKNOWN, 0000),
    longer than 64 characters, with characters that cannot be read, or what may be an NHS number,
    which is never kept under another name.
    """
    value = (value or "").strip()
    if not value or len(value) > LENGTH or any(map(_hidden, value)):
        return None
    if shared_local_id(value) or usable_number(value) is not None:
        return None
    if scheme is Scheme.UPN:
        value = value.upper()
        if not _UPN.fullmatch(value):
            return None
    assigner = "".join(one for one in assigner.strip() if not _hidden(one))
    return Identifier(scheme.value, value, assigner[:_ASSIGNER_LENGTH])


def kept(found: Iterable[Identifier | None], *, beside: str | None) -> tuple[Identifier, ...]:
    """The first ten different ones, without the sender's own local id (`beside`)."""
    different = dict.fromkeys(one for one in found if one is not None and one.value != beside)
    return tuple(different)[:MOST]


def stated(event: object) -> tuple[Identifier, ...]:
    """All that a reported event says its person is known by: the sender's own local id first."""
    claim = getattr(event, "claim", None)
    if not isinstance(claim, PersonClaim):
        return ()
    own = made(_own_scheme(event), claim.local_id, getattr(event, "organisation", ""))
    return tuple(dict.fromkeys(one for one in (own, *claim.identifiers) if one is not None))


def upn_is_valid(upn: str) -> bool:
    """Whether its check letter is right: positions 2 to 13, each times its place, modulo 23; the
    letter of a temporary number counts as its place in the alphabet without I, O and S.

    Source: Government Data Standards Catalogue, Unique Pupil Number, version 2.0.
    """
    if not _UPN.fullmatch(upn):
        return False
    values = [int(one) if one.isdigit() else _UPN_LETTERS.index(one) for one in upn[1:]]
    total = sum(place * value for place, value in enumerate(values, start=2))
    return _UPN_LETTERS[total % 23] == upn[0]


def _own_scheme(event: object) -> Scheme:
    if isinstance(event, AttendanceReported):
        return Scheme.HOSPITAL_NUMBER
    return Scheme.LA_CHILD_ID if isinstance(event, FlagSubmitted) else Scheme.LOCAL_RECORD


def _hidden(character: str) -> bool:
    return is_control(character) or turns_order(character)
