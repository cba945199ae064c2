"""Reading a message about a death as the route does; for tests."""

from __future__ import annotations

import copy
import json
from datetime import UTC, datetime
from typing import Any

from connectors.fhir.death_messages import DeathMessage
from connectors.fhir.deaths import to_death_event
from connectors.fhir.messages import Refusal, read_message
from schemas.deaths import DeathNotified, Fact, ReportSubmitted
from tests.unit.fhir.bundles import FEED, KEYS

RECEIVED = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
Json = dict[str, Any]


def read(message: Json | bytes) -> DeathMessage | Refusal:
    """As the hub reads it; AssertionError if it takes it for an attendance."""
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    found = read_message(body)
    assert isinstance(found, DeathMessage | Refusal)
    return found


def event(message: Json | bytes, received_at: datetime = RECEIVED) -> Any:
    """The event of a message; AssertionError if it is refused."""
    found = read(message)
    assert isinstance(found, DeathMessage), found
    return to_death_event(found, feed=FEED, keys=KEYS, received_at=received_at)


def notified(message: Json | bytes) -> DeathNotified:
    """The event of a notification."""
    found = event(message)
    assert isinstance(found, DeathNotified)
    return found


def submitted(message: Json | bytes) -> ReportSubmitted:
    """The event of an agency's answer."""
    found = event(message)
    assert isinstance(found, ReportSubmitted)
    return found


def fact(found: Any, name: str, row: int = 0) -> Fact | None:
    """The fact of an event, by name and row."""
    return next((one for one in found.facts if (one.name, one.row) == (name, row)), None)


def value(found: Any, name: str, row: int = 0) -> str | None:
    """Its value."""
    one = fact(found, name, row)
    return one.value if one else None


def resource(message: Json, kind: str) -> Json:
    """The resource of a type, to be changed in place."""
    found: Json = next(
        one["resource"] for one in message["entry"] if one["resource"]["resourceType"] == kind
    )
    return found


def without(message: Json, kind: str) -> Json:
    """`message` without the resources of a type."""
    made = copy.deepcopy(message)
    made["entry"] = [one for one in made["entry"] if one["resource"]["resourceType"] != kind]
    return made


def with_parameter(message: Json, name: str, **said: Any) -> Json:
    """`message` with a parameter; without it if nothing is said."""
    made = copy.deepcopy(message)
    parameters = resource(made, "Parameters")
    kept = [one for one in parameters["parameter"] if one["name"] != name]
    parameters["parameter"] = [*kept, *([{"name": name, **said}] if said else [])]
    if not parameters["parameter"]:
        del parameters["parameter"]
    return made
