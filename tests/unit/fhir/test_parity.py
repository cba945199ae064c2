"""HL7 v2 and FHIR say the same: each step of the behaviour stories gives like events."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from connectors.fhir.mapping import to_attendances as from_fhir
from connectors.fhir.messages import Parsed, read_message
from connectors.hl7v2.er7 import Message
from connectors.hl7v2.mapping import to_attendances as from_hl7
from schemas.events import AttendanceReported, PersonClaim
from stores.arrival_rules import DEFAULT_RULE
from stores.directory import Feed
from tests.support.behaviour import fhir, hl7
from tests.support.behaviour.stories import TELLERS, tell
from tests.support.behaviour.story import People, Step
from tests.unit.fhir.bundles import KEYS

NOW = datetime(2026, 3, 14, 21, 43, tzinfo=UTC)
OVER = {"feed": Feed(source="s", organisation="RZ9", facility="RZ9"), "rule": DEFAULT_RULE}


def both(step: Step) -> tuple[Sequence[AttendanceReported], Sequence[AttendanceReported]]:
    """The events of a step, from HL7 v2 and from FHIR."""
    how: dict[str, Any] = {"control_id": "c-1", "visit": step.visit, "now": NOW}
    common: dict[str, Any] = {**OVER, "keys": KEYS, "received_at": NOW}
    parsed = read_message(fhir.render(step, **how))
    assert isinstance(parsed, Parsed), parsed
    return (
        from_hl7(Message.parse(hl7.render(step, **how)), **common),
        from_fhir(parsed, **common),
    )


def told(event: AttendanceReported) -> dict[str, Any]:
    """What an event says, without what its wire alone decides (ids, keys, marks, bytes)."""
    return {
        "kind": event.kind,
        "arrival": event.arrival,
        "rule": event.arrival_rule,
        "claim": _folded(event.claim),
        "detail": event.detail,
        "recorded": event.recorded_at,
        "message": event.message_at,
        "occurred": event.occurred_at if event.detail.patient_class else None,
        "merges": event.merged_patient is not None,
        "death": event.death_indicated,
    }


def _folded(claim: PersonClaim) -> PersonClaim:
    """Names in one case: HL7 v2 senders write capitals."""
    given = tuple(name.casefold() for name in claim.given)
    return replace(claim, family=(claim.family or "").casefold(), given=given)


@pytest.mark.parametrize("name", TELLERS)
def test_both_wires_say_the_same(name: str) -> None:
    """Kind, arrival and why, person, detail and times of each step of the story."""
    for step in tell(name, People(0)).steps:
        if isinstance(step, Step):
            over_hl7, over_fhir = both(step)
            assert [told(one) for one in over_hl7] == [told(one) for one in over_fhir]
