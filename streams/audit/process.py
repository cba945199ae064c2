"""The process `halyard sealer`: the one that needs the private key of checkpoints."""

from __future__ import annotations

import asyncio
from typing import Final

import psycopg

from halyard import telemetry
from halyard.audit_keys import Signer, load_audit_keys
from halyard.clock import Clock, system_clock
from halyard.errors import ConfigurationError, HalyardError
from halyard.postgres import Pool, make_pool, transaction
from halyard.service import Service
from halyard.settings import Settings
from streams.audit import reviewing
from streams.audit.export import Exporter, checkpoint_dir
from streams.audit.sealer import Sealer

_GAUGES_SECONDS: Final = 30.0

log = telemetry.get_logger()


def signer_of(settings: Settings) -> Signer:
    """The key that signs. Raises `ConfigurationError` if there is none."""
    signer = load_audit_keys(settings).signer
    if signer is None:
        raise ConfigurationError(
            "There is no key to sign checkpoints with: add [audit] to the secrets file, as "
            "`halyard audit keys --new NAME` prints it (docs/reference/audit.md)."
        )
    return signer


async def run(service: Service, settings: Settings) -> None:
    """Seal until the service stops.

    Raises `ConfigurationError` for a missing key or checkpoint directory.
    """
    signer = signer_of(settings)
    exporter = Exporter(checkpoint_dir(settings))
    pool = make_pool(settings, name="sealer", size=2, schema="sealer")
    await pool.open()
    try:
        keys = load_audit_keys(settings).public
        sealer = Sealer(pool, signer, exporter, settings, system_clock, keys)
        service.add_readiness("sealing", sealer.not_ready)
        service.spawn(_watch_reviews(pool, system_clock), name="review-gauges")
        service.ready = True
        await sealer.run(service.stopping)
    finally:
        await pool.close()


async def _watch_reviews(pool: Pool, clock: Clock) -> None:
    while True:
        try:
            async with transaction(pool) as connection:
                await reviewing.gauges(connection, clock())
        except (HalyardError, psycopg.Error, OSError) as error:
            log.warning("review_gauges_failed", error=telemetry.describe(error))
        await asyncio.sleep(_GAUGES_SECONDS)
