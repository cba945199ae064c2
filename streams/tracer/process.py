"""`halyard tracer`: asks PDS for what identity filed. No Faust, no consumer group."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from connectors.pds.client import PdsClient
from halyard.clock import system_clock
from halyard.kafka import make_producer
from halyard.nhs_number import profile_for
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import ProcessDied, Service
from halyard.settings import Settings
from stores import bus_key
from stores.directory import load_directory
from stores.trace_requests import TracePurpose
from streams.identity.changes import limits_of
from streams.outbox_publisher import make_send, sweep_forever
from streams.tracer.housekeeping import keep_house
from streams.tracer.release import Releaser
from streams.tracer.tracer import Release, Tracer, concurrency_of

NAME = "tracer"


class Clients:
    """One PDS client for each organisation on whose behalf the hub asks."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._clients: dict[str, PdsClient] = {}

    def client_for(self, organisation: str) -> PdsClient:
        """The organisation's client, made at first need."""
        if organisation not in self._clients:
            pds = self._settings.pds
            self._clients[organisation] = PdsClient(
                pds.base_url,
                token=pds.token.get_secret_value() if pds.token else None,
                end_user_organisation=organisation,
                profile=profile_for(self._settings.profile),
                timeout_seconds=pds.timeout_seconds,
            )
        return self._clients[organisation]

    async def aclose(self) -> None:
        """Close them all."""
        for client in self._clients.values():
            await client.aclose()


async def run(service: Service, settings: Settings) -> None:
    """Run until `service.stopping`. Raises `ConfigurationError` for missing keys or directory."""
    keys = load_keys(settings.security)
    directory = load_directory(settings.directory_file)
    size = max(settings.database.pool_size, min(10, concurrency_of(settings.pds) // 2))
    pool = make_pool(settings, name=NAME, size=size)
    await pool.open()
    producer = make_producer(settings, client_id=f"halyard-{NAME}")
    clients = Clients(settings)
    try:
        guard = bus_key.guard(pool, keys.bus_id)
        await bus_key.at_start(guard)
        service.spawn(bus_key.watch(guard), name="bus-key")
        await producer.start()
        send = make_send(producer, settings)
        limits = limits_of(settings, keys, directory)
        releaser = Releaser(pool, limits, send, system_clock)
        # Who is told the answer, by the purpose of the request
        releases: dict[TracePurpose, Release] = {"claims": releaser.release}
        tracer = Tracer(pool, settings.pds, clients.client_for, releases)
        window = timedelta(hours=settings.identity.backmatch_hours)
        tracing = asyncio.create_task(tracer.run(service.stopping))
        beside = [
            asyncio.create_task(sweep_forever(pool, send)),
            asyncio.create_task(keep_house(pool, system_clock, window=window)),
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
