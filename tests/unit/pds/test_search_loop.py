"""The search from question to question, against the practice PDS without a socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

import httpx
import pytest

from connectors.pds.client import PdsClient
from connectors.pds.outcomes import Found, NotFound, NotSearchable, Unavailable
from connectors.pds.search import (
    FUZZY,
    NAMES,
    PREFIX,
    QUERIES_AT_MOST,
    Searched,
    search,
)
from sandbox.pds.app import create_app
from sandbox.pds.people import FormerName, Person
from sandbox.pds.settings import Faults, PdsSandboxSettings
from schemas.events import PersonClaim

RENAMED: Final = Person(
    "9990002061", "Renamed", ("Isla",), "2015-05-05", "female", "ZZ8 3AA",
    former_names=(FormerName("old", "Formerly", end="2022-01-01"),),
)  # fmt: skip
RECHRISTENED: Final = Person(
    "9990002088", "Quietly", ("Robyn",), "2014-02-19", "female", "ZZ4 4DD",
    former_names=(FormerName("old", given=("Tamsin",), end="2022-01-01"),),
)  # fmt: skip
OTHER: Final = Person("9990002096", "Marlow", ("Tamara",), "2016-10-30", "female", "ZZ1 6GG")


class Recorded(httpx.AsyncBaseTransport):
    """The practice PDS in this process; `asked` is the kind of each call and its request id."""

    def __init__(self, people: Sequence[Person], faults: Faults | None = None) -> None:
        app = create_app(people, PdsSandboxSettings(token=None))
        app.state.pds.faults = faults or Faults()
        self._app = httpx.ASGITransport(app=app)
        self.asked: list[tuple[str, UUID]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        kind = "search" if request.url.path.endswith("/Patient") else "get"
        self.asked.append((kind, UUID(request.headers["X-Request-ID"])))
        return await self._app.handle_async_request(request)


IDS: Final = tuple(uuid4() for _ in range(QUERIES_AT_MOST))


def claim_of(person: Person, **changed: object) -> PersonClaim:
    """A claim without a number or a place."""
    made = PersonClaim(
        family=person.family,
        given=person.given,
        birth_date=person.birth_date,
        gender=person.gender,
    )
    return replace(made, **changed)  # type: ignore[arg-type]  # fields by name


async def ask(transport: Recorded, claim: PersonClaim) -> Searched:
    """One search under the stored ids."""
    async with PdsClient(
        "http://pds/personal-demographics/FHIR/R4",
        token=None,
        end_user_organisation="X26",
        profile="test",
        transport=transport,
    ) as client:
        return await search(client, claim, IDS)


async def test_what_cannot_be_searched_for_costs_no_call() -> None:
    """The outcome names the field; no query decided."""
    transport = Recorded([RENAMED])
    said = await ask(transport, claim_of(RENAMED, birth_date=None))
    assert said == Searched(NotSearchable("pds.not_searchable.birth_date"), None, "none", 0)
    assert transport.asked == []


async def test_a_search_says_which_ids_it_lacks() -> None:
    """Without a stored id a repeated call would be another to PDS."""
    async with PdsClient(
        "http://pds", token=None, end_user_organisation="X26", profile="test",
        transport=Recorded([]),
    ) as client:  # fmt: skip
        with pytest.raises(ValueError, match=f"stored request ids \\({QUERIES_AT_MOST}\\)"):
            await search(client, claim_of(RENAMED), ())


async def test_nobody_has_every_question_asked_once() -> None:
    """Each under its own stored id, in order."""
    transport = Recorded([RENAMED])
    said = await ask(transport, claim_of(OTHER))
    assert isinstance(said.outcome, NotFound)
    assert said.comparison is None
    assert said.calls == len(transport.asked) > 1
    assert transport.asked == [("search", one) for one in IDS[: said.calls]]


@pytest.mark.parametrize(
    "claim", [claim_of(RENAMED, family="Formerly"), claim_of(RECHRISTENED, given=("Tamsin",))]
)
async def test_who_is_found_by_a_name_of_before_is_read_in_full(claim: PersonClaim) -> None:
    """One search, then one retrieval under the last of the stored ids; then it is proven."""
    transport = Recorded([RENAMED, RECHRISTENED])
    said = await ask(transport, claim)
    assert said.verified
    assert (said.query, said.calls) == (PREFIX, 2)
    assert transport.asked == [("search", IDS[0]), ("get", IDS[-1])]


async def test_who_is_verified_at_once_is_not_read_again() -> None:
    """The search's own answer is enough."""
    transport = Recorded([RENAMED])
    said = await ask(transport, claim_of(RENAMED))
    assert said.verified
    assert transport.asked == [("search", IDS[0])]


async def test_a_retrieval_without_an_answer_decides_nothing() -> None:
    """The search ends with it, to be asked again whole."""
    transport = Recorded([RENAMED], Faults(routes={"retrieve": Faults(down=True)}))
    said = await ask(transport, claim_of(RENAMED, family="Formerly"))
    assert isinstance(said.outcome, Unavailable)
    assert (said.comparison, said.query, said.calls) == (None, PREFIX, 2)


async def test_another_child_whose_name_begins_so_is_no_former_name() -> None:
    """Tamara was not found as Tamsin: nothing is retrieved, the search goes on by sound, and what
    contradicted is told in the end.
    """
    transport = Recorded([OTHER])
    said = await ask(transport, claim_of(OTHER, given=("Tamsin",)))
    assert isinstance(said.outcome, Found)
    assert said.comparison is not None
    assert (said.comparison.rule, said.query) == ("pds.search.given_differs", PREFIX)
    assert [kind for kind, _ in transport.asked] == ["search"] * said.calls
    assert said.calls == 2


async def test_an_outage_is_the_outcome_of_the_query_that_met_it() -> None:
    """With the calls made so far."""
    transport = Recorded([OTHER], Faults(down=True))
    said = await ask(transport, claim_of(OTHER))
    assert isinstance(said.outcome, Unavailable)
    assert (said.comparison, said.query, said.calls) == (None, PREFIX, 1)


async def test_a_short_name_is_asked_for_whole_at_once() -> None:
    """Jo has no prefix; the first query is the one by names."""
    jo = replace(OTHER, given=("Jo",))
    said = await ask(Recorded([jo]), claim_of(jo))
    assert (said.query, said.calls, said.verified) == (NAMES, 1, True)


async def test_a_name_by_sound_alone_is_found_and_not_proven() -> None:
    """After nobody by prefix: PDS's own likeness proves no name."""
    said = await ask(Recorded([OTHER]), claim_of(OTHER, family="Marlowe"))
    assert said.comparison is not None
    assert (said.comparison.verdict, said.query) == ("potential", FUZZY)
