"""``POST /flags/query``: is this child (or mother) protected, by whom, whom to ring?"""

from __future__ import annotations

import asyncio
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from flag_service import lookup
from halyard import nhs_number
from halyard.clock import Clock
from halyard.errors import HalyardError
from halyard.http import HttpProblem, organisation, problem
from halyard.postgres import Pool, transaction
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import get_logger
from stores import coverage, flags, known
from stores.directory import Directory

LOOKUP_SECONDS: Final = 3.0  # a person waits for it

Caller = Annotated[str, Depends(organisation)]

log = get_logger()


class FlagsQuery(BaseModel):
    """The number stands in the body, never in a URL."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, hide_input_in_errors=True)

    nhs_number: str = Field(min_length=1, max_length=20, repr=False)


def make_router(
    settings: Settings, pool: Pool, keys: Keys, directory: Directory, clock: Clock
) -> APIRouter:
    """The look-up of flags."""
    router = APIRouter()
    profile = nhs_number.profile_for(settings.profile)

    @router.post("/flags/query", response_model=None)
    async def query(caller: Caller, body: FlagsQuery) -> dict[str, Any] | Response:
        if caller not in directory.hospitals and caller not in directory.authorities:
            raise HttpProblem(
                403,
                "Only hospitals and local authorities may ask",
                "Use the token of an organisation that the hub's directory names as one.",
                rule="flags.not_allowed",
            )
        result = nhs_number.parse(body.nhs_number, profile=profile)
        if result.number is None:
            raise HttpProblem(
                422,
                "Not a usable NHS number",
                "Check the number with the person or the record it came from.",
                rule=result.rule,
                place="body.nhs_number",
            )
        now = clock()
        try:
            async with asyncio.timeout(LOOKUP_SECONDS):
                held = await _held(pool, keys.person(result.number))
        except (HalyardError, TimeoutError) as error:
            log.error("lookup_failed", exc_info=error)
            return _not_checked({"reason": "the-store-did-not-answer", "as_of": now.isoformat()})
        found = lookup.answer(held, directory, caller=caller, now=now)
        return _not_checked(found) if found["answer"] == lookup.NOT_CHECKED else found

    return router


async def _held(pool: Pool, person: str) -> lookup.Held:
    async with transaction(pool) as connection:
        return lookup.Held(
            flags=await flags.of_persons(connection, [person]),
            coverage=await coverage.coverage(connection),
            number_known=await coverage.number_is_known(connection, person),
            death_noted=await known.death_noted(connection, person),
        )


def _not_checked(members: dict[str, Any]) -> Response:
    """503, so that a client that looks only at the status cannot take it for an answer."""
    return problem(
        503,
        "Could not be checked",
        "This says nothing about the child. Ask again; until then follow your local procedure as "
        "if the system were down.",
        rule="flags.could_not_be_checked",
        headers={"Retry-After": "5"},
        extras={**members, "answer": lookup.NOT_CHECKED},
    )
