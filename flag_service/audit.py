"""``GET /audit`` and ``POST /audit/subject-access``: what the audit chain holds of an organisation.

Each reading is recorded in that chain. As JSON, or as a FHIR Bundle of AuditEvents.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from connectors.fhir.audit_projection import audit_event
from connectors.fhir.documented import BUNDLE
from flag_service import cursors
from flag_service.bodies import Body, usable_number
from halyard import nhs_number
from halyard.caller import Caller
from halyard.clock import Clock
from halyard.http import caller
from halyard.postgres import Pool, scoped
from halyard.privacy import Keys
from halyard.problems import responses
from halyard.settings import Settings
from policies.ruling import Flow
from stores.audit import Kind
from stores.audit_search import Filter, Found
from streams.audit import reading
from streams.audit.reading import Reader

Who = Annotated[Caller, Depends(caller)]
Decision = Literal["permit", "deny", "review"]
FHIR_JSON: Final = "application/fhir+json"


class AuditEntryView(BaseModel):
    """An entry (docs/reference/audit.md has its members), and its place once it is sealed."""

    model_config = ConfigDict(extra="allow")

    entry_id: str
    recorded_at: str
    kind: str
    chain: str
    actor: str
    organisation: str
    decision: str
    rule: str
    seq: int | None
    hash: str | None


class AuditPage(BaseModel):
    """Entries, the newest first; `next` is the place from which to go on to older ones."""

    entries: list[AuditEntryView]
    next: str | None
    more: bool


class SubjectAccess(Body):
    """Whose report, and why. The number stands in the body, never in a URL."""

    nhs_number: str = Field(min_length=1, max_length=20, repr=False)
    reason: str = Field(min_length=1, max_length=200, repr=False)
    after: str | None = Field(default=None, max_length=200)
    limit: int = Field(default=500, ge=1, le=2_000)


class SubjectAccessPage(BaseModel):
    """Who was told of this child, the newest first. `restricted` is of the whole report: if true,
    `notice` says what to do before it is handed out.
    """

    as_of: str
    restricted: bool
    notice: str | None
    disclosures: list[dict[str, Any]]
    next: str | None
    more: bool


def reader_of(who: Caller, request: Request) -> Reader:
    """The caller, as the entry of a reading names it."""
    return Reader(
        subject=who.subject,
        organisation=who.organisation,
        chain=who.organisation,
        name=who.name,
        role=",".join(sorted(who.roles)) or None,
        request_id=request.state.request_id,
        token_id=who.token_id,
    )


def make_router(
    settings: Settings,
    pool: Pool,
    keys: Keys,
    clock: Clock,
    *,
    new_id: Callable[[], uuid.UUID] = uuid.uuid4,
) -> APIRouter:
    """The routes."""
    router = APIRouter(tags=["audit"])
    profile = nhs_number.profile_for(settings.profile)

    @router.get(
        "/audit",
        summary="Entries of your organisation's audit chain, the newest first",
        responses={
            200: {"model": AuditPage, "content": {FHIR_JSON: {"schema": {"$ref": BUNDLE}}}},
            **responses(422),
        },
    )
    async def entries(
        request: Request,
        who: Who,
        after: Annotated[str | None, Query(max_length=200)] = None,
        limit: Annotated[int, Query(ge=1, le=500)] = 100,
        actor: Annotated[str | None, Query(max_length=200)] = None,
        subject: Annotated[str | None, Query(max_length=200)] = None,
        case_id: uuid.UUID | None = None,
        kind: Kind | None = None,
        flow: Flow | None = None,
        decision: Decision | None = None,
        since: AwareDatetime | None = None,
        until: AwareDatetime | None = None,
    ) -> Response:
        wanted = Filter(
            chain=who.organisation,
            actor=actor,
            subject=subject,
            case_id=case_id,
            kind=kind,
            flow=None if flow is None else flow.value,
            decision=decision,
            since=since,
            until=until,
        )
        place = cursors.decode(after)
        async with scoped(pool, who.organisation) as connection:
            found = await reading.read(
                connection,
                wanted,
                reader_of(who, request),
                purpose="audit",
                now=clock(),
                entry_id=new_id(),
                after=place,
                limit=limit,
            )
        if FHIR_JSON in request.headers.get("accept", ""):
            return Response(orjson.dumps(bundle(found)), media_type=FHIR_JSON)
        return _json(
            {
                "entries": [view(one) for one in found],
                "next": _next(found, after),
                "more": len(found) == limit,
            }
        )

    @router.post(
        "/audit/subject-access",
        summary="Who at your organisation was told of a child, when, why and under which policy",
        responses={200: {"model": SubjectAccessPage}, **responses(422)},
    )
    async def subject_access(request: Request, who: Who, body: SubjectAccess) -> Response:
        person = keys.person(usable_number(body.nhs_number, profile))
        now = clock()
        place = cursors.decode(body.after)
        async with scoped(pool, who.organisation, (person,)) as connection:
            wanted = Filter(chain=who.organisation, persons=(person,))
            restricted = await reading.is_restricted(connection, wanted)
            found = await reading.read(
                connection,
                wanted,
                reader_of(who, request),
                purpose="subject-access",
                reason=body.reason,
                now=now,
                entry_id=new_id(),
                after=place,
                limit=body.limit,
            )
        return _json(
            {
                "as_of": now.isoformat(),
                **reading.head(restricted=restricted),
                "disclosures": [reading.report_row(one) for one in found],
                "next": _next(found, body.after),
                "more": len(found) == body.limit,
            }
        )

    return router


def view(found: Found) -> dict[str, Any]:
    """An entry as JSON."""
    return {
        **found.body,
        "seq": found.seq,
        "hash": None if found.hash is None else found.hash.hex(),
    }


def bundle(found: list[Found]) -> dict[str, Any]:
    """Entries as a FHIR Bundle of AuditEvents."""
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "entry": [
            {
                "fullUrl": f"urn:uuid:{one.entry_id}",
                "resource": audit_event(one.body, seq=one.seq, link=one.hash),
                "search": {"mode": "match"},
            }
            for one in found
        ],
    }


def _next(found: list[Found], after: str | None) -> str | None:
    return cursors.encode(*found[-1].cursor) if found else after


def _json(body: dict[str, Any]) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


def moment(at: datetime | None) -> str | None:
    """A time as JSON."""
    return None if at is None else at.isoformat()
