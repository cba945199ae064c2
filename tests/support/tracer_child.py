"""A tracer in a process of its own, to be killed at a fault point: ``tracer_child.py FAULT``."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Sequence

from connectors.pds.client import PdsClient
from halyard import faults
from halyard.clock import system_clock
from halyard.kafka import Record
from halyard.postgres import make_pool
from halyard.settings import DatabaseSettings, PdsSettings, Settings
from policies.desk import open_desk
from streams.identity.changes import limits_of
from streams.tracer.release import Releaser
from streams.tracer.tracer import Tracer
from tests.support import identity as make


async def _send(records: Sequence[Record]) -> list[bool]:
    return [True] * len(records)


async def main() -> None:
    """Trace until killed."""
    settings = Settings(
        database=DatabaseSettings(url=os.environ["TRACER_DATABASE"]),
        pds=PdsSettings(base_url=os.environ["TRACER_PDS"], calls_per_second=500),
    )
    faults.arm(sys.argv[1])
    pool = make_pool(settings, name="tracer")
    await pool.open()
    directory = make.directory()
    desk = open_desk(None, directory, make.KEYS, "process:tracer")
    limits = limits_of(settings, make.KEYS, directory)
    releaser = Releaser(pool, limits, desk, _send, system_clock)
    client = PdsClient(
        settings.pds.base_url,
        token="practice-token",  # pragma: allowlist secret
        end_user_organisation="X26",
        profile="test",
    )
    await Tracer(pool, settings.pds, lambda _: client, {"claims": releaser.release}).run(
        asyncio.Event()
    )


if __name__ == "__main__":
    asyncio.run(main())
