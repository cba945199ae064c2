"""Messages about deaths as records of the topic, as the FHIR connector would have produced them.

For filling a system with many: the way through HTTP is left out, the mapping is the connector's.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime

from connectors.fhir.death_messages import DeathMessage
from connectors.fhir.deaths import to_death_event
from connectors.fhir.messages import read_message
from halyard.errors import ContractError
from halyard.kafka import Record, cloudevent_headers
from halyard.privacy import Keys
from halyard.telemetry import new_traceparent
from sandbox.deaths.bundles import Json
from schemas import codec
from schemas.deaths import DeathNotified
from schemas.topics import DEATH_NOTIFIED
from stores.directory import Feed


def notified(message: Json, *, feed: Feed, keys: Keys, received_at: datetime) -> DeathNotified:
    """The event that the message reports. Raises `ContractError` if it is refused, or a report."""
    parsed = read_message(json.dumps(message).encode())
    if not isinstance(parsed, DeathMessage):
        raise ContractError("A practice message about a death is refused; mend its sender.")
    event = to_death_event(parsed, feed=feed, keys=keys, received_at=received_at)
    if not isinstance(event, DeathNotified):
        raise ContractError("A practice message is a report, not a notification.")
    return event


def record(event: DeathNotified) -> Record:
    """The record for the bus."""
    return Record(
        DEATH_NOTIFIED,
        event.source_person,
        codec.encode(event),
        cloudevent_headers(
            event_id=event.event_id,
            event_type="DeathNotified",
            source=event.source,
            time=event.received_at,
            traceparent=new_traceparent(),
        ),
    )


def by_source(feeds: Iterable[Feed]) -> dict[str, Feed]:
    """Feeds by their source."""
    return {feed.source: feed for feed in feeds}
