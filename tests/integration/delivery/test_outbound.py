"""Deliveries to addresses inside a network that the hub may not call, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from connectors.hl7v2.sender import Hl7v2Sender
from connectors.sending import Delivered, Message, Result, Retry, Target
from connectors.webhook.sender import WebhookSender
from halyard.ids import derive
from halyard.outbound import ANYWHERE, Outbound
from tests.integration.delivery.test_sender import MESSAGE, NOW, SECRET

PUBLIC = Outbound(())
FORBIDDEN = Retry("forbidden-address", destination_down=True)


@pytest.fixture
async def inside() -> AsyncIterator[tuple[int, list[str]]]:
    """Something on this machine that answers 200 to whatever calls; its port, and who called."""
    callers: list[str] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(str(writer.get_extra_info("peername")))
        await reader.read(65_536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], callers


async def post(host: str, port: int, outbound: Outbound) -> Result:
    """One webhook there."""
    async with WebhookSender(
        lambda: NOW, timeout_seconds=2, max_connections=1, outbound=outbound
    ) as sender:
        return await sender.send(Target("one", f"http://{host}:{port}/", SECRET), MESSAGE)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_a_webhook_into_the_hubs_own_network_is_never_connected(
    inside: tuple[int, list[str]], host: str
) -> None:
    """Neither by number nor by a name that stands for one: nothing reaches what listens there."""
    port, callers = inside
    assert await post(host, port, PUBLIC) == FORBIDDEN
    assert callers == []
    assert await post(host, port, ANYWHERE) == Delivered("status-200")
    assert len(callers) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_an_hl7_message_into_the_hubs_own_network_is_never_connected(
    inside: tuple[int, list[str]], host: str
) -> None:
    """The same for listeners of hospitals' systems."""
    port, callers = inside
    message = Message(
        delivery_id=derive("delivery", "outbound"),
        event="receipt",
        version="1",
        body=(
            b'{"schema":"halyard.receipt.v1","alert_id":"7b0c1f5e-7c1d-5d3e-8f5a-0a4b5c6d7e8f",'
            b'"version":2,"rung":"accepted","at":"2026-03-01T12:00:00Z","authority":{"gss":'
            b'"E08000019","name":"Sheffield"},"hospital":{"ods":"RCB55","name":"York"},'
            b'"by":"A Duty","answer":"on the way"}'
        ),
        traceparent="",
    )
    target = Target("one", f"mllp://{host}:{port}", None, "PAS", "RCB")
    async with Hl7v2Sender(timeout_seconds=2, outbound=PUBLIC) as sender:
        assert await sender.send(target, message) == FORBIDDEN
    assert callers == []
