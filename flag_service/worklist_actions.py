"""What a person does with an entry of their organisation's worklist: taken in hand, and decided.

Shared by the HTTP face and `halyard worklist`. A decision is a row that the tracer carries out;
here it is only taken: under the entry's lock, once, with its audit entry in the same transaction.
What it came to stands with the entry (`decisions`).
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Literal, get_args

from flag_service.actors import entry_of
from halyard.actor import Actor
from halyard.nhs_number import NumberProfile, parse
from halyard.postgres import Connection
from halyard.problems import HttpProblem
from policies.desk import Asked, Desk
from policies.ruling import Flow
from stores import audit, resolutions, worklist
from stores.resolutions import Action, Resolution, Tally
from stores.worklist import WorklistEntry

REJECTIONS = Literal["nobody", "not-ours", "test-record"]
QUESTIONS = Literal["nhs-number", "birth-date", "names", "multiple-birth"]
FIELDS = Literal["number", "birth_date", "family", "given", "gender"]
REFUSALS_AT_MOST: Final = 5
"""Resolutions of an entry that PDS did not bear out, or that were taken back, after which no more
are taken: nobody finds out by trying who has which number, or what stands in a record."""
REFUSALS_A_DAY: Final = 15
"""The same of one person in a day, over all entries."""
QUESTIONS_AT_MOST: Final = 3
"""Of one entry: each is a letter."""
_NEVER_BOTH: Final = frozenset({"number", "birth_date"})
"""What is wrong in both is another child's record; and whoever may name both could try out birth
dates."""

_RESOLVED: Final = "resolved-by-person"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be done, and why. `code`: of a rejection or a question."""

    action: Action
    reason: str
    number: str | None = None
    code: str | None = None
    despite: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """What was said to it. Where `asked`, or `seen` (may whoever takes it in hand be shown it?), is
    not permitted nothing was done. `changed` False: it was so before."""

    asked: Asked
    entry: WorklistEntry
    decision: Resolution | None = None
    changed: bool = True
    seen: Asked | None = None


async def take_in_hand(
    connection: Connection,
    entry_id: uuid.UUID,
    actor: Actor,
    desk: Desk,
    now: datetime,
    *,
    minutes: int,
    let_go: bool = False,
    look: Callable[[WorklistEntry], Awaitable[Asked]] | None = None,
) -> Done:
    """Take an open entry in hand, for so long, or let it go. `look` asks whether it may be shown as
    it then is: what may not be is not taken. Raises `HttpProblem` 404, 409.
    """
    entry = await _held(connection, entry_id, actor)
    _open(entry)
    _not_others(entry, actor, now)
    asked = _asked(desk, actor, "claim", now)
    mine = entry.claimed(now) == actor.subject
    changed = mine if let_go else not mine
    until = None if let_go else now + timedelta(minutes=minutes)
    by, name = (None, None) if let_go else (actor.subject, actor.name)
    after = replace(entry, claimed_by=by, claimed_name=name, claimed_until=until)
    seen = await look(after) if look is not None and asked.permitted else None
    if seen is not None and not seen.permitted:
        return Done(asked, entry, changed=False, seen=seen)
    if asked.permitted:
        await worklist.claim(connection, entry_id, by=by, name=name, until=until)
        entry = after
    if changed or not asked.permitted:
        act = "let-go" if let_go else "claim"
        await _record(connection, desk, asked, actor, entry, act, now)
    return Done(asked, entry, changed=changed, seen=seen)


