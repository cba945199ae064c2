"""The search cascade for a claim without a usable number: two questions at most.

As an application without a user has it (restricted mode): one result, history included, and
never a postcode, because a search with one never finds a restricted child.
Not for a claim whose number PDS called invalidated: that would find an adopted child again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from connectors.pds.client import PdsClient, SearchQuery
from connectors.pds.comparison import Comparison, compare_search
from connectors.pds.outcomes import Found, NotFound, NotSearchable, SearchOutcome, TooMany
from halyard.names import is_placeholder_given, normalise_name, without_brackets
from schemas.events import PersonClaim

QUERIES_AT_MOST: Final = 2
"""How many X-Request-IDs a search may need."""

_LONGEST_NAME: Final = 35
_PREFIX: Final = 3
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Searched:
    """What a search came to: PDS's last outcome, its comparison if there is a record, the query
    that decided, and how many calls it took."""

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
    """The questions for one claim: the first; then one of two, by how the first ended."""

    first: SearchQuery
    if_nobody: SearchQuery
    if_too_many: SearchQuery | None


def cascade_for(claim: PersonClaim) -> Cascade | NotSearchable:
    """The questions for a claim, or why it cannot be searched for."""
    family = _searchable(claim.family)
    given = _searchable(claim.given[0] if claim.given else None)
    if not normalise_name(family):
        return NotSearchable("pds.not_searchable.family")
    if is_placeholder_given(" ".join(claim.given)) or not normalise_name(given):
        return NotSearchable("pds.not_searchable.given")
    if claim.birth_date is None or not _DAY.fullmatch(claim.birth_date):
        return NotSearchable("pds.not_searchable.birth_date")
    rest = (("family", family), ("birthdate", f"eq{claim.birth_date}"))
    limit = ("_max-results", "1")
    exact = ("_history", "true"), limit
    wild = f"{given[:_PREFIX]}*" if len(given) >= _PREFIX else given
    named = SearchQuery("names_and_birth_date", (("given", given), *rest, *exact))
    return Cascade(
        first=SearchQuery("given_prefix_and_birth_date", (("given", wild), *rest, *exact)),
        if_nobody=SearchQuery(
            "fuzzy_names_and_birth_date",
            (("given", given), *rest, ("_fuzzy-match", "true"), limit),
        ),
        # Twins may share three letters; the whole name tells them apart
        if_too_many=named if wild != given else None,
    )


async def search(
    client: PdsClient,
    claim: PersonClaim,
    request_ids: Sequence[UUID],
    *,
    before_call: Callable[[], Awaitable[None]] | None = None,
) -> Searched:
    """Search for a claim. `request_ids` (`QUERIES_AT_MOST`, stored by the caller) are used in
    order; searching again with the same ones repeats the same questions. `before_call` is awaited
    before each question, so that the caller can ration them.

    Raises `ValueError` if there are too few request ids.
    """
    if len(request_ids) < QUERIES_AT_MOST:
        raise ValueError(f"A search needs {QUERIES_AT_MOST} request ids.")
    cascade = cascade_for(claim)
    if isinstance(cascade, NotSearchable):
        return Searched(cascade, None, "none", 0)
    query: SearchQuery | None = cascade.first
    calls = 0
    while query is not None:
        if before_call is not None:
            await before_call()
        outcome = await client.search(query, request_ids[calls])
        calls += 1
        decided = query
        query = _next(cascade, outcome) if calls < QUERIES_AT_MOST else None
    if not isinstance(outcome, Found):
        return Searched(outcome, None, decided.rule, calls)
    fuzzy = decided is cascade.if_nobody
    comparison = compare_search(claim, outcome.record, score=outcome.score, fuzzy=fuzzy)
    return Searched(outcome, comparison, decided.rule, calls)


def _next(cascade: Cascade, outcome: SearchOutcome) -> SearchQuery | None:
    if isinstance(outcome, NotFound):
        return cascade.if_nobody
    return cascade.if_too_many if isinstance(outcome, TooMany) else None


def _searchable(text: str | None) -> str:
    """A name as PDS takes it: no wildcard of the sender's, no note in brackets, not too long."""
    return without_brackets((text or "").replace("*", " "))[:_LONGEST_NAME].strip()
