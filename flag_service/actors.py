"""Who does something by this face, or by the commands beside it, and the audit entries of it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from halyard.actor import Actor
from halyard.caller import Caller
from policies.desk import Asked, Desk, of_each
from stores.audit import AuditEntry, Kind


def actor_of(caller: Caller, request_id: str | None) -> Actor:
    """Whoever asks a route."""
    return Actor(
        subject=caller.subject,
        organisation=caller.organisation,
        name=caller.name,
        role=caller.job_role,
        roles=caller.roles,
        token_id=caller.token_id,
        request_id=request_id,
    )


def entry_of(
    desk: Desk,
    asked: Asked,
    actor: Actor,
    kind: Kind,
    now: datetime,
    *,
    detail: tuple[tuple[str, str], ...] = (),
    **more: Any,
) -> AuditEntry:
    """What `actor` was told, or decided; `more` as in `Desk.entry`."""
    return desk.entry(
        asked,
        at=now,
        kind=kind,
        actor=actor.subject,
        organisation=actor.organisation,
        actor_name=actor.name,
        role=actor.role,
        token_id=actor.token_id,
        request_id=actor.request_id,
        detail=(*detail, *actor.detail),
        **more,
    )


def disclosures_of(
    desk: Desk,
    asked: Asked,
    actor: Actor,
    people: Iterable[str | None],
    subject: str,
    now: datetime,
) -> list[AuditEntry]:
    """That `actor` was told records of `people` (pseudonyms; None: nobody knows whose they are),
    or was refused them: an entry for each, which counts them.
    """
    return [
        entry_of(
            desk,
            asked,
            actor,
            "disclosure",
            now,
            person=person,
            subject=subject,
            detail=(("count", str(count)),),
        )
        for person, count in of_each(people).items()
    ]