async def decide(
    connection: Connection,
    entry_id: uuid.UUID,
    wanted: Wanted,
    actor: Actor,
    desk: Desk,
    now: datetime,
    *,
    profile: NumberProfile,
    new_id: Any = uuid.uuid4,
) -> Done:
    """Take a decision; the tracer carries it out. The same again is the one that was taken.

    Raises `HttpProblem` 404, 409 (ended, in another's hand, another decision in hand, tried or
    asked too often), 422.
    """
    number = _number(wanted, profile)
    _not_everything(wanted)
    person = desk.keys.person(number) if number else None
    entry = await _held(connection, entry_id, actor)
    before = await resolutions.of_entry(connection, entry_id)
    asked = _asked(desk, actor, wanted.action, now)
    repeated = _repeated(before, entry, wanted, person, actor)
    if repeated is not None:
        return Done(asked, entry, repeated, changed=False)
    if wanted.action == "undo":
        _resolved(entry)
    else:
        _open(entry)
        _not_others(entry, actor, now)
    _within(await resolutions.tally(connection, entry_id, actor.subject, now=now), wanted.action)
    if not asked.permitted:
        await _record(connection, desk, asked, actor, entry, wanted.action, now)
        return Done(asked, entry, changed=False)
    decision = Resolution(
        resolution_id=new_id(),
        entry_id=entry_id,
        organisation=actor.organisation,
        action=wanted.action,
        made_by=actor.subject,
        made_by_name=actor.name,
        role=actor.role,
        reason=wanted.reason,
        made_at=now,
        number=number,
        person=person,
        code=wanted.code,
        despite=tuple(sorted(set(wanted.despite))),
    )
    if wanted.action == "ask" and wanted.code is not None:
        await worklist.ask(connection, entry_id, wanted.code, now=now)
        entry = replace(entry, question=wanted.code, asked_at=now)
    await resolutions.add(connection, decision)
    await _record(
        connection, desk, asked, actor, entry, wanted.action, now, decision=decision, wanted=wanted
    )
    return Done(asked, entry, decision)


async def _held(connection: Connection, entry_id: uuid.UUID, actor: Actor) -> WorklistEntry:
    """The entry, locked; of another organisation's the answer is that of none."""
    entry = await worklist.entry(connection, entry_id, organisation=actor.organisation)
    if entry is not None and await worklist.hold(connection, entry_id):
        entry = await worklist.entry(connection, entry_id, organisation=actor.organisation)
    if entry is None:
        raise not_known()
    return entry


def not_known() -> HttpProblem:
    """There is no such entry of the organisation."""
    return HttpProblem(
        404,
        "No such entry",
        "Check the id; `GET /worklist` lists the open entries of your organisation.",
        rule="worklist.not_known",
    )


def _number(wanted: Wanted, profile: NumberProfile) -> str | None:
    if wanted.number is None:
        return None
    parsed = parse(wanted.number, profile=profile)
    if parsed.number is None:
        raise HttpProblem(
            422,
            "Not an NHS number",
            "Give the ten digits of the NHS number; its check digit is wrong, or nobody can have "
            "it.",
            rule=f"nhs_number.{parsed.outcome}",
            place="body.nhs_number",
        )
    return parsed.number


def _open(entry: WorklistEntry) -> None:
    if entry.closed_at is not None:
        raise HttpProblem(
            409,
            "The entry has ended",
            "There is nothing to decide any more; `GET /worklist/{entry_id}` says what happened.",
            rule="worklist.ended",
            extras={
                "closed_rule": entry.closed_rule,
                "closed_at": entry.closed_at.isoformat(),
                "ended_by": entry.ended_name or entry.ended_by,
            },
        )


def _resolved(entry: WorklistEntry) -> None:
    if entry.closed_at is None or not (entry.closed_rule or "").startswith(_RESOLVED):
        raise HttpProblem(
            409,
            "Nobody has resolved the entry",
            "Only what a person resolved can be taken back; a record that is wrong is corrected by "
            "its sender.",
            rule="worklist.not_resolved",
            extras={"closed_rule": entry.closed_rule},
        )


def _not_others(entry: WorklistEntry, actor: Actor, now: datetime) -> None:
    held = entry.claimed(now)
    if held is not None and held != actor.subject and entry.claimed_until is not None:
        raise HttpProblem(
            409,
            "Somebody else has the entry in hand",
            "Ask them, or wait until they let it go or their time is over.",
            rule="worklist.claimed",
            extras={
                "claimed_by": entry.claimed_name or entry.claimed_by,
                "claimed_until": entry.claimed_until.isoformat(),
            },
        )


