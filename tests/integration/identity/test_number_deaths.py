"""What is held of a death when its child's number is superseded: messages, indications, prompts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from halyard.postgres import transaction
from schemas import codec
from schemas.deaths import DeathIndication, DeathVerified
from stores import case_indications, case_messages, prompts
from stores.case_messages import MessageRow
from stores.case_model import Indication
from stores.prompts import Prompt
from streams.tracer.housekeeping import retention
from tests.integration.identity.test_number_changes import NEW_PERSON, OLD, OLD_PERSON, supersede
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World


def told(world: World, died: Any) -> DeathVerified:
    """What the bus said of it last."""
    found = [codec.decode(one.value) for one in world.sent]
    return [
        one
        for one in found
        if isinstance(one, DeathVerified) and one.reported_event_id == died.event_id
    ][-1]


def held_by_the_cases(event: DeathVerified) -> MessageRow:
    """The message as the cases keep it."""
    notified = event.notified
    return MessageRow(
        reported_event_id=event.reported_event_id,
        stream=case_messages.DEATH,
        source=notified.source,
        source_patient=notified.source_patient,
        message_id=notified.message_id,
        organisation=notified.organisation,
        kind=notified.kind.value,
        version=notified.version or 1,
        content_digest=notified.digest,
        standing="applied",
        rule="first",
        received_at=notified.received_at,
        due_at=None,
        revision=event.revision,
        answered_at=None,
        traceparent="",
        event=case_messages.stripped(event),
    )


async def test_a_death_whose_claim_was_emptied_is_told_of_the_successor(world: World) -> None:
    """Weeks later only the cases have the message: it is said again from there, of the same
    notification, with a higher revision.
    """
    await world.take(make.flag())
    await world.trace_all()
    died = say.death(CHILD)
    await world.take(died)
    await world.trace_all()
    before = told(world, died)
    async with transaction(world.pool) as connection:
        await case_messages.save(connection, [held_by_the_cases(before)])
    world.now += timedelta(days=20)
    async with transaction(world.pool) as connection:
        await retention(connection, world.now)
    kept = "select event is null from claims where reported_event_id = %(event)s"
    assert await world.value(kept, event=died.event_id)
    supersede(world)
    await world.take(make.changed(OLD))
    await world.trace_all()
    after = told(world, died)
    assert before.identity is not None
    assert after.identity is not None
    assert (before.identity.person, after.identity.person) == (OLD_PERSON, NEW_PERSON)
    assert (after.identity.rule, after.revision > before.revision) == ("number-superseded", True)
    assert (after.notified.reference, after.notified.died_at) == ("N1", "2026-03-01")
    who = await world.value(
        "select person from claims where reported_event_id = %(event)s", event=died.event_id
    )
    assert who == NEW_PERSON


async def test_indications_and_prompts_are_the_successors(world: World) -> None:
    """Whoever was asked to notify the death is not asked again, and what PDS said of the death
    stands with the case.
    """
    died = say.death(CHILD, kind=say.INDICATED)
    await world.take(make.flag())
    await world.trace_all()
    prompt = Prompt(
        prompt_id=died.event_id,
        person=OLD_PERSON,
        source="pds",
        indication=DeathIndication.PDS_FORMAL,
        rule="last-seen",
        organisation=make.HOSPITAL,
        state="open",
        event_id=died.event_id,
        indicated_at=world.now,
        opened_at=world.now,
        changed_at=world.now,
        case_id=None,
    )
    said = Indication(DeathIndication.PDS_FORMAL, make.HOSPITAL, world.now, "2026-03-01")
    async with transaction(world.pool) as connection:
        await prompts.save(connection, prompt, {f"person:{OLD_PERSON}", "patient:x"})
        await case_indications.add(connection, died.event_id, 1, OLD_PERSON, said)
    supersede(world)
    await world.take(make.changed(OLD))
    await world.trace_all()
    async with transaction(world.pool) as connection:
        [found] = await prompts.of_tokens(connection, {f"person:{NEW_PERSON}"})
        stands = await case_indications.of_persons(connection, [OLD_PERSON, NEW_PERSON])
    assert (found.prompt_id, found.person) == (prompt.prompt_id, NEW_PERSON)
    assert stands.get(NEW_PERSON) == (said,)
    assert not stands.get(OLD_PERSON)
