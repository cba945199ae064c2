"""Messages about deaths over real HTTP onto a real bus: what is answered, what is stored before."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome

from connectors.fhir.outcomes import RECEIPT
from halyard.clock import system_clock
from halyard.kafka import header
from sandbox.deaths import bundles
from sandbox.samples.render import DEATHS, render
from schemas.deaths import DeathIndication, DeathMessageKind, ReportKind
from schemas.topics import DEATH_NOTIFIED, REPORT_SUBMITTED
from tests.integration.fhir.rig import AUTHORITY_FEED, FEED, Rig, rig
from tests.support.deaths import CHILD, notification_bundle, update_bundle
from tests.support.face import INFIRMARY, ROOT, SOUTH, TOKENS, topic_records
from tests.unit.fhir.bundles import ENDPOINT, bundle
from tests.unit.fhir.death_reading import value, with_parameter


@pytest.fixture
async def face(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Rig]:
    """A face with FHIR feeds of the infirmary and of an authority."""
    async with rig(kafka_bootstrap, namespace) as running:
        yield running


def rules(outcome: dict[str, Any]) -> list[str]:
    """The rules that an outcome names, in order; it must be FHIR."""
    OperationOutcome.model_validate(outcome)
    return [issue["details"]["coding"][0]["code"] for issue in outcome["issue"]]


async def test_202_means_that_the_broker_has_the_death(face: Rig) -> None:
    """Notification, update and void: each with its receipt, all under one pseudonym as key."""
    sent = [
        notification_bundle(endpoint=ENDPOINT),
        update_bundle(endpoint=ENDPOINT),
        bundles.void(reference="N-1", version=3, reason="duplicate", endpoint=ENDPOINT),
    ]
    answers = [await face.post(one) for one in sent]
    assert [one.status_code for one in answers] == [202, 202, 202]
    assert [rules(one.json()) for one in answers] == [["accepted"]] * 3
    found = {one.event_id: one for one in await face.deaths()}
    events = [found[uuid.UUID(one.headers[RECEIPT])] for one in answers]
    assert [one.kind for one in events] == [
        DeathMessageKind.SUBMITTED,
        DeathMessageKind.UPDATED,
        DeathMessageKind.VOIDED,
    ]
    assert [one.message for one in events] == [json.dumps(one).encode() for one in sent]
    assert {(one.source, one.organisation) for one in events} == {(FEED.source, INFIRMARY)}
    records = await topic_records(face.settings, DEATH_NOTIFIED)
    assert {one.key.decode() for one in records} == {events[0].source_person}
    assert header(records[0].headers, "ce_type") == "uk.halyard.DeathNotified"
    assert header(records[0].headers, "ce_id") == answers[0].headers[RECEIPT]
    again = await face.post(sent[0])
    assert again.headers[RECEIPT] == answers[0].headers[RECEIPT]


async def test_an_authority_answers_and_may_not_send_attendances(face: Rig) -> None:
    """Its report is taken; an attendance of it is refused, and kept."""
    reported = await face.post(
        bundles.report(
            reference="R-1",
            child=CHILD,
            answers={"report.summary": "Known since 2024."},
            rows={"professional": [{"role": "wizard"}]},
        ),
        SOUTH,
    )
    assert reported.status_code == 202
    assert rules(reported.json()) == ["accepted", "code-unknown"]
    assert "wizard" not in reported.text
    (report,) = await face.reports()
    assert (report.kind, report.organisation) == (ReportKind.REPORT, SOUTH)
    assert report.source == AUTHORITY_FEED.source
    (record,) = await topic_records(face.settings, REPORT_SUBMITTED)
    assert record.key.decode() == report.source_person
    refused = await face.post(bundle(), SOUTH)
    assert refused.status_code == 403
    assert rules(refused.json()) == ["not-a-hospital"]
    assert refused.json()["issue"][0]["expression"] == ["Bundle.entry[0].resource.event"]
    assert await face.attendances() == []
    assert [one.rule for one in await face.rejected()] == ["not-a-hospital"]


async def test_what_cannot_be_attributed_is_refused_and_kept(face: Rig) -> None:
    """422 with element and rule; never with what was sent."""
    update = with_parameter(update_bundle(endpoint=ENDPOINT), "version")
    answer = await face.post(update)
    assert answer.status_code == 422
    assert rules(answer.json()) == ["version-missing"]
    assert answer.json()["issue"][0]["expression"] == ["Bundle.entry[1].resource"]
    assert "Jessop" not in answer.text
    assert await face.deaths() == []
    (kept,) = await face.rejected()
    assert json.loads(kept.head) == update


async def test_pds_speaks_through_its_own_feed_alone(face: Rig) -> None:
    """Nobody else's word makes a child dead, or alive again; the refused body is kept."""
    for status in ("2", "U"):
        made = bundles.pds_death(child=CHILD, status=status, endpoint=ENDPOINT)
        refused = await face.post(made)
        assert (refused.status_code, rules(refused.json())) == (403, ["not-a-pds-relay"])
        assert (await face.post(made, SOUTH)).status_code == 202
    assert [one.rule for one in await face.rejected()] == ["not-a-pds-relay"] * 2
    assert {one.organisation for one in await face.deaths()} == {SOUTH}


