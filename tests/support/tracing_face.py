"""A face beside a tracer of batches and a practice PDS: what is asked over HTTP is answered."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import httpx

from halyard.clock import system_clock
from halyard.settings import Settings
from halyard.settings_tracing import TracingSettings
from policies.model import Policies
from streams.identity.changes import limits_of
from streams.tracer.batches import Batches
from streams.tracer.tracer import Tracer
from tests.support import identity as make
from tests.support.face import Hub, bearer, hub, settings
from tests.support.identity_world import World


@dataclass(slots=True)
class Desk:
    """The face, and the world behind it."""

    face: Hub
    world: World

    def client(self, organisation: str) -> httpx.AsyncClient:
        """Asks as a system of this organisation."""
        return httpx.AsyncClient(base_url=self.face.url, headers=bearer(organisation), timeout=20)

    async def entries(self, subject: str = "trace") -> list[dict[str, Any]]:
        """Audit entries about traces, in order."""
        rows = await self.world.rows("select body from audit_entries order by recorded_at, xid")
        bodies = [dict(row["body"]) for row in rows]
        return [one for one in bodies if str(one.get("subject", "")).startswith(subject)]


def made_settings(world: World, **tracing: Any) -> Settings:
    """Settings of a face on the world's database."""
    made = settings(database_url=world.database.url)
    return made.model_copy(update={"tracing": TracingSettings(**tracing)})


@contextlib.asynccontextmanager
async def desk(
    world: World, *, policies: Policies | None = None, answering: bool = True, **tracing: Any
) -> AsyncIterator[Desk]:
    """A face whose tracer answers, if `answering`."""
    made = made_settings(world, **tracing)
    limits = limits_of(world.settings, make.KEYS, make.directory())
    lives = made.tracing
    mine = Batches(
        world.pool, limits, system_clock, live=lives.live_requests, persons=lives.live_persons
    )
    asking = Tracer(
        world.pool, world.settings.pds, lambda _: world.client(), {"batch": mine.release}
    )
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(asking.run(stopping)), asyncio.create_task(mine.run())]
    if not answering:
        tasks[0].cancel()
        tasks[1].cancel()
    try:
        async with hub(made, connect=False, policies=policies) as running:
            yield Desk(running, world)
    finally:
        stopping.set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
