"""The audit chain's entries: added in the transaction that discloses, never changed.

An entry belongs to the chain of the organisation that was told (or refused). It holds no payload,
no name and no number of a child: a pseudonym (store key) and a digest.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "audit.sql")

Kind = Literal["disclosure", "access", "refusal", "review", "administration"]
"""disclosure: the hub told somebody. access: somebody asked and was shown (or not). refusal:
somebody was not let through. review: a person looked at an access or decided a disclosure.
administration: keys, retention, restores, log-ins and their ends."""

HUB: Final = "hub"
"""Stands for the hub where an organisation is named: as chain, actor's organisation, reviewer."""

SHAPE = 1
"""Version of an entry's body."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One entry, as it is hashed. Times are UTC; `person` is a pseudonym of the store key."""

    entry_id: uuid.UUID
    recorded_at: datetime
    kind: Kind
    chain: str  # organisation (ODS or GSS code) that was told or refused; `HUB` for the hub's own
    actor: str  # who acted: "user:…", "client:…", "process:matching", "cli:…"
    organisation: str  # of the actor
    decision: str  # permit, deny, review
    rule: str
    flow: str | None = None
    actor_name: str | None = field(default=None, repr=False)  # of a member of staff
    role: str | None = None
    purpose: str | None = None  # code
    reason: str | None = field(default=None, repr=False)  # in the actor's own words
    legal_basis: str | None = None
    policy: str | None = None
    policy_version: int | None = None
    person: str | None = None
    case_id: uuid.UUID | None = None
    subject: str | None = None  # what it is about: "alert:<id>", "upload:<id>", "letter:<id>"
    message_id: str | None = None
    request_id: str | None = None
    token_id: str | None = None
    fields: tuple[str, ...] = ()  # names of the fields disclosed
    payload_digest: str | None = None  # keyed (bus key), hexadecimal
    key_id: str | None = None  # of the bus key of `payload_digest`
    detail: tuple[tuple[str, str], ...] = ()  # codes and counts alone

    def body(self) -> dict[str, Any]:
        """Its members as JSON, with those that are not given left out; the hash is over these."""
        members: dict[str, Any] = {
            "shape": SHAPE,
            "entry_id": str(self.entry_id),
            "recorded_at": self.recorded_at.astimezone(UTC).isoformat(timespec="microseconds"),
            "kind": self.kind,
            "chain": self.chain,
            "actor": self.actor,
            "organisation": self.organisation,
            "decision": self.decision,
            "rule": self.rule,
            "flow": self.flow,
            "actor_name": self.actor_name,
            "role": self.role,
            "purpose": self.purpose,
            "reason": self.reason,
            "legal_basis": self.legal_basis,
            "policy": self.policy,
            "policy_version": self.policy_version,
            "person": self.person,
            "case_id": str(self.case_id) if self.case_id else None,
            "subject": self.subject,
            "message_id": self.message_id,
            "request_id": self.request_id,
            "token_id": self.token_id,
            "fields": sorted(self.fields) or None,
            "payload_digest": self.payload_digest,
            "key_id": self.key_id,
            "detail": dict(self.detail) or None,
        }
        return {name: value for name, value in members.items() if value is not None}


async def append(connection: Connection, entries: Sequence[AuditEntry]) -> None:
    """Add `entries`, in one statement; they stand with the transaction that they tell of."""
    if not entries:
        return
    # one JSON text: psycopg would escape every quote of every body in an array
    bodies = orjson.dumps([one.body() for one in entries]).decode()
    await connection.execute(_SQL["append"], {"bodies": bodies})
