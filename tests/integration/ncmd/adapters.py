"""The adapters of the port, each as the behaviour suite needs it."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Protocol, cast

from pydantic import SecretStr

from connectors.ncmd.client import Client
from connectors.ncmd.message import builder
from connectors.ncmd.port import Port, StorePort
from connectors.ncmd.sender import Sender
from halyard.clock import system_clock
from halyard.postgres import Pool, make_pool
from halyard.service import Service
from halyard.settings import NcmdSettings, Settings
from sandbox.ncmd.app import Receiver, run
from sandbox.ncmd.receiver import Inbox
from schemas.deaths import CaseChanged
from schemas.topics import CASE_CHANGED
from tests.integration.ncmd.rig import Rig
from tests.support.ncmd_ports import Held, MemoryPort

TOKEN = "practice-token"  # pragma: allowlist secret


class Adapter(Protocol):
    """A port, and how its state is seen."""

    @property
    def port(self) -> Port:
        """The adapter itself."""

    async def held(self) -> Held:
        """What a reader sees in the end."""


@dataclass(slots=True)
class InMemory:
    """The port over dictionaries."""

    port: MemoryPort = field(default_factory=MemoryPort)

    async def held(self) -> Held:
        return await self.port.held()


@dataclass(slots=True)
class InStore:
    """The PostgreSQL store."""

    rig: Rig
    port: StorePort

    async def held(self) -> Held:
        rows = self.rig.query("select case_id, version, state from ncmd.cases")
        return {
            row["case_id"]: (row["version"], "voided" if row["state"] == "VOIDED" else "held")
            for row in rows
        }


@dataclass(slots=True)
class OverHttp:
    """The store with submissions, and the practice receiver at the other end."""

    rig: Rig
    port: StorePort
    sender: Sender
    inbox: Inbox

    async def held(self) -> Held:
        await self.drain()
        return {
            uuid.UUID(case_id): (case.version, case.state)
            for case_id, case in self.inbox.cases.items()
        }

    async def drain(self, seconds: float = 20) -> None:
        """Send until nothing is due now or soon."""
        async with asyncio.timeout(seconds):
            while self.rig.query(
                "select 1 from ncmd.submissions where state in ('pending', 'sent') limit 1"
            ):
                if not await self.sender.once():
                    await asyncio.sleep(0.01)

    def states(self) -> list[tuple[int, str]]:
        """Version and state of each submission, in order."""
        rows = self.rig.query(
            "select version, state from ncmd.submissions order by case_id, version"
        )
        return [(row["version"], row["state"]) for row in rows]


def project(event: CaseChanged) -> dict[str, Any]:
    """A projection small enough for these tests; the real one has tests of its own."""
    return {
        "resourceType": "Bundle",
        "type": "collection",
        "identifier": {"system": "urn:test", "value": f"{event.case_id}/{event.version}"},
    }


@contextlib.asynccontextmanager
async def pool_of(rig: Rig, size: int = 4) -> AsyncIterator[Pool]:
    """A pool of the store's role."""
    async with make_pool(rig.settings, name="test", size=size, schema="ncmd") as pool:
        yield pool


@contextlib.asynccontextmanager
async def receiving(receiver: Receiver) -> AsyncIterator[str]:
    """The practice receiver in this loop; gives its address."""
    service = SimpleNamespace(stopping=asyncio.Event(), ready=False)
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.ensure_future(
        run(
            cast("Service", service),
            Settings(),
            port=0,
            receiver=receiver,
            on_ready=ready.set_result,
        )
    )
    try:
        yield f"http://127.0.0.1:{await asyncio.wait_for(ready, 10)}"
    finally:
        service.stopping.set()
        await asyncio.wait_for(task, 10)


@contextlib.asynccontextmanager
async def over_http(rig: Rig, **changes: Any) -> AsyncIterator[OverHttp]:
    """The store, a sender and the practice receiver; pauses are short unless `changes` say so."""
    inbox = Inbox()
    receiver = Receiver(inbox, TOKEN, slow_seconds=1.0)
    short: dict[str, Any] = {
        "submit_first_retry_seconds": 0.01,
        "submit_max_retry_seconds": 0.05,
        "submit_poll_seconds": 0.01,
        "submit_breaker_seconds": 0.01,
        "submit_timeout_seconds": 0.5,
        **changes,
    }
    async with receiving(receiver) as url, pool_of(rig) as pool:
        settings = NcmdSettings.model_validate(
            {**rig.settings.ncmd.model_dump(), "submit_url": url, **short}
        )
        async with Client(
            url, SecretStr(TOKEN), timeout_seconds=settings.submit_timeout_seconds
        ) as client:
            sender = Sender(
                settings,
                pool=pool,
                receiver=client,
                build=builder(project),
                clock=system_clock,
                transient_seconds=10,
            )
            port = StorePort(
                pool, topic=CASE_CHANGED, clock=system_clock, submit=True, on_filed=sender.wake
            )
            yield OverHttp(rig, port, sender, inbox)


@contextlib.asynccontextmanager
async def adapter(kind: str, rig: Rig) -> AsyncIterator[Adapter]:
    """``store`` or ``http``."""
    if kind == "store":
        async with pool_of(rig) as pool:
            yield InStore(rig, StorePort(pool, topic=CASE_CHANGED, clock=system_clock))
    else:
        async with over_http(rig) as made:
            yield made
