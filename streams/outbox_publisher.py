"""From the outbox to the bus: the `Send` of `stores.outbox`, and the sweeper beside every stage.

The sweeper publishes what a killed or cut-off process left behind; it uses the same function as
the stage after its commit (correctness rule 3).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from halyard import faults, metrics, telemetry
from halyard.errors import BrokerUnavailable, HalyardError, RecordTooLarge
from halyard.kafka import Produced, Record, produce
from halyard.postgres import Pool
from halyard.settings import Settings
from stores import outbox

SWEEP_SECONDS = 1.0
TOO_LARGE = "record-too-large"
_PURGE_SECONDS = 600.0

log = telemetry.get_logger()


def make_send(producer: AIOKafkaProducer, settings: Settings) -> outbox.Send:
    """Sends by `producer` (started by the caller), in order; True where the broker confirmed."""

    async def send(records: Sequence[Record]) -> list[bool | outbox.Never]:
        return [_said(one) for one in await produce(producer, settings, records)]

    return send


def _said(result: Produced) -> bool | outbox.Never:
    if isinstance(result, RecordTooLarge):
        return outbox.Never(TOO_LARGE)
    return not isinstance(result, BrokerUnavailable)


def with_point(send: outbox.Send, point: str) -> outbox.Send:
    """`send`, and the fault point `point` between the broker's confirmation and the mark."""

    async def produced(records: Sequence[Record]) -> Sequence[bool | outbox.Never]:
        confirmed = await send(records)
        faults.point(point)
        return confirmed

    return produced


async def sweep_forever(
    pool: Pool,
    send: outbox.Send,
    *,
    older_than_seconds: float = SWEEP_SECONDS,
    purges: bool = True,
) -> None:
    """Sweep every second until cancelled; a failure is logged and tried again. `purges`: whether
    it may also drop what was published long ago.
    """
    purged_at = time.monotonic()
    failing = False
    while True:
        await asyncio.sleep(SWEEP_SECONDS)
        try:
            swept = await outbox.sweep(pool, send, older_than_seconds=older_than_seconds)
            await show(pool)
            if purges and time.monotonic() - purged_at > _PURGE_SECONDS:
                await outbox.purge(pool)
                purged_at = time.monotonic()
        except (HalyardError, KafkaError, psycopg.Error, OSError) as error:
            if not failing:
                log.warning("outbox_sweep_failed", error=telemetry.describe(error))
            failing = True
            continue
        failing = False
        if swept:
            log.info("outbox_swept", records=swept)


async def show(pool: Pool) -> None:
    """What waits in the outbox, as metrics."""
    metrics.gauge("halyard_outbox_oldest_seconds", await outbox.oldest_seconds(pool))
    metrics.gauge("halyard_outbox_parked", await outbox.count_parked(pool))
