"""The health of a process."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from halyard.service import Service, _serve_health
from halyard.settings import Settings


async def probe(service: Service, request: bytes) -> tuple[int, bytes]:
    """Status and body of a raw request to the health server."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.health_port)
    writer.write(request)
    await writer.drain()
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return (int(head.split(b" ")[1]) if head else 0), body


async def get(service: Service, path: str) -> tuple[int, Any]:
    """Status and JSON of a path."""
    status, body = await probe(service, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    return status, orjson.loads(body)


async def test_health_follows_the_checks() -> None:
    """A check's reason makes the probe fail and is shown; without reason it passes."""
    service = Service("toy", Settings())
    server = await _serve_health(service)
    try:
        assert await get(service, "/readyz") == (
            503,
            {"service": "toy", "status": "fail", "reasons": {"process": "starting"}},
        )
        service.ready = True
        assert (await get(service, "/readyz"))[0] == 200
        reasons: list[str | None] = [None]
        service.add_liveness("feed", lambda: reasons[0])
        assert (await get(service, "/livez"))[0] == 200
        reasons[0] = "stands still"
        status, body = await get(service, "/livez?x=1")
        assert (status, body["reasons"]) == (503, {"feed": "stands still"})
        service.add_readiness("broker", lambda: "away")
        assert (await get(service, "/readyz"))[1]["reasons"] == {"broker": "away"}
        service.stopping.set()
        assert not service.ready
        assert "process" in (await get(service, "/readyz"))[1]["reasons"]
    finally:
        server.close()
        await service.cancel_parts()


async def test_the_health_server_answers_nothing_else() -> None:
    """Other paths are 404, other methods 405, noise gets no answer."""
    service = Service("toy", Settings())
    server = await _serve_health(service)
    try:
        assert (await probe(service, b"GET / HTTP/1.1\r\n\r\n"))[0] == 404
        assert (await probe(service, b"POST /livez HTTP/1.1\r\n\r\n"))[0] == 405
        assert (await probe(service, b"\x00" * 20_000))[0] == 0
        status, body = await probe(service, b"GET /metrics HTTP/1.1\r\n\r\n")
        assert status == 200
        assert isinstance(body, bytes)
    finally:
        server.close()
        await service.cancel_parts()
