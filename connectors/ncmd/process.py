"""`halyard connector ncmd`: the sink, and the sender if cases are submitted anywhere."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Final

from connectors.kafka_reader import KafkaReader
from connectors.ncmd.client import Client
from connectors.ncmd.letters import DeadLetters
from connectors.ncmd.message import builder
from connectors.ncmd.port import StorePort
from connectors.ncmd.sender import Sender
from connectors.ncmd.sink import NAME, Sink
from halyard.clock import Clock, system_clock
from halyard.outbound import Outbound
from halyard.postgres import Pool, make_pool
from halyard.service import Service, cancel_all
from halyard.settings import Profile, Settings
from policies.model import Policies, load_policies
from schemas.topics import CASE_CHANGED

__all__ = ["NAME", "make_reader", "run"]

_CONNECTIONS: Final = 4  # one for the sink, the others for what is sent at once


def make_reader(settings: Settings) -> KafkaReader:
    """The sink's reader. Where an offset is not in the log, it stops: nothing is passed over."""
    return KafkaReader(settings, name=NAME, topics=[CASE_CHANGED], reset="none", group=NAME)


async def run(service: Service, settings: Settings, *, clock: Clock = system_clock) -> None:
    """Run until `service.stopping`.

    Raises `ConfigurationError` for sharing policies that cannot be used, `LogGap` where the log
    does not follow on the store, `TooMuchPoison`, and `BrokerUnavailable` or
    `DatabaseUnavailable` when Kafka or PostgreSQL stays away for ``worker.transient_seconds``.
    """
    policies = load_policies(settings.policies.directory)
    pool = make_pool(settings, name=NAME, size=_CONNECTIONS, schema="ncmd")
    reader = make_reader(settings)
    letters = DeadLetters(settings, name=NAME)
    share = settings.worker.stop_seconds / 4  # what each part of the end may take
    async with AsyncExitStack() as stack:
        sender = await _sender(stack, settings, pool, clock, policies)
        port = StorePort(
            pool,
            topic=CASE_CHANGED,
            clock=clock,
            submit=sender is not None,
            on_filed=(lambda: None) if sender is None else sender.wake,
            policies=policies,
        )
        sink = Sink(settings, port=port, reader=reader, letters=letters, clock=clock)
        service.add_readiness(NAME, sink.waiting)
        service.add_liveness(NAME, sink.stalled)

        def reading() -> None:
            service.ready = True

        try:
            await pool.open(wait=False)
            work = [asyncio.ensure_future(sink.run(service.stopping, on_ready=reading))]
            if sender is not None:
                work.append(asyncio.ensure_future(sender.run(service.stopping)))
            stop = asyncio.ensure_future(service.stopping.wait())
            try:
                await asyncio.wait({*work, stop}, return_when=asyncio.FIRST_COMPLETED)
                # what is in hand may end; a database that hangs may not hold the stop
                await asyncio.wait(work, timeout=share if service.stopping.is_set() else 0)
                for task in work:
                    if task.done():
                        await task
            finally:
                await cancel_all([*work, stop], share)
        finally:
            await letters.close(share)
            await reader.close(share)
            await pool.close(share)


async def _sender(
    stack: AsyncExitStack, settings: Settings, pool: Pool, clock: Clock, policies: Policies
) -> Sender | None:
    ncmd = settings.ncmd
    if not ncmd.submit_url:  # a container's empty variable, too
        return None
    # loads fhir.resources, which the store alone does not need
    from connectors.fhir.case_projection import case_bundle

    outbound = Outbound.of(settings)
    production = settings.profile is Profile.PRODUCTION
    outbound.check_url(ncmd.submit_url, "HALYARD_NCMD__SUBMIT_URL", production=production)
    client = Client(
        ncmd.submit_url,
        ncmd.submit_token,
        timeout_seconds=ncmd.submit_timeout_seconds,
        outbound=outbound,
    )
    return Sender(
        ncmd,
        pool=pool,
        receiver=await stack.enter_async_context(client),
        build=builder(case_bundle),
        clock=clock,
        transient_seconds=settings.worker.transient_seconds,
        policies=policies,
    )
