"""A practice receiver of webhooks: verifies, remembers, answers, and misbehaves on demand.

What `sandbox.local_authority` and `sandbox.hospital_contact` share:

- ``POST /webhook``  checks signature and time; a delivery id it knows gets 200 and is not taken
  twice (each arrival on the wire is in the journal all the same, marked as a repeat);
- ``GET /received``  the journal, oldest first; ``?alert_id=`` and ``?kind=`` narrow it;
- ``POST /sandbox/faults``  ``{"mode": "500", "count": 3}``: how to misbehave for the next `count`
  webhooks (for ever if there is none). ``slow`` and ``close`` take the webhook and lose the
  answer; ``500`` and ``refuse`` (422) do not take it; ``wrong-secret`` checks the signature with
  another secret, so that it answers 401; ``duplicates`` takes it (what else it means, the
  authority says); ``ok`` ends it all.

The journal is kept in memory and, if a path is given, as JSON lines that outlive a SIGKILL of
this process. Nothing is logged: bodies name children.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC
from pathlib import Path
from typing import Any, Protocol, cast

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.webhook.signature import WebhookRefused, verify
from halyard import telemetry
from halyard.clock import Clock, system_clock
from halyard.errors import ConfigurationError

WRONG_SECRET, DUPLICATES = "wrong-secret", "duplicates"
MODES = frozenset({"ok", "500", "slow", "close", "refuse", WRONG_SECRET, DUPLICATES})
MAX_BODY_BYTES = 1_000_000
CLOSE = "halyard.close"
_TAKES = frozenset({"ok", "slow", "close", DUPLICATES})  # modes in which the webhook is taken

log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Received:
    """One webhook as it came over the wire."""

    delivery_id: str
    alert_id: str
    version: int
    kind: str
    received_at: str
    repeat: bool  # its delivery id was known already
    traceparent: str
    answer: str  # what this receiver did: a mode
    body_sha256: str  # repeats must be the same bytes
    body: dict[str, Any] = field(repr=False)


@dataclass(slots=True)
class Receiver:
    """What the receiver has received, and how it behaves."""

    secret: str | tuple[str, ...] = field(repr=False)
    journal_path: Path | None = None
    clock: Clock = system_clock
    slow_seconds: float = 10.0
    received: list[Received] = field(default_factory=list, repr=False)
    refused: int = 0  # webhooks that failed verification
    on_taken: Callable[[Received], None] | None = None  # told of each that was not known
    _known: set[str] = field(default_factory=set, repr=False)
    _mode: str = "ok"
    _left: int | None = None

    def __post_init__(self) -> None:
        """Read what an earlier run of the same receiver has taken."""
        if self.journal_path is None or not self.journal_path.exists():
            return
        for line in self.journal_path.read_bytes().splitlines():
            try:
                entry = Received(**json.loads(line))
            except (ValueError, TypeError):
                continue  # the last line of a killed run may be cut
            self.received.append(entry)
            if entry.answer in _TAKES:
                self._known.add(entry.delivery_id)

    def misbehave(self, mode: str, count: int | None = None) -> None:
        """Answer the next `count` webhooks by `mode`; None: until told otherwise."""
        if mode not in MODES:
            raise ConfigurationError(f"No mode {mode!r}; take one of {', '.join(sorted(MODES))}.")
        self._mode, self._left = mode, count

    @property
    def duplicates(self) -> bool:
        """Whether it was told to do everything twice."""
        return self._mode == DUPLICATES

    async def webhook(self, request: Request) -> Response:
        """``POST /webhook``."""
        body = await _body(request)
        if body is None:
            return JSONResponse({"title": "body too large"}, 413)
        secret = self.secret
        if self._mode == WRONG_SECRET:
            self._next_mode()
            secret = f"not {secret}"
        try:
            verified = verify(request.headers, body, secret, self.clock())
            content = json.loads(body)
            if content.get("resourceType") == "Bundle":  # a letter: its own id stands for it
                alert_id, version = str(content["id"]), 1
            elif "access_id" in content:  # a notice that somebody looked
                alert_id, version = str(content["access_id"]), int(content["version"])
            else:
                alert_id, version = str(content["alert_id"]), int(content["version"])
        except WebhookRefused as error:
            self.refused += 1
            return JSONResponse({"title": error.message, "rule": error.rule}, 401)
        except (ValueError, KeyError, TypeError, AttributeError):
            self.refused += 1
            return JSONResponse({"title": "the body is not a payload that is known here"}, 400)
        delivery_id = str(verified.delivery_id)
        mode = self._next_mode()
        entry = Received(
            delivery_id=delivery_id,
            alert_id=alert_id,
            version=version,
            kind=verified.event,
            received_at=self.clock().astimezone(UTC).isoformat(),
            repeat=delivery_id in self._known,
            traceparent=request.headers.get("traceparent", ""),
            answer=mode,
            body_sha256=hashlib.sha256(body).hexdigest(),
            body=content,
        )
        self._remember(entry)
        if mode in _TAKES:
            if delivery_id not in self._known and self.on_taken is not None:
                self.on_taken(entry)
            self._known.add(delivery_id)
        if mode == "slow":
            await asyncio.sleep(self.slow_seconds)
        elif mode == "close":
            cast("Callable[[], None]", request.scope[CLOSE])()
        elif mode == "500":
            return Response(status_code=500)
        elif mode == "refuse":
            return JSONResponse({"title": "refused, as told"}, 422)
        return JSONResponse({"delivery_id": delivery_id}, 200)

    def _next_mode(self) -> str:
        mode = self._mode
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self._mode, self._left = "ok", None
        return mode

    def _remember(self, entry: Received) -> None:
        self.received.append(entry)
        if self.journal_path is not None:
            line = json.dumps(asdict(entry), sort_keys=True, separators=(",", ":")) + "\n"
            with self.journal_path.open("a", encoding="utf-8") as journal:
                journal.write(line)

    async def list_received(self, request: Request) -> Response:
        """``GET /received``."""
        wanted = request.query_params
        rows = [
            asdict(entry)
            for entry in self.received
            if wanted.get("alert_id") in (None, entry.alert_id)
            and wanted.get("kind") in (None, entry.kind)
        ]
        return JSONResponse({"received": rows, "refused": self.refused})

    async def faults(self, request: Request) -> Response:
        """``POST /sandbox/faults``."""
        try:
            asked = json.loads(await request.body())
            count = asked.get("count")
            self.misbehave(str(asked["mode"]), None if count is None else int(count))
        except (ValueError, KeyError, TypeError, AttributeError, ConfigurationError):
            return JSONResponse({"title": f"send mode ({', '.join(sorted(MODES))}) and count"}, 422)
        return JSONResponse({"mode": self._mode, "count": self._left})


def create_app(receiver: Receiver, *, more: list[BaseRoute] | None = None) -> ASGIApp:
    """The receiver as an ASGI application, with `more` routes."""
    routes: list[BaseRoute] = [
        Route("/webhook", receiver.webhook, methods=["POST"]),
        Route("/received", receiver.list_received, methods=["GET"]),
        Route("/sandbox/faults", receiver.faults, methods=["POST"]),
        Route("/livez", _live, methods=["GET"]),
        *(more or []),
    ]
    return Closable(Starlette(routes=routes))


async def _live(_request: Request) -> Response:
    return JSONResponse({"status": "pass"})


async def _body(request: Request) -> bytes | None:
    """The body, or None if it is larger than any payload."""
    parts = bytearray()
    try:
        async for chunk in request.stream():
            parts += chunk
            if len(parts) > MAX_BODY_BYTES:
                return None
    except ClientDisconnect:
        return b""
    return bytes(parts)


class Closable:
    """Lets a handler cut the connection without an answer, as a machine does that dies."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        closed = False

        def close() -> None:
            nonlocal closed
            closed = True
            # uvicorn's request cycle: ASGI itself has no word for this
            transport = getattr(getattr(receive, "__self__", None), "transport", None)
            if transport is not None:
                transport.abort()

        async def send_unless_closed(message: Any) -> None:
            if not closed:
                await send(message)

        scope[CLOSE] = close
        await self._app(scope, receive, send_unless_closed)
        while closed:
            # uvicorn must see the connection end before this returns: it would log an error
            if (await receive())["type"] == "http.disconnect":
                return


