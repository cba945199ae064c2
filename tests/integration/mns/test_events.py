"""``POST /mns/events`` over real HTTP and a real broker; no database is needed to take it in."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from halyard import kafka_admin
from halyard.kafka import qualified
from halyard.kafka_admin import TopicSpec
from schemas import codec
from schemas.changes import PersonChanged
from schemas.events import MessageRejected
from schemas.topics import MESSAGE_REJECTED, PERSON_CHANGED
from stores.credentials import Credential
from tests.support.face import INFIRMARY, KEYS, NORTH, Hub, bearer, directory, hub, settings
from tests.unit.mns.test_reading import NUMBER, bundle, cloud_event

RELAY = "practice-token-of-the-relay"


@pytest.fixture
async def face(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Hub]:
    """A hub on a real broker, without a database, that knows a relay."""
    made = settings(bootstrap=kafka_bootstrap, namespace=namespace)
    relay = Credential(
        organisation=INFIRMARY,
        sha256=hashlib.sha256(RELAY.encode()).hexdigest(),
        roles=("pds-relay",),
    )
    known = directory()
    known = replace(known, credentials=(*known.credentials, relay))
    kafka_admin.apply(kafka_bootstrap, [TopicSpec(qualified(made, PERSON_CHANGED), 3, 1)])
    async with hub(made, known=known) as running:
        yield running


async def send(face: Hub, document: Any, headers: dict[str, str] | None = None) -> httpx.Response:
    """Send a notification as the relay, or as somebody else."""
    async with httpx.AsyncClient(base_url=face.url) as client:
        return await client.post(
            "/mns/events",
            json=document,
            headers={"Authorization": f"Bearer {RELAY}", **(headers or {})},
        )


async def test_a_notification_is_taken_once_the_broker_has_it(face: Hub) -> None:
    """202 after the bus; keyed by pseudonym, the number nowhere but in the value; a repeat is the
    same event."""
    for document in (cloud_event(), cloud_event(), bundle()):
        answer = await send(face, document)
        assert (answer.status_code, answer.json()) == (202, {"taken": 1, "ignored": []})
    records = await face.records(PERSON_CHANGED)
    events = [codec.decode_as(PersonChanged, one.value) for one in records]
    assert len(events) == 3
    assert len({one.event_id for one in events}) == 2
    assert {one.nhs_number for one in events} == {NUMBER}
    assert {one.key for one in records} == {KEYS.bus_person(NUMBER).encode()}
    for one in records:
        assert NUMBER not in str(one.headers)


async def test_what_is_of_no_use_is_said(face: Hub) -> None:
    """A change of practice: 202 with a word, and nothing on the bus."""
    answer = await send(face, cloud_event(type="pds-change-of-gp-2"))
    assert answer.status_code == 202
    assert answer.json()["taken"] == 0
    assert "practice" in answer.json()["ignored"][0]["why"]
    assert await face.records(PERSON_CHANGED) == []


async def test_a_refusal_names_place_and_rule_and_is_kept(face: Hub) -> None:
    """problem+json; the bytes stand on message.rejected before the answer leaves."""
    answer = await send(face, cloud_event(subject="12"))
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    said = answer.json()
    assert (said["rule"], said["place"]) == ("mns.subject", "subject")
    (record,) = await face.records(MESSAGE_REJECTED)
    assert codec.decode_as(MessageRejected, record.value).rule == "mns.subject"


@pytest.mark.parametrize(("who", "status"), [(NORTH, 403), (INFIRMARY, 403), (None, 401)])
async def test_only_the_relay_is_heard(face: Hub, who: str | None, status: int) -> None:
    """Before the body is read: an authority or a hospital has no business here."""
    headers = bearer(who) if who else {"Authorization": ""}
    answer = await send(face, cloud_event(), headers)
    assert answer.status_code == status
    assert await face.records(PERSON_CHANGED) == []


async def test_another_content_type_is_415(face: Hub) -> None:
    """Neither JSON nor FHIR."""
    answer = await send(face, cloud_event(), {"Content-Type": "text/plain"})
    assert answer.status_code == 415


async def test_with_the_broker_away_the_sender_keeps_it(namespace: str) -> None:
    """503 and Retry-After, never a 202."""
    known = directory()
    relay = Credential(
        organisation=INFIRMARY,
        sha256=hashlib.sha256(RELAY.encode()).hexdigest(),
        roles=("pds-relay",),
    )
    known = replace(known, credentials=(*known.credentials, relay))
    made = settings(namespace=namespace, request_timeout=0.3)
    async with hub(made, connect=False, known=known) as face:
        answer = await send(face, cloud_event())
    assert answer.status_code == 503
    assert answer.headers["retry-after"]
