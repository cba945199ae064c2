"""The practice receiver over HTTP: ``halyard sandbox ncmd``.

- ``POST /messages``  a message Bundle; 200 with the acknowledgement or rejection, 202 if the answer
  comes later;
- ``GET /messages/{id}/answer``  the answer; 202 while there is none, 404 if the message is unknown;
- ``GET /cases``  the cases as they stand; ``GET /received``  every message, oldest first;
- ``POST /sandbox/faults``  ``{"mode": "503", "count": 3}``: how to misbehave for the next `count`
  messages (for ever if there is none). ``503`` and ``refuse`` (422) do not take it; ``lost`` takes
  it and cuts the connection; ``slow`` answers late; ``later`` answers only when asked; ``silent``
  never; ``reject`` refuses it by a rejection; ``ok`` ends it all.

With a token (``HALYARD_NCMD__SUBMIT_TOKEN``) the first two ask for it. Nothing is logged: bodies
name children.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from halyard.errors import ConfigurationError
from halyard.service import Service
from halyard.settings import Settings
from sandbox.ncmd.receiver import MODES, TAKES, Inbox, Unreadable
from sandbox.receiver import CLOSE, Closable, serve

MAX_BODY_BYTES = 4_000_000


@dataclass(slots=True)
class Receiver:
    """The HTTP side of an `Inbox`."""

    inbox: Inbox
    token: str | None = field(default=None, repr=False)
    slow_seconds: float = 10.0
    _later: set[str] = field(default_factory=set)  # answered only when asked
    _silent: set[str] = field(default_factory=set)  # never answered

    def app(self) -> ASGIApp:
        """As an ASGI application."""
        return Closable(
            Starlette(
                routes=[
                    Route("/messages", self.post, methods=["POST"]),
                    Route("/messages/{message_id}/answer", self.answer, methods=["GET"]),
                    Route("/cases", self.cases, methods=["GET"]),
                    Route("/received", self.received, methods=["GET"]),
                    Route("/sandbox/faults", self.faults, methods=["POST"]),
                    Route("/livez", self.live, methods=["GET"]),
                ]
            )
        )

    def _allowed(self, request: Request) -> bool:
        given = request.headers.get("authorization", "").encode()
        return self.token is None or hmac.compare_digest(given, f"Bearer {self.token}".encode())

    async def post(self, request: Request) -> Response:
        """``POST /messages``."""
        if not self._allowed(request):
            return _plain("a bearer token is needed", 401)
        body = await request.body()
        if len(body) > MAX_BODY_BYTES:
            return _plain("body too large", 413)
        mode = self.inbox.next_mode()
        if mode not in TAKES:
            return _plain("as told", 503 if mode == "503" else 422)
        try:
            said = self.inbox.take(body, mode)
        except Unreadable as error:
            return _plain(str(error), 422)
        if mode == "slow":
            await asyncio.sleep(self.slow_seconds)
        elif mode == "lost":
            cast("Callable[[], None]", request.scope[CLOSE])()
        elif mode in ("later", "silent"):
            answered = said["entry"][0]["resource"]["response"]["identifier"]
            (self._later if mode == "later" else self._silent).add(answered)
            return _plain("taken", 202)
        return _fhir(said)

    async def answer(self, request: Request) -> Response:
        """``GET /messages/{id}/answer``."""
        if not self._allowed(request):
            return _plain("a bearer token is needed", 401)
        message_id = str(request.path_params["message_id"])
        said = self.inbox.answers.get(message_id)
        if said is None:
            return _plain("no such message", 404)
        if message_id in self._silent:
            return _plain("no answer yet", 202)
        return _fhir(said)

    async def cases(self, _request: Request) -> Response:
        """``GET /cases``."""
        return JSONResponse({case_id: asdict(case) for case_id, case in self.inbox.cases.items()})

    async def received(self, _request: Request) -> Response:
        """``GET /received``."""
        return JSONResponse({"received": [asdict(entry) for entry in self.inbox.received]})

    async def faults(self, request: Request) -> Response:
        """``POST /sandbox/faults``."""
        try:
            asked = json.loads(await request.body())
            count = asked.get("count")
            self.inbox.misbehave(str(asked["mode"]), None if count is None else int(count))
        except (ValueError, KeyError, TypeError, AttributeError, ConfigurationError):
            return _plain(f"send mode ({', '.join(sorted(MODES))}) and count", 422)
        mode, left = self.inbox.behaviour()
        return JSONResponse({"mode": mode, "count": left})

    async def live(self, _request: Request) -> Response:
        """``GET /livez``."""
        return JSONResponse({"status": "pass"})


def _plain(title: str, status: int) -> Response:
    return JSONResponse({"title": title}, status)


def _fhir(bundle: dict[str, Any]) -> Response:
    return JSONResponse(bundle, 200, media_type="application/fhir+json")


async def run(
    service: Service,
    settings: Settings,
    *,
    port: int,
    journal_path: Path | None = None,
    receiver: Receiver | None = None,
    on_ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until the service stops. Raises `ConfigurationError` if the port is taken."""
    if receiver is None:
        token = settings.ncmd.submit_token
        receiver = Receiver(
            Inbox(journal_path=journal_path), None if token is None else token.get_secret_value()
        )
    await serve(receiver.app(), service, port=port, on_ready=on_ready)
