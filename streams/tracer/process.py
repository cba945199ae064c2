"""`halyard tracer`: asks PDS for what identity filed. No Faust, no consumer group."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from halyard.clock import system_clock
from halyard.kafka import make_producer
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import ProcessDied, Service
from halyard.settings import Settings
from policies.desk import open_desk
from policies.model import load_policies
from stores import bus_key
from stores.directory import load_directory
from stores.trace_requests import TracePurpose
from streams.identity.changes import limits_of
from streams.outbox_publisher import make_send, sweep_forever
from streams.tracer.batches import Batches
from streams.tracer.clients import Clients
from streams.tracer.housekeeping import keep_house
from streams.tracer.rechecks import Rechecker
from streams.tracer.release import Releaser
from streams.tracer.resolutions import Resolver
from streams.tracer.reverifying import reverify_forever
from streams.tracer.tracer import Release, Tracer, concurrency_of, ration_of

NAME = "tracer"


async def run(service: Service, settings: Settings) -> None:
    """Run until `service.stopping`. Raises `ConfigurationError` for missing keys or directory."""
    keys = load_keys(settings.security)
    directory = load_directory(settings.directory_file)
    size = max(settings.database.pool_size, min(10, concurrency_of(settings.pds) // 2))
    pool = make_pool(settings, name=NAME, size=size)
    clients = Clients(settings, directory, pool, ration_of(settings.pds))
    await pool.open()
    producer = make_producer(settings, client_id=f"halyard-{NAME}")
    try:
        guard = bus_key.guard(pool, keys.bus_id)
        await bus_key.at_start(guard)
        service.spawn(bus_key.watch(guard), name="bus-key")
        await producer.start()
        send = make_send(producer, settings)
        limits = limits_of(settings, keys, directory)
        desk = open_desk(
            load_policies(settings.policies.directory), directory, keys, f"process:{NAME}"
        )
        releaser = Releaser(pool, limits, desk, send, system_clock)
        resolver = Resolver(pool, limits, settings.identity, send, system_clock, desk)
        rechecker = Rechecker(pool, limits, desk, send, system_clock)
        # Who is told the answer, by the purpose of the request
        batches = Batches(
            pool,
            limits,
            system_clock,
            live=settings.tracing.live_requests,
            persons=settings.tracing.live_persons,
        )
        releases: dict[TracePurpose, Release] = {
            "claims": releaser.release,
            "resolution": resolver.release,
            "batch": batches.release,
            "recheck": rechecker.release,
        }
        tracer = Tracer(pool, settings.pds, clients.client_for, releases)
        every = timedelta(days=settings.identity.reverify_flagged_days)
        window = timedelta(hours=settings.identity.backmatch_hours)
        tracing = asyncio.create_task(tracer.run(service.stopping))
        beside = [
            asyncio.create_task(sweep_forever(pool, send)),
            asyncio.create_task(keep_house(pool, system_clock, window=window)),
            asyncio.create_task(resolver.run()),
            asyncio.create_task(batches.run()),
            asyncio.create_task(reverify_forever(pool, system_clock, every=every)),
        ]
        service.ready = True
        try:
            await asyncio.wait({tracing, *beside}, return_when=asyncio.FIRST_COMPLETED)
            for part in beside:
                if part.done():
                    part.result()
                    raise ProcessDied("A part of the tracer ended by itself; start it again.")
            await tracing
        finally:
            for part in (tracing, *beside):
                part.cancel()
            await asyncio.gather(tracing, *beside, return_exceptions=True)
    finally:
        await clients.aclose()
        await producer.stop()
        await pool.close()
