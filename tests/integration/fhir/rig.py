"""The face with a FHIR feed on a real bus; no database stands behind (none is needed)."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import httpx

from connectors.fhir.outcomes import CONTENT_TYPE, PATH
from flag_service.app import create_app
from flag_service.bus import Bus
from halyard import kafka_admin
from halyard.clock import system_clock
from halyard.kafka import qualified
from halyard.kafka_admin import TopicSpec
from halyard.postgres import make_pool
from halyard.settings import FhirSettings, Settings
from schemas import codec
from schemas.deaths import DeathNotified, ReportSubmitted
from schemas.events import AttendanceReported, MessageRejected
from schemas.topics import (
    ATTENDANCE_REPORTED,
    DEATH_NOTIFIED,
    MESSAGE_REJECTED,
    REPORT_SUBMITTED,
)
from stores.directory import Feed
from tests.support.face import (
    INFIRMARY,
    KEYS,
    SOUTH,
    bearer,
    directory,
    served,
    settings,
    topic_records,
)
from tests.unit.fhir.bundles import ENDPOINT

FEED = Feed(source="infirmary-fhir", organisation=INFIRMARY, transport="fhir", endpoint=ENDPOINT)
AUTHORITY_FEED = Feed(source="south-fhir", organisation=SOUTH, transport="fhir", relays_pds=True)
"""Of an authority: it reports deaths, relays PDS, and has no attendances."""
LARGEST = 100_000
LARGEST_RECORD = 190_000


@dataclass(slots=True)
class Rig:
    """A face on loopback, and the bus behind it."""

    settings: Settings
    url: str

    async def post(
        self, body: bytes | dict[str, Any], organisation: str = INFIRMARY, **headers: str
    ) -> httpx.Response:
        """Post one message as an organisation."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with httpx.AsyncClient(base_url=self.url) as http:
            return await http.post(
                PATH,
                content=content,
                headers={
                    "Content-Type": CONTENT_TYPE,
                    **bearer(organisation),
                    **{name.replace("_", "-"): value for name, value in headers.items()},
                },
            )

    async def attendances(self) -> list[AttendanceReported]:
        """What is on the bus now."""
        found = await topic_records(self.settings, ATTENDANCE_REPORTED)
        return [codec.decode_as(AttendanceReported, one.value) for one in found]

    async def deaths(self) -> list[DeathNotified]:
        """Notifications and indications that are on the bus now."""
        found = await topic_records(self.settings, DEATH_NOTIFIED)
        return [codec.decode_as(DeathNotified, one.value) for one in found]

    async def reports(self) -> list[ReportSubmitted]:
        """Agencies' answers that are on the bus now."""
        found = await topic_records(self.settings, REPORT_SUBMITTED)
        return [codec.decode_as(ReportSubmitted, one.value) for one in found]

    async def rejected(self) -> list[MessageRejected]:
        """What was refused and kept."""
        found = await topic_records(self.settings, MESSAGE_REJECTED)
        return [codec.decode_as(MessageRejected, one.value) for one in found]


@contextlib.asynccontextmanager
async def rig(
    bootstrap: str, namespace: str, *, connect: bool = True, seconds: float = 10.0
) -> AsyncIterator[Rig]:
    """A face with `FEED`; `connect` False leaves the broker away for ever."""
    made = settings(bootstrap=bootstrap, namespace=namespace, request_timeout=seconds)
    kafka = made.kafka.model_copy(update={"max_record_bytes": LARGEST_RECORD})
    fhir = FhirSettings(max_message_bytes=LARGEST)
    made = made.model_copy(update={"fhir": fhir, "kafka": kafka})
    bus = Bus(made, client_id="test")
    pool = make_pool(made, name="test")
    try:
        if connect:
            topics = [
                TopicSpec(qualified(made, name), 1, 1)
                for name in (
                    ATTENDANCE_REPORTED,
                    DEATH_NOTIFIED,
                    REPORT_SUBMITTED,
                    MESSAGE_REJECTED,
                )
            ]
            await asyncio.to_thread(kafka_admin.apply, bootstrap, topics)
            await bus.connect(asyncio.Event())
        known = replace(directory(), feeds=(FEED, AUTHORITY_FEED))
        async with served(create_app(made, pool, KEYS, known, bus, system_clock)) as url:
            yield Rig(made, url)
    finally:
        await bus.stop()
        await pool.close()
