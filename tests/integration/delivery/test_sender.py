"""The webhook sender against raw sockets: what each misbehaviour of a receiver means."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from connectors.sending import Delivered, Message, Refused, Result, Retry, Target
from connectors.webhook.sender import WebhookSender
from connectors.webhook.signature import verify

SECRET = "practice"  # pragma: allowlist secret
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MESSAGE = Message(
    delivery_id=uuid.UUID("7b0c1f5e-7c1d-5d3e-8f5a-0a4b5c6d7e8f"),
    event="alert",
    version="1",
    body=b'{"schema":"halyard.alert.v1"}',
    traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_server(answer: Answer, requests: list[bytes]) -> AsyncIterator[str]:
    """A server that reads one request whole and answers as told; gives its URL."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length:")
            )
            requests.append(head + await reader.readexactly(length))
            await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the sender went away, which some of these tests are about
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"


async def attempt(answer: Answer, *, seconds: float = 2.0) -> Result:
    """One attempt at a server that answers so."""
    async with raw_server(answer, []) as url, sender(seconds) as one:
        return await one.send(Target("authority", url, SECRET), MESSAGE)


def sender(seconds: float = 2.0) -> WebhookSender:
    """A sender whose clock stands still."""
    return WebhookSender(lambda: NOW, timeout_seconds=seconds, max_connections=2)


