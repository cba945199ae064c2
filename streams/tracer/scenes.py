"""What names a person, in all stores: read before any lock, and again under them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from halyard.postgres import Connection
from schemas.events import AttendanceVerified, FlagVerified
from stores import flags, number_changes
from stores.identities import KnownPerson
from stores.number_changes import Naming
from streams.identity import resaying
from streams.identity.apply import Seeds
from streams.identity.ledger import Ledger
from streams.identity.rechecks import Held
from streams.identity.resaying import Told
from streams.matching import flags as flag_rules
from streams.matching import rekeying
from streams.matching.rekeying import Holding
from streams.tracer.number_letters import Concerned

_OPEN_FOR: Final = timedelta(hours=48)
_HEARD_FOR: Final = timedelta(days=30)
"""A visit of which nothing was heard for longer is not taken for one that goes on."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What names one person."""

    naming: tuple[Naming, ...] = ()
    visits: frozenset[tuple[uuid.UUID, str]] = frozenset()
    said: frozenset[uuid.UUID] = frozenset()  # events of these visits that name the person
    records: frozenset[uuid.UUID] = frozenset()

    @property
    def deaths(self) -> frozenset[uuid.UUID]:
        return frozenset(
            one.reported_event_id for one in self.naming if one.event_kind in ("death", "report")
        )


async def read(connection: Connection, person: str) -> Scene:
    """What names `person` now."""
    visits = await number_changes.visits_naming(connection, person)
    records = await flags.events_of_persons(connection, [person])
    return Scene(
        naming=tuple(await number_changes.claims_naming(connection, person)),
        visits=frozenset(visits),
        said=frozenset(
            await number_changes.visit_events_naming(connection, person, {one for one, _ in visits})
        ),
        records=frozenset(one.reported_event_id for one in records),
    )


def seeds(person: str, found: KnownPerson | None, scene: Scene) -> Seeds:
    """What a ledger must lock and load for it. `found`: whom PDS answered with."""
    readable = [one for one in scene.naming if one.readable]
    events = {one.reported_event_id for one in scene.naming} | scene.records | scene.said
    return Seeds(
        keys=frozenset(one.key for one in readable),
        visits=frozenset(one.visit_id for one in readable if one.visit_id is not None),
        numbers=frozenset({person}),
        events=frozenset(events),
    ).naming(found)


async def held(
    connection: Connection,
    ledger: Ledger,
    known: KnownPerson,
    scene: Scene,
    traceparent: str,
    *,
    deaths: bool,
) -> tuple[Holding, Held]:
    """What was said of the person last: as matching and the cases hold it, and what is on its way
    to matching. Not what was decided otherwise since; that is on its way too.
    """
    if not scene.naming and not scene.visits and not scene.records:
        return Holding((), frozenset(), ()), Held({}, {}, traceparent)
    holding = await rekeying.holding(connection, known.person)
    flagged = {one.reported_event_id for one in scene.naming if one.event_kind == "flag"}
    uploads = await number_changes.uploads_of(connection, scene.records | flagged)
    told: dict[uuid.UUID, Told] = {**rekeying.told(holding, known, uploads)}
    told |= resaying.untaken(ledger, known, told.keys())
    if deaths:
        told |= _of(known.person, await number_changes.death_messages(connection, scene.deaths))
    told = {one: said for one, said in told.items() if not _of_another(ledger, one, known.person)}
    return holding, Held(told, uploads, traceparent)


async def concerned(
    connection: Connection, person: str, holding: Holding, held: Held, now: datetime
) -> Concerned:
    """Whom a change of the number of `person` concerns."""
    records = [one for one in held.told.values() if isinstance(one, FlagVerified)]
    plans = flag_rules.fold(flag_rules.event_of(one) for one in records)
    taken = {one.reported_event_id for one in holding.visit_events}
    coming = {
        one.visit_id
        for one in held.told.values()
        if isinstance(one, AttendanceVerified)
        and one.arrival
        and one.reported_event_id not in taken
    }
    since = now - _OPEN_FOR
    heard = now - _HEARD_FOR
    visits = await number_changes.open_visits(connection, person, since, heard=heard)
    return Concerned(
        told=held.told,
        uploads=held.uploads,
        authorities=frozenset(one.authority for one in plans),
        open_visits=frozenset(one.visit_id for one in visits) | coming,
        cases=await number_changes.open_cases(connection, person),
    )


def _of_another(ledger: Ledger, event_id: uuid.UUID, person: str) -> bool:
    row = ledger.find(event_id)
    return row is not None and row.person != person


def _of(person: str, messages: Iterable[Told]) -> dict[uuid.UUID, Told]:
    return {
        one.reported_event_id: one
        for one in messages
        if one.identity is not None and one.identity.person == person
    }
