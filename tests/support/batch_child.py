"""A tracer of batches in a process of its own, to be killed: ``batch_child.py FAULT``."""

from __future__ import annotations

import asyncio
import os
import sys

from connectors.pds.client import PdsClient
from halyard import faults
from halyard.clock import system_clock
from halyard.postgres import make_pool
from halyard.settings import DatabaseSettings, PdsSettings, Settings
from streams.identity.changes import limits_of
from streams.tracer.batches import Batches
from streams.tracer.tracer import Tracer
from tests.support import identity as make


async def main() -> None:
    """Trace until killed."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": os.environ["TRACER_DATABASE"]}),
        pds=PdsSettings(base_url=os.environ["TRACER_PDS"], calls_per_second=500),
    )
    faults.arm(sys.argv[1])
    pool = make_pool(settings, name="tracer")
    await pool.open()
    limits = limits_of(settings, make.KEYS, make.directory())
    batches = Batches(pool, limits, system_clock, live=10, persons=10)
    client = PdsClient(
        settings.pds.base_url,
        token="practice-token",  # pragma: allowlist secret
        end_user_organisation="X26",
        profile="test",
    )
    tracer = Tracer(pool, settings.pds, lambda _: client, {"batch": batches.release})
    await asyncio.gather(tracer.run(asyncio.Event()), batches.run())


if __name__ == "__main__":
    asyncio.run(main())
