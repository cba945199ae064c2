"""``POST /people/record``: who a person is, as PDS verified it, and what one's own organisation
calls them; and ``GET /reports/shared-numbers``: one number on more than one of one's own records.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, Field

from flag_service import core_record
from flag_service.actors import actor_of, disclosures_of
from flag_service.bodies import Body, usable_number
from flag_service.core_record import Opened, Opening
from flag_service.looking import MAX_REASON
from halyard import metrics, nhs_number
from halyard.caller import Caller
from halyard.clock import Clock
from halyard.http import caller
from halyard.postgres import Connection, Pool, scope, scoped
from halyard.problems import responses
from halyard.settings import Settings
from policies.desk import Desk
from policies.purposes import Purpose
from policies.refusing import refusal
from policies.ruling import Flow
from stores import (
    accesses,
    audit,
    core_records,
    delivery_rows,
    number_changes,
    outbox,
    shared_numbers,
)
from stores.shared_numbers import SharedNumber

Who = Annotated[Caller, Depends(caller)]


class RecordQuery(Body):
    """The number stands in the body, never in a URL."""

    nhs_number: str = Field(min_length=1, max_length=20, repr=False)
    purpose: Literal["urgent-care", "direct-care", "child-protection", "break-glass"]
    reason: str = Field(min_length=1, max_length=MAX_REASON, repr=False)


class RecordName(BaseModel):
    """The name as PDS has it now."""

    family: str | None
    given: list[str] | None


class RecordNumber(BaseModel):
    """How sure the number is (NHS Data Dictionary), since when, by whom."""

    indicator: str | None
    verified_at: str | None
    basis: str | None


class RecordIdentifier(BaseModel):
    """What an organisation calls the person (docs/reference/identifiers.md)."""

    scheme: str | None
    value: str | None
    assigner: str | None
    organisation: str | None
    stated_at: str | None


class RecordSibling(BaseModel):
    """A sibling, as your authority stated it: by your own id."""

    local_id: str | None


class PersonRecord(BaseModel):
    """``record``, with what it has; or ``nothing-held``, and nothing else of the person."""

    answer: Literal["record", "nothing-held"]
    as_of: str
    purpose: str
    policy: dict[str, Any]
    relation: Literal["flag", "visit", "case", "break-glass"] | None = None
    restricted: bool | None = None
    deceased: bool | None = None
    name: RecordName | None = None
    birth_date: str | None = None
    gender: str | None = None
    number_status: RecordNumber | None = None
    identifiers: list[RecordIdentifier] | None = None
    other_identifiers: list[RecordIdentifier] | None = None
    siblings: list[RecordSibling] | None = None


class SharedRecord(BaseModel):
    """One of your records that has the number; `rule` says why it is not verified."""

    local_id: str | None
    standing: Literal["verified", "unverified"] | None
    rule: str | None
    since: str | None


class SharedEntry(BaseModel):
    """Records that have one number, and are not one patient."""

    records: list[SharedRecord] | None


class SharedReport(BaseModel):
    """Without the numbers: you find them in your own records."""

    entries: list[SharedEntry] | None
    without_number: dict[str, int] = Field(
        description="Open records without a verified number, by kind."
    )
    more: bool


def make_router(
    settings: Settings,
    pool: Pool,
    desk: Desk,
    clock: Clock,
    *,
    new_id: Callable[[], uuid.UUID] = uuid.uuid4,
) -> APIRouter:
    """The routes."""
    router = APIRouter()
    profile = nhs_number.profile_for(settings.profile)

    @router.post(
        "/people/record",
        tags=["look-ups"],
        summary="The core demographic record of somebody whom your organisation has to do with",
        responses={200: {"model": PersonRecord}, **responses(403, 422)},
        response_model_exclude_unset=True,
    )
    async def record(request: Request, who: Who, body: RecordQuery) -> dict[str, Any]:
        opening = Opening(
            number=usable_number(body.nhs_number, profile),
            caller=who,
            purpose=Purpose(body.purpose),
            reason=body.reason,
            request_id=str(request.state.request_id),
            traceparent=request.state.traceparent,
        )
        asked = desk.keys.person(opening.number)
        async with scoped(pool, who.organisation, [asked]) as connection:
            now = clock()
            # what is held of a superseded number stands under the one that PDS has now
            person = (await number_changes.successors(connection, [asked])).get(asked, asked)
            await scope(connection, sorted({asked, person}))
            found = await core_records.record(connection, person, who.organisation, now)
            made = core_record.opened(opening, person, found, desk, now=now, access_id=new_id())
            await _write(connection, made)
        # what was refused is recorded: the transaction stands
        answer = made.members["answer"] if made.asked.permitted else "refused"
        metrics.count("halyard_person_records_total", answer=answer)
        if not made.asked.permitted:
            raise refusal(made.asked)
        return made.members

    @router.get(
        "/reports/shared-numbers",
        tags=["worklist"],
        summary="One NHS number on more than one of your organisation's records",
        responses={200: {"model": SharedReport}, **responses(403, 422)},
    )
    async def shared(
        request: Request, who: Who, limit: Annotated[int, Query(ge=1, le=500)] = 100
    ) -> dict[str, Any]:
        now, organisation = clock(), who.organisation
        async with scoped(pool, organisation) as connection:
            found = await shared_numbers.own_shared(connection, limit=limit + 1)
            lacking = await shared_numbers.without(connection, organisation)
            more, found = len(found) > limit, found[:limit]
            body = {"entries": [entry(one) for one in found]}
            asked, body = desk.masked(Flow.WORKLIST, organisation, body, at=now, roles=who.roles)
            if found:
                actor = actor_of(who, request.state.request_id)
                people = [one.person for one in found]
                told = disclosures_of(desk, asked, actor, people, "shared-numbers", now)
                await audit.append(connection, told)
        if found and not asked.permitted:
            raise refusal(asked)
        counts = {one.kind: one.records for one in lacking}
        return {**body, "without_number": counts, "more": more}

    return router


def entry(found: SharedNumber) -> dict[str, Any]:
    """The records of one number as JSON, without the number."""
    return {
        "records": [
            {
                "local_id": one.local_id,
                "standing": one.standing,
                "rule": one.rule,
                "since": one.since.isoformat(),
            }
            for one in found.records
        ]
    }


async def _write(connection: Connection, made: Opened) -> None:
    await audit.append(connection, made.audit)
    await accesses.add(connection, [made.recorded])
    await outbox.add(connection, [] if made.event is None else [made.event])
    await delivery_rows.add(connection, [] if made.notice is None else [made.notice.row])
