"""Letters about shared alerts are FHIR R4, tell what is left of a body, and name no number."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime
from typing import Any

from fhir.resources.R4B.bundle import Bundle
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.fhir import shares

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
LETTER, FIRST, ALERT = (uuid.UUID(int=one) for one in (1, 2, 3))
NUMBER = "9990000018"
WORDS = st.text(max_size=40) | st.sampled_from(
    [NUMBER, "999 000 0018", f"of {NUMBER}!", "9990000018x"]
)


def members(**more: Any) -> dict[str, Any]:
    """What is left of a body for a school."""
    return {
        "schema": "halyard.share.v1",
        "alert_id": str(ALERT),
        "version": 1,
        "change": "shared",
        "authority": {"gss": "E99000001", "name": "North", "phone_office": "01204 380003"},
        "share": {"local_id": "C-1", "attended_on": "2026-03-10"},
        "person": {"nhs_number": None},
        "visit": {"reason": None, "arrived_at": "2026-03-10T12:00:00+00:00"},
        **more,
    }


def read(told: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The letter's text, and its Communication; it validates."""
    body = shares.alert_shared(
        letter_id=LETTER,
        at=AT,
        recipient="EE100001",
        authority="E99000001",
        told=told,
        numbers=[NUMBER],
    ).body
    bundle = json.loads(body)
    Bundle.model_validate(bundle)
    found = [one["resource"] for one in bundle["entry"]]
    (communication,) = (one for one in found if one["resourceType"] == "Communication")
    return body.decode(), communication


def test_the_letter_tells_what_is_left_by_the_names_of_policies() -> None:
    """Telephones and times are told as they stand, whatever their digits look like."""
    text, communication = read(members())
    told = {
        one["extension"][0]["valueCode"]: one["contentString"] for one in communication["payload"]
    }
    assert told == {
        "authority.gss": "E99000001",
        "authority.name": "North",
        "authority.phone_office": "01204 380003",
        "share.attended_on": "2026-03-10",
        "visit.arrived_at": "2026-03-10T12:00:00+00:00",
    }
    assert '"C-1"' in text
    assert shares.EVENTS in text


@settings(max_examples=60, deadline=None)
@given(local_id=WORDS, reason=WORDS)
def test_whatever_stands_in_a_text_no_number_is_told(local_id: str, reason: str) -> None:
    """To somebody who was not told it as a number; every letter is FHIR."""
    text, _ = read(
        members(
            share={"local_id": local_id, "attended_on": "2026-03-10"},
            visit={"reason": reason, "arrived_at": None},
        )
    )
    assert NUMBER not in text.replace(" ", "")


def test_a_withdrawal_names_the_letter_and_no_fact() -> None:
    """It validates too."""
    body = shares.alert_share_withdrawn(
        letter_id=LETTER,
        at=AT,
        recipient="EE100001",
        authority="E99000001",
        told={"alert_id": str(ALERT), "version": 1},
        withdraws=FIRST,
    )
    bundle = json.loads(body)
    Bundle.model_validate(bundle)
    (communication,) = (
        one["resource"]
        for one in bundle["entry"]
        if one["resource"]["resourceType"] == "Communication"
    )
    assert communication["inResponseTo"][0]["identifier"]["value"] == str(FIRST)
    assert "payload" not in communication