async def test_a_death_that_is_too_large_for_the_bus_loses_words_and_is_taken(face: Rig) -> None:
    """Of the largest body the bytes stay whole, and the answers are shortened, marked."""
    answers = {f"new.{number}": "x" * 14_000 for number in range(6)}
    made = notification_bundle(endpoint=ENDPOINT, answers=answers)
    assert (await face.post(made)).status_code == 202
    (death,) = await face.deaths()
    assert death.message == json.dumps(made).encode()
    assert {one.partition(":")[0] for one in death.marks} == {"link-unknown", "text-cut"}
    assert value(death, "unlisted.new.0") == "x" * 10_000


async def test_a_departure_of_who_has_died_is_two_events_before_its_202(face: Rig) -> None:
    """The receipt is the attendance's; the indication asks the hospital to notify."""
    patient = {"deceasedDateTime": "2026-03-14T21:40:00+00:00"}
    header_of = {"eventCoding": {"system": "urn:halyard:fhir:visit-event", "code": "departure"}}
    answer = await face.post(bundle(header=header_of, patient=patient))
    assert answer.status_code == 202
    (attendance,) = await face.attendances()
    assert answer.headers[RECEIPT] == str(attendance.event_id)
    (death,) = await face.deaths()
    assert (death.kind, death.indication) == (
        DeathMessageKind.INDICATED,
        DeathIndication.HOSPITAL,
    )
    assert death.died_at == "2026-03-14"


async def test_every_sample_is_taken(face: Rig) -> None:
    """Whatever `sandbox/samples/deaths` holds, from who has a feed for any endpoint."""
    for file in sorted(DEATHS.glob("*.json")):
        text = render(file.read_text("utf-8"), system_clock(), uuid.uuid4().hex[:8])
        answer = await face.post(text.encode(), SOUTH)
        assert (answer.status_code, rules(answer.json())) == (202, ["accepted"]), file.stem
    deaths, reports = await face.deaths(), await face.reports()
    assert len(deaths) + len(reports) == len(list(DEATHS.glob("*.json")))


async def test_the_documented_command_sends_and_prints_receipts(face: Rig) -> None:
    """`halyard deaths send` posts each file; a report names its request; a refusal is exit 1."""
    howto = (ROOT / "docs/howto/notify-a-death.md").read_text("utf-8")
    notification, report = DEATHS / "notification.json", DEATHS / "report.json"
    assert f"halyard deaths send {notification.relative_to(ROOT)}" in howto
    request = uuid.uuid4()
    done = await _send(face, SOUTH, str(notification), str(report), "--request", str(request))
    assert done.returncode == 0, done.stderr
    (death,), (said,) = await face.deaths(), await face.reports()
    assert said.request_id == request
    assert death.kind is DeathMessageKind.SUBMITTED
    for told in ("death-notification", "agency-report", str(death.event_id), str(said.event_id)):
        assert told in done.stdout
    assert "Harbourne" not in done.stdout
    refused = await _send(face, INFIRMARY, str(notification))  # its feed has another endpoint
    assert refused.returncode == 1
    assert "403" in refused.stdout
    assert "unknown-feed" in refused.stdout


async def _send(face: Rig, organisation: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "halyard.cli.main", "deaths", "send", *arguments, "--url", face.url],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={
            **os.environ,
            "HALYARD_TOKEN": TOKENS[organisation],
            "HALYARD_DATA_DIR": "/nonexistent",
        },
    )
