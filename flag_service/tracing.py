"""What routes and commands share that have somebody traced: who may, how much, and what is told.

Nobody is asked who a number is: whoever asks sends details, and is told whether they are one
person's, and that person's number where they prove it. Every question and every answer is asked of
the sharing policies (flow ``trace``) and stands in the audit chain, each person by itself.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from connectors.trace_files.lines import Wanted
from connectors.trace_files.results import ResultLine
from halyard import metrics, nhs_number
from halyard.caller import Caller
from halyard.clock import Clock
from halyard.nhs_number import NhsNumberOutcome, NumberProfile, profile_for
from halyard.postgres import Connection, Pool
from halyard.privacy import Keys
from halyard.problems import HttpProblem
from halyard.settings import Settings
from halyard.settings_tracing import TracingSettings
from policies.desk import Asked, Desk, masked
from policies.ruling import Flow
from stores import audit, trace_batches
from stores.audit import AuditEntry
from stores.audit import Kind as EntryKind
from stores.trace_batches import NewBatch, NewItem, Result
from streams.tracer.batch_questions import question_of

MAX_REASON: Final = 200
WAITING: Final = "waiting"
"""Stands for the outcome of a line that is not answered yet."""

HOUR: Final = timedelta(hours=1)

ASKED_OF_LINES: Final = frozenset({"lines.local_id", "lines.outcome", "lines.rule"})
ASKED_OF_ONE: Final = frozenset({"outcome", "rule"})


@dataclass(frozen=True, slots=True)
class Tracing:
    """What every route of tracing needs; `pool` works with the rights of whoever asks."""

    pool: Pool
    desk: Desk
    clock: Clock
    keys: Keys = field(repr=False)
    settings: TracingSettings
    profile: NumberProfile
    calls_per_second: float
    new_id: Callable[[], uuid.UUID] = uuid.uuid4

    def item(self, line: int, person: Wanted) -> NewItem | None:
        """A line that was taken; None if too little is said to ask PDS with."""
        question = question_of(self.keys, self.profile, person.claim)
        if question is None:
            return None
        return NewItem(
            line,
            person.claim,
            question=question,
            local_id=person.local_id,
            number_rule=self.number_rule(person.claim.nhs_number),
        )

    def number_rule(self, sent: str | None) -> str | None:
        """Why what was sent as an NHS number is none; None if it can be one, or none was sent."""
        judged = nhs_number.parse(sent, profile=self.profile)
        fine = judged.usable or judged.outcome is NhsNumberOutcome.ABSENT
        return None if fine else judged.rule


def make_tracing(settings: Settings, pool: Pool, desk: Desk, clock: Clock, keys: Keys) -> Tracing:
    """As the settings say."""
    return Tracing(
        pool,
        desk,
        clock,
        keys,
        settings.tracing,
        profile_for(settings.profile),
        settings.pds.calls_per_second,
    )


def entry(
    mine: Tracing,
    asked: Asked,
    asking: Caller,
    *,
    kind: EntryKind,
    subject: str,
    request_id: str | None,
    person: str | None = None,
    reason: str | None = None,
    detail: tuple[tuple[str, str], ...] = (),
) -> AuditEntry:
    """The audit entry of a question or an answer; `person` is a pseudonym."""
    return mine.desk.entry(
        asked,
        at=asked.disclosure.at,
        kind=kind,
        actor=asking.subject,
        organisation=asking.organisation,
        actor_name=asking.name,
        role=asking.job_role or ",".join(sorted(asking.roles)) or None,
        token_id=asking.token_id,
        request_id=request_id,
        person=person,
        subject=subject,
        reason=reason,
        detail=detail,
    )


def ask(
    mine: Tracing,
    asking: Caller,
    fields: frozenset[str],
    purpose: str,
    *,
    restricted: bool = False,
) -> Asked:
    """May these fields be told to whoever asks, for this purpose?"""
    return mine.desk.ask(
        Flow.TRACE,
        asking.organisation,
        fields,
        at=mine.clock(),
        purpose=purpose,
        roles=asking.roles,
        restricted=restricted,
    )


async def take_person(
    connection: Connection,
    mine: Tracing,
    asking: Caller,
    batch: NewBatch,
    person: Wanted,
    *,
    request_id: str | None,
) -> HttpProblem | None:
    """Have one person traced for `asking`; or why not. Either stands in the audit chain, so the
    caller commits before it answers.
    """
    number = nhs_number.parse(person.claim.nhs_number, profile=mine.profile).number
    item = mine.item(1, person)
    if item is None:
        return too_little()
    asked = ask(mine, asking, ASKED_OF_ONE, batch.purpose)
    refused = None if asked.permitted else denied(asked)
    now = mine.clock()
    if refused is None:
        await trace_batches.lock_organisation(connection, batch.organisation)
        amount, oldest = await trace_batches.persons_since(
            connection, batch.organisation, now - HOUR
        )
        if amount >= mine.settings.persons_per_hour:
            refused = _too_often(now, oldest)
    sent = sorted(name for name in _DETAILS if getattr(person.claim, name))
    about = entry(
        mine,
        asked,
        asking,
        kind="access" if refused is None else "refusal",
        subject=f"trace:{batch.batch_id}",
        request_id=request_id,
        person=mine.keys.person(number) if number else None,
        reason=batch.reason,
        detail=(
            ("details", ",".join(sent)),
            *((("number", item.number_rule),) if item.number_rule else ()),
            *((("refused", refused.rule),) if refused is not None else ()),
        ),
    )
    await audit.append(connection, [about])
    if refused is None:
        await trace_batches.begin(connection, batch)
        await trace_batches.add(connection, batch.batch_id, [item])
        await trace_batches.start(connection, batch, None, lines=1, refused=0)
    result = "taken" if refused is None else "denied" if not asked.permitted else "too-many"
    metrics.count("halyard_person_traces_total", result=result)
    return refused


_DETAILS: Final = ("nhs_number", "family", "given", "birth_date", "gender", "postcode")


async def tell_person(
    connection: Connection,
    mine: Tracing,
    asking: Caller,
    batch_id: uuid.UUID,
    purpose: str,
    one: Result,
    *,
    request_id: str | None,
    reason: str | None = None,
) -> tuple[Asked, dict[str, Any]]:
    """What is told of one person, with its audit entry written. What is wrong with the number that
    was sent is no disclosure: the asker has it.
    """
    body = {
        "outcome": one.outcome,
        "rule": one.rule,
        "nhs_number": one.nhs_number,
        "fields": one.fields,
    }
    fields = {name for name in ("outcome", "rule", "nhs_number") if body[name]}
    fields |= {f"fields.{name}" for name in one.fields or ()}
    asked = ask(mine, asking, frozenset(fields), purpose, restricted=one.restricted)
    about = entry(
        mine,
        asked,
        asking,
        kind="disclosure" if asked.permitted else "refusal",
        subject=f"trace:{batch_id}",
        request_id=request_id,
        person=one.person or one.number_token,
        reason=reason,
        detail=(("outcome", one.outcome or ""),),
    )
    await audit.append(connection, [about])
    return asked, {**masked(body, asked), "number_rule": one.number_rule}


async def tell_lines(
    connection: Connection,
    mine: Tracing,
    asking: Caller,
    batch_id: uuid.UUID,
    purpose: str,
    page: Sequence[Result],
    *,
    request_id: str | None,
    reason: str | None = None,
) -> list[ResultLine] | None:
    """A page of a file's result, with an audit entry for each person of whom it tells or whose
    number was sent, and one for all others; None if no policy permits it.
    """
    asked = {
        hidden: ask(mine, asking, ASKED_OF_LINES | {"lines.nhs_number"}, purpose, restricted=hidden)
        for hidden in {one.restricted for one in page} or {False}
    }
    told: list[ResultLine] = []
    about: dict[tuple[str | None, bool], list[int]] = {}
    for one in page:
        may = asked[one.restricted].may
        told.append(
            ResultLine(
                one.line,
                one.outcome or WAITING,
                one.rule if may("lines.rule") else None,
                local_id=one.local_id if may("lines.local_id") else None,
                nhs_number=one.nhs_number if may("lines.nhs_number") else None,
                column=one.place,
                number_rule=one.number_rule,
            )
        )
        # of whom a number was sent, a look that verified nothing is on record too
        person = one.person or one.number_token
        about.setdefault((person, one.restricted), []).append(one.line)
    refused = [each for each in asked.values() if not each.permitted]
    entries = [
        entry(
            mine,
            asked[hidden],
            asking,
            kind="disclosure" if not refused else "refusal",
            subject=f"trace-batch:{batch_id}",
            request_id=request_id,
            person=person,
            reason=reason,
            detail=(("count", str(len(lines))), ("lines", f"{lines[0]}-{lines[-1]}")),
        )
        for (person, hidden), lines in about.items()
    ]
    await audit.append(connection, entries)
    return None if refused else told


def refused_lines(mine: Tracing, asking: Caller, purpose: str) -> HttpProblem | None:
    """Why no result of a file may be told to `asking`, also of restricted people; or None."""
    for hidden in (False, True):
        asked = ask(mine, asking, ASKED_OF_LINES, purpose, restricted=hidden)
        if not asked.permitted:
            return denied(asked)
    return None


def denied(asked: Asked) -> HttpProblem:
    """No policy lets the asker have this traced."""
    ruling = asked.ruling
    return HttpProblem(
        403,
        "No sharing policy permits this trace",
        "Check the purpose that you state with whoever keeps the hub's sharing policies.",
        rule=f"policy.{ruling.rule}",
        extras={"policy": {"id": ruling.policy, "version": ruling.version}},
    )


def too_little() -> HttpProblem:
    """Nobody could be asked with this."""
    return HttpProblem(
        422,
        "Too little is said of the person",
        "Give the birth date with the family and the given name; beside an NHS number one of the "
        "names will do. A number alone is not traced.",
        rule="trace.too_little",
        place="body.person",
    )


def _too_often(now: datetime, oldest: datetime | None) -> HttpProblem:
    wait = HOUR if oldest is None else max(oldest + HOUR - now, timedelta(seconds=1))
    return HttpProblem(
        429,
        "Your organisation has had as many people traced in this hour as it may",
        "Wait, or send many people as a file (POST /trace-batches).",
        rule="trace.too_many",
        headers={"Retry-After": str(int(wait.total_seconds()) + 1)},
    )
