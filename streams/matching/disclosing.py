"""A delivery under a sharing policy: composed, decided, masked, and recorded (pure).

What a policy permits becomes an open row with what may leave alone. What it leaves to a person is
held, and what it denies is refused, whole: a release, or a policy that was mended, masks it then.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from halyard import ids
from policies.desk import Asked, Desk
from policies.ruling import Decision, Flow
from stores.audit import HUB, AuditEntry
from stores.delivery_rows import DeliveryRow
from streams.matching import payload

FLOWS: Final = {
    "alert": Flow.ALERT,
    "match": Flow.MATCH,
    "receipt": Flow.RECEIPT,
    "access": Flow.ACCESS_NOTICE,
}
"""The flow of each kind of delivery."""

DENIED: Final = "policy:"
"""Before the rule, in the reason of a row that a policy denied."""

_STATES: Final = {Decision.PERMIT: "open", Decision.REVIEW: "held", Decision.DENY: "refused"}


@dataclass(frozen=True, slots=True)
class Disclosed:
    """The row as it is to be written, and the entry that must be written with it."""

    row: DeliveryRow
    entry: AuditEntry
    asked: Asked


def disclosed(
    desk: Desk,
    draft: DeliveryRow,
    members: Mapping[str, Any],
    *,
    actor: str | None = None,
    organisation: str = HUB,
) -> Disclosed:
    """`draft`, which names its recipient, with `members` as its body, as policies say at its time.
    `actor` (of `organisation`) is who causes it, if not this process by itself.
    """
    assert draft.recipient is not None
    asked, left = desk.masked(
        FLOWS[draft.kind],
        draft.recipient,
        members,
        at=draft.due_at,
        restricted=draft.restricted,
    )
    ruling = asked.ruling
    body = payload.dump(left if asked.permitted else dict(members))
    row = replace(
        draft,
        body=body,
        state=_STATES[ruling.decision],
        policy=ruling.policy,
        policy_version=ruling.version,
        reason=None if asked.permitted else f"{DENIED}{ruling.rule}",
    )
    entry = desk.entry(
        asked,
        at=draft.due_at,
        entry_id=ids.derive("audit", str(row.delivery_id)),
        actor=actor,
        organisation=organisation,
        person=draft.person,
        subject=f"alert:{draft.alert_id}",
        message_id=str(row.delivery_id),
        payload=body if asked.permitted else None,
    )
    return Disclosed(row, entry, asked)
