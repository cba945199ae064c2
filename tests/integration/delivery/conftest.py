"""A dispatcher with real receivers on loopback and a real PostgreSQL of the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest

from connectors.hl7v2.sender import Hl7v2Sender
from connectors.webhook.sender import WebhookSender
from halyard.clock import system_clock
from halyard.postgres import Pool, make_pool
from halyard.settings import DeliverySettings
from policies.model import Policies
from stores.directory import Directory
from streams.delivery.dispatcher import Dispatcher
from streams.delivery.listener import listen
from tests.integration.delivery.practice import SECRET, Bus, desk_of, make_settings, quick


@pytest.fixture
async def pool(database_url: str) -> AsyncIterator[Pool]:
    """Connections of the app role to a fresh database."""
    made = make_pool(make_settings(database_url), name="test")
    await made.open()
    yield made
    await made.close()


Dispatching = Callable[..., Awaitable[Dispatcher]]


@pytest.fixture
async def bus() -> Bus:
    """The bus as the dispatcher sees it."""
    return Bus()


@pytest.fixture
async def dispatching(pool: Pool, bus: Bus, database_url: str) -> AsyncIterator[Dispatching]:
    """Starts dispatchers; each is stopped, gracefully, at the end of the test."""
    stopping = asyncio.Event()
    tasks: list[asyncio.Task[None]] = []
    async with AsyncExitStack() as stack:

        async def start(
            directory: Directory,
            settings: DeliverySettings | None = None,
            *,
            hears: bool = False,
            stop: asyncio.Event | None = None,
            policies: Policies | None = None,
        ) -> Dispatcher:
            settings = settings or quick()
            webhooks = await stack.enter_async_context(
                WebhookSender(
                    system_clock,
                    timeout_seconds=settings.timeout_seconds,
                    max_connections=settings.concurrency,
                )
            )
            hl7 = await stack.enter_async_context(
                Hl7v2Sender(
                    timeout_seconds=settings.mllp_timeout_seconds,
                    connections=settings.mllp_connections,
                )
            )
            dispatcher = Dispatcher(
                pool=pool,
                webhooks=webhooks,
                hl7=hl7,
                send=bus.send,
                desk=desk_of(directory, policies),
                secrets={"practice": SECRET},
                settings=settings,
                clock=system_clock,
                random=lambda: 0.5,
                listen=(lambda hint: listen(database_url, hint)) if hears else None,
            )
            tasks.append(asyncio.create_task(dispatcher.run(stop or stopping, stop_seconds=8.0)))
            return dispatcher

        yield start
        stopping.set()
        for task in tasks:
            await task
