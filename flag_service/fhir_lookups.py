"""Look-ups in the shapes of NHS interfaces: Patient Flags and CP-IS, by GET and by POST _search.

Both go the way of ``POST /flags/query`` (`flag_service.lookups`): policy, audit and access events
are the same. A negative answer is total 0 *with* an OperationOutcome that says how far it may be
believed; what could not be checked is a 503, never an empty Bundle.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, Literal

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from connectors.fhir import access_projection, flag_projection
from connectors.fhir.outcomes import CONTENT_TYPE
from connectors.fhir.writing import Pen, Resource
from flag_service import capability, fhir_documented, fhir_search, lookup
from flag_service.capability import CPIS, FACES, PATIENT_FLAGS, Face, Search
from flag_service.flags import not_permitted
from flag_service.lookups import Look, Lookups, Seen
from halyard import nhs_number
from halyard.clock import Clock
from halyard.http import caller
from halyard.settings import Settings

Interface = Literal["patient-flags", "cp-is"]
Shape = Callable[[uuid.UUID, str, dict[str, Any]], Resource]
Handle = Callable[[Request], Awaitable[Response]]

_INTERFACES: Final[dict[str, Interface]] = {PATIENT_FLAGS.base: "patient-flags", CPIS.base: "cp-is"}


def make_router(settings: Settings, lookups: Lookups, clock: Clock) -> APIRouter:
    """The routes of both faces, from the table that their CapabilityStatements are made of."""
    router = APIRouter()
    searching = _Searching(lookups, nhs_number.profile_for(settings.profile))
    for face in FACES:
        for search in face.searches:
            handle = searching.handler(face, search)
            for method, path in (
                ("GET", face.get_path(search)),
                ("POST", face.post_path(search)),
            ):
                router.add_api_route(
                    path,
                    handle,
                    methods=[method],
                    response_class=Response,
                    **fhir_documented.search(face, search, method),
                )
        router.add_api_route(
            face.metadata,
            _statement(face, clock),
            methods=["GET"],
            response_class=Response,
            **fhir_documented.metadata(face),
        )
    return router


@dataclass(frozen=True, slots=True)
class _Searching:
    """What every search shares."""

    lookups: Lookups
    profile: nhs_number.NumberProfile

    def handler(self, face: Face, search: Search) -> Handle:
        """The handler of one search."""
        known = frozenset(one.sent for one in search.parameters)
        bare = face is PATIENT_FLAGS

        async def handle(request: Request) -> Response:
            trace = fhir_search.trace_id(request)
            given = await fhir_search.parameters(request, known)
            if bare:
                fhir_search.flag_code(given, "code")
            with_roles = fhir_search.with_roles(given)
            name = search.parameters[0].sent
            number = fhir_search.number(given, name, self.profile, bare=bare)
            seen = await self._look(request, number, _INTERFACES[face.base])
            cause = uuid.UUID(request.state.request_id)
            headers = {} if trace is None else {fhir_search.TRACE_ID: trace}
            if seen.answer == lookup.NOT_CHECKED:
                return _not_checked(cause, seen, headers)
            members = dict(seen.members)
            if search.resource == "AuditEvent":
                bundle = access_projection.access_bundle(
                    cause, number, members, with_roles=with_roles
                )
            elif search.resource == "CareTeam":
                bundle = flag_projection.team_bundle(cause, number, members)
            else:
                bundle = flag_projection.flag_bundle(cause, number, members)
            return _fhir(bundle, 200, headers)

        return handle

    async def _look(self, request: Request, number: str, interface: Interface) -> Seen:
        is_unscheduled = fhir_search.unscheduled(request)
        purpose, reason = fhir_search.purpose(request, is_unscheduled=is_unscheduled)
        who = await caller(request)
        seen = await self.lookups.look(
            Look(
                number=number,
                caller=who,
                purpose=purpose,
                reason=reason,
                unscheduled=is_unscheduled,
                request_id=request.state.request_id,
                interface=interface,
                traceparent=request.state.traceparent,
            )
        )
        if not seen.permitted:
            raise not_permitted(seen)
        return seen


def _statement(face: Face, clock: Clock) -> Handle:
    started = clock()

    async def metadata(_request: Request) -> Response:
        return _fhir(capability.statement(face, started), 200, {})

    return metadata


def _not_checked(cause: uuid.UUID, seen: Seen, headers: dict[str, str]) -> Response:
    """503, so that a client that looks only at the status cannot take it for an answer."""
    members = {"as_of": seen.as_of.isoformat(), **seen.members, "answer": lookup.NOT_CHECKED}
    outcome = flag_projection.lookup_outcome(Pen(cause, with_number=False), members)
    return _fhir(outcome, 503, {**headers, "Retry-After": "5"})


def _fhir(resource: Resource, status: int, headers: dict[str, str]) -> Response:
    return Response(orjson.dumps(resource), status, headers, CONTENT_TYPE)
