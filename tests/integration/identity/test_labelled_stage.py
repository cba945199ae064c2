"""Labelled claims through the whole identity stage and the tracer: PostgreSQL, PDS, the bus."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice
from typing import Final

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

from bench.labelled.alike import MAKERS as MAKERS_ALIKE
from bench.labelled.cast import assemble
from bench.labelled.claims import generate
from bench.labelled.making import claim_of
from bench.labelled.model import Kind, Labelled, Outcome
from sandbox.pds.people import Person
from sandbox.pds.server import PdsThread
from schemas.events import PersonClaim
from tests.support import identity as make
from tests.support.identity_world import World
from tests.support.services import Database

SEED: Final = 77
PEOPLE: Final = 1_500
EACH: Final = 5  # claims of a kind
EACH_ALIKE: Final = 12  # of children whom little tells apart: many ways in which that is so
_BATCH: Final = 60
_CONTENT: Final = "select array_agg(to_jsonb(t)::text) from {} as t"


@dataclass(frozen=True, slots=True)
class Told:
    """A labelled claim as a hospital's arrival."""

    event: uuid.UUID
    labelled: Labelled

    @property
    def person(self) -> str | None:
        """The pseudonym of whom it is truly about."""
        number = self.labelled.person
        return None if number is None else make.KEYS.person(number)


async def test_a_labelled_sample_through_stage_and_tracer(database: Database) -> None:
    """Arrivals of every kind, a third of the children flagged before, and of twins and namesakes a
    third of the others, so that the local index knows them: nobody is verified as
    somebody else, nothing is said of an invalidated number, a restricted child is never named
    provisionally, and no postcode of one stands in any table or on the bus.
    """
    cast = assemble(SEED, PEOPLE)
    people = {one.nhs_number: one for one in cast.everybody}
    claims = [
        one
        for kind, of in groupby(generate(cast, SEED, EACH_ALIKE), key=lambda one: one.kind)
        for one in islice(of, EACH_ALIKE if kind in MAKERS_ALIKE else EACH)
    ]
    with PdsThread(cast.everybody) as pds:
        world = World(database, pds)
        await world.open()
        try:
            told = await _live(world, claims, people)
            states = {
                row["reported_event_id"]: row
                for row in await world.rows(
                    "select reported_event_id, state, rule, person from claims "
                    "where event_kind = 'attendance'"
                )
            }
        finally:
            await world.close()
    assert not [one for one in told if states[one.event]["state"] in ("waiting", "provisional")]
    _nobody_is_taken_for_another(world, told)
    _what_is_due_is_verified(world, told, {event: row["rule"] for event, row in states.items()})
    _nothing_is_linked_for_the_adopted(world, told)
    _restricted_children_stay_hidden(world, told, database)
    # A provisional alert that stands although nothing is proven is a person's to end
    for one in told:
        held = world.holding().get(one.event)
        if held is not None and held[1] != "VERIFIED":
            assert states[one.event]["state"] == "unresolved", states[one.event]["rule"]


async def _live(world: World, claims: list[Labelled], people: Mapping[str, Person]) -> list[Told]:
    """A third of the children get a plan, and a third of who is like them; then everybody comes."""
    flagged = dict.fromkeys(
        number
        for number in (
            *(one.person for one in claims[::3]),
            *(one.resembles for one in claims[1::3]),
        )
        if number is not None
    )
    await world.take(
        *(
            make.flag(_plan(people[number]), line=line, local_id=f"C{line}")
            for line, number in enumerate(flagged, start=1)
        )
    )
    await _trace(world)
    arrivals = [
        make.attendance(one.claim, local_id=f"L{at}", visit=f"V{at}", message_id=f"m{at}")
        for at, one in enumerate(claims)
    ]
    for start in range(0, len(arrivals), _BATCH):
        await world.take(*arrivals[start : start + _BATCH])
    await _trace(world)
    return [Told(arrival.event_id, one) for arrival, one in zip(arrivals, claims, strict=True)]


