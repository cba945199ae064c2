"""The process `halyard connector hl7v2`: an MLLP listener in front of Kafka.

It listens only once the broker has answered, so that a sender's connection is refused rather than
taken and left without an answer. When the broker confirms nothing for
``worker.transient_seconds`` although messages come, the process ends non-zero and is started
anew: a producer that has failed for good cannot be mended from inside.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from connectors.hl7v2.mllp import Limits, MllpServer
from connectors.hl7v2.server import HEAD_BYTES, Intake
from connectors.hl7v2.tls import server_context
from halyard import metrics
from halyard.clock import system_clock
from halyard.errors import BrokerUnavailable, ConfigurationError
from halyard.kafka import make_producer
from halyard.privacy import load_keys
from halyard.service import Service
from halyard.settings import Settings
from halyard.telemetry import get_logger
from stores.bus_key import FromIngress, at_start, watch
from stores.directory import Directory, load_directory

_log = get_logger()
_RETRY_SECONDS = 0.5
_WATCH_SECONDS = 1.0
_FLUSH_SECONDS = 2.0


@dataclass(slots=True)
class _Health:
    """Why no message can be taken now; None while they can."""

    reason: str | None


async def run(service: Service, settings: Settings) -> None:
    """Take messages in until the service stops.

    Raises `ConfigurationError` (directory, keys, certificates, port) and `BrokerUnavailable`.
    """
    directory = load_directory(settings.directory_file)
    check_feeds(directory, client_certificates=settings.hl7v2.tls_client_ca is not None)
    tls = server_context(settings.hl7v2)
    keys = load_keys(settings.security)
    health = _Health("waiting for Kafka")
    service.add_readiness("kafka", lambda: health.reason)
    producer = await _connected_producer(service, settings)
    if producer is None:
        return
    health.reason = None
    intake = Intake(settings, directory=directory, keys=keys, producer=producer, clock=system_clock)
    server = MllpServer(
        intake,
        host=settings.hl7v2.host,
        port=settings.hl7v2.port,
        limits=limits(settings),
        tls=tls,
    )
    _begin_gauges(directory)
    ingress = FromIngress(settings, service.name, keys.bus_id)
    try:
        await at_start(ingress.check)
        service.spawn(watch(ingress.check), name="bus-key")
        await server.start()
        _log.info("mllp_listening", host=server.host, port=server.port, tls=tls is not None)
        service.ready = True
        await _watch(service, settings, server, intake, producer, health)
    finally:
        await server.stop(grace=max(1.0, settings.worker.stop_seconds - _FLUSH_SECONDS - 1.0))
        await _stop(producer)
        await ingress.close()


def limits(settings: Settings) -> Limits:
    """The listener's limits from the settings."""
    hl7v2 = settings.hl7v2
    return Limits(
        max_frame_bytes=hl7v2.max_message_bytes,
        head_bytes=HEAD_BYTES,
        max_connections=hl7v2.max_connections,
        max_connections_per_address=hl7v2.max_connections_per_address,
        max_buffered_bytes=hl7v2.max_buffered_bytes,
        max_in_flight=hl7v2.max_in_flight,
        refusals_per_second=hl7v2.refusals_per_second,
        read_timeout=hl7v2.read_timeout_seconds,
        idle_timeout=hl7v2.idle_timeout_seconds,
    )


def _begin_gauges(directory: Directory) -> None:
    """So that a feed that never sends is seen as silent since the start."""
    now = system_clock().timestamp()
    for feed in directory.feeds:
        if feed.transport == "mllp":
            metrics.gauge("halyard_hl7v2_last_message_timestamp_seconds", now, feed=feed.source)


def check_feeds(directory: Directory, *, client_certificates: bool = False) -> None:
    """Raises `ConfigurationError` for a feed whose time zone or character set does not exist, or
    whose certificates nobody would ask for.
    """
    for feed in directory.feeds:
        if feed.certificates and feed.transport == "mllp" and not client_certificates:
            raise ConfigurationError(
                f"Feed {feed.source} lists certificates, which only TLS with client certificates "
                "can show; set HALYARD_HL7V2__TLS_CLIENT_CA."
            )
        try:
            ZoneInfo(feed.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigurationError(
                f"Feed {feed.source}: time zone {feed.timezone} is not known here; correct "
                "`timezone`, or install the tzdata of the system."
            ) from None
        try:
            ascii_like = "MSH|".encode(codecs.lookup(feed.fallback_charset).name) == b"MSH|"
        except (LookupError, TypeError, ValueError):
            ascii_like = False
        if not ascii_like:
            raise ConfigurationError(
                f"Feed {feed.source}: fallback_charset must be one that extends ASCII, such as "
                "windows-1252."
            )


async def _connected_producer(service: Service, settings: Settings) -> AIOKafkaProducer | None:
    """A started producer, as soon as the broker answers; None when a stop comes first."""
    told = False
    while not service.stopping.is_set():
        producer = make_producer(settings, client_id=service.name)
        try:
            await producer.start()
        except (KafkaError, OSError) as error:
            await _stop(producer)
            if not told:
                told = True
                _log.warning("hl7v2_broker_away", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(service.stopping.wait(), _RETRY_SECONDS)
        else:
            return producer
    return None


async def _watch(
    service: Service,
    settings: Settings,
    server: MllpServer,
    intake: Intake,
    producer: AIOKafkaProducer,
    health: _Health,
) -> None:
    while not service.stopping.is_set():
        # asked anew, not only seen in traffic: who is not ready may get no traffic to see it in
        away = intake.failing_since is not None and not await _answers(producer)
        health.reason = "Kafka confirms nothing" if away else None
        metrics.gauge("halyard_hl7v2_connections", server.connections)
        if intake.failing_seconds > settings.worker.transient_seconds:
            raise BrokerUnavailable
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(service.stopping.wait(), _WATCH_SECONDS)


async def _answers(producer: AIOKafkaProducer) -> bool:
    try:
        async with asyncio.timeout(_WATCH_SECONDS):
            return bool(await producer.client.force_metadata_update())
    except (KafkaError, TimeoutError, OSError):
        return False


async def _stop(producer: AIOKafkaProducer) -> None:
    """Flush what can be; what the broker does not take was not acknowledged either."""
    try:
        async with asyncio.timeout(_FLUSH_SECONDS):
            await producer.stop()
    except (KafkaError, TimeoutError, OSError) as error:
        _log.warning("hl7v2_flush_given_up", error=type(error).__name__)
