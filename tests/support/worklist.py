"""What people decide about worklist entries, in a world of identity."""

from __future__ import annotations

import uuid
from typing import Any

from halyard.postgres import transaction
from stores import resolutions, worklist
from stores.resolutions import Action, Resolution
from stores.worklist import WorklistEntry
from streams.identity.evidence import Reported
from tests.support import identity as make
from tests.support.identity_world import World


async def entry_of(world: World, event: Reported) -> WorklistEntry:
    """The entry of an event, open or not."""
    entry_id = await world.value(
        "select entry_id from worklist where reported_event_id = %(event)s", event=event.event_id
    )
    async with transaction(world.pool) as connection:
        found = await worklist.entry(connection, entry_id)
    assert found is not None
    return found


async def order(
    world: World, event: Reported, action: Action, *, number: str | None = None, **more: Any
) -> uuid.UUID:
    """Somebody decides; nothing is done yet."""
    entry = await entry_of(world, event)
    made = Resolution(
        resolution_id=uuid.uuid4(),
        entry_id=entry.entry_id,
        organisation=entry.organisation,
        action=action,
        made_by="user:pat",
        made_by_name="Pat Clerk",
        reason="checked with the ward",
        made_at=world.now,
        number=number,
        person=make.KEYS.person(number) if number else None,
        **more,
    )
    async with transaction(world.pool) as connection:
        await resolutions.add(connection, made)
    return made.resolution_id


async def ended(world: World, resolution_id: uuid.UUID) -> Resolution:
    """The decision as it stands."""
    async with transaction(world.pool) as connection:
        found = await resolutions.get(connection, resolution_id)
    assert found is not None
    return found


async def decide(
    world: World, event: Reported, action: Action, *, number: str | None = None, **more: Any
) -> Resolution:
    """Somebody decides, and it is carried out."""
    made = await order(world, event, action, number=number, **more)
    assert await world.new_resolver().work() >= 1
    if (await ended(world, made)).state == "asked":
        await world.trace_all()
    return await ended(world, made)
