"""Which identifiers may stand for one person, the same for HL7 v2 and FHIR.

Keys of patients (and so of visits) are made of them. What desks type to get past a field
(``UNKNOWN``, ``9999999999``) is shared by many people: a key made of it would put two children into
one visit. Pure.
"""

from __future__ import annotations

import re
from typing import Final

from halyard import nhs_number
from halyard.nhs_number import NhsNumberOutcome

KeyNames = tuple[str | None, str | None, str | None]
"""Local id, visit and number, as `halyard.privacy.Keys.source_person` takes them."""

_SOMEBODYS: Final = frozenset(
    {
        NhsNumberOutcome.USABLE,
        NhsNumberOutcome.OUT_OF_JURISDICTION,
        NhsNumberOutcome.NOT_IN_PROFILE,
    }
)
# What desks type where a patient has no local id
_NO_LOCAL_ID: Final = re.compile(
    r"|0+|9+|X+|UNK[0-9]*|UNKNOWN.*|UNIDENTIFIED.*|TRAUMA.*|TEMP|NK|NA|NONE|NULL|TEST|NIL|NO"
    r"|TBA|TBC|TBD|PENDING|AWAITED|AWAITING.*|TOFOLLOW|BABY|BABYBOY|BABYGIRL|INFANT|NEWBORN"
    r"|NOT(?:YET)?(?:KNOWN|ALLOCATED|ASSIGNED|AVAILABLE|APPLICABLE|ISSUED|GIVEN|REGISTERED)"
    r"|NO(?:NUMBER|ID|MRN)",
    re.ASCII,
)


def usable_number(text: str | None) -> str | None:
    """The ten digits of a number that may be one person's (of any range, Scottish ones too),
    without spaces and hyphens; None for what has not the form, a wrong check digit, or is a
    placeholder.
    """
    if nhs_number.parse(text, profile="test").outcome not in _SOMEBODYS:
        return None
    return re.sub(r"[ -]", "", text or "")


def shared_local_id(local_id: str | None) -> bool:
    """True for a placeholder (UNKNOWN, TRAUMA 3, 0000, ?): it says of two events nothing. False
    for None and an empty text: nothing was said.
    """
    if not local_id:
        return False
    plain = re.sub(r"[\W_]", "", local_id).upper()
    return _NO_LOCAL_ID.fullmatch(plain) is not None


def birth_order(number: object) -> int | None:
    """An order of birth that is one, 1 to 7. 8 and 9 are none: not applicable, not known."""
    if not isinstance(number, int) or isinstance(number, bool):
        return None
    return number if 1 <= number <= 7 else None


def key_names(
    *,
    local_id: str | None,
    local_key: str | None,
    visit: str | None,
    number: str | None,
    digest: str,
) -> KeyNames:
    """What an event's patient is known by: `local_key` (`local_id` with who assigned it), else
    `visit`, else `number`; placeholders and what cannot be a number count as absent.

    Who is named by nothing stands alone, by the `digest` of the message.
    """
    usable = usable_number(number)
    own = None if shared_local_id(local_id) else local_key
    return own, visit or (None if usable else digest), usable
