"""The authority: a receiver of ``alert`` that can accept one, as its duty social worker would.

``POST /sandbox/accept`` ``{"alert_id": …, "by": …, "answer": …}`` calls the hub's API at
``HALYARD_SANDBOX_HUB_URL`` with the bearer token in ``HALYARD_SANDBOX_TOKEN`` and gives the
hub's status and answer back.
"""

from __future__ import annotations

import json
import os
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from connectors.local_authority.client import HubClient, HubRefused, HubUnavailable
from halyard.service import Service
from halyard.settings import Settings
from sandbox.receiver import Receiver, create_app, serve


@dataclass(frozen=True, slots=True)
class Hub:
    """The hub's API as the authority sees it."""

    url: str
    token: str = field(repr=False)

    async def accept(self, request: Request) -> Response:
        """``POST /sandbox/accept``."""
        try:
            asked = json.loads(await request.body())
            alert_id = uuid.UUID(asked["alert_id"])
            by, answer = str(asked["by"]), str(asked["answer"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse({"title": "send alert_id, by and answer"}, 422)
        try:
            async with HubClient(self.url, self.token) as client:
                return JSONResponse(await client.accept(alert_id, by=by, answer=answer))
        except HubRefused as error:
            return JSONResponse(error.problem, error.status)
        except HubUnavailable as error:
            return JSONResponse({"title": error.message}, 502)


async def run(
    service: Service,
    settings: Settings,
    *,
    name: str,
    port: int,
    secret: str,
    journal_path: Path | None = None,
    hub: Hub | None = None,
) -> None:
    """Receive on loopback until the service stops.

    Raises `ConfigurationError` if `port` is taken.
    """
    del settings, name  # a receiver needs neither: what it is told is in the webhook
    hub = hub or _hub_of_environment()
    more = [Route("/sandbox/accept", hub.accept, methods=["POST"])] if hub else []
    receiver = Receiver(secret=secret, journal_path=journal_path)
    await serve(create_app(receiver, more=[*more]), service, port=port)


def _hub_of_environment() -> Hub | None:
    url, token = os.environ.get("HALYARD_SANDBOX_HUB_URL"), os.environ.get("HALYARD_SANDBOX_TOKEN")
    return Hub(url, token) if url and token else None
