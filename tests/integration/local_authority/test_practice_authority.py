"""The practice authority as a system of its own: uploads, receives, accepts, misbehaves."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from connectors.webhook.signature import sign
from sandbox.local_authority.app import Authority
from sandbox.local_authority.duty import Duty, duty_of
from sandbox.local_authority.hub import Hub as Practice
from sandbox.receiver import Receiver, create_app
from schemas import codec
from schemas.events import FlagSubmitted
from schemas.topics import FLAG_SUBMITTED
from tests.support.alerts import alert, save
from tests.support.face import NORTH, TOKENS, Hub, flag, hub, lines, settings
from tests.support.services import Database
from tests.support.waiting import aeventually

SECRET = "practice"  # pragma: allowlist secret
NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
SAMPLE = Path(__file__).parents[3] / "sandbox" / "samples" / "flags.csv"
ALERT = uuid.UUID(int=1)


@dataclass
class Desk:
    """A practice authority in front of a hub."""

    hub: Hub
    authority: Authority
    http: httpx.AsyncClient

    async def told(
        self, *plans: tuple[str, bool], change: str = "raised", number: int = 1
    ) -> httpx.Response:
        """An alert's webhook with these plans (type, active) arrives."""
        flags = [{"plan_type": plan, "active": active} for plan, active in plans]
        content = {"alert_id": str(ALERT), "version": 1, "change": change, "flags": flags}
        body = json.dumps(content).encode()
        signed = sign(SECRET, delivery_id=uuid.UUID(int=number), at=NOW, body=body)
        headers = {**signed, "Halyard-Event": "alert"}
        return await self.http.post("/webhook", content=body, headers=headers)

    async def flags_on_the_bus(self) -> list[FlagSubmitted]:
        """Records, without the trailers."""
        found = await self.hub.records(FLAG_SUBMITTED)
        events = [codec.decode_as(FlagSubmitted, one.value) for one in found]
        return [one for one in events if one.record is not None]


@pytest.fixture
async def desk(
    kafka_bootstrap: str, namespace: str, database: Database, tmp_path: Path
) -> AsyncIterator[Desk]:
    """An authority with a file of its own, and an alert that waits for it."""
    own = tmp_path / "own.jsonl"
    own.write_bytes(lines(flag(start="{d-90}")))
    made = settings(bootstrap=kafka_bootstrap, namespace=namespace, database_url=database.url)
    async with hub(made) as running:
        await save(running.pool, alert(1))
        practice = Practice(running.url, TOKENS[NORTH], file=own, retry_seconds=0.01)
        receiver = Receiver(secret=SECRET, clock=lambda: NOW)
        authority = Authority(receiver, practice)
        receiver.on_taken = authority.taken
        transport = httpx.ASGITransport(app=create_app(receiver, more=authority.routes()))
        async with httpx.AsyncClient(transport=transport, base_url="http://authority") as http:
            yield Desk(running, authority, http)
        await authority.stop()


async def state(desk: Desk) -> str:
    """Of the alert, as the hub says it."""
    async with desk.hub.client(NORTH) as client:
        (found,) = (await client.alerts()).alerts
    return str(found["state"])


async def test_it_uploads_its_own_file_and_any_other(desk: Desk) -> None:
    """At its start, on demand, and CSV by its content type; the hub's refusals are passed on."""
    desk.authority.start()
    await aeventually(lambda: len(desk.authority.hub.sent) == 1)
    own = (await desk.http.post("/sandbox/upload")).json()["uploads"]
    assert [one["accepted"] for one in own] == [1]
    sent = await desk.http.post(
        "/sandbox/upload", content=SAMPLE.read_bytes(), headers={"Content-Type": "text/csv"}
    )
    (one,) = sent.json()["uploads"]
    assert one["refused_count"] == 6  # its dates are not filled in
    wrong = await desk.http.post(
        "/sandbox/upload", content=b"DOB\n", headers={"Content-Type": "text/csv"}
    )
    assert (wrong.status_code, wrong.json()["file_code"]) == (422, "CPF01")
    assert (await desk.http.post("/sandbox/upload?sequence=x")).status_code == 422
    told = (await desk.http.get("/sandbox/uploads")).json()["uploads"]
    assert [one["file"] for one in told] == [None, None, None]  # identity has not read them
    starts = [one.record.start for one in await desk.flags_on_the_bus() if one.record]
    assert len(starts) == 2  # the own file, twice, with its date filled in


