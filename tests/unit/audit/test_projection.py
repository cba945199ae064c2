"""Entries as FHIR AuditEvents."""

from __future__ import annotations

import csv
import io
import uuid
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent

from connectors.fhir.audit_projection import ROLE, audit_event
from stores.audit_search import Found
from streams.audit import reading
from tests.support.audit import COUNCIL, HOSPITAL, NOW, entry


def event(**members: Any) -> dict[str, Any]:
    """The AuditEvent of an entry."""
    return audit_event(entry(1, **members).body(), seq=7, link=b"h" * 32)


@pytest.mark.parametrize("kind", ["disclosure", "access", "refusal", "review", "administration"])
@pytest.mark.parametrize("decision", ["permit", "deny", "review"])
def test_every_kind_of_entry_is_a_valid_audit_event(kind: str, decision: str) -> None:
    """As fhir.resources (R4B) reads it, with all members and with none that may be left out."""
    AuditEvent.model_validate(event(kind=kind, decision=decision))
    AuditEvent.model_validate(
        event(
            kind=kind,
            decision=decision,
            flow=None,
            purpose=None,
            person=None,
            policy=None,
            fields=(),
            request_id=None,
        )
    )
    AuditEvent.model_validate(
        event(
            kind=kind,
            decision=decision,
            actor_name="A. Nurse",
            role="auditor,clinician",
            reason="rang the ward",
            legal_basis="x",
            case_id=uuid.uuid4(),
            subject="alert:1",
            message_id="m",
            token_id="t",
            payload_digest="0" * 32,
            detail=(("a", "b"),),
        )
    )


@pytest.mark.parametrize(
    ("role", "shown"),
    [
        ("Safeguarding nurse", [{"text": "Safeguarding nurse"}]),
        ("Nurse, paediatric", [{"text": "Nurse, paediatric"}]),
        ("caldicott-guardian", [{"coding": [{"system": ROLE, "code": "caldicott-guardian"}]}]),
        (
            "auditor,clinician",
            [{"coding": [{"system": ROLE, "code": one}]} for one in ("auditor", "clinician")],
        ),
    ],
)
def test_a_job_role_is_one_and_roles_are_as_many_as_they_are(
    role: str, shown: list[dict[str, Any]]
) -> None:
    """In the issuer's words, or by the hub's codes."""
    made = event(role=role)
    AuditEvent.model_validate(made)
    assert made["agent"][2]["role"] == shown


def test_a_look_has_client_server_user_patient_and_request() -> None:
    """The parts that IHE BALP joins the logs of both sides by."""
    made = event(actor="user:1", role="clinician", token_id="abc", purpose="break-glass")
    assert (made["type"]["code"], made["action"], made["outcome"]) == ("rest", "E", "0")
    client, server, user = made["agent"]
    assert client["type"]["coding"][0]["code"] == "110153"
    assert client["who"]["identifier"]["value"] == HOSPITAL
    assert server["type"]["coding"][0]["code"] == "110152"
    assert user["requestor"] is True
    assert user["purposeOfUse"][0]["coding"][0]["code"] == "BTG"
    assert user["policy"] == ["urn:halyard:policy:flag-lookup:1", "urn:halyard:token:abc"]
    patient = made["entity"][0]
    assert patient["what"]["identifier"]["value"] == f"{1:032x}"
    assert [one["type"]["code"] for one in made["entity"]] == ["1", "2", "XrequestId", "4"]


def test_a_disclosure_names_who_released_and_who_received() -> None:
    """The hub exports; the organisation told is the destination."""
    made = event(kind="disclosure", chain=COUNCIL, organisation="hub", actor="process:matching")
    assert made["type"]["code"] == "110106"
    source, destination, device = made["agent"]
    assert source["who"]["identifier"]["system"] == "urn:halyard:hub"
    assert destination["who"]["identifier"] == {
        "system": "urn:halyard:organisation",
        "value": COUNCIL,
    }
    assert device["type"]["coding"][0]["code"] == "DEV"


def test_a_report_says_who_when_why_and_under_which_rule() -> None:
    """Each way of printing it, with nothing that a browser or spreadsheet would run."""
    made = entry(1, reason="=1+1", actor_name="<b>x</b>")
    row = reading.report_row(Found(made.entry_id, NOW, HOSPITAL, made.body(), 3, b"h" * 32))
    assert (row["what"], row["policy"], row["policy_version"], row["place"]) == (
        "flag-lookup",
        "flag-lookup",
        1,
        "RX901 3",
    )
    lines = reading.as_csv([row]).splitlines()
    assert lines[0].startswith("recorded_at,told,organisation,actor")
    assert "'=1+1" in lines[1]
    page = reading.as_page([row], at=NOW)
    assert reading.RESTRICTED not in page
    assert "&lt;b&gt;x&lt;/b&gt;" in page
    assert "<b>x" not in page


@pytest.mark.parametrize("detail", [("restricted", "yes"), ("person", "restricted")])
def test_one_row_of_a_restricted_child_marks_the_whole_report(detail: tuple[str, str]) -> None:
    """Also the rows from before; whichever way the entry says it."""
    made = [entry(1), entry(2, detail=(detail,))]
    rows = [
        reading.report_row(Found(one.entry_id, NOW, HOSPITAL, one.body(), 3, b"h")) for one in made
    ]
    assert [row["restricted"] for row in rows] == ["", "yes"]
    said = csv.DictReader(io.StringIO(reading.as_csv(rows)))
    assert [row["restricted"] for row in said] == ["report", "yes"]
    assert reading.RESTRICTED in reading.as_page(rows, at=NOW)
