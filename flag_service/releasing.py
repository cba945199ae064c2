"""What a person decides about a disclosure that was held: it is released, or refused, once.

Shared by the HTTP face and `halyard reviews disclosures`. Under the locks of its alert or case the
policies are asked again, as of now: a release never goes beyond what they would permit with a
person's word. A delivery that a newer one has overtaken is superseded instead (correctness
rule 15).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Literal

import orjson

from flag_service.actors import entry_of
from halyard.actor import Actor
from halyard.postgres import Connection
from policies import fields as field_names
from policies.desk import Asked, Desk, masked
from policies.ruling import Decision, Flow
from stores import alerts, audit, held, mailbox, shares
from stores.held import HeldDelivery, HeldLetter
from stores.shares import Share
from streams.letters import telling
from streams.matching.disclosing import DENIED, FLOWS
from streams.matching.payload import dump

REFUSED: Final = "refused-by-person"

Word = Literal["release", "refuse"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """`state`: released, refused, superseded; ``denied`` if the policies do not permit a release,
    ``own`` if who decides shared it (the item stays as it was). `changed` False: it was decided
    before, so, or is in another state (open, delivered, parked) without a decision.
    """

    state: str
    changed: bool
    asked: Asked | None = None


async def decide(
    connection: Connection,
    item_id: uuid.UUID,
    word: Word,
    actor: Actor,
    desk: Desk,
    now: datetime,
    *,
    reason: str,
) -> Outcome | None:
    """What becomes of the item, in the caller's transaction; None if the organisation of who
    decides has no such item.
    """
    if not await held.lock(connection, item_id):
        return None
    delivery = await held.delivery(connection, item_id)
    if delivery is not None:
        return await _delivery(connection, delivery, word, actor, desk, now, reason=reason)
    found = await held.letter(connection, item_id)
    if found is None:
        return None
    return await _letter(connection, *found, word, actor, desk, now, reason=reason)


async def _delivery(
    connection: Connection,
    row: HeldDelivery,
    word: Word,
    actor: Actor,
    desk: Desk,
    now: datetime,
    *,
    reason: str,
) -> Outcome | None:
    if actor.organisation != row.reviewer:
        return None
    waits = row.state in ("held", "refused") and (row.reason or "").startswith(DENIED)
    if not waits:
        over = row.state in ("refused", "superseded") or not row.released
        return Outcome(row.state if over else "released", changed=False)
    if row.overtaken:
        await held.settle_delivery(connection, row.delivery_id, "superseded", "overtaken")
        return Outcome("superseded", changed=True)
    body = orjson.loads(row.body)
    asked = desk.ask(
        FLOWS[row.kind],
        row.recipient,
        field_names.names(body),
        at=now,
        restricted=row.restricted,
        released=True,
        count=word == "release",
    )
    subject, message = f"alert:{row.alert_id}", str(row.delivery_id)
    if word == "refuse":
        asked = _refused(asked)
        await held.settle_delivery(connection, row.delivery_id, "refused", REFUSED)
        outcome = Outcome("refused", changed=True, asked=asked)
        payload = None
    elif asked.permitted:
        payload = dump(masked(body, asked))
        await held.release_delivery(
            connection,
            row.delivery_id,
            body=payload,
            policy=asked.ruling.policy,
            policy_version=asked.ruling.version,
        )
        outcome = Outcome("released", changed=True, asked=asked)
    else:
        outcome, payload = Outcome("denied", changed=False, asked=asked), None
    await _record(
        connection, desk, asked, actor, reason, now, row.person, subject, message, row.kind, payload
    )
    return outcome


async def _letter(
    connection: Connection,
    kept: HeldLetter,
    state: str,
    word: Word,
    actor: Actor,
    desk: Desk,
    now: datetime,
    *,
    reason: str,
) -> Outcome | None:
    if actor.organisation != kept.reviewer:
        return None
    if state != "held":
        return Outcome(state, changed=False)
    letter = kept.letter
    share = await shares.of_letter(connection, letter.letter_id)
    if share is not None and await _out_of_date(connection, share):
        await held.settle_letters(connection, [letter.letter_id], "superseded", now)
        await shares.settle(connection, [letter.letter_id], "superseded", now)
        return Outcome("superseded", changed=True)
    if word == "release" and share is not None and actor.did(share.shared_by, share.shared_by_name):
        return Outcome("own", changed=False)
    asked = desk.ask(
        Flow(kept.flow),
        letter.organisation,
        frozenset(kept.fields),
        at=now,
        restricted=kept.restricted,
        released=True,
        count=word == "release",
    )
    asked = telling(asked, letter, frozenset(kept.told))
    payload = None
    if word == "refuse":
        asked = _refused(asked)
        outcome = Outcome("refused", changed=True, asked=asked)
    elif asked.permitted:
        payload = letter.body
        # its place in lists, and the time from which it is kept, are those of the release
        await mailbox.add(connection, [replace(letter, created_at=now)])
        outcome = Outcome("released", changed=True, asked=asked)
    else:
        outcome = Outcome("denied", changed=False, asked=asked)
    if outcome.changed:
        settled: Literal["released", "refused"] = "released" if payload is not None else "refused"
        await held.settle_letters(connection, [letter.letter_id], settled, now)
        if share is not None:
            ended: shares.State = "shared" if payload is not None else "refused"
            await shares.settle(connection, [letter.letter_id], ended, now)
    subject = f"alert:{share.alert_id}" if share else f"letter:{letter.letter_id}"
    message = str(letter.letter_id)
    await _record(
        connection,
        desk,
        asked,
        actor,
        reason,
        now,
        kept.person,
        subject,
        message,
        letter.kind,
        payload,
    )
    return outcome


async def _out_of_date(connection: Connection, share: Share) -> bool:
    """Whether the alert says something else by now, or is of a restricted child."""
    row = await alerts.lock_alert(connection, share.alert_id)
    return row is None or row.restricted or row.content.version != share.version


def _refused(asked: Asked) -> Asked:
    nothing: frozenset[str] = frozenset()
    ruling = replace(
        asked.ruling, decision=Decision.DENY, rule=REFUSED, fields=nothing, withheld=nothing
    )
    return replace(asked, ruling=ruling)


async def _record(
    connection: Connection,
    desk: Desk,
    asked: Asked,
    actor: Actor,
    reason: str,
    now: datetime,
    person: str | None,
    subject: str,
    message: str,
    kind: str,
    payload: bytes | None,
) -> None:
    entry = entry_of(
        desk,
        asked,
        actor,
        "review",
        now,
        reason=reason,
        person=person,
        subject=subject,
        message_id=message,
        payload=payload,
        detail=(("kind", kind),),
    )
    await audit.append(connection, [entry])
