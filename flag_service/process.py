"""`halyard serve` as a process.

It answers from its first moment: uploads need no database and look-ups no broker, so neither is
waited for; what cannot be done now is a 503 that says so.
"""

from __future__ import annotations

from functools import partial

from flag_service.app import create_app
from flag_service.bus import Bus
from flag_service.live import CHANNEL, Live
from flag_service.status import Health, database_wrong
from halyard.clock import system_clock
from halyard.http import listen, serve
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import Service
from halyard.settings import Settings
from halyard.telemetry import get_logger
from stores.directory import load_directory
from streams.delivery.listener import listen as listen_notify
from streams.outbox_publisher import make_send, sweep_forever

log = get_logger()


async def run(service: Service, settings: Settings) -> None:
    """Serve until `service.stopping`.

    Raises `ConfigurationError` for missing keys or directory, or a port that is taken.
    """
    keys = load_keys(settings.security.secrets_file)
    directory = load_directory(settings.directory_file)
    listener = listen(settings.http.host, settings.http.port)
    pool = make_pool(settings, name="serve")
    bus = Bus(settings)
    health = Health({"kafka": bus.wrong, "postgresql": lambda: database_wrong(pool)})
    lists = Live(pool, directory, service.stopping)
    app = create_app(
        settings, pool, keys, directory, bus, system_clock, health=health, live_lists=lists
    )
    for part in health.parts:
        service.add_readiness(part, partial(health.reasons.get, part))
    port = listener.getsockname()[1]

    def answering() -> None:
        service.ready = True
        log.info("serving", host=settings.http.host, port=port)

    try:
        await pool.open(wait=False)
        service.spawn(bus.connect(service.stopping), name="bus")
        service.spawn(health.watch(service.stopping), name="health")
        database = settings.database.url.get_secret_value()
        service.spawn(listen_notify(database, lists.hint, CHANNEL), name="alert-hints")
        service.spawn(sweep_forever(pool, make_send(bus, settings)), name="sweeper")
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
        await pool.close()
