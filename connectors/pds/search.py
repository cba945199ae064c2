"""The search cascade for a claim without a usable number, query by query (ADR 0043).

As an application without a user has it (restricted mode): one result, history included. The first
query decides nearly always; each further one is asked only for what the one before left open. A
postcode only chooses between several whom the query without one found: a search with a postcode
never finds a restricted child, so "nobody" is never the answer to one. No query leaves the family
name out: the same given name, birth date and home under another family name is how an adopted
child looks. Not for a claim whose number PDS called invalidated.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final
from uuid import UUID, uuid5

from connectors.pds.agreement import Agreement
from connectors.pds.client import PdsClient, SearchQuery
from connectors.pds.comparison import (
    DEFAULT_THRESHOLDS,
    Comparison,
    Manner,
    Thresholds,
    Verdict,
    compare_search,
)
from connectors.pds.fields import known_gender
from connectors.pds.outcomes import (
    Bug,
    Found,
    NotFound,
    NotSearchable,
    RateLimited,
    SearchOutcome,
    TokenRefused,
    TooMany,
    Unavailable,
)
from halyard.names import (
    is_placeholder_given,
    normalise_name,
    normalise_postcode,
    telling_parts,
    without_brackets,
)
from schemas.events import PersonClaim

QUERIES_AT_MOST: Final = 7
"""How many calls, each with its X-Request-ID, a search may take: six queries and a retrieval."""

_LONGEST_NAME: Final = 35
_GIVEN_PREFIX: Final = 3  # letters, as NHS England recommends
_FAMILY_PREFIX: Final = 2  # the least that PDS takes before a wildcard
_AT_ENDS: Final = "-'’`.,; "
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
# The Department for Education's matcher looks half a year either way for a mistaken birth date
_RANGE: Final = timedelta(days=183)

NOBODY: Final = "nobody"
TOO_MANY: Final = "too-many"
CONFLICT: Final = "conflict"
REFUSED: Final = "refused"

PREFIX: Final = "given_prefix_and_birth_date"
NAMES: Final = "names_and_birth_date"
NAMES_PLACED: Final = "names_birth_date_and_postcode"
FUZZY: Final = "fuzzy_names_and_birth_date"
FUZZY_ALL: Final = "fuzzy_names_birth_date_gender_and_postcode"
FAMILY_PREFIX: Final = "given_family_prefix_and_birth_date"
FAMILY_PREFIX_PLACED: Final = "given_family_prefix_birth_date_and_postcode"
FAMILY_PART: Final = "given_family_part_and_birth_date"
RANGE: Final = "names_and_birth_date_range"
RANGE_PLACED: Final = "names_birth_date_range_and_postcode_area"
SWAPPED: Final = "names_and_birth_date_swapped"
BABY: Final = "family_and_birth_date"
BABY_PLACED: Final = "fuzzy_family_birth_date_gender_and_postcode"
BABY_PREFIX: Final = "family_prefix_and_birth_date"

MANNERS: Final[Mapping[str, Manner]] = {
    PREFIX: Manner(),
    NAMES: Manner(),
    NAMES_PLACED: Manner(placed=True),
    FUZZY: Manner(fuzzy=True),
    FUZZY_ALL: Manner(fuzzy=True, placed=True),
    FAMILY_PREFIX: Manner(),
    FAMILY_PREFIX_PLACED: Manner(placed=True),
    FAMILY_PART: Manner(),
    RANGE: Manner(ranged=True),
    RANGE_PLACED: Manner(ranged=True, placed=True),
    SWAPPED: Manner(ranged=True),
    BABY: Manner(),
    BABY_PLACED: Manner(fuzzy=True, placed=True),
    BABY_PREFIX: Manner(),
}
"""What each query's only match may prove, by the query's rule."""

_UNKNOWN: Final = Manner(fuzzy=True, placed=True, ranged=True)


def manner_of(query: str) -> Manner:
    """The manner of a query by its rule; one that is not known proves nothing."""
    return MANNERS.get(query, _UNKNOWN)


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search came to: the outcome that decided, its comparison if there is a record, the
    query that gave it, and how many calls were made."""

    outcome: SearchOutcome
    comparison: Comparison | None
    query: str
    calls: int

    @property
    def verified(self) -> bool:
        """True if one record matched and is the claimed person's."""
        return self.comparison is not None and self.comparison.verified


