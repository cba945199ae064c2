"""The practice authority and hospital contact as processes run them."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx
import pytest

from connectors.sending import Delivered, Message, Retry, Target
from connectors.webhook.sender import WebhookSender
from halyard.clock import system_clock
from halyard.embedded.datadir import free_ports
from halyard.errors import ConfigurationError
from halyard.service import Service
from halyard.settings import Settings
from sandbox.hospital_contact.app import run as run_contact
from sandbox.local_authority.app import Hub
from sandbox.local_authority.app import run as run_authority
from tests.integration.delivery.practice import SECRET, receiving
from tests.support.waiting import aeventually

Run = Callable[..., Awaitable[None]]


@dataclass(slots=True)
class Stub:
    """As much of a service as a practice receiver uses."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = False


@asynccontextmanager
async def practice(run: Run, path: Path | None, **more: object) -> AsyncIterator[str]:
    """One practice receiver, ready; gives its base URL."""
    (port,) = free_ports(1)
    stub = Stub()
    work = asyncio.ensure_future(
        run(
            cast("Service", stub),
            Settings(),
            name="practice",
            port=port,
            secret=SECRET,
            journal_path=path,
            **more,
        )
    )
    await aeventually(lambda: stub.ready or work.done())
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        stub.stopping.set()
        await work
    assert not stub.ready


def message(kind: str) -> Message:
    """A small webhook."""
    body = json.dumps({"schema": f"halyard.{kind}.v1", "alert_id": "a", "version": 1}).encode()
    return Message(uuid.uuid4(), kind, "1", body, "")


@pytest.mark.parametrize(("run", "kind"), [(run_authority, "alert"), (run_contact, "match")])
async def test_a_practice_receiver_takes_a_signed_webhook_and_journals_it(
    tmp_path: Path, run: Run, kind: str
) -> None:
    """200 for a signed one, 401 for a stranger's; the journal file has the one line."""
    path = tmp_path / "journal.jsonl"
    async with (
        practice(run, path) as url,
        WebhookSender(system_clock, timeout_seconds=5, max_connections=1) as sender,
    ):
        sent = message(kind)
        assert await sender.send(Target("x", f"{url}/webhook", SECRET), sent) == Delivered(
            "status-200"
        )
        wrong = await sender.send(Target("x", f"{url}/webhook", "wrong"), message(kind))
        assert wrong == Retry("status-401", destination_down=True)
    (line,) = path.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["delivery_id"], entry["kind"], entry["body"]["version"]) == (
        str(sent.delivery_id),
        kind,
        1,
    )


async def test_a_taken_port_is_said() -> None:
    """The sentence names the port and what to do."""
    async with receiving() as other:
        with pytest.raises(ConfigurationError, match=str(other.port)):
            await run_contact(
                cast("Service", Stub()), Settings(), name="c", port=other.port, secret=SECRET
            )


async def test_accepting_passes_the_hubs_answer_on() -> None:
    """A hub that is away gives 502, a wrong order 422, and no token is shown."""
    (closed,) = free_ports(1)
    hub = Hub(f"http://127.0.0.1:{closed}", "token")
    async with practice(run_authority, None, hub=hub) as url, httpx.AsyncClient() as http:
        order = {"alert_id": str(uuid.uuid4()), "by": "duty", "answer": "coming"}
        away = await http.post(f"{url}/sandbox/accept", json=order)
        assert away.status_code == 502
        wrong = await http.post(f"{url}/sandbox/accept", json={"alert_id": "x"})
        assert wrong.status_code == 422
    assert "token" not in repr(hub)
