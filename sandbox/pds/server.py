"""The practice PDS as a server on loopback: in a process of its own, or in a thread for tests."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final, Self

import uvicorn

from halyard.errors import ConfigurationError, TransientError
from sandbox.pds.app import BASE_PATH, TOKEN_PATH, PracticePds, create_app
from sandbox.pds.kept import Kept
from sandbox.pds.people import Person
from sandbox.pds.settings import PdsSandboxSettings


class PdsNotReady(TransientError):
    """The practice PDS did not start in time; look at what it printed and start it again."""


class _Server(uvicorn.Server):
    """Uvicorn that says when it answers."""

    def __init__(
        self, config: uvicorn.Config, on_ready: Callable[[], None], *, take_signals: bool
    ) -> None:
        super().__init__(config)
        self._on_ready = on_ready
        self._take_signals = take_signals

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process this runs in, unless it is the process."""
        if not self._take_signals:
            yield
            return
        with super().capture_signals():
            yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_ready()


def serve(
    people: Iterable[Person],
    settings: PdsSandboxSettings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str], None] = lambda base_url: None,
) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready` gets the base URL when requests are answered.

    Port 0 takes any free one. Raises `ConfigurationError` if the port is taken.
    """
    listener = _listen(host, port)
    with listener:
        app = create_app(people, settings)
        server = _server(app, lambda: on_ready(base_url(listener)), take_signals=True)
        server.run(sockets=[listener])


async def serve_until(
    stopping: asyncio.Event,
    people: Iterable[Person],
    settings: PdsSandboxSettings | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    on_ready: Callable[[str], None] = lambda base_url: None,
    kept: Kept | None = None,
) -> None:
    """Serve in the running loop until `stopping` is set; signals stay the caller's.

    Raises `ConfigurationError` if the port is taken.
    """
    listener = _listen(host, port)
    with listener:
        app = create_app(people, settings, kept=kept)
        server = _server(app, lambda: on_ready(base_url(listener)), take_signals=False)
        work = asyncio.create_task(server.serve(sockets=[listener]))
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            server.should_exit = True
            await work
        finally:
            stop.cancel()
            work.cancel()


def base_url(listener: socket.socket) -> str:
    """Where a client finds the API behind a listening socket."""
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}{BASE_PATH}"


def token_url(base: str) -> str:
    """Where applications get their tokens, beside the API at `base`."""
    return base.removesuffix(BASE_PATH) + TOKEN_PATH


class PdsThread:
    """A practice PDS in a thread of this process: ``with PdsThread(people) as pds: pds.url``.

    `token_url` is its token endpoint.
    """

    def __init__(
        self,
        people: Iterable[Person],
        settings: PdsSandboxSettings | None = None,
        *,
        kept: Kept | None = None,
    ) -> None:
        self._listener = _listen("127.0.0.1", 0)
        self._ready = threading.Event()
        app = create_app(people, settings, kept=kept)
        self.pds: PracticePds = app.state.pds
        self.url = base_url(self._listener)
        self.token_url = token_url(self.url)
        self._server = _server(app, self._ready.set, take_signals=False)
        self._thread = threading.Thread(target=self._run, name="practice-pds", daemon=True)

    def _run(self) -> None:
        asyncio.run(self._server.serve(sockets=[self._listener]))

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(timeout=10):
            raise PdsNotReady
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)
        self._listener.close()


def _listen(host: str, port: int) -> socket.socket:
    # With its protocol named asyncio sends at once; else each answer waits 40 ms for an ACK
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise ConfigurationError(
            f"Port {port} on {host} is taken; stop what uses it, or give the practice PDS another."
        ) from None
    listener.listen(128)
    return listener


class _NotDropped(logging.Filter):
    """Without the server's complaint about answers that are dropped on purpose."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing response" not in record.getMessage()


_NOT_DROPPED: Final = _NotDropped()


class _Nothing(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return False


_NOTHING: Final = _Nothing()


def _server(app: object, on_ready: Callable[[], None], *, take_signals: bool) -> _Server:
    # No access log and no logging set-up: request lines carry numbers and names. The option alone
    # only takes the logger's handlers away; whoever lets it propagate again has it back.
    logging.getLogger("uvicorn.access").addFilter(_NOTHING)
    logging.getLogger("uvicorn.error").addFilter(_NOT_DROPPED)
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]  # a FastAPI application is an ASGI application
        access_log=False,
        log_config=None,
        log_level="warning",
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=2,
    )
    return _Server(config, on_ready, take_signals=take_signals)
