"""The practice receiver: verifies, knows what it has, and misbehaves as told."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from connectors.webhook.signature import sign
from halyard.errors import ConfigurationError
from sandbox.receiver import Receiver, create_app

SECRET = "practice"  # pragma: allowlist secret
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = uuid.UUID("7b0c1f5e-7c1d-5d3e-8f5a-0a4b5c6d7e8f")
BODY = json.dumps({"schema": "halyard.alert.v1", "alert_id": str(ID), "version": 3}).encode()


def receiver(path: Path | None = None) -> Receiver:
    """A receiver whose clock stands still."""
    return Receiver(secret=SECRET, journal_path=path, clock=lambda: NOW, slow_seconds=0.01)


async def post(
    to: Receiver, body: bytes = BODY, *, at: datetime = NOW, secret: str = SECRET
) -> httpx.Response:
    """One signed webhook."""
    async with client(to) as http:
        headers = sign(secret, delivery_id=ID, at=at, body=body)
        return await http.post(
            "/webhook", content=body, headers={**headers, "Halyard-Event": "alert"}
        )


def client(to: Receiver) -> httpx.AsyncClient:
    """A client of the receiver, without a socket."""
    transport = httpx.ASGITransport(app=create_app(to))
    return httpx.AsyncClient(transport=transport, base_url="http://receiver")


async def test_c16_a_known_delivery_is_answered_200_and_marked_a_repeat() -> None:
    """The second arrival of an id is a yes again; the journal shows both, the second as repeat."""
    to = receiver()
    assert [(await post(to)).status_code for _ in range(2)] == [200, 200]
    assert [one.repeat for one in to.received] == [False, True]
    assert to.received[0].body_sha256 == to.received[1].body_sha256


@pytest.mark.parametrize(
    ("at", "secret", "status"),
    [
        (NOW - timedelta(hours=1), SECRET, 401),
        (NOW + timedelta(hours=1), SECRET, 401),
        (NOW, "other", 401),
    ],
)
async def test_what_cannot_be_trusted_is_refused_and_not_kept(
    at: datetime, secret: str, status: int
) -> None:
    """Stale, future or wrongly signed: 401, counted, not in the journal."""
    to = receiver()
    assert (await post(to, at=at, secret=secret)).status_code == status
    assert (to.received, to.refused) == ([], 1)


async def test_a_body_that_is_no_payload_is_refused() -> None:
    """Signed noise gets 400, too much of it 413; neither is echoed."""
    to = receiver()
    answer = await post(to, b"canary")
    assert answer.status_code == 400
    assert "canary" not in answer.text
    assert (await post(to, b"x" * 1_000_001)).status_code == 413


async def test_misbehaviour_lasts_as_often_as_told() -> None:
    """Two times 500 and one refusal; then it behaves again."""
    to = receiver()
    async with client(to) as http:
        told = await http.post("/sandbox/faults", json={"mode": "500", "count": 2})
        assert told.json() == {"mode": "500", "count": 2}
    assert [(await post(to)).status_code for _ in range(3)] == [500, 500, 200]
    to.misbehave("refuse", 1)
    assert (await post(to)).status_code == 422
    assert [one.repeat for one in to.received] == [False, False, False, True]
    with pytest.raises(ConfigurationError):
        to.misbehave("explode")


async def test_a_wrong_order_to_misbehave_is_refused() -> None:
    """Unknown modes, counts that are none, bodies that are no object."""
    to = receiver()
    async with client(to) as http:
        for body in (b"{}", b"[]", b"noise", b'{"mode":"never"}', b'{"mode":"ok","count":"x"}'):
            assert (await http.post("/sandbox/faults", content=body)).status_code == 422


async def test_received_is_listed_and_narrowed() -> None:
    """The journal by alert and kind."""
    to = receiver()
    await post(to)
    async with client(to) as http:
        everything = (await http.get("/received")).json()
        assert [one["version"] for one in everything["received"]] == [3]
        for query, count in (
            ({"kind": "alert"}, 1),
            ({"kind": "match"}, 0),
            ({"alert_id": "x"}, 0),
        ):
            got = (await http.get("/received", params=query)).json()
            assert len(got["received"]) == count


async def test_the_journal_outlives_the_process(tmp_path: Path) -> None:
    """A receiver that starts again knows the ids of the one before, a cut last line aside."""
    path = tmp_path / "authority.jsonl"
    await post(receiver(path))
    with path.open("a") as journal:
        journal.write('{"delivery_id": "cut')
    after = receiver(path)
    assert len(after.received) == 1
    await post(after)
    assert after.received[-1].repeat
