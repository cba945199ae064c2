"""Identifiers and siblings are written with what is verified, and go with what is taken back."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import timedelta

from halyard.postgres import transaction
from schemas.events import FlagSubmitted, Identifier, NhsNumberStatus, PersonClaim
from stores import identities, person_identifiers, sibling_links
from stores.claims import ClaimState
from streams.identity.apply import Seeds, open_ledger, write
from streams.tracer.housekeeping import retention
from tests.support import identity as make
from tests.support.identity import AUTHORITY, CHILD, HOSPITAL, LONELY_AUTHORITY
from tests.support.identity_world import World, person_of

UPN = Identifier("unique-pupil-number", "B801200005001", AUTHORITY)
PERSON = make.KEYS.person(CHILD.nhs_number or "")
BROTHER = replace(CHILD, nhs_number=make.number(2), given=("Sasha",), birth_date="2015-08-02")
SISTER = replace(CHILD, nhs_number=make.number(3), given=("Kim",), birth_date="2019-01-30")


async def kept(world: World, person: str = PERSON) -> set[tuple[str, str, str]]:
    """Scheme, value and organisation of what is kept of a person."""
    async with transaction(world.pool) as connection:
        found = await person_identifiers.of_person(connection, person)
    return {(one.identifier.scheme, one.identifier.value, one.organisation) for one in found}


def family(
    claim: PersonClaim, local_id: str, *siblings: str, line: int = 1, upload: str = "U1"
) -> FlagSubmitted:
    """A record of the authority that states the siblings."""
    made = make.flag(claim, local_id=local_id, line=line, upload=upload)
    return replace(made, siblings=siblings, siblings_stated=True)


async def links(world: World, authority: str = AUTHORITY) -> dict[tuple[str, str], str | None]:
    """By person and local id: whom the link names."""
    rows = await world.rows(
        "select person, local_id, sibling from sibling_links where authority = %(authority)s",
        authority=authority,
    )
    return {(row["person"], row["local_id"]): row["sibling"] for row in rows}


def of(claim: PersonClaim) -> str:
    """Pseudonym of whom `claim` states truly."""
    return make.KEYS.person(claim.nhs_number or "")


async def test_what_a_verified_event_states_is_kept_with_who_says_so(world: World) -> None:
    """An authority's id and pupil number, a hospital's number, by whom and since when."""
    told = make.flag(replace(CHILD, identifiers=(UPN,)), local_id="C1")
    other = Identifier("hospital-number", "H-77", "RYY")
    arrival = make.attendance(replace(CHILD, identifiers=(other,)), local_id="L1")
    await world.take(told)
    assert await kept(world) == set()  # nobody is verified yet
    await world.trace()
    await world.take(arrival)
    assert await kept(world) == {
        ("la-child-id", "C1", AUTHORITY),
        ("unique-pupil-number", UPN.value, AUTHORITY),
        ("hospital-number", "L1", HOSPITAL),
        ("hospital-number", "H-77", HOSPITAL),
    }


async def test_an_event_that_is_not_verified_states_nothing(world: World) -> None:
    """Neither a provisional one nor an unresolved one; nor does a placeholder."""
    await world.take(make.flag())
    await world.trace()
    partly = replace(CHILD, given=("Robin", "Sam"), family="Otherly", identifiers=(UPN,))
    await world.take(make.attendance(partly, local_id="P1"), make.attendance(local_id="UNKNOWN"))
    assert {one[1] for one in await kept(world)} == {"C1"}


async def test_what_is_taken_back_takes_its_identifiers_along(world: World) -> None:
    """An event that turns out to be another child's states what that child is called."""
    world.knows(person_of(BROTHER))
    await world.take(make.flag(), make.flag(BROTHER, local_id="C2", line=2))
    await world.trace_all()
    arrival = make.attendance(replace(CHILD, identifiers=(UPN,)))
    await world.take(arrival)
    stated = {("hospital-number", "L1", HOSPITAL), ("unique-pupil-number", UPN.value, HOSPITAL)}
    assert stated < await kept(world)
    seeds = Seeds(
        keys=frozenset({arrival.source_patient}), numbers=frozenset({PERSON, of(BROTHER)})
    )
    async with transaction(world.pool) as connection:
        ledger = await open_ledger(
            connection,
            make.limits(),
            seeds,
            now=world.now,
            new_id=uuid.uuid4,
            more_locks=frozenset(),
        )
        ledger.transition(
            ledger.claim(arrival.event_id),
            ClaimState.VERIFIED,
            "merged",
            NhsNumberStatus.VERIFIED,
            person=ledger.person(of(BROTHER)),
            basis="merge",
        )
        await write(connection, ledger)
    assert await kept(world) == {("la-child-id", "C1", AUTHORITY)}
    assert await kept(world, of(BROTHER)) == {("la-child-id", "C2", AUTHORITY), *stated}


async def test_an_identifier_stands_while_one_event_that_states_it_does(world: World) -> None:
    """The first five events are remembered; a sixth costs nothing."""
    await world.take(make.flag())
    await world.trace()
    events = [make.attendance(visit=f"V{index}") for index in range(7)]
    await world.take(*events)
    async with transaction(world.pool) as connection:
        (one,) = [
            one
            for one in await person_identifiers.of_person(connection, PERSON)
            if one.organisation == HOSPITAL
        ]
        assert len(one.events) == 5
        for index, event_id in enumerate(one.events):
            await person_identifiers.take_back(connection, [(PERSON, event_id)])
            left = await person_identifiers.of_person(connection, PERSON)
            assert (len(left) == 2) is (index < 4)


