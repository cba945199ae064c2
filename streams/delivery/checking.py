"""Before a delivery leaves: does what was decided when it was composed still hold? (pure)

A policy may have ended or been narrowed since, and the child may have become restricted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final, Literal

import orjson

from policies import fields as field_names
from policies.desk import Asked, Desk, masked
from policies.ruling import Decision
from stores.audit import AuditEntry
from stores.deliveries import Delivery
from streams.matching.disclosing import DENIED, FLOWS
from streams.matching.payload import dump

RESTRICTED_SINCE: Final = "restricted-since"
"""Rule of what was composed before its person became restricted."""


@dataclass(frozen=True, slots=True)
class MayLeave:
    """It may be sent, with this body."""

    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Stopped:
    """It may not: a person decides (held) or it is refused, for `reason`; and that is recorded."""

    state: Literal["held", "refused"]
    reason: str
    entry: AuditEntry


def check(delivery: Delivery, desk: Desk, at: datetime) -> MayLeave | Stopped:
    """What to do with `delivery`, about to be sent at `at`. A row from before policies were applied
    names no recipient, and leaves as it is.
    """
    if delivery.recipient is None or delivery.kind not in FLOWS:
        return MayLeave(delivery.body)
    body = orjson.loads(delivery.body)
    asked = desk.ask(
        FLOWS[delivery.kind],
        delivery.recipient,
        field_names.names(body),
        at=at,
        restricted=delivery.restricted,
        released=delivery.released,
        count=False,
    )
    if delivery.now_restricted and not delivery.restricted:
        return _stopped(delivery, _denied(asked, RESTRICTED_SINCE), desk, at)
    if not asked.permitted:
        return _stopped(delivery, asked, desk, at)
    return MayLeave(dump(masked(body, asked)) if asked.ruling.withheld else delivery.body)


def _denied(asked: Asked, rule: str) -> Asked:
    nothing: frozenset[str] = frozenset()
    ruling = replace(
        asked.ruling, decision=Decision.DENY, rule=rule, fields=nothing, withheld=nothing
    )
    return replace(asked, ruling=ruling)


def _stopped(delivery: Delivery, asked: Asked, desk: Desk, at: datetime) -> Stopped:
    entry = desk.entry(
        asked,
        at=at,
        person=delivery.person,
        subject=f"alert:{delivery.alert_id}",
        message_id=str(delivery.delivery_id),
    )
    return Stopped("held" if asked.held else "refused", f"{DENIED}{asked.ruling.rule}", entry)