async def test_its_sample_is_read_as_it_is_meant(desk: Desk) -> None:
    """The rows that a spreadsheet has ruined are refused by their lines, the others taken."""
    desk.authority.hub.file = SAMPLE
    sent = await desk.authority.hub.upload_own()
    assert (sent.accepted, sent.refused_count) == (4, 2)


async def test_alerts_are_accepted_by_the_rule_of_the_desk(desk: Desk) -> None:
    """Only with an active plan of the types it was told; never a withdrawal."""
    assert (await desk.told(("CPP", True))).status_code == 200
    told = await desk.http.post("/sandbox/duty", json={"plans": ["CPP"], "by": "night desk"})
    assert told.json() == {"plans": ["CPP"]}
    await desk.told(("CPP", False), ("LAC", True), number=2)
    await desk.told(("CPP", True), change="withdrawn", number=3)
    assert desk.authority.hub.accepted == []
    await desk.told(("CPP", True), number=4)
    await desk.told(("CPP", True), number=4)  # a repeat on the wire
    await aeventually(lambda: len(desk.authority.hub.accepted) == 1)
    assert await state(desk) == "accepted"
    shown = (await desk.http.get("/sandbox/accepted")).json()["accepted"]
    assert [(one["alert_id"], one["state"]) for one in shown] == [(str(ALERT), "accepted")]
    wrong = await desk.http.post("/sandbox/duty", json={"plans": ["XYZ"]})
    assert wrong.status_code == 422


async def test_duplicates_upload_and_accept_twice_and_nothing_comes_of_it(desk: Desk) -> None:
    """The same file under the same number, the same acceptance: the second changes nothing."""
    desk.authority.duty = Duty(plans=frozenset({"CPP"}))
    await desk.http.post("/sandbox/faults", json={"mode": "duplicates"})
    sent = (await desk.http.post("/sandbox/upload?sequence=7")).json()["uploads"]
    assert sent[0] == sent[1]
    events = await desk.flags_on_the_bus()
    assert len(events) == 2
    assert len({one.event_id for one in events}) == 1
    assert (await desk.told(("CPP", True))).status_code == 200
    await aeventually(lambda: len(desk.authority.hub.accepted) == 2)
    assert sorted(one["changed"] for one in desk.authority.hub.accepted) == [False, True]


async def test_a_wrong_secret_answers_401_as_often_as_told(desk: Desk) -> None:
    """Nothing is taken meanwhile; then it is."""
    await desk.http.post("/sandbox/faults", json={"mode": "wrong-secret", "count": 1})
    refused = await desk.told(("CPP", True))
    assert (refused.status_code, refused.json()["rule"]) == (401, "bad-signature")
    assert (await desk.told(("CPP", True))).status_code == 200
    assert len(desk.authority.receiver.received) == 1


def test_the_rule_of_the_desk_is_a_short_setting() -> None:
    """``all``, ``none`` or plan types; anything else is said."""
    assert duty_of("none").plans == duty_of("").plans == frozenset()
    assert duty_of("all").plans == {"CPP", "LAC", "UCPP"}
    assert duty_of("cpp, LAC").plans == {"CPP", "LAC"}
    assert not Duty(plans=duty_of("all").plans).accepts({"flags": "noise"})
    with pytest.raises(ValueError, match="plan types"):
        duty_of("XYZ")


def test_its_token_is_in_no_repr() -> None:
    """Tracebacks show it nowhere."""
    assert "secret-token" not in repr(Practice("http://hub", "secret-token"))
