"""Anne: a child on a plan, seen by three services under two names, and everyone who was told."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.fhir.mailbox_client import MailboxClient
from connectors.hl7v2.client import MllpClient
from halyard.clock import system_clock
from sandbox.issuer.people import AUTHORITY as COUNTY
from sandbox.pds.people import FormerName, Person
from sandbox.receiver import Received
from tests.support.anne import (
    CHILDREN,
    CLINICIAN,
    SCHOOL,
    SECOND,
    SECOND_CLINICIAN,
    SERVICES,
    WORKER,
    AnneHub,
    anne_hub,
)
from tests.support.behaviour import fhir
from tests.support.behaviour.story import Someone, Step
from tests.support.hub_files import CONTACT, HOSPITAL
from tests.support.journals import last_versions, received
from tests.support.load import Plan, adt, flag_line, upload_flags
from tests.support.processes import run_halyard
from tests.support.services import DatabaseServer
from tests.support.waiting import aeventually, eventually

ANNE = Person(
    "9991230017",
    "Quizzlewhite",
    ("Anne",),
    "2017-06-19",
    "female",
    "ZZ8 7QX",
    former_names=(FormerName("old", "Bellweather", ("Anne",), "2025-01-31"),),
)
BEFORE = replace(ANNE, family="Bellweather", former_names=())  # as one hospital still has her
ANSWER = "The duty social worker comes this evening."
WHY = "The school sees her tomorrow."


@pytest.fixture
def hub(
    kafka_bootstrap: str, database_server: DatabaseServer, _migrated: str, tmp_path: Path
) -> Iterator[AnneHub]:
    """The system, started; PDS knows Anne and the name that she had."""
    with anne_hub(tmp_path / "hub", kafka_bootstrap, database_server, _migrated, (ANNE,)) as made:
        yield made.start(SERVICES)


@pytest.mark.timeout(180)
async def test_anne(hub: AnneHub) -> None:
    """Three services and two names are one child. The clinician sees the plan and where she was
    before; the social worker's answer comes back; the school is told what its policy allows and no
    number; the authority hears of the unscheduled look and not of the silent one; and the
    subject-access report lists every one of these, from a chain that verifies.
    """
    await upload_flags(hub, COUNTY, flag_line(ANNE, Plan(COUNTY, "CPP"), local_id="C-77"))
    await _three_services_see_her(hub)
    alerts = _alerts(hub)
    assert {alert["hospital"]["ods"] for alert in alerts.values()} == {CHILDREN, SECOND, HOSPITAL}
    assert {alert["person"]["nhs_number"] for alert in alerts.values()} == {ANNE.nhs_number}

    await _looked_at_in_silence(hub)
    seen = await _looked_at_by_the_clinician(hub)
    (notice,) = eventually(lambda: _of_kind(hub, "access"), 30, why="the authority hears of it")
    assert notice.body["by"]["name"] == "Amira Clinician"
    assert notice.body["organisation"]["code"] == HOSPITAL

    (alert_id,) = (one for one, told in alerts.items() if told["hospital"]["ods"] == HOSPITAL)
    await _accepted(hub, alert_id)
    shared = await _shared_with_the_school(hub, alert_id)
    hub.settle()
    assert [one.body["purpose"] for one in _of_kind(hub, "access")] == ["urgent-care"]

    chain = await _verified(hub)
    assert chain["ok"], chain
    rows = _reported(hub)
    _lists_them_all(hub, rows, seen=seen, shared=shared)
    assert (await _verified(hub))["ok"]


# --- what happens ----------------------------------------------------------------------------


async def _three_services_see_her(hub: AnneHub) -> None:
    """A hospital yesterday, under the name that she had; a walk-in centre over FHIR; a hospital
    now, under her name.
    """
    now = system_clock().replace(microsecond=0)
    yesterday = adt(
        "A04",
        BEFORE,
        control_id="ANNE-1",
        visit="V1",
        occurred=now - timedelta(hours=26),
        local_id="B77",
    )
    today = adt("A04", ANNE, control_id="ANNE-3", visit="V3", occurred=now - timedelta(minutes=9))
    walk_in = Step("A04", Someone(ANNE, "W12"), hospital=SECOND, at=-300, reason="Burn")
    await _over_mllp(hub, yesterday.replace(HOSPITAL.encode(), CHILDREN.encode()))
    async with hub.caller(hub.token(SECOND)) as http:
        answer = await http.post(
            "/fhir/R4/$process-message",
            content=fhir.render(walk_in, control_id=str(uuid.uuid4()), visit="V2", now=now),
            headers={"Content-Type": "application/fhir+json"},
        )
        assert answer.status_code == 202, answer.text
    hub.settle()
    await _over_mllp(hub, today)
    hub.settle()


async def _over_mllp(hub: AnneHub, message: bytes) -> None:
    async with MllpClient("127.0.0.1", hub.mllp_port) as client:
        assert b"\rMSA|AA|" in await client.send(message)


async def _looked_at_in_silence(hub: AnneHub) -> None:
    """A clinician elsewhere, for care that was arranged."""
    async with await hub.person(SECOND_CLINICIAN) as http:
        asked = {"nhs_number": ANNE.nhs_number, "purpose": "direct-care", "unscheduled": False}
        answer = await http.post("/flags/query", json=asked)
    assert answer.json()["answer"] == "flagged", answer.text


async def _looked_at_by_the_clinician(hub: AnneHub) -> dict[str, Any]:
    """Where she is now: the plan, whom to ring, where she was before, and who looked."""
    async with await hub.person(CLINICIAN) as http:
        asked = {"nhs_number": ANNE.nhs_number, "purpose": "urgent-care"}
        answer = await http.post("/flags/query", json=asked)
    seen: dict[str, Any] = answer.json()
    assert (seen["answer"], seen["policy"]["id"]) == ("flagged", "flag-lookup")
    (plan,) = seen["flags"]
    assert (plan["plan_type"], plan["authority"]) == ("CPP", COUNTY)
    assert plan["phone_office"] == "01632 960 203"
    assert [one["hospital"] for one in seen["earlier_attendances"]] == [SECOND, CHILDREN]
    assert [(one["organisation"], one["unscheduled"]) for one in seen["accesses"]] == [
        (SECOND, False)
    ]
    return seen


async def _accepted(hub: AnneHub, alert_id: str) -> None:
    """The social worker answers; the hospital's contact hears of it."""
    async with await hub.person(WORKER) as http:
        (listed,) = (
            one
            for one in (await http.get("/alerts")).json()["alerts"]
            if one["alert_id"] == alert_id
        )
        assert listed["state"] in ("raised", "delivered")
        answer = await http.post(
            f"/alerts/{alert_id}/accept", json={"by": "Sam Social", "answer": ANSWER}
        )
        assert answer.status_code == 200, answer.text

    def back() -> bool:
        told = [one for one in received(hub, CONTACT) if one.alert_id == alert_id]
        return any(ANSWER in json.dumps(one.body) for one in told)

    eventually(back, 30, why="the hospital's contact has the answer")


