"""Who does something by this face, or by the commands beside it, and the audit entry of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from halyard.caller import Caller
from halyard.same_person import same_person
from policies.desk import Asked, Desk
from stores.audit import AuditEntry, Kind


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `organisation`: whose people they are of (`HUB`: the operator's); nobody does what
    another's people must. `roles`: for policies that ask for one. `detail`: codes that the audit
    entry has besides. `entered`: `name` decided, and `subject` has entered it for them.
    """

    subject: str
    organisation: str
    name: str | None = None
    role: str | None = None  # as the audit entry has it: the job role
    roles: frozenset[str] = frozenset()
    token_id: str | None = None
    request_id: str | None = None
    detail: tuple[tuple[str, str], ...] = ()
    entered: bool = False

    def did(self, subject: str, name: str | None) -> bool:
        """Whether it was they who did what `subject`, of this name, did; whose decision another
        enters has a name alone.
        """
        if self.subject == subject:
            return True
        if not self.entered or self.name is None:
            return False
        return same_person(self.name, subject, name)


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
