"""The edge of an HTTP face: ASGI middleware that stands before any route.

In order, for each request, before a byte of the body is read: who is it; may that caller use this
route at all; is the body within its limit; is there room; then the route, in time. Only who is let
in takes room: a stranger holds none, however slowly. There is no access log, and metrics know a
request by its route's template alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import structlog
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from halyard import metrics
from halyard.caller import Attempt, Authenticate, Caller
from halyard.problems import HttpProblem, problem, route_template
from halyard.proxies import Proxies
from halyard.rates import Guard, make_guard
from halyard.settings_access import AccessSettings
from halyard.telemetry import get_logger, new_traceparent

Authorise = Callable[[Scope, Caller | None], HttpProblem | None]
"""Gives why a caller (None on an open path) may not use the route of a request at all, or None."""

MAX_TOKEN: Final = 8_192
MAX_COOKIE: Final = 8_192
AUTHENTICATE_SECONDS: Final = 5.0
# Closing on unread data resets the connection and can cost the sender our answer, so what still
# comes is read and thrown away for a moment
DRAIN_BYTES: Final = 32_000_000
DRAIN_SECONDS: Final = 3.0

_ID = re.compile(r"(?<=/)[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}(?=/|$)")
_CORRELATION = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_SECURITY_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"strict-transport-security", b"max-age=31536000"),
    (b"x-content-type-options", b"nosniff"),
)


@dataclass(frozen=True, slots=True)
class Limit:
    """What a request may take: bytes of body, seconds in all, seconds between two pieces.

    `too_large` advises whoever sends more bytes.
    """

    body_bytes: int
    seconds: float = 30.0
    idle_seconds: float = 15.0
    too_large: str = "Send only the fields that this route documents."


@dataclass(slots=True)
class _Progress:
    """One request on its way."""

    request_id: str
    correlation_id: str | None
    has_body: bool
    expects_continue: bool
    received: int = 0
    body_complete: bool = False
    started: bool = False
    status: int = 500


@dataclass(slots=True)
class Edge:
    """ASGI middleware: credentials, limits, headers, metrics, and an answer to every failure.

    Of `open_paths` only `probes` are answered however often they are asked.
    """

    app: ASGIApp
    authenticate: Authenticate
    open_paths: frozenset[str]
    default: Limit
    probes: frozenset[str] = frozenset()
    authorise: Authorise = lambda _scope, _caller: None
    limits: Mapping[tuple[str, str], Limit] = field(default_factory=dict)
    guard: Guard = field(default_factory=lambda: make_guard(AccessSettings()))
    proxies: Proxies = field(default_factory=Proxies)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take one request through."""
        if scope["type"] != "http":
            return
        headers: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.lower(), []).append(value)
        progress = _Progress(
            request_id=_request_id(headers),
            correlation_id=_correlation_id(headers),
            has_body=_has_body(headers),
            expects_continue=b"expect" in headers,
        )
        progress.body_complete = not progress.has_body
        limit = limit_of(self.limits, scope["method"], scope["path"]) or self.default
        state = scope.setdefault("state", {})
        state["request_id"] = progress.request_id
        state["traceparent"] = _traceparent(headers)
        sender = self._sender(progress, receive, send)
        placed = False
        logged = structlog.contextvars.bind_contextvars(**_logged(progress))
        try:
            refused = await self._refused(scope, headers, limit)
            if refused is None and scope["path"] not in self.open_paths:
                refused = self.guard.enter()
                placed = refused is None
            if refused is not None:
                route = "unauthenticated" if refused.status_code == 401 else "refused"
                await refused.response()(scope, receive, sender)
            else:
                await self._routed(
                    scope, self._receiver(progress, limit, receive), sender, progress, limit
                )
                route = route_template(scope)
        finally:
            structlog.contextvars.reset_contextvars(**logged)
            if placed:
                self.guard.leave()
        metrics.count("halyard_http_requests_total", route=route, status=str(progress.status))

    async def _refused(
        self, scope: Scope, headers: Mapping[bytes, list[bytes]], limit: Limit
    ) -> HttpProblem | None:
        caller: Caller | None = None
        attempt = _attempt(scope, headers, self.proxies, self.guard)
        too_many: HttpProblem | None = None
        if scope["path"] not in self.open_paths:
            admitted = await self._admitted(attempt)
            if isinstance(admitted, HttpProblem):
                return admitted
            scope["state"]["caller"] = caller = admitted
            too_many = self.guard.asked(caller.organisation, caller.subject)
        elif scope["path"] not in self.probes:
            too_many = self.guard.came(attempt.address)
        if too_many is not None:
            return too_many
        if (forbidden := self.authorise(scope, caller)) is not None:
            return forbidden
        length = headers.get(b"content-length", [b"0"])[0]
        if length.isdigit() and int(length) > limit.body_bytes:
            return _too_large(limit)
        return None

    async def _admitted(self, attempt: Attempt) -> Caller | HttpProblem:
        try:
            async with asyncio.timeout(AUTHENTICATE_SECONDS):
                caller = await self.authenticate(attempt)
        except HttpProblem as refused:
            failed = refused.status_code == 401
            return (self.guard.failed(attempt.address) if failed else None) or refused
        except TimeoutError:
            get_logger().warning("authentication_timed_out")
            return _cannot_check()
        except Exception as error:  # noqa: BLE001 - nobody is let in by a failure; logged by class
            get_logger().error("authentication_failed", exc_info=error)
            return _cannot_check()
        return caller or self.guard.failed(attempt.address) or _unauthenticated()

    async def _routed(
        self, scope: Scope, receive: Receive, send: Send, progress: _Progress, limit: Limit
    ) -> None:
        failure: Response | None = None
        try:
            async with asyncio.timeout(limit.seconds) as timer:
                await self.app(scope, receive, send)
        except TimeoutError as error:
            rule = "http.time_limit" if timer.expired() else "http.internal"
            get_logger().warning("http_timed_out", route=route_template(scope), exc_info=error)
            failure = problem(
                503,
                "Not completed in time",
                "Try again; if it stays so, ask the hub's operator to run `halyard doctor`.",
                rule=rule,
                headers={"Retry-After": "5"},
            )
        except Exception as error:  # noqa: BLE001 - the last resort: logged by class, answered as 500
            get_logger().error("http_failed", route=route_template(scope), exc_info=error)
            failure = problem(
                500,
                "The hub failed",
                "Nothing is wrong with the request; report its X-Request-ID to the hub's operator.",
                rule="http.internal",
            )
        if failure is not None and not progress.started:
            await failure(scope, receive, send)

    @staticmethod
    def _receiver(progress: _Progress, limit: Limit, receive: Receive) -> Receive:
        async def limited() -> Message:
            if progress.body_complete:
                return await receive()
            try:
                async with asyncio.timeout(limit.idle_seconds):
                    message = await receive()
            except TimeoutError:
                raise HttpProblem(
                    408,
                    "The body stopped coming",
                    "Send the request again, without pauses.",
                    rule="http.body_stalled",
                ) from None
            progress.received += len(message.get("body", b""))
            progress.body_complete = not message.get("more_body", False)
            if progress.received > limit.body_bytes:
                raise _too_large(limit)
            return message

        return limited

    @staticmethod
    def _sender(progress: _Progress, receive: Receive, send: Send) -> Send:
        async def finished(message: Message) -> None:
            if message["type"] == "http.response.start":
                progress.started = True
                progress.status = message["status"]
                added = [*_SECURITY_HEADERS, (b"x-request-id", progress.request_id.encode())]
                if progress.correlation_id is not None:
                    added.append((b"x-correlation-id", progress.correlation_id.encode()))
                if not progress.body_complete:
                    added.append((b"connection", b"close"))
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            elif not message.get("more_body", False) and not progress.body_complete:
                await send({**message, "more_body": True})
                await _drain(progress, receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        return finished


def limit_of(limits: Mapping[tuple[str, str], Limit], method: str, path: str) -> Limit | None:
    """The limit of a path, in `limits` as it is or with ``{id}`` for each UUID in it."""
    found = limits.get((method, path))
    return found or limits.get((method, _ID.sub("{id}", path)))


async def _drain(progress: _Progress, receive: Receive) -> None:
    if progress.expects_continue and not progress.received:
        return  # the sender waits for our word before it sends any body
    drained = 0
    # a sender who goes on for longer meets a closed connection
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(DRAIN_SECONDS):
            while drained < DRAIN_BYTES:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                drained += len(message.get("body", b""))


def _too_large(limit: Limit) -> HttpProblem:
    return HttpProblem(
        413,
        "The body is too large",
        f"At most {limit.body_bytes} bytes are taken here. {limit.too_large}",
        rule="http.too_large",
        extras={"limit_bytes": limit.body_bytes},
    )


def _attempt(
    scope: Scope, headers: Mapping[bytes, list[bytes]], proxies: Proxies, guard: Guard
) -> Attempt:
    """The head of a request; what stands twice, or is too long to be meant, is as if not there."""

    def only(name: bytes, longest: int = 1_024) -> str | None:
        given = headers.get(name, [])
        if len(given) != 1 or len(given[0]) > longest:
            return None
        return given[0].decode("latin-1")

    client = scope.get("client")
    address, certificate = proxies.behind(client[0] if client else "", only)
    return Attempt(
        method=scope["method"],
        path=scope["path"],
        authorization=only(b"authorization", MAX_TOKEN),
        cookie=only(b"cookie", MAX_COOKIE),
        origin=only(b"origin"),
        csrf_token=only(b"x-csrf-token"),
        address=address,
        certificate=certificate,
        suspect=partial(guard.suspects, address),
    )


def bearer(attempt: Attempt) -> str | None:
    """The bearer token of a request (RFC 6750), if it shows one."""
    scheme, _, token = (attempt.authorization or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _unauthenticated() -> HttpProblem:
    return HttpProblem(
        401,
        "Not authenticated",
        "Send your organisation's token: Authorization: Bearer …",
        rule="http.unauthenticated",
        headers={"WWW-Authenticate": 'Bearer realm="halyard"'},
    )


def _cannot_check() -> HttpProblem:
    return HttpProblem(
        503,
        "Who you are cannot be checked now",
        "Try again; if it stays so, ask the hub's operator to run `halyard doctor`.",
        rule="http.authentication_unavailable",
        headers={"Retry-After": "5"},
    )


def _has_body(headers: Mapping[bytes, list[bytes]]) -> bool:
    return b"transfer-encoding" in headers or headers.get(b"content-length", [b"0"])[0] != b"0"


def _request_id(headers: Mapping[bytes, list[bytes]]) -> str:
    """The sender's X-Request-ID if it is a UUID (anything else could hold a person), else new."""
    given = headers.get(b"x-request-id", [b""])[0].decode("latin-1")
    return _uuid(given) or str(uuid.uuid4())


def _correlation_id(headers: Mapping[bytes, list[bytes]]) -> str | None:
    """The sender's X-Correlation-ID, which goes back as it came if that is safe to repeat."""
    given = headers.get(b"x-correlation-id", [])
    text = given[0].decode("latin-1") if len(given) == 1 else ""
    return text if _CORRELATION.fullmatch(text) else None


def _logged(progress: _Progress) -> dict[str, str]:
    """What every line of a request says of it; a correlation id only if it is a UUID, for any other
    could be a person's number.
    """
    correlation = _uuid(progress.correlation_id or "")
    known = {} if correlation is None else {"correlation_id": correlation}
    return {"request_id": progress.request_id, **known}


def _uuid(text: str) -> str | None:
    try:
        return str(uuid.UUID(text)) if len(text) == 36 else None
    except ValueError:
        return None


def _traceparent(headers: Mapping[bytes, list[bytes]]) -> str:
    given = headers.get(b"traceparent", [b""])[0].decode("latin-1")
    return given if _TRACEPARENT.fullmatch(given) else new_traceparent()
