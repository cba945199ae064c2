"""The events of a FHIR message, whatever it is about, and what holds of them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from connectors.deaths import indicated
from connectors.fhir.death_messages import DeathMessage
from connectors.fhir.deaths import to_death_event
from connectors.fhir.forms import MAX_TEXT
from connectors.fhir.mapping import to_attendances
from connectors.fhir.messages import Parsed
from halyard.privacy import Keys
from stores.arrival_rules import DEFAULT_RULE
from stores.directory import Feed


def fhir_events(
    message: Parsed | DeathMessage, feed: Feed, keys: Keys, at: datetime
) -> tuple[Any, ...]:
    """As the route makes them."""
    if isinstance(message, DeathMessage):
        return (to_death_event(message, feed=feed, keys=keys, received_at=at),)
    events = to_attendances(message, feed=feed, rule=DEFAULT_RULE, keys=keys, received_at=at)
    return (*events, *(one for event in events if (one := indicated(event, keys))))


def broken(event: Any) -> str | None:
    """The rule that a fact of `event` breaks, if any; an attendance has none."""
    facts = getattr(event, "facts", ())
    if any(len(one.value or "") > MAX_TEXT for one in facts):
        return "fhir.a-fact-is-bounded"
    if any((one.value is None) == (one.absent is None) for one in facts):
        return "fhir.a-fact-has-a-value-or-says-why-not"
    if len({(one.name, one.row) for one in facts}) < len(facts):
        return "fhir.a-fact-is-there-once"
    return None