async def _shared_with_the_school(hub: AnneHub, alert_id: str) -> dict[str, Any]:
    """What the school receives, every byte of it: that she was seen, when, and whom to ring."""
    async with await hub.person(WORKER) as http:
        body = {"recipient": SCHOOL, "reason": WHY}
        answer = await http.post(f"/alerts/{alert_id}/share", json=body)
    assert (answer.status_code, answer.json()["state"]) == (201, "shared"), answer.text

    async def listed() -> list[Any]:
        async with MailboxClient(hub.url("serve"), hub.token(SCHOOL)) as box:
            return [one async for one in box.letters()]

    (letter,) = await aeventually(listed, 30, why="the letter is in the school's mailbox")
    got = b""
    async with hub.caller(hub.token(SCHOOL)) as http:
        for path in (
            "/fhir/R4/messages",
            f"/fhir/R4/messages/{letter.letter_id}",
            "/me",
            "/worklist",
        ):
            page = await http.get(path)
            assert page.status_code == 200, page.text
            got += page.content + str(page.headers).encode()
        for path in ("/alerts", f"/alerts/{alert_id}", "/audit", "/reviews/disclosures"):
            refused = await http.get(path)
            assert refused.status_code in (403, 404)
            got += refused.content
        asked = {"nhs_number": ANNE.nhs_number, "purpose": "child-protection"}
        assert (await http.post("/flags/query", json=asked)).status_code == 403
    text = got.decode()
    assert "Practice County Council" in text
    assert "01632 960 203" in text
    number = ANNE.nhs_number
    secrets = (number[3:], f"{number[:3]}.{{0,3}}{number[3:6]}", "Fall at home", "Burn", WHY)
    places = (
        HOSPITAL,
        SECOND,
        CHILDREN,
        "Practice General",
        "Emergency",
        "ZZ8",
        "CPP",
        "plan_type",
    )
    assert [one for one in (*secrets, *places) if re.search(one, text)] == []
    shared: dict[str, Any] = answer.json()
    return shared


