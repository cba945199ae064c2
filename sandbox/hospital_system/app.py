"""The hospital's system as a process: MLLP, and HTTP to see and to steer it.

- ``GET /received``  the journal, oldest first; ``?alert_id=`` and ``?kind=`` narrow it;
- ``POST /sandbox/faults``  ``{"mode": …, "count": 3}``: see `sandbox.hospital_system.listener`.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from halyard import telemetry
from halyard.errors import ConfigurationError
from halyard.service import Service
from halyard.settings import Settings
from sandbox.hospital_system.listener import MODES, HospitalSystem, listening
from sandbox.receiver import serve

log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Control:
    """The HTTP side."""

    system: HospitalSystem

    async def received(self, request: Request) -> Response:
        """``GET /received``."""
        wanted = request.query_params
        rows = [
            asdict(filed)
            for filed in self.system.received
            if wanted.get("alert_id") in (None, filed.alert_id)
            and wanted.get("kind") in (None, filed.kind)
        ]
        return JSONResponse({"received": rows, "connections": self.system.connections})

    async def faults(self, request: Request) -> Response:
        """``POST /sandbox/faults``."""
        try:
            asked = json.loads(await request.body())
            count = asked.get("count")
            self.system.misbehave(str(asked["mode"]), None if count is None else int(count))
        except (ValueError, KeyError, TypeError, AttributeError, ConfigurationError):
            modes = "|".join(sorted(MODES))
            return JSONResponse({"title": f'send {{"mode": "{modes}", "count": 1}}'}, 422)
        mode, left = self.system.behaviour()
        return JSONResponse({"mode": mode, "count": left})

    async def live(self, _request: Request) -> Response:
        """``GET /livez``."""
        return JSONResponse({"status": "pass"})


async def run(
    service: Service,
    settings: Settings,
    *,
    port: int,
    control_port: int,
    journal_path: Path | None = None,
    system: HospitalSystem | None = None,
) -> None:
    """Listen until the service stops: MLLP on `port`, HTTP on `control_port` (0: any free one).

    On ``HALYARD_SANDBOX_HOST`` (a container sets it), else on loopback.

    Raises `ConfigurationError` if a port is taken.
    """
    del settings  # what it is told is in the messages
    system = system or HospitalSystem(journal_path=journal_path)
    control = Control(system)
    app = Starlette(
        routes=[
            Route("/received", control.received, methods=["GET"]),
            Route("/sandbox/faults", control.faults, methods=["POST"]),
            Route("/livez", control.live, methods=["GET"]),
        ]
    )
    host = os.environ.get("HALYARD_SANDBOX_HOST", "127.0.0.1")
    async with listening(system, port=port, host=host) as taken:
        log.info("hospital_listens", port=taken)
        await serve(app, service, port=control_port)
