"""The process `halyard dispatcher`: parts wired together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from aiokafka.errors import KafkaError

from connectors.webhook.sender import WebhookSender
from halyard import telemetry
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.kafka import Record, make_producer
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import Service
from halyard.settings import Settings
from stores import outbox
from stores.directory import load_directory
from streams.delivery.dispatcher import Dispatcher
from streams.delivery.listener import listen
from streams.outbox_publisher import make_send

# claim, complete, publish, sweep, gauges
_POOL = 6
_RETRY_SECONDS = 1.0
_STOP_SECONDS = 1.0

log = telemetry.get_logger()


async def run(service: Service, settings: Settings) -> None:
    """Deliver until the service stops.

    Raises `ConfigurationError` if an endpoint's secret is missing or the lease is too short for
    an attempt.
    """
    delivery = settings.delivery
    if delivery.lease_seconds < 2 * delivery.timeout_seconds:
        raise ConfigurationError(
            "An attempt may outlast its lease; set HALYARD_DELIVERY__LEASE_SECONDS to at least "
            "twice HALYARD_DELIVERY__TIMEOUT_SECONDS."
        )
    keys = load_keys(settings.security.secrets_file)
    directory = load_directory(settings.directory_file)
    for endpoint in directory.endpoints.values():
        if endpoint.secret and not keys.webhook.get(endpoint.secret):
            raise ConfigurationError(
                f"Endpoint {endpoint.name} is signed with secret {endpoint.secret}, which the "
                "secrets file does not have under [webhook]; add it there."
            )
    pool = make_pool(settings, name="dispatcher", size=max(_POOL, settings.database.pool_size))
    await pool.open()
    url = settings.database.url.get_secret_value()
    try:
        async with (
            _late_send(settings) as send,
            WebhookSender(
                system_clock,
                timeout_seconds=delivery.timeout_seconds,
                max_connections=delivery.concurrency,
            ) as sender,
        ):
            dispatcher = Dispatcher(
                pool=pool,
                sender=sender,
                send=send,
                directory=directory,
                secrets=keys.webhook,
                settings=delivery,
                clock=system_clock,
                random=random.random,
                listen=lambda hint: listen(url, hint),
            )
            service.add_liveness("claiming", dispatcher.dead)
            service.add_readiness("claiming", dispatcher.not_ready)
            service.ready = True
            await dispatcher.run(service.stopping, stop_seconds=settings.worker.stop_seconds)
    finally:
        await pool.close()


@asynccontextmanager
async def _late_send(settings: Settings) -> AsyncIterator[outbox.Send]:
    """A `Send` that does not wait for Kafka: alerts go out while it is away, and what is said of
    them on the bus stays in the outbox until it is back.
    """
    producer = make_producer(settings, client_id="dispatcher")
    inner: outbox.Send | None = None

    async def start() -> None:
        nonlocal inner
        while True:
            try:
                await producer.start()
            except (KafkaError, OSError) as error:
                log.warning("broker_away", reason=telemetry.describe(error))
                await asyncio.sleep(_RETRY_SECONDS)
            else:
                inner = make_send(producer, settings)
                return

    async def send(records: Sequence[Record]) -> Sequence[bool]:
        if starting.done():
            starting.result()  # an error that waiting does not mend
        return await inner(records) if inner is not None else [False] * len(records)

    starting = asyncio.create_task(start(), name="producer")
    try:
        yield send
    finally:
        starting.cancel()
        await asyncio.gather(starting, return_exceptions=True)
        with suppress(TimeoutError):  # with the broker away it would wait for the broker
            async with asyncio.timeout(_STOP_SECONDS):
                await producer.stop()
