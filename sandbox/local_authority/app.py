"""The practice authority: uploads flags, receives alerts, accepts them, misbehaves as told.

A receiver of ``alert`` (`sandbox.receiver`: ``POST /webhook``, ``GET /received``,
``POST /sandbox/faults``). With the hub's address in ``HALYARD_SANDBOX_HUB_URL`` and the bearer
token in ``HALYARD_SANDBOX_TOKEN`` it is an authority's system too:

- ``POST /sandbox/upload`` sends the body (JSON lines, or CSV by its content type) to the hub, or
  without a body its own file, ``HALYARD_SANDBOX_UPLOAD``, which it also sends when it starts;
  ``?sequence=``. ``GET /sandbox/uploads`` tells what became of each file;
- ``POST /sandbox/accept`` ``{"alert_id": …, "by": …, "answer": …}`` gives the hub's answer back;
- ``POST /sandbox/duty`` ``{"plans": ["CPP"], "by": …, "answer": …}``: from then on alerts with an
  active plan of these types are accepted by themselves (``HALYARD_SANDBOX_ACCEPT``: ``all``,
  ``none`` or plan types by comma). ``GET /sandbox/accepted`` tells which were.

While the mode is ``duplicates`` it uploads and accepts everything twice.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from halyard.errors import ConfigurationError
from halyard.service import Service
from halyard.settings import Settings
from sandbox.local_authority.duty import PLANS, Duty, chosen, duty_of
from sandbox.local_authority.hub import Hub
from sandbox.receiver import DUPLICATES, Received, Receiver, create_app, serve

__all__ = ["Authority", "Hub", "run"]


@dataclass(slots=True)
class Authority:
    """The receiver, the hub behind it, and the desk between them."""

    receiver: Receiver
    hub: Hub
    duty: Duty = field(default_factory=Duty)
    _work: set[asyncio.Task[None]] = field(default_factory=set, repr=False)

    def routes(self) -> list[BaseRoute]:
        """What it answers beside the receiver."""
        return [
            Route("/sandbox/accept", self.hub.accept, methods=["POST"]),
            Route("/sandbox/accepted", self.hub.list_accepted, methods=["GET"]),
            Route("/sandbox/duty", self.change_duty, methods=["POST"]),
            Route("/sandbox/upload", self.upload, methods=["POST"]),
            Route("/sandbox/uploads", self.hub.uploads, methods=["GET"]),
        ]

    def taken(self, entry: Received) -> None:
        """The receiver has taken a webhook that it did not know: the desk looks at it."""
        if entry.kind != "alert" or not self.duty.accepts(entry.body):
            return
        for _ in range(2 if entry.answer == DUPLICATES else 1):
            self._start(
                self.hub.accept_until_answered(
                    entry.alert_id, by=self.duty.by, answer=self.duty.answer
                )
            )

    async def upload(self, request: Request) -> Response:
        """``POST /sandbox/upload``."""
        return await self.hub.upload(request, twice=self.receiver.duplicates)

    async def change_duty(self, request: Request) -> Response:
        """``POST /sandbox/duty``."""
        try:
            asked = json.loads(await request.body())
            self.duty = Duty(
                plans=chosen(str(plan) for plan in asked["plans"]),
                by=str(asked.get("by", Duty().by)),
                answer=str(asked.get("answer", Duty().answer)),
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            return JSONResponse({"title": f"send plans, of {', '.join(sorted(PLANS))}"}, 422)
        return JSONResponse({"plans": sorted(self.duty.plans)})

    def start(self) -> None:
        """Upload the own file, if there is one."""
        if self.hub.file is not None:
            self._start(self.hub.upload_at_start())

    async def stop(self) -> None:
        """Leave what is not answered yet."""
        for task in self._work:
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)


async def run(
    service: Service,
    settings: Settings,
    *,
    name: str,
    port: int,
    secret: str | tuple[str, ...],
    journal_path: Path | None = None,
    hub: Hub | None = None,
) -> None:
    """Receive on loopback until the service stops.

    Raises `ConfigurationError` if `port` is taken or a variable of the practice is wrong.
    """
    del settings, name  # a receiver needs neither: what it is told is in the webhook
    receiver = Receiver(secret=secret, journal_path=journal_path)
    hub = hub or _hub_of_environment()
    if hub is None:
        await serve(create_app(receiver), service, port=port)
        return
    authority = Authority(receiver, hub, _duty_of_environment())
    receiver.on_taken = authority.taken
    authority.start()
    try:
        await serve(create_app(receiver, more=authority.routes()), service, port=port)
    finally:
        await authority.stop()


def _hub_of_environment() -> Hub | None:
    url, token = os.environ.get("HALYARD_SANDBOX_HUB_URL"), os.environ.get("HALYARD_SANDBOX_TOKEN")
    given = os.environ.get("HALYARD_SANDBOX_UPLOAD")
    if not url or not token:
        return None
    file = Path(given) if given else None
    if file is not None and not file.is_file():
        raise ConfigurationError(f"HALYARD_SANDBOX_UPLOAD names {file}, which is not a file.")
    return Hub(url, token, file=file)


def _duty_of_environment() -> Duty:
    try:
        return duty_of(os.environ.get("HALYARD_SANDBOX_ACCEPT", ""))
    except ValueError:
        raise ConfigurationError(
            "HALYARD_SANDBOX_ACCEPT is all, none or plan types by comma "
            f"({', '.join(sorted(PLANS))}); correct it."
        ) from None
