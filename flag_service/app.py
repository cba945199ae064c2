"""The application of `halyard serve`: the edge, and the routers of this room and of connectors."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from connectors.fhir import documented
from connectors.fhir.intake import Intake as FhirIntake
from connectors.fhir.mailbox import make_router as mailbox_router
from connectors.fhir.router import make_router as fhir_router
from connectors.fhir.router import message_limits
from connectors.local_authority.intake import Intake
from connectors.local_authority.router import make_router as uploads_router
from connectors.local_authority.router import upload_limits
from connectors.mns.intake import Intake as MnsIntake
from connectors.mns.router import make_router as mns_router
from flag_service import (
    access_reviews,
    alerts,
    audit,
    capability,
    disclosure_reviews,
    fhir_lookups,
    flags,
    live,
    matrix,
    me,
    person_record,
    session_routes,
    shares,
    status,
    trace_batches,
    traces,
    tracing,
    worklist,
)
from flag_service.authorising import Authorising
from flag_service.door import practice_tokens
from flag_service.fhir_outcomes import FhirProblems
from flag_service.live import Live
from flag_service.lookups import Lookups
from flag_service.refusals import Refusals
from flag_service.sessions import Sessions
from flag_service.status import Health
from halyard.caller import Authenticate
from halyard.clock import Clock
from halyard.errors import ConfigurationError
from halyard.http import make_app
from halyard.postgres import Pool
from halyard.privacy import Keys
from halyard.settings import Profile, Settings
from policies.desk import open_desk
from policies.model import Policies
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
    door: Authenticate | None = None,
    sessions: Sessions | None = None,
    refusals: Refusals | None = None,
    publisher: Pool | None = None,
    policies: Policies | None = None,
) -> FastAPI:
    """Everything that `halyard serve` answers.

    `producer` is an AIOKafkaProducer or a `flag_service.bus.Bus`; `health` is what the status
    routes tell (nothing wrong, if not given); `live_lists` is who wakes and ends the live lists;
    `door` is who lets in (`flag_service.door.make_door`; practice tokens alone, if not given, which
    production refuses);
    `sessions` is where people log in; `refusals` takes down who was refused; `publisher` is the
    pool that publishes from the outbox (`pool`, if not given); `policies` are the sharing policies
    (the package's, if not given). Raises `ConfigurationError` for a route that the authorisation
    matrix does not have, and in production without a door.
    """
    if door is None and settings.profile is Profile.PRODUCTION:
        raise ConfigurationError(
            "An application in production needs a door; make one with flag_service.door.make_door."
        )
    authorise = Authorising(refusals=refusals, kinds_of=directory.kinds_of)
    desk = open_desk(policies, directory, keys, "process:serve")
    lists = live_lists or Live(pool, desk, clock=clock)
    lookups = Lookups(pool, desk, clock)
    tracer = tracing.make_tracing(settings, pool, desk, clock, keys)
    app = make_app(
        settings,
        title="Halyard",
        authenticate=door or practice_tokens(directory),
        open_paths=matrix.open_paths(),
        probes=status.OPEN_PATHS,
        authorise=authorise,
        components=documented.COMPONENTS,
        outspoken=capability.PREFIXES,
        foreign=(*capability.PREFIXES, "/fhir/"),
        limits={
            **upload_limits(settings),
            **trace_batches.trace_limits(settings),
            **message_limits(),
            **live.stream_limits(lists.pace),
        },
        routers=(
            flags.make_router(settings, lookups),  # first: routes are tried in order
            uploads_router(Intake(producer, settings, keys, clock), directory, pool, clock, desk),
            fhir_router(FhirIntake(producer, settings, keys, directory, clock)),
            mns_router(MnsIntake(producer, settings, keys, clock)),
            mailbox_router(pool, clock),
            fhir_lookups.make_router(settings, lookups, clock),
            live.make_router(
                lists, session_routes.standing(sessions)
            ),  # before those with an id in their path
            alerts.make_router(
                pool, desk, make_send(producer, settings), clock, publisher=publisher
            ),
            shares.make_router(pool, desk, clock),
            disclosure_reviews.make_router(pool, desk, clock),
            traces.make_router(tracer),
            trace_batches.make_router(
                tracer, directory, max_line_bytes=settings.http.max_upload_line_bytes
            ),
            worklist.make_router(pool, desk, clock, settings),
            audit.make_router(settings, pool, keys, clock),
            access_reviews.make_router(pool, clock),
            person_record.make_router(settings, pool, desk, clock),
            me.make_router(directory),
            session_routes.make_router(sessions),
            status.make_router(health or Health({})),
        ),
    )
    app.add_middleware(FhirProblems, prefixes=capability.PREFIXES)
    authorise.bind(app.router.routes)
    return app
