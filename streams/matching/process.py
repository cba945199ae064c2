"""`halyard worker matching`: the matching stage as a process."""

from __future__ import annotations

from halyard.clock import system_clock
from halyard.kafka import make_producer
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import Service
from halyard.settings import Settings
from policies import versions
from policies.model import load_policies
from policies.reach import say_unreached
from stores import bus_key
from stores.directory import load_directory
from streams.matching.agent import STAGE, MatchingStage
from streams.outbox_publisher import make_send
from streams.stage import Stage, run_stage

TOPICS = (
    "safeguarding.attendance.verified.v1",
    "safeguarding.flag.verified.v1",
    "safeguarding.access.recorded.v1",
)


async def run(service: Service, settings: Settings) -> None:
    """Run until `service.stopping`. Raises `ConfigurationError` for missing keys or directory,
    and for sharing policies that cannot be used.
    """
    keys = load_keys(settings.security)
    directory = load_directory(settings.directory_file)
    policies = load_policies(settings.policies.directory)
    say_unreached(policies, directory, system_clock())
    pool = make_pool(settings, name=STAGE, check=False)
    await pool.open()
    producer = make_producer(settings, client_id=f"halyard-{STAGE}")
    try:
        await versions.at_start(pool, policies, system_clock())
        await producer.start()
        send = make_send(producer, settings)
        guard = bus_key.guard(pool, keys.bus_id)
        stage = MatchingStage(pool, keys, settings, directory, send, system_clock, policies)
        await run_stage(
            service,
            settings,
            Stage(name=STAGE, group=STAGE, topics=TOPICS, process=stage.process, guard=guard),
            pool=pool,
            producer=producer,
        )
    finally:
        await producer.stop()
        await pool.close()