def _plan(person: Person) -> PersonClaim:
    """The authority states no restricted child's postcode: whatever shows came from elsewhere."""
    claim = claim_of(person)
    return replace(claim, postcode=None) if person.restricted else claim


async def _trace(world: World) -> None:
    """As one tracer process does it: calls side by side."""
    tracer = world.new_tracer()
    while leased := await tracer.lease():
        await asyncio.gather(*(tracer.trace(request) for request in leased))
    assert not await world.value("select count(*) from trace_requests where state = 'queued'")


def _nobody_is_taken_for_another(world: World, told: list[Told]) -> None:
    truth = {one.event: one for one in told}
    wrong = [
        (truth[said.event].labelled.kind, truth[said.event].labelled.variant, said.rule)
        for said in world.said()
        if said.event in truth
        and (said.assertion, said.status) == ("ASSERTED", "VERIFIED")
        and said.person != truth[said.event].person
    ]
    assert wrong == [], "verified as somebody else"


def _what_is_due_is_verified(
    world: World, told: list[Told], rules: Mapping[uuid.UUID, str]
) -> None:
    """Where nothing but "verified" is right, the bus says so in the end."""
    held = world.holding()
    missed = [
        (one.labelled.kind, one.labelled.variant, rules[one.event])
        for one in told
        if one.labelled.may == {Outcome.VERIFIED}
        and held.get(one.event) != (one.person, "VERIFIED")
    ]
    assert missed == []


def _nothing_is_linked_for_the_adopted(world: World, told: list[Told]) -> None:
    """Of old details nothing is ever said. New ones under the old number may go provisionally to
    whom they describe, as with any other number, until PDS says that it is invalidated.
    """
    adopted = {one.event: one.labelled for one in told if one.labelled.kind is Kind.INVALIDATED}
    assert adopted
    said = [one for one in world.said() if one.event in adopted]
    assert all(adopted[one.event].variant == "old number, new details" for one in said)
    assert all(one.status == "PROVISIONAL" for one in said)
    assert not any(world.holding().get(event) for event in adopted)


def _restricted_children_stay_hidden(world: World, told: list[Told], database: Database) -> None:
    restricted = {one.person: one.labelled for one in told if one.labelled.restricted}
    assert restricted
    named = [said for said in world.said() if said.person in restricted]
    assert named
    assert all(said.status == "VERIFIED" for said in named)
    stated = {one.labelled.claim.postcode for one in told} - {None}
    # What no message stated is to be found nowhere at all; what one did state, not on the bus
    secret = {one.hidden for one in restricted.values() if one.hidden} - stated
    assert secret
    bus = b"\n".join(record.value for record in world.sent)
    known = {one.labelled.claim.postcode for one in told if one.labelled.restricted} - {None}
    assert not [one for one in {*secret, *known} if any(form in bus for form in _forms(one))]
    assert _found_in_tables(database, secret) == []


def _forms(postcode: str | None) -> tuple[bytes, ...]:
    text = postcode or ""
    return text.encode(), text.replace(" ", "").encode()


def _found_in_tables(database: Database, postcodes: set[str]) -> list[str]:
    """The tables in which one of the postcodes stands, as text or in bytes."""
    needles = [
        needle
        for one in postcodes
        for form in _forms(one)
        for needle in (form.decode(), form.hex())
    ]
    found = []
    with psycopg.connect(database.admin_url, row_factory=tuple_row) as connection:
        tables = connection.execute(
            "select schemaname, tablename from pg_tables "
            "where schemaname not in ('pg_catalog', 'information_schema')"
        ).fetchall()
        assert ("halyard", "claims") in tables
        for schema, table in tables:
            query = sql.SQL(_CONTENT).format(sql.Identifier(schema, table))
            row = connection.execute(query).fetchone()
            content = "\n".join(row[0]) if row is not None and row[0] is not None else ""
            if any(needle in content for needle in needles):
                found.append(table)
    return found
