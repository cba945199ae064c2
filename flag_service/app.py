"""The application of `halyard serve`: the edge, and the routers of this room and of connectors."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from connectors.fhir.intake import Intake as FhirIntake
from connectors.fhir.mailbox import make_router as mailbox_router
from connectors.fhir.router import make_router as fhir_router
from connectors.fhir.router import message_limits
from connectors.local_authority.intake import Intake
from connectors.local_authority.router import make_router as uploads_router
from connectors.local_authority.router import upload_limits
from flag_service import alerts, flags, live, status, worklist
from flag_service.door import practice_tokens
from flag_service.live import Live
from flag_service.status import Health
from halyard.clock import Clock
from halyard.http import make_app
from halyard.postgres import Pool
from halyard.privacy import Keys
from halyard.settings import Settings
from stores.directory import Directory
from streams.outbox_publisher import make_send


def create_app(
    settings: Settings,
    pool: Pool,
    keys: Keys,
    directory: Directory,
    producer: Any,
    clock: Clock,
    *,
    health: Health | None = None,
    live_lists: Live | None = None,
) -> FastAPI:
    """Everything that `halyard serve` answers.

    `producer` is an AIOKafkaProducer or a `flag_service.bus.Bus`; `health` is what the status
    routes tell (nothing wrong, if not given); `live_lists` is who wakes and ends the live lists.
    """
    lists = live_lists or Live(pool, directory)
    return make_app(
        settings,
        title="Halyard",
        authenticate=practice_tokens(directory),
        open_paths=status.OPEN_PATHS,
        limits={**upload_limits(settings), **message_limits(), **live.stream_limits(lists.pace)},
        routers=(
            uploads_router(Intake(producer, settings, keys, clock), directory, pool, clock),
            fhir_router(FhirIntake(producer, settings, keys, directory, clock)),
            mailbox_router(pool, clock),
            flags.make_router(settings, pool, keys, directory, clock),
            alerts.make_router(pool, directory, make_send(producer, settings), clock),
            live.make_router(lists),
            worklist.make_router(pool, clock),
            status.make_router(health or Health({})),
        ),
    )
