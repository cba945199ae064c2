"""Webhook bodies: documented shapes, deterministic bytes; receipts for the hospital's contact."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from schemas import codec
from schemas.events import AlertReceipt, Moment, PlanType, Rung
from stores.alerts import ACCEPTED, AlertRow
from streams.matching import payload
from streams.matching.alerts import Change, reconcile
from streams.matching.desired import Deciding, PersonState
from streams.matching.receipts import receipt_entries
from tests.support.matching import CHILD, DESK, DIRECTORY, NOON, SHEFFIELD, flag, person_of, visit


def change(**changes: Any) -> Change:
    """The raise of an alert for the made-up child."""
    state = PersonState(
        person_of(CHILD),
        (visit(**changes),),
        (flag(), flag(PlanType.LAC, phone_office="0114 496 0777", sequence=2)),
        (),
        restricted=bool(changes.get("restricted")),
    )
    deciding = Deciding(
        DIRECTORY, NOON, lambda body: hashlib.sha256(body).hexdigest(), lambda *_: "00-1-2-01"
    )
    (made,) = reconcile(state, deciding)
    return made


def test_the_alert_says_who_where_why_and_whom_to_ring() -> None:
    """Every part of the documented shape of halyard.alert.v1."""
    body = orjson.loads(payload.dump(payload.alert_body(change().row.content, DIRECTORY)))
    assert body["schema"] == "halyard.alert.v1"
    assert (body["change"], body["version"], body["provisional"]) == ("raised", 1, False)
    assert body["changed_at"] == "2026-03-10T12:00:00Z"
    assert body["authority"] == {"gss": SHEFFIELD, "name": "Sheffield City Council"}
    assert body["hospital"] == {
        "ods": "RHQ01",
        "name": "Northern Children's Hospital",
        "site_ods": "RHQ01",
        "callback": {"name": "Safeguarding nurse", "phone": "0114 496 0001"},
    }
    assert body["person"] == {"nhs_number": CHILD}
    assert body["visit"] == {
        "state": "present",
        "arrived_at": "2026-03-10T12:00:00+00:00",
        "repeated_hour": False,
        "department": "Emergency Department",
        "mode_of_arrival": "ambulance",
        "reason": "fall",
        "admission_method": "21",
        "acuity": None,
        "departed_at": None,
        "discharge_destination": None,
        "birth": False,
        "location_shielded": False,
    }
    assert [one["plan_type"] for one in body["flags"]] == ["CPP", "LAC"]
    assert body["flags"][0] == {
        "plan_type": "CPP",
        "start": "2026-01-05",
        "end": None,
        "active": True,
        "local_id": "L1",
    }


def test_the_match_names_the_authority_and_whom_to_ring_there() -> None:
    """Phones as the latest record states them, gaps from the directory."""
    made = change()
    body = orjson.loads(
        payload.dump(payload.match_body(made.row.content, DIRECTORY, phones=made.phones))
    )
    assert (body["schema"], body["change"]) == ("halyard.match.v1", "matched")
    assert body["plan_types"] == ["CPP", "LAC"]
    assert body["authority"]["phone_office"] == "0114 496 0777"
    assert body["authority"]["phone_emergency"] == "0114 496 0199"
    assert "reason" not in body["visit"]


def test_the_same_facts_give_the_same_bytes() -> None:
    """Sorted keys, no clock of their own: a repeat is identical."""
    assert payload.dump(payload.alert_body(change().row.content, DIRECTORY)) == payload.dump(
        payload.alert_body(change().row.content, DIRECTORY)
    )


@pytest.mark.parametrize(
    ("minutes", "text"),
    [(60, "2026-03-10T13:00:00+01:00"), (0, "2026-03-10T12:00:00+00:00")],
)
def test_an_arrival_keeps_the_offset_its_hospital_meant(minutes: int, text: str) -> None:
    """UTC inside, the sender's offset outside."""
    assert payload.local_iso(Moment(NOON, minutes)) == text


def accepted_row(**changes: Any) -> AlertRow:
    """An accepted alert."""
    at = NOON + timedelta(minutes=5)
    return replace(
        change(**changes).row,
        state=ACCEPTED,
        version=2,
        accepted_at=at,
        accepted_by="EDT",
        answer="on our way",
    )


def test_an_acceptance_is_told_to_subscribers_and_to_the_hospitals_contact() -> None:
    """Receipt event keyed by the alert, and the answer for the contact, both of that version."""
    row = accepted_row()
    entry, delivery = receipt_entries(
        row,
        Rung.ACCEPTED,
        at=NOON,
        source="serve",
        desk=DESK,
    )
    event = codec.decode_as(AlertReceipt, entry.record.value)
    assert entry.record.key == str(event.alert_id)
    assert (event.rung, event.version, event.by, event.answer) == (
        Rung.ACCEPTED,
        2,
        "EDT",
        "on our way",
    )
    assert delivery is not None
    row_sent = delivery.row
    assert (row_sent.destination, row_sent.kind, row_sent.version) == (
        "hospital-contact",
        "receipt",
        2,
    )
    body = orjson.loads(row_sent.body)
    assert body["schema"] == "halyard.receipt.v1"
    assert (body["rung"], body["by"], body["answer"]) == ("accepted", "EDT", "on our way")
    assert isinstance(row_sent.delivery_id, uuid.UUID)


def test_a_delivery_is_a_receipt_for_subscribers_alone() -> None:
    """The contact hears of match, acceptance and withdrawal, not of each delivery."""
    entry, delivery = receipt_entries(
        change().row, Rung.DELIVERED, at=NOON, source="dispatcher", desk=DESK
    )
    assert codec.decode_as(AlertReceipt, entry.record.value).answer is None
    assert delivery is None


def test_a_restricted_childs_receipt_goes_to_no_hospital() -> None:
    """What was not told is not answered."""
    row = accepted_row(restricted=True)
    entry, delivery = receipt_entries(
        row,
        Rung.ACCEPTED,
        at=NOON,
        source="serve",
        desk=DESK,
    )
    assert delivery is None
    assert b"RHQ01" not in entry.record.value


def shape(value: object) -> object:
    """Keys of a body, all the way down."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    return [shape(one) for one in value[:1]] if isinstance(value, list) else None


def test_the_reference_shows_the_shapes_that_are_sent() -> None:
    """docs/reference/alerts.md has an example of each body with exactly its fields."""
    text = (Path(__file__).parents[3] / "docs/reference/alerts.md").read_text()
    examples = [orjson.loads(one) for one in re.findall(r"```json\n(.*?)```", text, re.DOTALL)]
    made = change()
    _, receipt = receipt_entries(accepted_row(), Rung.ACCEPTED, at=NOON, source="serve", desk=DESK)
    assert receipt is not None
    sent = [
        payload.dump(payload.alert_body(made.row.content, DIRECTORY)),
        payload.dump(payload.match_body(made.row.content, DIRECTORY, phones=made.phones)),
        receipt.row.body,
    ]
    assert [shape(one) for one in examples] == [shape(orjson.loads(body)) for body in sent]