# --- the proof -------------------------------------------------------------------------------


def _reported(hub: AnneHub) -> list[dict[str, Any]]:
    """The operator's subject-access report."""
    done = run_halyard(
        *("audit", "report", "--reason", "request 2026-17 of the mother", "--format", "json"),
        directory=hub.directory,
        env={**hub.environment, "HALYARD_NHS_NUMBER": ANNE.nhs_number},
    )
    assert done.returncode == 0, done.stderr
    rows: list[dict[str, Any]] = json.loads(done.stdout)["disclosures"]
    return rows


def _lists_them_all(
    hub: AnneHub,
    rows: list[dict[str, Any]],
    *,
    seen: Mapping[str, Any],
    shared: Mapping[str, Any],
) -> None:
    """Everybody who was told, each with when, who, why, rule, policy and its version."""
    for row in rows:
        assert datetime.fromisoformat(row["recorded_at"]) <= system_clock()
        for name in ("told", "actor", "decision", "rule", "place"):
            assert row[name], (name, row)
        if row["what"] not in ("access", "administration"):
            for name in ("purpose", "legal_basis", "policy", "policy_version"):
                assert row[name], (name, row)
    found = {(row["told"], row["what"], row["actor_name"] or row["actor"]) for row in rows}
    wanted = {
        (COUNTY, "alert", "process:matching"),
        (HOSPITAL, "flag-lookup", "Amira Clinician"),
        (SECOND, "flag-lookup", "Olu Clinician"),
        (COUNTY, "access-notice", f"user:{CLINICIAN}"),  # of whose look it tells
        (SCHOOL, "share", "Sam Social"),
    }
    assert wanted <= found, sorted(found)
    assert {"receipt", "match"} <= {row["what"] for row in rows}, sorted(found)
    (looked,) = (row for row in rows if row["actor_name"] == "Amira Clinician")
    assert (looked["policy"], looked["policy_version"]) == (
        seen["policy"]["id"],
        seen["policy"]["version"],
    )
    assert {"flags.authority", "earlier_attendances.hospital"} <= set(looked["fields"])
    (told,) = (row for row in rows if row["told"] == SCHOOL and row["what"] == "share")
    assert (told["reason"], sorted(told["fields"])) == (WHY, shared["fields"])
    assert not any("number" in name for name in told["fields"])
    alerted = [row["subject"] for row in rows if (row["told"], row["what"]) == (COUNTY, "alert")]
    assert {f"alert:{one}" for one in _alerts(hub)} <= set(alerted)


async def _verified(hub: AnneHub) -> dict[str, Any]:
    """`halyard audit verify`, once everything is sealed."""
    await aeventually(lambda: _all_sealed(hub), 30, why="every entry is sealed")
    done = run_halyard(*("audit", "verify", "--json"), directory=hub.directory, env=hub.environment)
    found: dict[str, Any] = json.loads(done.stdout)
    assert done.returncode == 0, found
    return found


async def _all_sealed(hub: AnneHub) -> bool:
    entries = "select (select count(*) from audit_entries) - (select count(*) from audit_seals)"
    return hub.count(entries) == 0


def _alerts(hub: AnneHub) -> dict[str, dict[str, Any]]:
    """Alerts as the authority has them, by id."""
    told = last_versions(_of_kind(hub, "alert"))
    return {alert_id: one.body for alert_id, one in told.items()}


def _of_kind(hub: AnneHub, kind: str) -> list[Received]:
    """Webhooks of a kind that the authority was sent."""
    return [one for one in received(hub, "north") if one.kind == kind]