class StoppableService(Protocol):
    """What a practice server needs of the process it runs in (`halyard.service.Service`)."""

    stopping: asyncio.Event
    ready: bool


async def serve(
    app: ASGIApp,
    service: StoppableService,
    *,
    port: int,
    host: str | None = None,
    on_ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve `app` until the service stops; `on_ready` gets the port (0: any free one).

    On `host`, else ``HALYARD_SANDBOX_HOST`` (a container sets it), else loopback. No access log:
    bodies and paths stay here.

    Raises `ConfigurationError` if the port is taken.
    """
    listener = _listen(host or os.environ.get("HALYARD_SANDBOX_HOST", "127.0.0.1"), port)
    server = _Server(
        uvicorn.Config(
            app,
            http="h11",
            access_log=False,
            log_config=None,
            log_level="critical",
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
    with listener:
        work = asyncio.create_task(server.serve([listener]))
        stop = asyncio.create_task(service.stopping.wait())
        try:
            ready = asyncio.create_task(server.answers.wait())
            await asyncio.wait({work, ready}, return_when=asyncio.FIRST_COMPLETED)
            ready.cancel()
            service.ready = server.started
            if server.started:
                log.info("receiver_listens", port=listener.getsockname()[1])
                on_ready(listener.getsockname()[1])
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            await work
        finally:
            stop.cancel()
            work.cancel()
            service.ready = False


class _Server(uvicorn.Server):
    """Uvicorn that says when it answers, and leaves signals to the process it runs in."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.answers = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.answers.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    # asyncio sends without delay (TCP_NODELAY) only where it knows that this is TCP
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise ConfigurationError(
            f"Port {port} on {host} is taken; stop what uses it, or give the practice receiver "
            "another."
        ) from None
    listener.listen(128)
    return listener
