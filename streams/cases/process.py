"""`halyard worker cases`: the cases stage as a process, and the ends of holds beside it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

import psycopg

from halyard import telemetry
from halyard.clock import system_clock
from halyard.errors import HalyardError
from halyard.kafka import make_producer
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import ProcessDied, Service, cancel_all
from halyard.settings import Settings
from policies import versions
from policies.model import load_policies
from schemas import topics
from stores import bus_key
from stores.directory import load_directory
from streams.cases.agent import STAGE, CasesStage
from streams.outbox_publisher import make_send
from streams.stage import Stage, run_stage

PURGE_SECONDS: Final = 3_600.0
TOPICS: Final = (topics.DEATH_VERIFIED, topics.REPORT_VERIFIED)

log = telemetry.get_logger()


async def run(service: Service, settings: Settings) -> None:
    """Run until `service.stopping`. Raises `ConfigurationError` for missing keys or directory,
    and for sharing policies that cannot be used.
    """
    keys = load_keys(settings.security)
    directory = load_directory(settings.directory_file)
    policies = load_policies(settings.policies.directory)
    pool = make_pool(settings, name=STAGE, check=False)
    await pool.open()
    producer = make_producer(settings, client_id=f"halyard-{STAGE}")
    try:
        await versions.at_start(pool, policies, system_clock())
        await producer.start()
        send = make_send(producer, settings)
        guard = bus_key.guard(pool, keys.bus_id)
        stage = CasesStage(pool, keys, settings, directory, send, system_clock, policies)
        parts = [
            asyncio.ensure_future(
                run_stage(
                    service,
                    settings,
                    Stage(
                        name=STAGE, group=STAGE, topics=TOPICS, process=stage.process, guard=guard
                    ),
                    pool=pool,
                    producer=producer,
                )
            ),
            asyncio.ensure_future(sweep_forever(stage, settings.cases.sweep_seconds)),
        ]
        try:
            await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
            if parts[1].done():
                parts[1].result()
                raise ProcessDied("The sweep of held messages ended by itself; start it again.")
            await parts[0]
        finally:
            await cancel_all(parts, settings.worker.stop_seconds)
    finally:
        await producer.stop()
        await pool.close()


async def sweep_forever(stage: CasesStage, seconds: float) -> None:
    """Sweep until cancelled; a failure is logged and tried again."""
    failing = False
    purged_at: float | None = None
    while True:
        await asyncio.sleep(seconds)
        try:
            swept = await stage.sweep()
            if purged_at is None or time.monotonic() - purged_at > PURGE_SECONDS:
                await stage.purge()
                purged_at = time.monotonic()
        except (HalyardError, psycopg.Error, OSError) as error:
            if not failing:
                log.warning("case_sweep_failed", error=telemetry.describe(error))
            failing = True
            continue
        failing = False
        if swept:
            log.info("case_holds_ended", notifications=swept)
