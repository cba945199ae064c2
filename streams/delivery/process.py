"""The process `halyard dispatcher`: parts wired together."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from urllib.parse import urlsplit

from aiokafka.errors import KafkaError

from connectors.hl7v2.sender import Hl7v2Sender, client_tls
from connectors.webhook.sender import WebhookSender
from halyard import telemetry
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.kafka import Record, make_producer
from halyard.outbound import Outbound
from halyard.postgres import make_pool
from halyard.privacy import load_keys
from halyard.service import Service
from halyard.settings import Profile, Settings
from policies import versions
from policies.desk import Desk
from policies.model import load_policies
from stores import bus_key, outbox
from stores.directory import Directory, load_directory
from streams.delivery.dispatcher import Dispatcher
from streams.delivery.letters import AT_ONCE, LetterPusher
from streams.delivery.letters import CHANNEL as LETTERS
from streams.delivery.listener import listen
from streams.outbox_publisher import make_send

# claim, complete, publish, sweep, gauges
_POOL = 6
# letters: claim, mark
_LETTERS_POOL = 2
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_RETRY_SECONDS = 1.0
_STOP_SECONDS = 1.0

log = telemetry.get_logger()


async def run(service: Service, settings: Settings) -> None:
    """Deliver until the service stops.

    Raises `ConfigurationError` if an endpoint cannot be used as the directory has it, or the
    lease is too short for an attempt.
    """
    delivery = settings.delivery
    keys = load_keys(settings.security)
    directory = load_directory(settings.directory_file)
    desk = Desk(load_policies(settings.policies.directory), directory, keys, "process:dispatcher")
    longest = delivery.timeout_seconds
    if any(endpoint.mllp for endpoint in directory.endpoints.values()):
        longest = max(longest, delivery.mllp_timeout_seconds)
    if delivery.lease_seconds < 2 * longest:
        raise ConfigurationError(
            "An attempt may outlast its lease; set HALYARD_DELIVERY__LEASE_SECONDS to at least "
            "twice HALYARD_DELIVERY__TIMEOUT_SECONDS and …MLLP_TIMEOUT_SECONDS."
        )
    for endpoint in directory.endpoints.values():
        if endpoint.secret and not keys.webhook.get(endpoint.secret):
            raise ConfigurationError(
                f"Endpoint {endpoint.name} is signed with secret {endpoint.secret}, which the "
                "secrets file does not have under [webhook]; add it there."
            )
    production = settings.profile is Profile.PRODUCTION
    outbound = Outbound.of(settings)
    for endpoint in directory.endpoints.values():
        outbound.check_url(endpoint.url, f"Endpoint {endpoint.name}", production=production)
    check_listeners(directory, production=production)
    tls = client_tls(delivery.mllp_ca_file, delivery.mllp_certificate_file, delivery.mllp_key_file)
    pool = make_pool(settings, name="dispatcher", size=max(_POOL, settings.database.pool_size))
    letters_pool = make_pool(settings, name="letters", size=_LETTERS_POOL)
    await pool.open()
    await letters_pool.open()
    url = settings.database.url.get_secret_value()
    try:
        await versions.at_start(pool, desk.policies, system_clock())
        service.spawn(bus_key.watch(bus_key.guard(pool, keys.bus_id)), name="bus-key")
        async with (
            _late_send(settings) as send,
            WebhookSender(
                system_clock,
                timeout_seconds=delivery.timeout_seconds,
                max_connections=delivery.concurrency,
                outbound=outbound,
            ) as webhooks,
            Hl7v2Sender(
                timeout_seconds=delivery.mllp_timeout_seconds,
                connections=delivery.mllp_connections,
                idle_seconds=delivery.mllp_idle_seconds,
                facility=delivery.mllp_facility,
                production=production,
                tls=tls,
                outbound=outbound,
            ) as hl7,
            WebhookSender(
                system_clock,
                timeout_seconds=delivery.timeout_seconds,
                max_connections=AT_ONCE,
                outbound=outbound,
            ) as letter_hooks,
        ):
            dispatcher = Dispatcher(
                pool=pool,
                webhooks=webhooks,
                hl7=hl7,
                send=send,
                desk=desk,
                secrets=keys.webhook,
                settings=delivery,
                clock=system_clock,
                random=random.random,
                listen=lambda hint: listen(url, hint),
            )
            pusher = LetterPusher(
                pool=letters_pool,
                webhooks=letter_hooks,
                directory=directory,
                secrets=keys.webhook,
                settings=delivery,
                keep_days=settings.mailbox.keep_days,
                random=random.random,
                listen=lambda hint: listen(url, hint, LETTERS),
            )
            service.add_liveness("claiming", dispatcher.dead)
            service.add_readiness("letters", pusher.not_ready)
            service.add_readiness("claiming", dispatcher.not_ready)
            service.ready = True
            pushing = service.spawn(
                pusher.run(service.stopping, stop_seconds=settings.worker.stop_seconds),
                name="letters",
            )
            await dispatcher.run(service.stopping, stop_seconds=settings.worker.stop_seconds)
            await asyncio.wait({pushing})  # an error of its own ends the process by itself
    finally:
        await letters_pool.close()
        await pool.close()


def check_listeners(directory: Directory, *, production: bool) -> None:
    """Raise `ConfigurationError` for an HL7 v2 listener (``mllp://``, ``mllps://``) that cannot be
    used: one without host or port, one that an authority's alerts go to (they have no HL7 v2
    form), or in production one in the clear beyond this machine.
    """
    for authority in directory.authorities.values():
        for name in (authority.alert_endpoint, authority.restricted_endpoint):
            if name is not None and directory.endpoints[name].mllp:
                raise ConfigurationError(
                    f"Endpoint {name} of authority {authority.gss} is an HL7 v2 listener; alerts "
                    "go to webhooks only: give an https:// address."
                )
    for code, name in directory.caldicott_endpoints().items():
        if directory.endpoints[name].mllp:
            raise ConfigurationError(
                f"Endpoint {name} of {code} is an HL7 v2 listener; notices of accesses go to "
                "webhooks only: give an https:// address."
            )
    receivers = [
        *((code, one.message_endpoint) for code, one in directory.hospitals.items()),
        *((code, one.message_endpoint) for code, one in directory.authorities.items()),
        *((code, one.message_endpoint) for code, one in directory.agencies.items()),
        *((code, one.message_endpoint) for code, one in directory.panels.items()),
    ]
    for code, name in receivers:
        if name is not None and directory.endpoints[name].mllp:
            raise ConfigurationError(
                f"Endpoint {name} of {code} is an HL7 v2 listener; FHIR messages about deaths go "
                "to webhooks only: give an https:// address."
            )
    for endpoint in directory.endpoints.values():
        if not endpoint.mllp:
            continue
        try:
            parts = urlsplit(endpoint.url)
            host, port = parts.hostname, parts.port
        except ValueError:
            host = port = None
        if not host or not port:
            raise ConfigurationError(
                f"Endpoint {endpoint.name} names no host and port; write mllps://host:port."
            )
        if production and parts.scheme == "mllp" and host not in _LOOPBACK:
            raise ConfigurationError(
                f"Endpoint {endpoint.name} would send in the clear; write mllps://host:port, or "
                "end a tunnel on this machine's loopback."
            )


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

    async def send(records: Sequence[Record]) -> Sequence[bool | outbox.Never]:
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
