"""What is kept back: deliveries and letters that a sharing policy leaves to a person, and
deliveries that one denied.

A held row is never claimed, pushed or listed to its recipient. A person of `reviewer` releases or
refuses it, once: whoever decides holds the locks of `lock`. What a newer snapshot has overtaken is
superseded instead (correctness rule 15), as is what was held when its alert became restricted.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from halyard import postgres
from halyard.postgres import Connection, Pool, load_queries, one, transaction
from stores.mailbox import Letter

_SQL = load_queries("stores", "held.sql")


@dataclass(frozen=True, slots=True)
class HeldLetter:
    """A letter that waits, and what was asked about it."""

    letter: Letter
    reviewer: str
    flow: str
    fields: tuple[str, ...]
    told: tuple[str, ...]  # those that stand in the body
    person: str | None
    restricted: bool
    policy: str
    policy_version: int
    rule: str


@dataclass(frozen=True, slots=True)
class HeldDelivery:
    """A delivery that waits (or that a policy denied); its body is whole."""

    delivery_id: uuid.UUID
    destination: str
    alert_id: uuid.UUID
    version: int
    kind: str
    body: bytes = field(repr=False)
    recipient: str
    reviewer: str
    person: str | None
    restricted: bool
    state: str  # held, open, refused, superseded, …
    released: bool  # by a person, some time
    reason: str | None  # "policy:" and the rule, while no person has decided
    overtaken: bool  # a newer snapshot, or a restriction, has made it out of date


@dataclass(frozen=True, slots=True)
class Kept:
    """One row of the queue, without its body."""

    item_id: uuid.UUID
    what: Literal["delivery", "letter"]
    kind: str
    recipient: str
    reviewer: str
    subject: uuid.UUID | None  # alert or case
    version: int | None  # of an alert
    policy: str | None
    policy_version: int | None
    rule: str
    denied: bool  # by a policy: it can be released once the policy permits it
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Given:
    """A release of an alert to its authority: of which content, and by which policy."""

    alert_id: uuid.UUID
    version: int  # of the alert's content
    policy: str
    policy_version: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """Counts: what waits for a person, and alerts that a policy denied."""

    held: int  # alerts among them
    others_oldest_seconds: float
    alerts_held: int
    alerts_oldest_seconds: float
    alerts_denied: int


async def add_letters(connection: Connection, letters: Collection[HeldLetter]) -> None:
    """Hold `letters`; one whose id is there already, or was sent, changes nothing."""
    if not letters:
        return
    async with connection.cursor() as cursor:
        await cursor.executemany(_SQL["add_letter"], [_parameters(held) for held in letters])


async def kept(
    connection: Connection,
    reviewer: str | None,
    *,
    after: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 100,
) -> list[Kept]:
    """The queue of `reviewer` (None: of everybody), the oldest first."""
    cursor = await connection.execute(
        _SQL["kept"],
        {
            "reviewer": reviewer,
            "after_at": after[0] if after else None,
            "after_id": after[1] if after else None,
            "limit": limit,
        },
    )
    return [Kept(**row) for row in await cursor.fetchall()]


async def lock(connection: Connection, item_id: uuid.UUID) -> bool:
    """Take the locks under which the item's alert or case is changed, before it is read to be
    decided: whatever overtakes it has then committed, or waits. False if there is no such item.
    """
    cursor = await connection.execute(_SQL["locks"], {"id": item_id})
    row = await cursor.fetchone()
    if row is None:
        return False
    names = {f"held:{item_id}"}  # two people who decide at once
    if row["person"]:
        names.add(f"person:{row['person']}")
    if row["case_id"] is not None:
        names.add(f"case:{row['case_id']}")
    await postgres.lock(connection, names)
    return True


async def reviewer(connection: Connection, item_id: uuid.UUID) -> str | None:
    """Whose people decide about the item (`HUB`: the operator's); None if there is none."""
    row = await (await connection.execute(_SQL["reviewer"], {"id": item_id})).fetchone()
    return None if row is None else str(row["reviewer"])


async def delivery(connection: Connection, delivery_id: uuid.UUID) -> HeldDelivery | None:
    """The delivery, whatever its state; None if there is none that names its recipient. Whoever
    decides holds `lock`.
    """
    cursor = await connection.execute(_SQL["delivery"], {"id": delivery_id})
    row = await cursor.fetchone()
    return None if row is None else HeldDelivery(**{**row, "body": bytes(row["body"])})


async def release_delivery(
    connection: Connection,
    delivery_id: uuid.UUID,
    *,
    body: bytes,
    policy: str,
    policy_version: int,
) -> None:
    """Open it, due at once, with what may leave of its body; the caller holds `lock`."""
    await connection.execute(
        _SQL["release_delivery"],
        {
            "id": delivery_id,
            "body": body,
            "policy": policy,
            "policy_version": policy_version,
        },
    )
    await connection.execute(_SQL["hint"])


async def given(
    connection: Connection, organisation: str, alert_ids: Collection[uuid.UUID]
) -> list[Given]:
    """What of these alerts was released to `organisation`, and nothing has stopped since."""
    values = {"organisation": organisation, "alert_ids": sorted(alert_ids)}
    cursor = await connection.execute(_SQL["given"], values)
    return [Given(**row) for row in await cursor.fetchall()]


async def unknown_then(
    connection: Connection, known: Collection[str], reason: str, *, limit: int = 1_000
) -> list[uuid.UUID]:
    """Deliveries refused for `reason` to organisations of `known` that had no destination."""
    values = {"known": sorted(known), "reason": reason, "limit": limit}
    cursor = await connection.execute(_SQL["unknown_then"], values)
    return [row["delivery_id"] for row in await cursor.fetchall()]


async def reconsider(
    connection: Connection,
    delivery_id: uuid.UUID,
    *,
    state: Literal["open", "held"],
    reason: str | None,
    body: bytes,
    policy: str,
    policy_version: int,
) -> None:
    """What policies say of it now; no person has said anything. The caller holds `lock`."""
    await connection.execute(
        _SQL["reconsider"],
        {
            "id": delivery_id,
            "state": state,
            "reason": reason,
            "body": body,
            "policy": policy,
            "policy_version": policy_version,
        },
    )


async def settle_delivery(
    connection: Connection,
    delivery_id: uuid.UUID,
    state: Literal["refused", "superseded"],
    reason: str,
) -> None:
    """It will not be sent; its body is emptied. The caller holds `lock`."""
    await connection.execute(
        _SQL["settle_delivery"], {"id": delivery_id, "state": state, "reason": reason}
    )


async def letter(connection: Connection, letter_id: uuid.UUID) -> tuple[HeldLetter, str] | None:
    """The letter and its state. Whoever decides holds `lock`."""
    cursor = await connection.execute(_SQL["letter"], {"id": letter_id})
    row = await cursor.fetchone()
    return None if row is None else (_held(row), row["state"])


async def settle_letters(
    connection: Connection,
    letter_ids: Collection[uuid.UUID],
    state: Literal["released", "refused", "superseded"],
    at: datetime,
) -> None:
    """These letters, as far as they are held, are decided: their bodies are emptied."""
    if letter_ids:
        values = {"ids": sorted(letter_ids), "state": state, "at": at}
        await connection.execute(_SQL["settle_letters"], values)


async def end_letters(
    connection: Connection, case_id: uuid.UUID, organisation: str, holds: str, at: datetime
) -> None:
    """Supersede what is held for `organisation` about a case and has `holds` (an id) in its body:
    it was taken back before anybody decided.
    """
    values = {"case_id": case_id, "organisation": organisation, "holds": holds, "at": at}
    await connection.execute(_SQL["end_letters"], values)


async def end_cases(connection: Connection, case_ids: Collection[uuid.UUID], at: datetime) -> None:
    """Supersede what is held about these cases: they are void."""
    if case_ids:
        await connection.execute(_SQL["end_cases"], {"case_ids": sorted(case_ids), "at": at})


async def end_kind(
    connection: Connection, case_ids: Collection[uuid.UUID], kind: str, at: datetime
) -> set[str]:
    """Supersede what is held of this kind about these cases; gives for which organisations."""
    values = {"case_ids": sorted(case_ids), "kind": kind, "at": at}
    cursor = await connection.execute(_SQL["end_kind"], values)
    return {row["organisation"] for row in await cursor.fetchall()}


async def waiting(pool: Pool) -> Waiting:
    """What waits now."""
    async with transaction(pool) as connection:
        row = one(await (await connection.execute(_SQL["waiting"])).fetchone())
    return Waiting(
        held=row["held"],
        others_oldest_seconds=float(row["others_oldest_seconds"]),
        alerts_held=row["alerts_held"],
        alerts_oldest_seconds=float(row["alerts_oldest_seconds"]),
        alerts_denied=row["alerts_denied"],
    )


def _parameters(held: HeldLetter) -> dict[str, Any]:
    sent = held.letter
    return {
        "letter_id": sent.letter_id,
        "organisation": sent.organisation,
        "kind": sent.kind,
        "body": sent.body,
        "created_at": sent.created_at,
        "endpoint": sent.endpoint,
        "about": sent.about,
        "message_id": sent.message_id,
        "case_id": sent.case_id,
        "needs_acknowledgement": sent.needs_acknowledgement,
        "traceparent": sent.traceparent,
        "reviewer": held.reviewer,
        "flow": held.flow,
        "fields": sorted(held.fields),
        "told": sorted(held.told),
        "person": held.person,
        "restricted": held.restricted,
        "policy": held.policy,
        "policy_version": held.policy_version,
        "rule": held.rule,
    }


def _held(row: dict[str, Any]) -> HeldLetter:
    return HeldLetter(
        letter=Letter(
            letter_id=row["letter_id"],
            organisation=row["organisation"],
            kind=row["kind"],
            body=bytes(row["body"]),
            created_at=row["created_at"],
            endpoint=row["endpoint"],
            about=row["about"],
            message_id=row["message_id"],
            case_id=row["case_id"],
            needs_acknowledgement=row["needs_acknowledgement"],
            traceparent=row["traceparent"],
        ),
        reviewer=row["reviewer"],
        flow=row["flow"],
        fields=tuple(row["fields"]),
        told=tuple(row["told"]),
        person=row["person"],
        restricted=row["restricted"],
        policy=row["policy"],
        policy_version=row["policy_version"],
        rule=row["rule"],
    )
