"""`halyard serve` as a process.

It answers from its first moment: uploads need no database and look-ups no broker, so neither is
waited for; what cannot be done now is a 503 that says so.
"""

from __future__ import annotations

import gc
from functools import partial

from flag_service.app import create_app
from flag_service.bus import Bus
from flag_service.door import make_door
from flag_service.live import CHANNEL, Live
from flag_service.refusals import Refusals, into
from flag_service.sessions import make_sessions
from flag_service.status import Health, database_wrong
from halyard.clock import system_clock
from halyard.http import listen, serve
from halyard.issuer import make_issuer
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import Service
from halyard.settings import Settings
from halyard.telemetry import get_logger
from policies import versions
from policies.desk import Desk
from policies.model import load_policies
from stores import bus_key
from stores.directory import load_directory
from streams.delivery.listener import listen as listen_notify
from streams.outbox_publisher import make_send, sweep_forever

log = get_logger()


async def run(service: Service, settings: Settings) -> None:
    """Serve until `service.stopping`.

    Raises `ConfigurationError` for missing keys or directory, sharing policies that cannot be used,
    a port that is taken, or a door that would be open to the wrong ones
    (`flag_service.door.make_door`).
    """
    keys = load_keys(settings.security)
    directory = load_directory(settings.directory_file)
    policies = load_policies(settings.policies.directory)
    listener = listen(settings.http.host, settings.http.port)
    pool = make_pool(settings, name="serve", schema="face")
    # of the outbox alone, and of it alone these connections see anything (docs/adr/0034)
    publisher = make_pool(settings, name="serve-publisher", size=2, schema="face", publishes=True)
    # whether a token was used before must not wait for anybody's look-up
    tokens = make_pool(settings, name="serve-tokens", size=2, schema="face")
    bus = Bus(settings)
    health = Health({"kafka": bus.wrong, "postgresql": lambda: database_wrong(pool)})
    desk = Desk(policies, directory, keys, "process:serve")
    lists = Live(pool, desk, service.stopping)
    issuer = make_issuer(settings)
    sessions = make_sessions(settings, directory, pool, system_clock, issuer)
    door = make_door(
        settings,
        directory,
        tokens,
        system_clock,
        sessions=None if sessions is None else sessions.authenticate,
        issuer=issuer,
    )
    refusals = Refusals(into(pool), system_clock)
    app = create_app(
        settings,
        pool,
        keys,
        directory,
        bus,
        system_clock,
        health=health,
        live_lists=lists,
        door=door,
        sessions=sessions,
        refusals=refusals,
        publisher=publisher,
        policies=policies,
    )
    for part in health.parts:
        service.add_readiness(part, partial(health.reasons.get, part))
    port = listener.getsockname()[1]

    def answering() -> None:
        service.ready = True
        log.info("serving", host=settings.http.host, port=port)

    try:
        await pool.open(wait=False)
        await publisher.open(wait=False)
        await tokens.open(wait=False)
        # registering is not the face's right
        guard = bus_key.guard(pool, keys.bus_id, register=False)
        await bus_key.at_start(guard)
        await versions.at_start(pool, policies, system_clock())
        service.spawn(bus_key.watch(guard), name="bus-key")
        service.spawn(bus.connect(service.stopping), name="bus")
        service.spawn(health.watch(service.stopping), name="health")
        service.spawn(door.watch(service.stopping), name="door")
        database = settings.http.database_url.get_secret_value()
        service.spawn(listen_notify(database, lists.hint, CHANNEL), name="alert-hints")
        sweeping = sweep_forever(publisher, make_send(bus, settings), purges=False)
        service.spawn(sweeping, name="sweeper")
        service.spawn(refusals.run(service.stopping), name="refusals")
        # what there is now stays: going through all of it again and again holds everybody up for a
        # tenth of a second
        gc.collect()
        gc.freeze()
        await serve(
            app,
            listener,
            service.stopping,
            on_ready=answering,
            grace_seconds=max(int(settings.worker.stop_seconds / 2), 1),
        )
    finally:
        listener.close()
        await bus.stop()
        await refusals.last()
        await tokens.close()
        await publisher.close()
        await pool.close()
