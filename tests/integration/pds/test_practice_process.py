"""The practice PDS as a process: of its own, and of the hub."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from pydantic import SecretStr

from connectors.pds.client import PdsClient
from connectors.pds.outcomes import (
    Found,
    NotFound,
)
from halyard.settings import PdsSettings, Settings
from sandbox.pds.kept import PORT_FILE
from sandbox.pds.process import run as run_pds
from sandbox.samples.cast import CAST
from tests.support.waiting import aeventually

CANARY = CAST.everybody["accented"]


def client_of(url: str, token: str) -> PdsClient:
    """A client with this token."""
    return PdsClient(url, token=token, end_user_organisation="X26", profile="test")


async def test_the_practice_pds_as_a_process_prints_only_where_it_is() -> None:
    """``python -m sandbox.pds`` says its address, serves, stops on SIGTERM, and prints no more."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "sandbox.pds", "--generate", "10",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "HALYARD_PDS__TOKEN": "from-the-environment"},
    )  # fmt: skip
    try:
        assert process.stdout is not None
        ready = json.loads(await process.stdout.readline())
        async with client_of(ready["base_url"], "from-the-environment") as client:
            assert isinstance(await client.get(CANARY.nhs_number, uuid4()), Found)
            assert await client.get(CAST.nobody.nhs_number, uuid4()) == NotFound()
        process.send_signal(signal.SIGTERM)
        printed = await asyncio.wait_for(process.communicate(), timeout=10)
    finally:
        if process.returncode is None:
            process.kill()
    assert printed == (b"", b"")
    assert process.returncode in (0, -signal.SIGTERM)


@dataclass
class Running:
    """What a process of the hub gives to what runs in it."""

    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    ready: bool = False


async def test_the_practice_pds_as_a_process_of_the_hub() -> None:
    """In a process of the hub it takes the hub's token, says when it is ready, and stops."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = Settings(pds=PdsSettings(token=SecretStr("of-the-hub")))
    running = Running()
    work = asyncio.create_task(run_pds(running, settings, port=port))
    await aeventually(lambda: running.ready)
    url = f"http://127.0.0.1:{port}/personal-demographics/FHIR/R4"
    async with client_of(url, "of-the-hub") as client:
        assert isinstance(await client.get(CAST.robin.nhs_number, uuid4()), Found)
    running.stopping.set()
    await asyncio.wait_for(work, timeout=10)
    assert not running.ready


@asynccontextmanager
async def started(settings: Settings, port: int = 0) -> AsyncIterator[int]:
    """A practice PDS that runs; gives the port that its data directory remembers."""
    running = Running()
    work = asyncio.create_task(run_pds(running, settings, port=port))
    await aeventually(lambda: running.ready or work.done())
    try:
        yield int((settings.data_dir / PORT_FILE).read_text())
    finally:
        running.stopping.set()
        await asyncio.wait_for(work, timeout=10)


async def test_a_practice_pds_comes_back_at_its_port(tmp_path: Path) -> None:
    """What is set to its address finds it after a restart. Where the port is taken meanwhile it
    takes another, and keeps that."""
    settings = Settings(data_dir=tmp_path, pds=PdsSettings(token=SecretStr("of-the-hub")))
    async with started(settings) as first:
        url = f"http://127.0.0.1:{first}/personal-demographics/FHIR/R4"
        async with client_of(url, "of-the-hub") as client:
            assert isinstance(await client.get(CAST.robin.nhs_number, uuid4()), Found)
    async with started(settings) as again:
        assert again == first
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", first))
        taken.listen()
        async with started(settings) as other:
            assert other != first
    async with started(settings) as later:
        assert later == other


def test_a_taken_port_is_said() -> None:
    """A port in use stops the practice PDS with a sentence, not a traceback."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        run = subprocess.run(
            [sys.executable, "-m", "sandbox.pds", "--port", str(taken.getsockname()[1])],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    assert run.returncode == 1
    assert "is taken; stop what uses it" in run.stderr
    assert "Traceback" not in run.stderr
