"""FHIR messages over real HTTP onto a real bus: what is answered, and what is durable before."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.operationoutcome import OperationOutcome

from connectors.fhir import intake
from connectors.fhir.death_messages import DeathMessage
from connectors.fhir.messages import Limits, Parsed, Refusal, read_message
from connectors.fhir.outcomes import PATH, RECEIPT
from halyard import metrics
from halyard.kafka import header
from sandbox.samples.render import FHIR
from schemas.events import VisitEventKind
from schemas.topics import ATTENDANCE_REPORTED
from tests.integration.fhir.rig import FEED, LARGEST, Rig, rig
from tests.support.face import CLINIC, INFIRMARY, NORTH, ROOT, TOKENS, raw, real_logs, topic_records
from tests.unit.fhir.bundles import CHILD_NUMBER, ENDPOINT, LOCAL, NHS, OTHER_NUMBER, bundle


@pytest.fixture
async def face(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Rig]:
    """A face with a FHIR feed of the infirmary."""
    async with rig(kafka_bootstrap, namespace) as running:
        yield running


def now(message: dict[str, Any]) -> dict[str, Any]:
    """The message as of today, so that its times can be."""
    text = json.dumps(message).replace("2026-03-14", datetime.now(UTC).date().isoformat())
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def rules(outcome: dict[str, Any]) -> list[str]:
    """The rules that an outcome names, in order; it must be FHIR."""
    OperationOutcome.model_validate(outcome)
    return [issue["details"]["coding"][0]["code"] for issue in outcome["issue"]]


async def test_202_means_that_the_broker_has_it(face: Rig) -> None:
    """The receipt is the event's id; the sender's bytes are in it; the key is a pseudonym."""
    body = json.dumps(bundle()).encode()
    answer = await face.post(body)
    assert answer.status_code == 202
    assert answer.headers["content-type"] == "application/fhir+json"
    (record,) = await topic_records(face.settings, ATTENDANCE_REPORTED)
    (event,) = await face.attendances()
    assert answer.headers[RECEIPT] == str(event.event_id) == answer.json()["id"]
    assert rules(answer.json())[0] == "accepted"
    assert (event.source, event.organisation) == (FEED.source, INFIRMARY)
    assert (event.kind, event.arrival, event.message) == (VisitEventKind.REGISTER, True, body)
    assert record.key.decode() == event.source_person
    assert header(record.headers, "ce_id") == str(event.event_id)
    assert header(record.headers, "ce_type") == "uk.halyard.AttendanceReported"
    assert header(record.headers, "traceparent")


async def test_sent_again_it_gets_the_same_receipt(face: Rig) -> None:
    """Both are on the bus under one event id, which is dropped downstream."""
    first, again = await face.post(bundle()), await face.post(bundle())
    assert first.content == again.content
    assert len({event.event_id for event in await face.attendances()}) == 1


async def test_oddities_are_warnings_with_their_element(face: Rig) -> None:
    """Taken, told, and never with a value."""
    odd = now(bundle(patient={"birthDate": "2019-13-40"}, encounter={"period": {"start": "noon"}}))
    answer = await face.post(odd)
    assert answer.status_code == 202
    issues = answer.json()["issue"][1:]
    assert {one["severity"] for one in issues} == {"warning"}
    assert rules(answer.json())[1:] == ["birth-date-invalid", "time-invalid"]
    assert issues[1]["expression"] == ["Encounter.period.start"]
    assert "2019-13-40" not in answer.text


async def test_a_newborns_message_is_two_events_before_its_202(face: Rig) -> None:
    """The baby's and the mother's."""
    mother = {
        "resourceType": "RelatedPerson",
        "patient": {"reference": "urn:uuid:patient"},
        "identifier": [{"system": NHS, "value": OTHER_NUMBER}],
        "relationship": [{"coding": [{"code": "MTH"}]}],
    }
    baby = {
        "birthDate": datetime.now(UTC).date().isoformat(),
        "identifier": [{"system": LOCAL, "value": "B1"}],
    }
    assert (await face.post(now(bundle(patient=baby, more=(mother,))))).status_code == 202
    kinds = [event.kind for event in await face.attendances()]
    assert kinds == [VisitEventKind.REGISTER, VisitEventKind.BIRTH]


@pytest.mark.parametrize(
    ("body", "headers", "status", "rule", "place"),
    [
        (b"MSH|", {}, 400, "not-json", ""),
        (bundle(type="collection"), {}, 400, "not-a-message", "Bundle"),
        (
            bundle(patient={"identifier": [{"value": 5}]}),
            {},
            400,
            "element-invalid",
            "Bundle.entry[2].resource.identifier[0].value",
        ),
        (
            bundle(without=("Patient",)),
            {},
            422,
            "patient-missing",
            "Bundle.entry[1].resource.subject",
        ),
        (
            bundle(header={"eventCoding": {"code": "x"}}),
            {},
            422,
            "event-unknown",
            "Bundle.entry[0].resource.event",
        ),
        (
            bundle(header={"source": {"endpoint": "urn:somebody:else"}}),
            {},
            403,
            "unknown-feed",
            "Bundle.entry[0].resource.source.endpoint",
        ),
        (bundle(), {"Content-Type": "application/xml"}, 415, "content-type", ""),
        (bundle(), {"Content-Encoding": "gzip"}, 415, "content-type", ""),
        (
            bundle(),
            {"Content-Type": "application/fhir+json; charset=utf-16"},
            415,
            "content-type",
            "",
        ),
    ],
)
async def test_what_is_refused_is_kept_first_and_told_as_an_outcome(
    face: Rig,
    body: bytes | dict[str, Any],
    headers: dict[str, str],
    status: int,
    rule: str,
    place: str,
) -> None:
    """Status, rule, element; the body is on the bus; nothing that was sent is repeated."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = await face.post(content, **headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/fhir+json"
    assert rules(answer.json())[0] == rule
    assert answer.json()["issue"][0].get("expression", [""]) == [place]
    assert RECEIPT not in answer.headers
    for value in (CHILD_NUMBER, "Testchild", "Robin", "somebody"):
        assert value not in answer.text
    (kept,) = await face.rejected()
    assert (kept.rule, kept.place, kept.transport) == (rule, place, "http")
    assert (kept.head, kept.length, kept.truncated) == (content, len(content), False)
    assert await face.attendances() == []