def says(text: bytes) -> Answer:
    """Answers with these bytes and closes."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(text)
        await writer.drain()

    return answer


def status(line: str, *headers: str) -> bytes:
    """A response without a body."""
    return "\r\n".join([f"HTTP/1.1 {line}", *headers, "Content-Length: 0", "", ""]).encode()


@pytest.mark.parametrize(
    ("line", "headers", "result"),
    [
        ("200 OK", (), Delivered("status-200")),
        ("202 Accepted", (), Delivered("status-202")),
        ("204 No Content", (), Delivered("status-204")),
        (
            "301 Moved Permanently",
            ("Location: http://127.0.0.1:1/",),
            Retry("status-301", destination_down=True),
        ),
        ("307 Temporary Redirect", (), Retry("status-307", destination_down=True)),
        ("400 Bad Request", (), Refused("status-400")),
        ("401 Unauthorized", (), Retry("status-401", destination_down=True)),
        ("403 Forbidden", (), Retry("status-403", destination_down=True)),
        ("404 Not Found", (), Retry("status-404", destination_down=True)),
        ("405 Method Not Allowed", (), Retry("status-405", destination_down=True)),
        ("410 Gone", (), Retry("status-410", destination_down=True)),
        ("421 Misdirected Request", (), Retry("status-421", destination_down=True)),
        ("409 Conflict", (), Refused("status-409")),
        ("413 Content Too Large", (), Refused("status-413")),
        ("415 Unsupported Media Type", (), Refused("status-415")),
        ("418 Teapot", (), Refused("status-418")),
        ("422 Unprocessable Content", (), Refused("status-422")),
        ("408 Request Timeout", (), Retry("status-408", destination_down=False)),
        ("429 Too Many Requests", (), Retry("status-429", destination_down=True)),
        ("429 Slow Down", ("Retry-After: 7",), Retry("status-429", True, 7.0)),
        (
            "503 Service Unavailable",
            ("Retry-After: Sun, 01 Mar 2026 12:00:30 GMT",),
            Retry("status-503", True, 30.0),
        ),
        ("503 Service Unavailable", ("Retry-After: soon",), Retry("status-503", True)),
        ("500 Internal Server Error", (), Retry("status-500", destination_down=True)),
    ],
)
async def test_what_a_status_means(line: str, headers: tuple[str, ...], result: Result) -> None:
    """2xx is delivered; 5xx, 429, 408 and what speaks of the destination (redirects, a wrong
    secret or path) come again; every other 4xx is a refusal of this message.
    """
    assert await attempt(says(status(line, *headers))) == result


async def test_a_connection_closed_without_an_answer_is_tried_again() -> None:
    """The fate of the webhook is unknown: retry, and the destination is in question."""
    assert await attempt(says(b"")) == Retry("broken", destination_down=True)


async def test_noise_instead_of_http_is_tried_again() -> None:
    """An answer that is not HTTP is a fault of the connection."""
    assert await attempt(says(b"MSH|^~\\&|\r\r\n\r\n")) == Retry("broken", destination_down=True)


async def test_silence_ends_at_the_time_out() -> None:
    """A receiver that says nothing costs the time-out and no more."""

    async def silence(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(5)

    started = asyncio.get_running_loop().time()
    assert await attempt(silence, seconds=0.2) == Retry("timeout", destination_down=True)
    assert asyncio.get_running_loop().time() - started < 2


async def test_a_slow_drip_of_header_bytes_ends_at_the_time_out() -> None:
    """The time-out is for the whole attempt, not for each byte."""

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(50):
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.05)

    assert await attempt(drip, seconds=0.3) == Retry("timeout", destination_down=True)


async def test_the_status_is_the_answer_whatever_the_body_does() -> None:
    """A 200 counts when its body never ends, is huge, or breaks off."""

    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        for _ in range(200):
            writer.write(b"x" * 100_000)
            await writer.drain()

    async def hanging(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1")
        await writer.drain()
        await asyncio.sleep(5)

    assert await attempt(endless) == Delivered("status-200")
    assert await attempt(hanging, seconds=0.3) == Delivered("status-200")
    assert await attempt(says(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n1")) == Delivered(
        "status-200"
    )


async def test_nobody_listens() -> None:
    """A refused connection questions the destination."""
    async with raw_server(says(b""), []) as url:
        pass
    async with sender() as one:
        result = await one.send(Target("authority", url, SECRET), MESSAGE)
    assert result == Retry("connect", destination_down=True)


async def test_a_kept_connection_that_the_server_closed_is_no_fault() -> None:
    """The server closes after each answer without saying so; the next request goes over a new
    connection within the same attempt.
    """
    requests: list[bytes] = []
    async with raw_server(says(status("200 OK")), requests) as url, sender() as one:
        for _ in range(5):
            assert await one.send(Target("authority", url, SECRET), MESSAGE) == Delivered(
                "status-200"
            )
    assert len(requests) == 5


async def test_c16_each_attempt_is_signed_anew_under_one_delivery_id() -> None:
    """Two attempts: same id and body bytes, each its own timestamp and signature; both verify."""
    requests: list[bytes] = []
    now = NOW
    async with (
        raw_server(says(status("503 Service Unavailable")), requests) as url,
        WebhookSender(lambda: now, timeout_seconds=2, max_connections=1) as one,
    ):
        target = Target("authority", url, SECRET)
        await one.send(target, MESSAGE)
        now += timedelta(hours=2)
        await one.send(target, MESSAGE)
    first, second = (_parsed(request) for request in requests)
    assert first[1] == second[1] == MESSAGE.body
    assert first[0]["halyard-delivery"] == second[0]["halyard-delivery"] == str(MESSAGE.delivery_id)
    assert first[0]["halyard-timestamp"] != second[0]["halyard-timestamp"]
    assert first[0]["halyard-signature"] != second[0]["halyard-signature"]
    for (headers, body), at in ((first, NOW), (second, now)):
        verified = verify(headers, body, SECRET, at)
        assert (verified.event, verified.version) == ("alert", "1")
        assert headers["traceparent"] == MESSAGE.traceparent
        assert headers["content-type"] == "application/json"


async def test_a_letter_says_that_it_is_fhir() -> None:
    """The Content-Type of a message is its own."""
    requests: list[bytes] = []
    letter = replace(MESSAGE, content_type="application/fhir+json")
    async with raw_server(says(status("200 OK")), requests) as url, sender() as one:
        await one.send(Target("hospital", url, SECRET), letter)
    headers, _ = _parsed(requests[0])
    assert headers["content-type"] == "application/fhir+json"


async def test_the_result_and_its_parts_never_show_secret_url_or_body() -> None:
    """What a traceback or a log line could print of an attempt holds nothing secret."""
    shown = repr((Target("authority", "http://10.0.0.1/hook", SECRET), MESSAGE))
    assert SECRET not in shown
    assert "10.0.0.1" not in shown
    assert "schema" not in shown


def _parsed(request: bytes) -> tuple[dict[str, str], bytes]:
    head, _, body = request.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")[1:]
    pairs = (line.split(":", 1) for line in lines)
    return {name.lower(): value.strip() for name, value in pairs}, body