async def test_identifiers_go_with_their_person(world: World) -> None:
    """Who leaves the index leaves nothing there."""
    visitor = replace(CHILD, nhs_number=make.number(5), given=("Una",), family="Visitor")
    world.knows(person_of(visitor))
    await world.take(make.attendance(visitor, local_id="L5"))
    await world.trace()
    assert await kept(world, of(visitor)) == {("hospital-number", "L5", HOSPITAL)}
    world.now += timedelta(hours=49)
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    assert await world.value("select count(*) from person_identifiers") == 0


async def test_one_organisation_cannot_fill_a_persons_record(world: World) -> None:
    """However many different ids it states, those that it stated last are kept."""
    await world.take(make.flag())
    await world.trace()
    for batch in range(7):
        ids = tuple(Identifier("hospital-number", f"X{batch}-{one}", "") for one in range(10))
        claim = replace(CHILD, identifiers=ids)
        at = make.NOW + timedelta(minutes=batch)
        await world.take(
            make.attendance(claim, visit=f"V{batch}", local_id=f"L{batch}", received_at=at)
        )
    found = {one[1] for one in await kept(world) if one[2] == HOSPITAL}
    assert len(found) == person_identifiers.MOST
    assert {"L6", *(f"X6-{one}" for one in range(10))} <= found


async def test_siblings_are_linked_once_both_are_verified_by_the_same_authority(
    world: World,
) -> None:
    """Whichever comes first; another authority's child of the same id is nobody's sibling."""
    world.knows(person_of(BROTHER), person_of(SISTER))
    await world.take(
        family(CHILD, "C1", "C2", "C3"),
        make.flag(SISTER, local_id="C3", authority=LONELY_AUTHORITY, line=9),
    )
    await world.trace_all()
    assert await links(world) == {(PERSON, "C2"): None, (PERSON, "C3"): None}
    await world.take(family(BROTHER, "C2", "C1", line=2))
    await world.trace()
    assert await links(world) == {
        (PERSON, "C2"): of(BROTHER),
        (PERSON, "C3"): None,
        (of(BROTHER), "C1"): PERSON,
    }


async def test_a_later_record_says_who_the_siblings_are(world: World) -> None:
    """What it leaves out ends; a record without the column, or an earlier one, changes nothing."""
    world.knows(person_of(BROTHER))
    await world.take(family(CHILD, "C1", "C2", "C9"), family(BROTHER, "C2", line=2))
    await world.trace_all()
    later = replace(family(CHILD, "C1", "C2", upload="U2"), sequence=2)
    await world.take(later)
    assert await links(world) == {(PERSON, "C2"): of(BROTHER)}
    await world.take(replace(make.flag(upload="U3"), sequence=3))
    await world.take(replace(family(CHILD, "C1", "C9", upload="U0", line=7), sequence=0))
    assert await links(world) == {(PERSON, "C2"): of(BROTHER)}
    await world.take(replace(family(CHILD, "C1", upload="U4"), sequence=4))
    assert await links(world) == {}


async def test_an_open_statement_ends_with_an_invalidated_number(world: World) -> None:
    """Adoption: who was stated and never verified does not become who comes under the id later."""
    adopted = replace(CHILD, nhs_number=make.number(8), given=("Alex",), family="Newname")
    world.knows(person_of(BROTHER, invalidated=True), person_of(adopted))
    await world.take(family(CHILD, "C1", "C2"))
    await world.trace_all()
    assert await links(world) == {(PERSON, "C2"): None}
    await world.take(make.flag(BROTHER, local_id="C2", line=2))
    await world.trace()
    assert await links(world) == {}
    await world.take(make.flag(adopted, local_id="C2", upload="U2"))
    await world.trace()
    assert await links(world) == {}


async def test_a_link_never_passes_on_to_the_number_after_an_invalidated_one(
    world: World,
) -> None:
    """Adoption: the old identity goes, and with it the statement, also for the same local id."""
    adopted = replace(CHILD, nhs_number=make.number(8), given=("Alex",), family="Newname")
    world.knows(person_of(BROTHER), person_of(adopted))
    await world.take(family(CHILD, "C1", "C2"), make.flag(BROTHER, local_id="C2", line=2))
    await world.trace_all()
    assert await links(world) == {(PERSON, "C2"): of(BROTHER)}
    await world.rows("delete from identities where person = %(person)s", person=of(BROTHER))
    await world.take(make.flag(adopted, local_id="C2", upload="U2"))
    await world.trace()
    async with transaction(world.pool) as connection:
        await sibling_links.resolve_all(connection)
    assert await links(world) == {}


async def test_a_superseded_number_takes_identifiers_and_links_along(world: World) -> None:
    """It is the same person under another number."""
    world.knows(person_of(BROTHER))
    await world.take(family(CHILD, "C1", "C2"), family(BROTHER, "C2", "C1", line=2))
    await world.trace_all()
    heir = make.known(replace(CHILD, nhs_number=make.number(6)))
    async with transaction(world.pool) as connection:
        await identities.put(connection, [heir])
        await person_identifiers.move(connection, PERSON, heir.person)
        await sibling_links.move(connection, PERSON, heir.person)
    assert await kept(world) == set()
    assert await kept(world, heir.person) == {("la-child-id", "C1", AUTHORITY)}
    assert await links(world) == {
        (heir.person, "C2"): of(BROTHER),
        (of(BROTHER), "C1"): heir.person,
    }


async def test_a_sibling_verified_meanwhile_is_linked_by_the_next_round(world: World) -> None:
    """Two transactions that could not see each other leave it to the housekeeping."""
    world.knows(person_of(BROTHER))
    await world.take(family(CHILD, "C1", "C2"), family(BROTHER, "C2", line=2))
    await world.trace_all()
    await world.rows("update sibling_links set sibling = null")
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    assert await links(world) == {(PERSON, "C2"): of(BROTHER)}
