"""The search from question to question, against the practice PDS without a socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from uuid import UUID, uuid4

import httpx
import pytest

from connectors.pds.client import PdsClient
from connectors.pds.outcomes import Bug, Found, NotFound, NotSearchable, Unavailable
from connectors.pds.search import (
    FAMILY_PREFIX,
    FUZZY,
    NAMES,
    PREFIX,
    QUERIES_AT_MOST,
    RANGE,
    SWAPPED,
    Searched,
    search,
)
from sandbox.pds import bodies
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
JOINED: Final = Person(
    "9990002126", "Formerly-Jones", ("Nell",), "2018-08-08", "female", "ZZ3 3CC",
    former_names=(FormerName("old", "Formerly", end="2022-01-01"),),
)  # fmt: skip
OTHER: Final = Person("9990002096", "Marlow", ("Tamara",), "2016-10-30", "female", "ZZ1 6GG")


class Recorded(httpx.AsyncBaseTransport):
    """The practice PDS in this process; `asked` is the kind of each call and its request id.
    `refused`: so many questions it calls wrong first. `unread`: it has no record to retrieve.
    """

    def __init__(
        self,
        people: Sequence[Person],
        faults: Faults | None = None,
        *,
        refused: int = 0,
        unread: bool = False,
    ) -> None:
        self._refused, self._unread = refused, unread
        app = create_app(people, PdsSandboxSettings(token=None))
        app.state.pds.faults = faults or Faults()
        self._app = httpx.ASGITransport(app=app)
        self.asked: list[tuple[str, UUID]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        kind = "search" if request.url.path.endswith("/Patient") else "get"
        self.asked.append((kind, UUID(request.headers["X-Request-ID"])))
        if len(self.asked) <= self._refused:
            return httpx.Response(400, json=bodies.INVALID_SEARCH_DATA.body())
        if kind == "get" and self._unread:
            return httpx.Response(404, json=bodies.RESOURCE_NOT_FOUND.body())
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


async def ask(transport: Recorded, claim: PersonClaim, ids: Sequence[UUID] = IDS) -> Searched:
    """One search under the stored ids."""
    async with PdsClient(
        "http://pds/personal-demographics/FHIR/R4",
        token=None,
        end_user_organisation="X26",
        profile="test",
        transport=transport,
    ) as client:
        return await search(client, claim, ids)


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
    "claim",
    [
        claim_of(RENAMED, family="Formerly"),
        claim_of(RECHRISTENED, given=("Tamsin",), postcode="ZZ4 4DD"),
    ],
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


TURNED: Final = Person(
    "9990002118", "Ashdown-Brook", ("Dilys",), "2016-02-09", "female", "ZZ5 5EE"
)  # fmt: skip


@pytest.mark.parametrize("refused", [0, 1])
async def test_no_search_has_more_than_six_questions(refused: int) -> None:
    """A name with everything to ask about, of which PDS knows nothing: six, each under its own id.
    A refused first question is one of them, so that the retrieval's id is never a question's.
    """
    transport = Recorded([OTHER], refused=refused)
    said = await ask(transport, claim_of(TURNED))
    assert said.calls == QUERIES_AT_MOST - 1
    assert transport.asked == [("search", one) for one in IDS[:-1]]


@pytest.mark.parametrize("refused", [1, 2])
async def test_a_question_that_pds_calls_wrong_ends_alone(refused: int) -> None:
    """The others are asked; if they name nobody, the answer is the first refusal, not "nobody"."""
    said = await ask(Recorded([OTHER], refused=refused), claim_of(RENAMED))
    assert said.outcome == Bug("pds.bug.invalid_search_data", 400, refused=True)
    assert (said.query, said.comparison) == (PREFIX, None)
    found = await ask(Recorded([RENAMED], refused=1), claim_of(RENAMED))
    assert (found.verified, found.query, found.calls) == (True, NAMES, 2)


async def test_a_search_has_one_retrieval_at_most() -> None:
    """Its id is for one question. Who cannot be read stays contradicted, however often found."""
    transport = Recorded([RENAMED], unread=True)
    said = await ask(transport, claim_of(RENAMED, family="Formerly"))
    assert [kind for kind, _ in transport.asked] == ["search", "get", "search"]
    assert (said.query, said.calls) == (PREFIX, 3)
    assert said.comparison is not None
    assert said.comparison.rule == "pds.search.family_differs"


async def test_the_sixth_question_finds() -> None:
    """A double-barrelled name whose day and month stand in each other's place."""
    said = await ask(Recorded([TURNED]), claim_of(TURNED, birth_date="2016-09-02"))
    assert said.comparison is not None
    assert (said.query, said.calls) == (SWAPPED, QUERIES_AT_MOST - 1)
    assert (said.comparison.verdict, said.comparison.birth_date) == ("potential", "swapped")


async def test_one_stored_id_gives_the_others() -> None:
    """Each question has an id of its own, and a repetition the same ones."""
    asked = []
    for _ in range(2):
        transport = Recorded([RENAMED])
        await ask(transport, claim_of(OTHER), IDS[:1])
        asked.append([one for _, one in transport.asked])
    assert asked[0] == asked[1]
    assert asked[0][0] == IDS[0]
    assert len(set(asked[0])) == len(asked[0]) > 1


@pytest.mark.parametrize(
    ("held", "claim", "query"),
    [
        # A part of the name of today, at the same address: verified by the search itself
        (JOINED, claim_of(JOINED, family="Formerly", postcode=JOINED.postcode), PREFIX),
        # Born on another day: no name of before makes it the same child
        (RENAMED, claim_of(RENAMED, family="Formerly", birth_date="2015-05-15"), RANGE),
        # A slip in the family name, found by its first letters
        (OTHER, claim_of(OTHER, family="Marvow"), FAMILY_PREFIX),
        # Neither name is the record's
        (RECHRISTENED, claim_of(RECHRISTENED, given=("Tamsin",), family="Quiefly"), FAMILY_PREFIX),
    ],
)
async def test_where_no_former_name_can_decide_nothing_is_read_again(
    held: Person, claim: PersonClaim, query: str
) -> None:
    """A retrieval costs a call: it is made only where a name of before may prove the child."""
    transport = Recorded([held])
    said = await ask(transport, claim)
    assert isinstance(said.outcome, Found)
    assert said.query == query
    assert {kind for kind, _ in transport.asked} == {"search"}
