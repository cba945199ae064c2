"""``GET /me``: who the hub takes the caller for, and what it may do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends

from flag_service.authorising import refusal_of
from flag_service.matrix import ANYBODY, MATRIX, Line
from flag_service.shapes import Me
from halyard.caller import Caller
from halyard.http import caller as asking
from stores.directory import Directory


def make_router(directory: Directory, table: Sequence[Line] = MATRIX) -> APIRouter:
    """The route."""
    router = APIRouter()

    @router.get(
        "/me",
        tags=["access"],
        summary="Who you are here, and what you may do",
        responses={200: {"model": Me}},
    )
    async def me(caller: Annotated[Caller, Depends(asking)]) -> dict[str, Any]:
        return {
            "organisation": caller.organisation,
            "organisation_name": directory.name_of(caller.organisation),
            "subject": caller.subject,
            "name": caller.name,
            "person": caller.person,
            "job_role": caller.job_role,
            "credential": caller.credential,
            "expires_at": caller.expires_at.isoformat() if caller.expires_at else None,
            "roles": sorted(caller.roles),
            "may": [
                {
                    "method": line.method,
                    "route": line.route,
                    "right": line.right.value,
                    "scope": line.scope.value,
                    "purpose": line.purpose is not None,
                }
                for line in table
                if line.who != ANYBODY and refusal_of(line, caller, directory.kinds_of) is None
            ],
        }

    return router
