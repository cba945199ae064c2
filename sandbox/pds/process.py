"""The practice PDS as a process of the hub: ``halyard sandbox pds``."""

from __future__ import annotations

import asyncio
import os
from itertools import chain
from pathlib import Path
from typing import Protocol

from halyard.settings import Settings
from halyard.telemetry import get_logger
from sandbox.pds.people import generate, load_people
from sandbox.pds.server import serve_until
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.samples.cast import PEOPLE_FILE

log = get_logger()


class StoppableService(Protocol):
    """What it needs of the process it runs in (`halyard.service.Service`)."""

    stopping: asyncio.Event
    ready: bool


async def run(
    service: StoppableService,
    settings: Settings,
    *,
    port: int = 0,
    people_file: Path | None = None,
    more_people: int = 0,
) -> None:
    """Serve until the service stops: a file's people and `more_people` generated.

    On loopback, unless ``HALYARD_SANDBOX_HOST`` says otherwise (in a container it does).
    Asks for the hub's own ``pds.token`` if it has one. Raises `ConfigurationError` if the port is
    taken or a record of the file is wrong.
    """
    people = chain(load_people(people_file or PEOPLE_FILE), generate(more_people))
    token = settings.pds.token
    practice = PdsSandboxSettings()
    if token is not None:
        practice = PdsSandboxSettings(token=token.get_secret_value())

    def ready(base_url: str) -> None:
        log.info("practice_pds_listens", base_url=base_url)
        service.ready = True

    try:
        host = os.environ.get("HALYARD_SANDBOX_HOST", "127.0.0.1")
        await serve_until(service.stopping, people, practice, host=host, port=port, on_ready=ready)
    finally:
        service.ready = False