@dataclass(frozen=True, slots=True)
class Cascade:
    """The queries that a claim can be searched with, by their rules; `placeholder`: it names no
    child of its own."""

    queries: Mapping[str, SearchQuery]
    placeholder: bool = False

    def following(self, endings: Mapping[str, str]) -> SearchQuery | None:
        """The query to ask next, after queries that ended so; None if no further one can help."""
        for rule, wanted in _BABY_STEPS if self.placeholder else _STEPS:
            if rule in endings or rule not in self.queries:
                continue
            if wanted(endings):
                return self.queries[rule]
        return None


def cascade_for(claim: PersonClaim) -> Cascade | NotSearchable:
    """The queries for a claim, or why it cannot be searched for."""
    family = _searchable(claim.family)
    if not normalise_name(family):
        return NotSearchable("pds.not_searchable.family")
    born = _whole_date(claim.birth_date)
    if born is None:
        return NotSearchable("pds.not_searchable.birth_date")
    given = _searchable(claim.given[0] if claim.given else None)[:_LONGEST_NAME]
    if is_placeholder_given(" ".join(claim.given)):
        return Cascade(_for_a_baby(claim, family, born), placeholder=True)
    if not normalise_name(given):
        return NotSearchable("pds.not_searchable.given")
    return Cascade(_for_a_name(claim, given, family, born))


_Step = tuple[str, Callable[[Mapping[str, str]], bool]]


def _steps() -> tuple[_Step, ...]:
    def always(_: Mapping[str, str]) -> bool:
        return True

    def after(rule: str, *wanted: str) -> Callable[[Mapping[str, str]], bool]:
        return lambda endings: endings.get(rule) in wanted

    def nobody_so_far(endings: Mapping[str, str]) -> bool:
        return all(ending in (NOBODY, REFUSED) for ending in endings.values())

    return (
        (PREFIX, always),
        # Twins may share three letters; the whole name tells them apart. A name without a prefix
        # is asked for whole at once
        (NAMES, lambda endings: endings.get(PREFIX, TOO_MANY) in (TOO_MANY, REFUSED)),
        (NAMES_PLACED, after(NAMES, TOO_MANY)),
        (FUZZY, lambda endings: endings.get(NAMES) != TOO_MANY),
        (FUZZY_ALL, after(FUZZY, TOO_MANY)),
        (FAMILY_PREFIX, nobody_so_far),
        (FAMILY_PREFIX_PLACED, after(FAMILY_PREFIX, TOO_MANY)),
        (FAMILY_PART, nobody_so_far),
        (RANGE, nobody_so_far),
        (RANGE_PLACED, after(RANGE, TOO_MANY)),
        (SWAPPED, nobody_so_far),
    )


_STEPS: Final = _steps()
_BABY_STEPS: Final[tuple[_Step, ...]] = (
    (BABY, lambda _: True),
    (BABY_PLACED, lambda endings: endings.get(BABY) == TOO_MANY),
    (BABY_PREFIX, lambda endings: endings.get(BABY) in (NOBODY, REFUSED)),
)


