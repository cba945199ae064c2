"""``/livez``, ``/readyz`` and ``/_status`` (in the form of NHS APIs): open, and without data."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

from fastapi import APIRouter
from starlette.responses import JSONResponse

from flag_service.shapes import Livez, Readyz, Status
from halyard.errors import HalyardError
from halyard.postgres import Pool, transaction

OPEN_PATHS: Final = ("/livez", "/readyz", "/_status")
WATCH_SECONDS: Final = 2.0

Wrong = Callable[[], Awaitable[str | None]]
"""Gives the reason why a part cannot be used now, or None."""


@dataclass(slots=True)
class Health:
    """What is known of the parts this face needs; refreshed by `watch`, read by everybody.

    Reasons by part; before the first look a part is "not looked at yet".
    """

    parts: dict[str, Wrong]
    reasons: dict[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.reasons = dict.fromkeys(self.parts, "not looked at yet")

    def failing(self) -> dict[str, str]:
        """Reasons of the parts that cannot be used."""
        return {part: reason for part, reason in self.reasons.items() if reason is not None}

    async def look(self) -> None:
        """Ask every part once."""
        for part, wrong in self.parts.items():
            self.reasons[part] = await wrong()

    async def watch(self, stopping: asyncio.Event) -> None:
        """Ask every part again and again until `stopping`."""
        while not stopping.is_set():
            await self.look()
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                continue


async def database_wrong(pool: Pool) -> str | None:
    """Why PostgreSQL cannot be used now, or None."""
    try:
        async with asyncio.timeout(3), transaction(pool) as connection:
            await connection.execute("select 1 from migration limit 1")
    except (HalyardError, TimeoutError):
        return "PostgreSQL does not answer"
    return None


def make_router(health: Health) -> APIRouter:
    """The three routes."""
    router = APIRouter()

    @router.get("/livez", tags=["status"], summary="It runs", responses={200: {"model": Livez}})
    async def livez() -> dict[str, Any]:
        return {"status": "pass"}

    @router.get(
        "/readyz",
        tags=["status"],
        summary="Whether it can do its work",
        responses={200: {"model": Readyz}, 503: {"model": Readyz, "description": "It cannot."}},
    )
    async def readyz() -> JSONResponse:
        failing = health.failing()
        body = {"status": "fail" if failing else "pass", "reasons": failing}
        return JSONResponse(body, 503 if failing else 200)

    @router.get(
        "/_status",
        tags=["status"],
        summary="Its parts, in the form of NHS APIs",
        responses={200: {"model": Status}},
    )
    async def status() -> dict[str, Any]:
        failing = health.failing()
        # One part away leaves the other's work: uploads need no database, look-ups no broker
        worst = "pass" if not failing else "warn" if len(failing) < len(health.parts) else "fail"
        return {
            "status": worst,
            "version": version("halyard"),
            "checks": {
                f"{part}:status": [
                    {"status": "fail" if reason else "pass", "outcome": reason or "answers"}
                ]
                for part, reason in health.reasons.items()
            },
        }

    return router
