"""The search cascade against the practice PDS: who is found, by which query, at what cost."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from connectors.pds.client import PdsClient
from connectors.pds.comparison import Thresholds, Verdict
from connectors.pds.outcomes import Found, NotFound, TooMany, Unavailable
from connectors.pds.search import QUERIES_AT_MOST, Searched, search
from sandbox.pds.people import FormerName, Person
from sandbox.pds.server import PdsThread
from sandbox.pds.settings import Faults, PdsSandboxSettings
from schemas.events import PersonClaim

ROBIN = Person("9990002010", "Testchild", ("Robin", "Lee"), "2017-03-11", "male", "ZZ1 1AA")
TWIN = Person("9990002029", "Pairfield", ("Jayden",), "2019-05-05", "male", "ZZ1 1AB")
OTHER_TWIN = replace(TWIN, nhs_number="9990002037", given=("Hayden",))
ONE = Person("9990002045", "Samename", ("Sam",), "2013-07-07", "male", "ZZ6 1AA")
NAMESAKE = replace(ONE, nhs_number="9990002053", postcode="ZZ7 1AA")
RENAMED = Person(
    "9990002061", "Renamed", ("Isla",), "2015-05-05", "female", "ZZ8 3AA",
    former_names=(FormerName("old", "Formerly", end="2022-01-01"),),
)  # fmt: skip
HIDDEN = Person(
    "9990002088", "Quietly", ("Wren",), "2014-02-19", "female", "ZZ4 4DD", restricted=True
)
BABY = Person("9990002096", "Marlow", ("Baby",), "2026-10-30", "female", "ZZ1 6GG")
JOINED = Person("9990002118", "Ashdown-Brook", ("Dilys",), "2016-09-01", "female", "ZZ5 5EE")
# Adopted: the old record is out of use; the child is called the same and lives there still
BEFORE = Person(
    "9990002126", "Birthname", ("Nell",), "2018-08-08", "female", "ZZ3 3CC", invalidated=True
)
NOW = replace(BEFORE, nhs_number="9990002134", family="Newfield", invalidated=False)
MERGED = Person(
    "9990002142", "Duplex", ("Tam",), "2016-06-18", "female", superseded_by="9990002150"
)
KEPT = replace(MERGED, nhs_number="9990002150", superseded_by=None, postcode="ZZ2 5EF")
PEOPLE = [ROBIN, TWIN, OTHER_TWIN, ONE, NAMESAKE, RENAMED, HIDDEN, BABY, JOINED, BEFORE, NOW,
          MERGED, KEPT]  # fmt: skip


@pytest.fixture(scope="module")
def pds() -> Any:
    """A practice PDS with the people above."""
    with PdsThread(PEOPLE, PdsSandboxSettings(token="practice-token")) as thread:
        yield thread


@pytest.fixture
async def asks(pds: PdsThread) -> AsyncIterator[PdsClient]:
    """A client of it, with counters at zero."""
    pds.pds.reset()
    async with PdsClient(
        pds.url, token="practice-token", end_user_organisation="X26", profile="test"
    ) as client:
        yield client


def claim_of(person: Person, **changed: Any) -> PersonClaim:
    """A claim without a number."""
    claim = PersonClaim(
        family=person.family.upper(),
        given=person.given[:1],
        birth_date=person.birth_date,
        gender=person.gender,
        postcode=person.postcode,
    )
    return replace(claim, **changed)


def ids() -> list[UUID]:
    """Request ids as a tracer stores them."""
    return [uuid4() for _ in range(QUERIES_AT_MOST)]


def whom(found: Searched) -> str | None:
    """The number of the record that was found."""
    return found.outcome.record.nhs_number if isinstance(found.outcome, Found) else None


ROWS: dict[str, tuple[PersonClaim, Person | None, str, str, int]] = {
    "by prefix": (claim_of(ROBIN), ROBIN, "verified", "given_prefix_and_birth_date", 1),
    "restricted": (claim_of(HIDDEN), HIDDEN, "verified", "given_prefix_and_birth_date", 1),
    "one twin": (claim_of(TWIN), TWIN, "verified", "given_prefix_and_birth_date", 1),
    "other twin": (claim_of(OTHER_TWIN), OTHER_TWIN, "verified", "given_prefix_and_birth_date", 1),
    "namesake by home": (
        claim_of(NAMESAKE), NAMESAKE, "verified", "names_birth_date_and_postcode", 3),
    "namesake, no home": (
        claim_of(ONE, postcode=None), None, "several", "names_and_birth_date", 2),
    "namesake, elsewhere": (
        claim_of(ONE, postcode="ZZ9 9ZZ"), None, "several", "names_and_birth_date", 3),
    "old family name": (
        claim_of(RENAMED, family="Formerly"), RENAMED, "verified",
        "given_prefix_and_birth_date", 2),
    "family typo, at home": (
        claim_of(ROBIN, family="Tesdchild"), ROBIN, "verified",
        "fuzzy_names_and_birth_date", 2),
    "family typo, elsewhere": (
        claim_of(ROBIN, family="Tesdchild", postcode="ZZ9 9ZZ"), ROBIN, "potential",
        "fuzzy_names_and_birth_date", 2),
    "family typo that sounds otherwise": (
        claim_of(ROBIN, family="Tebtchild"), ROBIN, "verified",
        "given_family_prefix_and_birth_date", 3),
    "given typo": (
        claim_of(ROBIN, given=("Robyn",)), ROBIN, "potential", "given_prefix_and_birth_date", 1),
    "half of a joined name": (
        claim_of(JOINED, family="Ashdown"), JOINED, "verified",
        "fuzzy_names_and_birth_date", 2),
    "half of a joined name, the other": (
        claim_of(JOINED, family="Asprey-Ashdown"), JOINED, "verified",
        "given_family_prefix_and_birth_date", 3),
    "names swapped": (
        claim_of(ROBIN, family="Robin", given=("Testchild",)), ROBIN, "potential",
        "fuzzy_names_and_birth_date", 2),
    "day and month swapped": (
        claim_of(ROBIN, birth_date="2017-11-03"), ROBIN, "potential",
        "names_and_birth_date_swapped", 5),
    "a wrong digit": (
        claim_of(ROBIN, birth_date="2017-03-12"), ROBIN, "potential",
        "names_and_birth_date_range", 4),
    "nobody": (
        claim_of(ROBIN, family="Nobodyhere", birth_date="2011-01-30"), None, "nobody",
        "names_and_birth_date_range", 4),
    "baby": (claim_of(BABY), BABY, "potential", "family_and_birth_date", 1),
    "twins unnamed": (
        claim_of(TWIN, given=("Twin 1",)), None, "several",
        "fuzzy_family_birth_date_gender_and_postcode", 2),
    "merged": (claim_of(MERGED), KEPT, "verified", "given_prefix_and_birth_date", 1),
    "adopted, as before": (
        claim_of(BEFORE), None, "nobody", "names_and_birth_date_range", 4),
}  # fmt: skip


@pytest.mark.parametrize("row", ROWS)
async def test_who_is_found_by_which_query(asks: PdsClient, pds: PdsThread, row: str) -> None:
    """Each claim: whom the cascade names, what that proves, which query decided, how many calls."""
    claim, person, verdict, query, calls = ROWS[row]
    found = await search(asks, claim, ids())
    said = {NotFound: "nobody", TooMany: "several"}.get(type(found.outcome), "")
    if found.comparison is not None:
        said = str(found.comparison.verdict)
    assert (said, found.query, found.calls) == (verdict, query, calls)
    assert whom(found) == (person.nhs_number if person else None)
    assert pds.pds.calls()["calls"] == calls


async def test_progress_is_told_and_not_asked_again(asks: PdsClient, pds: PdsThread) -> None:
    """A search that is taken over goes on where it was: answered queries are not repeated, and the
    further ones have the ids they would have had."""
    claim = claim_of(ROBIN, birth_date="2017-11-03")
    stored, told = ids(), list[str]()

    async def tell(text: str) -> None:
        told.append(text)

    whole = await search(asks, claim, stored, after_call=tell)
    assert told == [
        "given_prefix_and_birth_date=nobody",
        "fuzzy_names_and_birth_date=nobody",
        "given_family_prefix_and_birth_date=nobody",
        "names_and_birth_date_range=nobody",
    ]
    rest = await search(asks, claim, stored, answered=told[:3], after_call=tell)
    assert (rest.query, rest.calls, rest.outcome) == (whole.query, 2, whole.outcome)
    assert pds.pds.calls()["reused"] == 0
    assert pds.pds.calls()["calls"] == 5


async def test_several_is_remembered_when_a_search_is_taken_over(asks: PdsClient) -> None:
    """That a query found several is not forgotten with the tracer that asked it."""
    claim = claim_of(ONE, postcode="ZZ9 9ZZ")
    told = ["given_prefix_and_birth_date=too-many", "names_and_birth_date=too-many"]
    found = await search(asks, claim, ids(), answered=told)
    assert (found.outcome, found.calls) == (TooMany(), 1)


async def test_two_stored_ids_are_enough(asks: PdsClient, pds: PdsThread) -> None:
    """A request filed with two ids is searched to its end; the further ids are always the same."""
    claim, stored = claim_of(ROBIN, birth_date="2017-11-03"), ids()[:2]
    await search(asks, claim, stored)
    await search(asks, claim, stored)
    assert (pds.pds.calls()["calls"], pds.pds.calls()["reused"]) == (5, 0)


async def test_an_outage_ends_the_search_at_once(asks: PdsClient, pds: PdsThread) -> None:
    """No answer to one query is no answer to the claim: nothing is concluded from the others."""
    told = list[str]()

    async def tell(text: str) -> None:
        told.append(text)
        pds.pds.faults = Faults(down=True)

    found = await search(asks, claim_of(ROBIN, birth_date="2017-11-03"), ids(), after_call=tell)
    assert isinstance(found.outcome, Unavailable)
    assert (told, found.comparison) == (["given_prefix_and_birth_date=nobody"], None)


async def test_every_call_is_rationed(asks: PdsClient, pds: PdsThread) -> None:
    """Before each call, the retrieval too, the caller is asked for a token of the ration."""
    seen: list[int] = []

    async def before() -> None:
        seen.append(pds.pds.calls()["calls"])

    await search(asks, claim_of(RENAMED, family="Formerly"), ids(), before_call=before)
    assert seen == [0, 1]


async def test_thresholds_are_the_callers(asks: PdsClient) -> None:
    """A score below the setting leaves to a person what it would verify above."""
    strict = await search(asks, claim_of(ROBIN), ids(), thresholds=Thresholds(0.99, 0.99))
    assert strict.comparison is not None
    assert strict.comparison.verdict is Verdict.POTENTIAL
    assert strict.comparison.rule == "pds.search.low_score"


async def test_a_retrieval_that_is_not_answered_decides_nothing(
    asks: PdsClient, pds: PdsThread
) -> None:
    """PDS fails between the search and the retrieval of who was found: asked again later."""
    taken = 0

    async def before() -> None:
        nonlocal taken
        taken += 1
        if taken == 2:
            pds.pds.faults = Faults(down=True)

    found = await search(asks, claim_of(RENAMED, family="Formerly"), ids(), before_call=before)
    assert isinstance(found.outcome, Unavailable)