async def search(
    client: PdsClient,
    claim: PersonClaim,
    request_ids: Sequence[UUID],
    *,
    thresholds: Thresholds = DEFAULT_THRESHOLDS,
    answered: Sequence[str] = (),
    before_call: Callable[[], Awaitable[None]] | None = None,
    after_call: Callable[[str], Awaitable[None]] | None = None,
) -> Searched:
    """Search for a claim until a query proves who it is, or no further one can help.

    `request_ids` (`QUERIES_AT_MOST`, stored; missing ones are derived from the first) are used in
    order: the same ones repeat the same questions. `answered`: what `after_call` was given before;
    those queries are not asked again. `before_call` is awaited before each question, to ration it;
    `after_call`, with "rule=ending", after each that named nobody and did not end the search.

    An outcome that is no answer (unavailable, rationed) is returned at once. Else the best of:
    proven, potential, several, contradicted, refused (a query that PDS calls wrong ends alone, but
    then "nobody" is not known), nobody. Raises `ValueError` without a request id.
    """
    if not request_ids:
        raise ValueError(f"A search needs its stored request ids ({QUERIES_AT_MOST}).")
    cascade = cascade_for(claim)
    if isinstance(cascade, NotSearchable):
        return Searched(cascade, None, "none", 0)
    known = dict(text.split("=", 1) for text in answered if "=" in text)
    endings: dict[str, str] = {}
    several: Searched | None = None
    against: Searched | None = None
    refused: Searched | None = None
    last, calls, retrieved = Searched(NotFound(), None, "none", 0), 0, False
    while (query := cascade.following(endings)) is not None and len(endings) < QUERIES_AT_MOST - 1:
        outcome = _ANSWERED.get(known.get(query.rule, ""))
        fresh = outcome is None
        if outcome is None:
            if before_call is not None:
                await before_call()
            outcome = await client.search(query, _request_id(request_ids, len(endings)))
            calls += 1
        last = _compared(claim, outcome, query.rule, calls, thresholds)
        if isinstance(outcome, Found) and not retrieved and _by_history(claim, outcome, last):
            retrieved = True
            if before_call is not None:
                await before_call()
            whole = await client.get(
                outcome.record.nhs_number, _request_id(request_ids, QUERIES_AT_MOST - 1)
            )
            calls += 1
            if isinstance(whole, Unavailable | RateLimited | TokenRefused | Bug):
                return Searched(whole, None, query.rule, calls)
            if isinstance(whole, Found):
                again = Found(whole.record, outcome.score)
                last = _compared(claim, again, query.rule, calls, thresholds)
            outcome = last.outcome
        if isinstance(outcome, NotFound):
            endings[query.rule] = NOBODY
        elif isinstance(outcome, TooMany):
            endings[query.rule], several = TOO_MANY, last
        elif isinstance(outcome, Bug) and outcome.refused:
            endings[query.rule], refused = REFUSED, refused or last
        elif last.comparison is not None and last.comparison.verdict is Verdict.CONFLICT:
            endings[query.rule], against = CONFLICT, against or last
        else:
            return last
        goes_on = cascade.following(endings) is not None
        if fresh and goes_on and after_call is not None and endings[query.rule] in _ANSWERED:
            await after_call(f"{query.rule}={endings[query.rule]}")
    best = several or against or refused or last
    return Searched(best.outcome, best.comparison, best.query, calls)


_ANSWERED: Final[Mapping[str, SearchOutcome]] = {
    NOBODY: NotFound("pds.search_no_match"),
    TOO_MANY: TooMany(),
}


def _compared(
    claim: PersonClaim, outcome: SearchOutcome, rule: str, calls: int, thresholds: Thresholds
) -> Searched:
    if not isinstance(outcome, Found):
        return Searched(outcome, None, rule, calls)
    comparison = compare_search(
        claim,
        outcome.record,
        score=outcome.score,
        manner=manner_of(rule),
        thresholds=thresholds,
    )
    return Searched(outcome, comparison, rule, calls)


def _by_history(claim: PersonClaim, found: Found, said: Searched) -> bool:
    """Whether PDS seems to have found somebody by a name of before: a search's answer leaves out
    old and maiden names, which a retrieval has.
    """
    on = said.comparison
    if on is None or on.verified or on.birth_date is not Agreement.AGREES:
        return False
    exact = not manner_of(said.query).fuzzy and said.query in (PREFIX, NAMES, NAMES_PLACED)
    unlike = (Agreement.DIFFERS, Agreement.NEARLY, Agreement.PARTLY)
    if on.given is Agreement.AGREES:
        return on.family in unlike if exact else on.family is Agreement.DIFFERS
    if not exact or on.given is not Agreement.DIFFERS:
        return False
    start = normalise_name(claim.given[0])[:_GIVEN_PREFIX]
    return not any(normalise_name(name).startswith(start) for name in found.record.given)


def _request_id(stored: Sequence[UUID], place: int) -> UUID:
    return stored[place] if place < len(stored) else uuid5(stored[0], f"search-{place}")


_Parameters = tuple[tuple[str, str], ...]
_EXACT: Final[_Parameters] = (("_history", "true"), ("_max-results", "1"))
_BY_SOUND: Final[_Parameters] = (("_fuzzy-match", "true"), ("_max-results", "1"))


