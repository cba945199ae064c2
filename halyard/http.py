"""HTTP for every face of the hub: an application factory whose edge is safe before any route.

`halyard.http_edge` authenticates and limits, `halyard.problems` answers failures; this module
joins them and serves the application (uvicorn, without access log or signal handlers).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

import uvicorn
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.types import ASGIApp

from halyard.caller import Authenticate, Caller
from halyard.errors import ConfigurationError
from halyard.http_edge import Authorise, Edge, Limit
from halyard.http_request import as_documented
from halyard.openapi import DescribedApp
from halyard.problems import HttpProblem, add_handlers, problem
from halyard.proxies import make_proxies
from halyard.rates import make_guard
from halyard.settings import Profile, Settings

__all__ = [
    "Authenticate",
    "Authorise",
    "HttpProblem",
    "Limit",
    "caller",
    "listen",
    "make_app",
    "organisation",
    "problem",
    "serve",
]


# async, though they wait for nothing: FastAPI runs others in a thread, at the price of a look-up
async def caller(request: Request) -> Caller:
    """Who asks; a dependency of routes that need it."""
    return cast("Caller", request.state.caller)


async def organisation(request: Request) -> str:
    """The organisation that asks; a dependency of routes that need one."""
    return (await caller(request)).organisation


def make_app(
    settings: Settings,
    *,
    title: str,
    authenticate: Authenticate,
    routers: Iterable[APIRouter],
    open_paths: Iterable[str] = (),
    probes: Iterable[str] = (),
    limits: Mapping[tuple[str, str], Limit] | None = None,
    authorise: Authorise = lambda _scope, _caller: None,
    components: Mapping[str, dict[str, Any]] | None = None,
    outspoken: tuple[str, ...] = (),
    foreign: tuple[str, ...] = (),
) -> FastAPI:
    """An application behind the edge.

    `open_paths` need no token, and but for `probes` are counted by address. `authorise` refuses
    callers before the body is read. `limits` are those of single (method, path) pairs; others get
    the settings' body limit. Routes find ``request.state.caller``, ``.request_id`` and
    ``.traceparent``. `components` and `outspoken` are for its OpenAPI (`halyard.openapi`). What no
    route documents is refused (`halyard.http_request`), but on open paths, and below the `foreign`
    prefixes, whose routes have another standard's rules.
    """
    opened = frozenset(open_paths)
    practice = settings.profile is not Profile.PRODUCTION
    app = DescribedApp(
        open_paths=opened,
        components=components,
        outspoken=outspoken,
        foreign=foreign,
        dependencies=[Depends(as_documented(opened, foreign))],
        title=title,
        openapi_url="/openapi.json" if practice else None,
        docs_url=None,  # its pages load scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    for router in routers:
        app.include_router(router)
    add_handlers(app)
    app.add_middleware(
        Edge,
        authenticate=authenticate,
        open_paths=opened,
        probes=frozenset(probes),
        default=Limit(settings.http.max_body_bytes),
        limits=dict(limits or {}),
        authorise=authorise,
        guard=make_guard(settings.access),
        proxies=make_proxies(settings.access.trusted_proxies, settings.access.certificate_header),
    )
    return app


def listen(host: str, port: int) -> socket.socket:
    """A listening socket (port 0: any free one). Raises `ConfigurationError` if it is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # with its protocol named: else asyncio leaves Nagle's algorithm on, and an answer that goes out
    # in two pieces waits for its reader's delayed acknowledgement, 40 ms
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(512)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"Port {port} on {host} cannot be used ({error.strerror}); stop what holds it, or set "
            "HALYARD_HTTP__PORT."
        ) from None
    listener.setblocking(False)
    return listener


async def serve(
    app: ASGIApp,
    listener: socket.socket,
    stopping: asyncio.Event,
    *,
    on_ready: Callable[[], None] = lambda: None,
    grace_seconds: int = 5,
) -> None:
    """Serve until `stopping`, then finish what is in hand within `grace_seconds`."""
    server = _Server(
        uvicorn.Config(
            app,
            access_log=False,
            log_config=None,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=grace_seconds,
        )
    )
    running = asyncio.create_task(server.serve(sockets=[listener]))
    stopped = asyncio.create_task(stopping.wait())
    listening = asyncio.create_task(server.listening.wait())
    try:
        await asyncio.wait({running, stopped, listening}, return_when=asyncio.FIRST_COMPLETED)
        if server.started:
            on_ready()
        await asyncio.wait({running, stopped}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
        listening.cancel()
        server.should_exit = True
        await running


class _Server(uvicorn.Server):
    """Uvicorn that says when it listens, and leaves signals alone."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals to the process."""
        yield