async def test_a_refusal_is_kept_under_the_feed_as_far_as_it_is_known(face: Rig) -> None:
    """Else under the organisation whose token it was."""
    await face.post(bundle(without=("Patient",)))
    await face.post(b"{")
    await face.post(bundle(), CLINIC)
    await face.post(bundle(), NORTH)
    sources = [one.source for one in await face.rejected()]
    assert sources == [FEED.source, INFIRMARY, CLINIC, NORTH]


async def test_a_body_over_the_limit_is_413_with_its_head_kept(face: Rig) -> None:
    """Announced or in pieces; 64 KiB, the length and a digest are kept."""
    body = b'{"resourceType": "Bundle", "x": "' + b"y" * LARGEST + b'"}'
    answer = await face.post(body)
    assert answer.status_code == 413
    assert rules(answer.json()) == ["oversize"]
    chunk = b"%x\r\n%s\r\n" % (LARGEST + 5, b" " * (LARGEST + 5))
    request = (
        f"POST {PATH} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKENS[INFIRMARY]}\r\n"
        "Content-Type: application/fhir+json\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    in_pieces = await raw(face.url, request + chunk + b"0\r\n\r\n", seconds=15)
    assert in_pieces.status == 413
    assert rules(in_pieces.json()) == ["oversize"]
    first, _ = await face.rejected()
    assert (len(first.head), first.length, first.truncated) == (65_536, len(body), True)


async def test_without_a_token_nothing_is_read_or_kept(face: Rig) -> None:
    """401 before a byte of the body, as on every route."""
    answer = await face.post(bundle(), Authorization="Bearer nobody")
    assert answer.status_code == 401
    assert await face.rejected() == []


async def test_nothing_that_was_sent_reaches_a_log(
    face: Rig, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether taken, odd or refused."""
    canary = "Canary-Secret"
    with real_logs():
        for patient in (
            {"name": [{"family": canary}], "birthDate": canary},
            {"name": [{"family": [canary]}]},
            {canary: canary},
        ):
            await face.post(bundle(patient=patient))
        await face.post(canary.encode())
    logged = capsys.readouterr().err
    assert "fhir_rejected" in logged
    assert canary not in logged
    assert CHILD_NUMBER not in logged


async def test_messages_are_read_beside_the_event_loop(
    face: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Small ones too, and not all at once: a costly one delays nobody else's answers."""
    readers: set[int] = set()
    together: list[int] = []
    running: list[None] = []

    def reading(body: bytes, limits: Limits) -> Parsed | DeathMessage | Refusal:
        readers.add(threading.get_ident())
        running.append(None)
        together.append(len(running))
        found = read_message(body, limits)
        running.pop()
        return found

    monkeypatch.setattr(intake, "read_message", reading)
    answers = await asyncio.gather(*(face.post(bundle()) for _ in range(6)))
    assert {one.status_code for one in answers} == {202}
    assert threading.get_ident() not in readers
    assert max(together) <= 2


async def test_broker_away_is_503_and_nothing_is_promised(namespace: str) -> None:
    """For a good message and for one that would be refused: neither could be kept."""
    async with rig("127.0.0.1:1", namespace, connect=False, seconds=1.0) as face:
        for body in (json.dumps(bundle()).encode(), b"{"):
            answer = await face.post(body)
            assert answer.status_code == 503
            assert rules(answer.json()) == ["broker-away"]
            assert answer.headers["retry-after"]
            assert RECEIPT not in answer.headers


async def test_answers_are_counted_by_feed(face: Rig) -> None:
    """With the status, and no more."""
    labels = {"feed": FEED.source, "answer": "202"}
    before = metrics.registry.get_sample_value("halyard_fhir_messages_total", labels) or 0.0
    await face.post(bundle())
    after = metrics.registry.get_sample_value("halyard_fhir_messages_total", labels)
    assert after == before + 1


async def test_the_documented_example_is_sent_by_the_command(face: Rig) -> None:
    """`halyard send --fhir` posts a sample and prints answer and receipt; a refusal is exit 1."""
    text = (FHIR / "arrival.json").read_text()
    assert "sandbox/samples/fhir/arrival.json" in (ROOT / "docs/howto/send-fhir.md").read_text()
    place = ROOT / "sandbox" / "samples" / "fhir" / "arrival.json"
    refused = await _send(face, str(place))
    assert refused.returncode == 1
    assert "403" in refused.stdout
    mine = text.replace("urn:halyard:practice:pas", ENDPOINT)
    done = await _send(face, "/dev/stdin", standard_input=mine)
    assert done.returncode == 0, done.stderr
    (event,) = await face.attendances()
    assert "arrival" in done.stdout
    assert str(event.event_id) in done.stdout
    assert event.detail.mode_of_arrival == "Ambulance"
    assert CHILD_NUMBER not in done.stdout


async def _send(
    face: Rig, file: str, standard_input: str | None = None
) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "halyard.cli.main", "send", "--fhir", file, "--url", face.url],
        input=standard_input,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**os.environ, "HALYARD_TOKEN": TOKENS[INFIRMARY], "HALYARD_DATA_DIR": "/nonexistent"},
    )
