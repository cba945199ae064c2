"""What a notification says of its child, made comparable: to find others of the same child."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from connectors.persons import shared_local_id
from halyard import nhs_number
from halyard.names import is_placeholder_given, name_parts, normalise_name, normalise_postcode
from halyard.nhs_number import NhsNumberOutcome, NumberProfile
from halyard.privacy import Keys
from schemas.events import IdentityStatus
from streams.cases.ages import PartialDate
from streams.cases.facts import Facts, facts_of
from streams.cases.model import Notification

MAX_NAMES: Final = 8
"""Family names, given names, NHS numbers and tracking numbers of a profile, each: what a form lists
beyond these is kept in the case, and looked at by nobody here."""

MAX_TOKENS: Final = 100
"""Tokens of a profile at most, whatever a form says: each is a lock, a row and a search."""

_SOMEBODYS: Final = frozenset({NhsNumberOutcome.USABLE, NhsNumberOutcome.OUT_OF_JURISDICTION})
_SEXES: Final = {"m": "male", "male": "male", "1": "male"} | {
    "f": "female",
    "female": "female",
    "2": "female",
}
# "Twin 1", "Triplet B", "Baby II": the only thing that such a name says
_PLACE: Final = re.compile(
    r"\b(?:twin|triplet|quad|baby)\W*(1|2|3|4|one|two|three|four|a|b|c|d|i|ii|iii|iv)\b",
    re.IGNORECASE,
)
_MULTIPLE: Final = re.compile(r"\b(?:twin|triplet|quad)", re.IGNORECASE)
_ORDERS: Final = {
    word: order
    for words in ("1234", ("one", "two", "three", "four"), "abcd", ("i", "ii", "iii", "iv"))
    for order, word in enumerate(words, start=1)
}
_TEN: Final = re.compile(r"[0-9]{10}", re.ASCII)
_TIME: Final = re.compile(r"([0-9]{2}:[0-9]{2})(?::[0-9]{2}.*)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Profile:
    """See the module. What is not told, or no fact of that kind, is None or empty.

    `numbers` are NHS numbers of the hub's own ranges, or Scottish or Northern Irish ones, the
    verified one among them; `slipped` ten digits that are none. Placeholders (UNKNOWN, 0000000000)
    are neither these nor a local id, and nor is what has no digit. `families` and `givens` start
    with the name in use, other names after it; placeholders (Baby, Twin 1) are no given name.
    `other_names`: family and given name of each other name that has both. `middles`: further given
    names. `tracking`: system and value. No field has more than `MAX_NAMES` of anything.
    """

    organisation: str = ""
    local_id: str | None = field(default=None, repr=False)
    numbers: frozenset[str] = field(default=frozenset(), repr=False)
    slipped: str | None = field(default=None, repr=False)
    families: tuple[str, ...] = field(default=(), repr=False)
    family_parts: frozenset[str] = field(default=frozenset(), repr=False)
    givens: tuple[str, ...] = field(default=(), repr=False)
    other_names: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    middles: frozenset[str] = field(default=frozenset(), repr=False)
    born: PartialDate | None = field(default=None, repr=False)
    died: PartialDate | None = field(default=None, repr=False)
    sex: str | None = field(default=None, repr=False)
    postcodes: frozenset[str] = field(default=frozenset(), repr=False)
    birth_order: int | None = field(default=None, repr=False)
    multiple: bool | None = field(default=None, repr=False)
    birth_time: str | None = field(default=None, repr=False)
    birth_weight: int | None = field(default=None, repr=False)
    tracking: tuple[tuple[str, str], ...] = field(default=(), repr=False)


def profile_of(notification: Notification, *, ranges: NumberProfile = "test") -> Profile:
    """The profile of a notification as it stands: the form first, then the claim.

    `ranges`: the NHS numbers that this hub has to do with; others are dummies, and no evidence.
    """
    event, identity = notification.notified, notification.identity
    claim, facts = event.claim, facts_of(event.facts)
    local_id = facts.value("child.local-id") or claim.local_id
    told = [_number(one, ranges) for one in (claim.nhs_number, *claim.other_numbers)]
    if identity is not None and identity.status is IdentityStatus.VERIFIED:
        told.insert(0, identity.nhs_number)
    numbers = frozenset([*dict.fromkeys(one for one in told if one)][:MAX_NAMES])
    given = " ".join(claim.given) or facts.value("child.given") or ""
    family = facts.value("child.family") or claim.family
    aliases = facts.rows("alias")
    real = () if is_placeholder_given(given) else name_parts(given)
    place = _PLACE.search(given) if not real else None
    order = _whole(facts.value("child.birth-order"))
    if order is None and place is not None:
        order = _ORDERS[place[1].lower()]
    multiple = facts.yes("child.multiple-birth")
    if multiple is None and _MULTIPLE.search(given) and not real:
        multiple = True
    return Profile(
        organisation=event.organisation,
        local_id=local_id if _says_something(local_id) else None,
        numbers=numbers,
        slipped=_digits(claim.nhs_number) if not numbers else None,
        families=_names([family, *(row.get("family") for row in aliases)]),
        family_parts=frozenset(name_parts(family)),
        givens=_names([*real[:1], *(_first(row.get("given")) for row in aliases)]),
        other_names=_other_names(aliases),
        middles=frozenset(real[1 : MAX_NAMES + 1]),
        born=PartialDate.parse(facts.value("child.birth-date") or claim.birth_date),
        died=PartialDate.parse(facts.value("death.date") or event.died_at),
        sex=_SEXES.get((facts.value("child.sex") or claim.gender or "").lower()),
        postcodes=_postcodes(facts, claim.postcode),
        birth_order=order,
        multiple=True if order is not None and order > 1 else multiple,
        birth_time=_time(facts.value("child.birth-time")),
        birth_weight=_whole(facts.value("child.birth-weight-grams")),
        tracking=_tracking(facts),
    )


def tokens(profile: Profile, keys: Keys) -> tuple[str, ...]:
    """Keyed tokens, sorted; what is compared shares at least one.

    Any one of NHS number, local id or another system's number; and pairs of birth date, death
    date, family name, given name and postcode: of three that are told and right, two make a pair
    here. A given name goes with the family name in use and with that of its own other name, not
    with every one. Twins share some, as they should: they are compared, and told apart.
    """
    born, died = _day(profile.born), _day(profile.died)
    families, givens = profile.families, profile.givens
    found: set[tuple[str, ...]] = {("number", one) for one in profile.numbers}
    found |= {("tracking", *one) for one in profile.tracking}
    if profile.local_id:
        found.add(("local", profile.organisation, profile.local_id))
    if born:
        found |= {("born-family", born, one) for one in families}
        found |= {("born-given", born, one) for one in givens}
        found |= {("born-postcode", born, one) for one in profile.postcodes}
    if died:
        found |= {("died-family", died, one) for one in families}
        found |= {("died-given", died, one) for one in givens}
        found |= {("died-postcode", died, one) for one in profile.postcodes}
    if born and died:
        found.add(("born-died", born, died))
    found |= {("names", families[0], one) for one in givens if families}
    found |= {("names", one, givens[0]) for one in families if givens}
    found |= {("names", *one) for one in profile.other_names}
    return tuple(sorted(keys.token("duplicate", *parts) for parts in found))


def _digits(text: str | None) -> str | None:
    plain = (text or "").replace(" ", "").replace("-", "")
    return plain if _TEN.fullmatch(plain) and len(set(plain)) > 2 else None


def _names(texts: list[str | None]) -> tuple[str, ...]:
    found = dict.fromkeys(name for text in texts if (name := normalise_name(text)))
    return tuple(found)[:MAX_NAMES]


def _other_names(rows: list[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    told = ((_names([row.get("family")]), _names([_first(row.get("given"))])) for row in rows)
    found = dict.fromkeys((family[0], given[0]) for family, given in told if family and given)
    return tuple(found)[:MAX_NAMES]


def _number(text: str | None, ranges: NumberProfile) -> str | None:
    if nhs_number.parse(text, profile=ranges).outcome not in _SOMEBODYS:
        return None
    return re.sub(r"[ -]", "", text or "")


def _says_something(text: str | None) -> bool:
    """Whether an id may be one thing's: it has a digit, and is no placeholder."""
    return any(map(str.isdigit, text or "")) and not shared_local_id(text)


def _first(text: str | None) -> str | None:
    return None if is_placeholder_given(text) else next(iter(name_parts(text)), None)


def _postcodes(facts: Facts, claimed: str | None) -> frozenset[str]:
    told = (
        facts.value("child.postcode") or claimed,
        facts.value("child.alternative-postcode"),
    )
    return frozenset(found for one in told if (found := normalise_postcode(one)))


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdecimal() and len(text) < 6 else None


def _time(text: str | None) -> str | None:
    match = _TIME.fullmatch(text or "")
    return match[1] if match else None


def _tracking(facts: Facts) -> tuple[tuple[str, str], ...]:
    found = {
        (row["system"].strip().lower(), row["value"].strip().upper())
        for row in facts.rows("tracking")
        if row.keys() >= {"system", "value"} and _says_something(row["value"])
    }
    return tuple(sorted(found)[:MAX_NAMES])


def _day(day: PartialDate | None) -> str | None:
    return day.first.isoformat() if day is not None and day.full else None