def _not_everything(wanted: Wanted) -> None:
    if set(wanted.despite) >= _NEVER_BOTH:
        raise HttpProblem(
            422,
            "Number and birth date cannot both be wrong",
            "A record of which both are wrong is nobody's that can be known from it: have it "
            "corrected and sent again, or reject it.",
            rule="worklist.nothing_left",
            place="body.despite",
        )


def _within(tally: Tally, action: Action) -> None:
    """Nothing else is in hand, and it was not tried or asked too often."""
    if action == "ask":
        if tally.asked >= QUESTIONS_AT_MOST:
            raise HttpProblem(
                409,
                "Asked often enough",
                "Its sender was asked three times; ask them by telephone.",
                rule="worklist.asked_too_often",
            )
        return
    if tally.live is not None:
        raise HttpProblem(
            409,
            "Another decision is being carried out",
            "Read the entry again in a moment; if it is still open then, decide.",
            rule="worklist.decision_waits",
            extras={"decision_id": str(tally.live), "action": tally.live_action},
        )
    if action == "retry" and tally.retried_lately:
        raise HttpProblem(
            409,
            "PDS was asked again less than an hour ago",
            "Have it asked again later; it says the same until something has changed there.",
            rule="worklist.retried_lately",
        )
    if action == "resolve" and tally.failures >= REFUSALS_AT_MOST:
        raise HttpProblem(
            409,
            "Tried too often",
            f"{REFUSALS_AT_MOST} resolutions of it were not borne out by PDS, or were taken back: "
            "either counts. Ask the sender, have the record corrected and sent again, or reject "
            "the entry.",
            rule="worklist.tried_too_often",
        )
    if action == "resolve" and tally.failures_of_person >= REFUSALS_A_DAY:
        raise HttpProblem(
            409,
            "Tried too often today",
            f"{REFUSALS_A_DAY} resolutions of yours in 24 hours were not borne out by PDS, or were "
            "taken back: either counts. Go on tomorrow, or let a colleague resolve it.",
            rule="worklist.tried_too_often_today",
        )


def _repeated(
    before: list[Resolution],
    entry: WorklistEntry,
    wanted: Wanted,
    person: str | None,
    actor: Actor,
) -> Resolution | None:
    """The same decision of the same person, if it is the last that was taken and stands."""
    last = next((one for one in before if not one.scheduled), None)
    if last is None or last.made_by != actor.subject or last.state == "refused":
        return None
    same = (last.action, last.person, last.code, last.despite) == (
        wanted.action,
        person,
        wanted.code,
        tuple(sorted(set(wanted.despite))),
    )
    if wanted.action == "retry" and not last.live:
        return None  # asking again is a new question each time
    if wanted.action == "ask" and entry.question != wanted.code:
        return None
    return last if same else None


def _asked(desk: Desk, actor: Actor, action: str, now: datetime) -> Asked:
    fields = frozenset({f"worklist.{action}"})
    return desk.ask(Flow.WORKLIST, actor.organisation, fields, at=now, roles=actor.roles)


async def _record(
    connection: Connection,
    desk: Desk,
    asked: Asked,
    actor: Actor,
    entry: WorklistEntry,
    act: str,
    now: datetime,
    *,
    decision: Resolution | None = None,
    wanted: Wanted | None = None,
) -> None:
    detail: list[tuple[str, str]] = [("act", act), ("event_kind", entry.event_kind)]
    if decision is not None:
        detail.append(("decision", str(decision.resolution_id)))
    if wanted is not None and wanted.code is not None:
        detail.append(("code", wanted.code))
    if wanted is not None and wanted.despite:
        detail.append(("despite", ",".join(sorted(set(wanted.despite)))))
    told = entry_of(
        desk,
        asked,
        actor,
        "review",
        now,
        reason=None if wanted is None else wanted.reason,
        person=entry.person if decision is None or decision.person is None else decision.person,
        subject=f"worklist:{entry.entry_id}",
        detail=tuple(detail),
    )
    await audit.append(connection, [told])


def codes(kind: Any) -> tuple[str, ...]:
    """The codes of one of the literals above."""
    return get_args(kind)