def _for_a_name(claim: PersonClaim, given: str, family: str, born: date) -> dict[str, SearchQuery]:
    postcode, gender = normalise_postcode(claim.postcode), known_gender(claim.gender)
    wild = _prefix(given, _GIVEN_PREFIX)
    first, whole = ("given", wild or given), ("given", given)
    named, day = ("family", _exactly(family)), ("birthdate", f"eq{born.isoformat()}")
    sounds = ("family", family[:_LONGEST_NAME])
    made = {NAMES: (whole, named, day, *_EXACT), FUZZY: (whole, sounds, day, *_BY_SOUND)}
    if wild:
        made[PREFIX] = (first, named, day, *_EXACT)
    if postcode:
        made[NAMES_PLACED] = (whole, named, day, ("address-postalcode", postcode), *_EXACT)
    if postcode and gender:
        placed = (("gender", gender), ("address-postalcode", postcode))
        made[FUZZY_ALL] = (whole, sounds, day, *placed, *_BY_SOUND)
    if family_wild := _prefix(family, _FAMILY_PREFIX):
        made[FAMILY_PREFIX] = (whole, ("family", family_wild), day, *_EXACT)
        if postcode:
            place = ("address-postalcode", postcode)
            made[FAMILY_PREFIX_PLACED] = (whole, ("family", family_wild), day, place, *_EXACT)
    parts = telling_parts(family)
    if len(parts) > 1:  # the first part begins like the whole name, which was asked for
        made[FAMILY_PART] = (whole, ("family", _exactly(parts[-1])), day, *_EXACT)
    since, until = _around(born)
    period = (("birthdate", f"ge{since.isoformat()}"), ("birthdate", f"le{until.isoformat()}"))
    made[RANGE] = (first, named, *period, *_EXACT)
    if postcode:
        area = ("address-postalcode", f"{postcode.split()[0]}*")
        made[RANGE_PLACED] = (first, named, *period, area, *_EXACT)
    turned = _turned(born)
    if turned is not None and not since <= turned <= until:
        made[SWAPPED] = (first, named, ("birthdate", f"eq{turned.isoformat()}"), *_EXACT)
    return _queries(made)


def _for_a_baby(claim: PersonClaim, family: str, born: date) -> dict[str, SearchQuery]:
    postcode, gender = normalise_postcode(claim.postcode), known_gender(claim.gender)
    named, day = ("family", _exactly(family)), ("birthdate", f"eq{born.isoformat()}")
    made: dict[str, _Parameters] = {BABY: (named, day, *_EXACT)}
    if postcode and gender:
        placed = (("gender", gender), ("address-postalcode", postcode))
        sounds = ("family", family[:_LONGEST_NAME])
        made[BABY_PLACED] = (sounds, day, *placed, *_BY_SOUND)
    if family_wild := _prefix(family, _GIVEN_PREFIX):
        made[BABY_PREFIX] = (("family", family_wild), day, *_EXACT)
    return _queries(made)


def _queries(made: Mapping[str, _Parameters]) -> dict[str, SearchQuery]:
    return {rule: SearchQuery(rule, parameters) for rule, parameters in made.items()}


def _prefix(name: str, letters: int) -> str | None:
    """The first letters and a wildcard; None for a name that is too short for one."""
    return f"{name[:letters]}*" if len(name) > letters - 1 else None


def _exactly(name: str) -> str:
    """A name for a query that is not by sound: what is too long goes on as it may."""
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}*"


def _searchable(text: str | None) -> str:
    """A name without wildcards of the sender's and without notes in brackets."""
    return " ".join(without_brackets((text or "").replace("*", " ")).split()).strip(_AT_ENDS)


def _whole_date(text: str | None) -> date | None:
    if text is None or not _DAY.fullmatch(text):
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:  # 30 February: PDS would refuse the question
        return None


def _around(born: date) -> tuple[date, date]:
    earliest = date.min + _RANGE
    latest = date.max - _RANGE
    return max(born, earliest) - _RANGE, min(born, latest) + _RANGE


def _turned(born: date) -> date | None:
    """Day and month the other way round; None if that is no date, or the same."""
    if born.day > 12 or born.day == born.month:
        return None
    return born.replace(month=born.day, day=born.month)
