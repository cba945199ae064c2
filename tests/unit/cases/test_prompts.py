"""What becomes of an indicated death (pure)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from schemas.deaths import DeathIndication, DeathMessageKind, DeathNotified, LastAttendance
from schemas.events import PersonClaim
from stores.prompts import Prompt
from streams.cases.model import Known
from streams.cases.prompts import Action, Decision, decide
from tests.support.case_desk import HOSPITAL, NOW, SECOND_HOSPITAL, indicated

SEEN = Known(attendances=(LastAttendance(SECOND_HOSPITAL, NOW),), as_at=NOW)
CASE = UUID(int=1)


def told(
    indication: DeathIndication, *, born: str | None = "2019-05-04", at: datetime = NOW
) -> DeathNotified:
    """An indication."""
    event = indicated(indication, number=None, effective_at=at).notified
    assert event.kind is DeathMessageKind.INDICATED
    return replace(event, claim=PersonClaim(birth_date=born))


def prompt(state: str = "open", organisation: str | None = HOSPITAL) -> Prompt:
    """A prompt as it stands."""
    return Prompt(
        prompt_id=UUID(int=2),
        person=None,
        source="rxx01-fhir",
        indication=DeathIndication.HOSPITAL,
        rule="hospital-record",
        organisation=organisation,
        state=state,  # type: ignore[arg-type]
        event_id=UUID(int=3),
        indicated_at=NOW,
        opened_at=NOW,
        changed_at=NOW,
    )


@pytest.mark.parametrize(
    ("notified", "held", "case_id", "seen", "expected"),
    [
        (
            told(DeathIndication.HOSPITAL),
            None,
            None,
            Known(),
            Decision(Action.ASK, "hospital-record", HOSPITAL),
        ),
        (
            told(DeathIndication.PDS_FORMAL),
            None,
            None,
            SEEN,
            Decision(Action.ASK, "last-attendance", SECOND_HOSPITAL),
        ),
        (
            told(DeathIndication.PDS_INFORMAL),
            None,
            None,
            Known(),
            Decision(Action.LIST, "nobody-known"),
        ),
        (
            told(DeathIndication.UNKNOWN),
            None,
            None,
            SEEN,
            Decision(Action.LIST, "unknown-indication"),
        ),
        (
            told(DeathIndication.HOSPITAL, born=None),  # may be a child
            None,
            None,
            Known(),
            Decision(Action.ASK, "hospital-record", HOSPITAL),
        ),
        (
            told(DeathIndication.HOSPITAL, born="1990-01-01"),
            None,
            None,
            Known(),
            Decision(Action.NOTHING, "adult"),
        ),
        (
            told(DeathIndication.PDS_FORMAL, born="1990-01-01"),
            prompt(),
            None,
            SEEN,
            Decision(Action.CANCEL, "adult"),
        ),
        (
            told(DeathIndication.HOSPITAL),
            None,
            CASE,
            Known(),
            Decision(Action.NOTHING, "already-notified"),
        ),
        (
            told(DeathIndication.HOSPITAL),
            prompt(),
            CASE,
            Known(),
            Decision(Action.ANSWERED, "already-notified"),
        ),
        (
            told(DeathIndication.HOSPITAL),
            prompt(),
            None,
            Known(),
            Decision(Action.NOTHING, "already-asked"),
        ),
        (
            told(DeathIndication.HOSPITAL),
            prompt(organisation=None),
            None,
            Known(),
            Decision(Action.ASK, "hospital-record", HOSPITAL),
        ),
        (
            told(DeathIndication.PDS_REMOVED),
            prompt(),
            None,
            Known(),
            Decision(Action.CANCEL, "death-removed"),
        ),
        (
            told(DeathIndication.PDS_REMOVED, at=NOW - timedelta(1)),
            prompt(),
            None,
            Known(),
            Decision(Action.NOTHING, "older-indication"),
        ),
        (
            told(DeathIndication.PDS_FORMAL, at=NOW - timedelta(1)),
            prompt("cancelled"),
            None,
            SEEN,
            Decision(Action.NOTHING, "older-indication"),
        ),
        (
            told(DeathIndication.PDS_FORMAL, at=NOW + timedelta(1)),
            prompt("cancelled"),
            None,
            SEEN,
            Decision(Action.ASK, "last-attendance", SECOND_HOSPITAL),
        ),
    ],
)
def test_an_indication_is_decided_by_its_rule(
    notified: DeathNotified,
    held: Prompt | None,
    case_id: UUID | None,
    seen: Known,
    expected: Decision,
) -> None:
    """Each row of the rules: whom to ask, once, and what ends a prompt."""
    assert decide(notified, None, prompt=held, case_id=case_id, seen=seen) == expected
