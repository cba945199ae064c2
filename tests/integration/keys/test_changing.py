"""Webhook secrets and checkpoint keys are changed without a gap."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest

from connectors.webhook.signature import EVENT, VERSION, WebhookRefused, sign, verify
from halyard.audit_keys import audit_keys
from halyard.errors import ConfigurationError
from halyard.privacy import load_keys
from sandbox.receiver import Receiver, create_app
from tests.integration.keys.conftest import BUS, OLD, STORE, Commands
from tests.support.audit import KEY, Chain, chain, entry
from tests.support.services import Database

NOW = datetime(2026, 3, 10, tzinfo=UTC)
REASON = ("--reason", "yearly change")


def signed(keys: Commands) -> dict[str, str]:
    """Headers of a webhook as the dispatcher signs it with what stands in the file now."""
    secrets = load_keys(keys.file).webhook["council"]
    return sign(secrets, delivery_id=uuid.uuid4(), at=NOW, body=b"{}")


def verifies(headers: dict[str, str], *secrets: str) -> bool:
    """Whether a receiver with these secrets believes it."""
    try:
        verify(headers, b"{}", secrets, NOW)
    except WebhookRefused:
        return False
    return True


def test_receivers_change_to_a_new_webhook_secret_without_a_gap(keys: Commands) -> None:
    """Before: the old one. During: who has the old, both or the new one. After: the new."""
    assert verifies(signed(keys), OLD)
    keys.json("keys", "rotate", "webhook", "council", *REASON)
    new, old = keys.table()["webhook"]["council"]
    assert old == OLD
    during = signed(keys)
    assert [verifies(during, *each) for each in ((OLD,), (new, OLD), (new,))] == [True] * 3
    assert not verifies(during, "a stranger's")
    keys.json("keys", "retire", "webhook", "council", *REASON)
    assert keys.table()["webhook"]["council"] == new
    after = signed(keys)
    assert [verifies(after, *each) for each in ((OLD,), (new, OLD), (new,))] == [False, True, True]
    assert keys.table()["pds_token"] == "kept"  # pragma: allowlist secret
    assert [(one["rule"], one["subject"], one["reason"]) for one in keys.entries()] == [
        ("keys.webhook", "key:webhook:council", "yearly change")
    ] * 2
    assert new not in keys.printed + str(keys.entries())


async def test_practice_receivers_verify_during_the_change(keys: Commands) -> None:
    """One that was started with the old secret, and one with what stands in the file now."""
    keys.json("keys", "rotate", "webhook", "council", *REASON)
    now = load_keys(keys.file).webhook["council"]
    for held in (OLD, now):
        receiver = Receiver(secret=held, clock=lambda: NOW)
        transport = httpx.ASGITransport(app=create_app(receiver))
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            body = b'{"alert_id": "7b0c1f5e-7c1d-5d3e-8f5a-0a4b5c6d7e8f", "version": 1}'
            headers = sign(now, delivery_id=uuid.uuid4(), at=NOW, body=body)
            answer = await client.post(
                "/webhook", content=body, headers={**headers, EVENT: "alert", VERSION: "1"}
            )
        assert answer.status_code == 200


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("rotate", "webhook", "nobody"), "no webhook secret nobody"),
        (("retire", "webhook", "council"), "no older one"),
        (("rotate", "checkpoint", "--name", "2025-1"), "already"),
        (("rotate", "checkpoint", "--name", "no name!"), "short name"),
    ],
)
def test_what_cannot_be_changed_is_said_and_nothing_is_written(
    keys: Commands, command: tuple[str, ...], said: str
) -> None:
    """File and audit chain stay as they were."""
    before = keys.file.read_bytes()
    done = keys("keys", *command, *REASON)
    assert isinstance(done.exception, ConfigurationError)
    assert said in done.exception.message
    assert (keys.file.read_bytes(), keys.entries()) == (before, [])


def test_a_second_change_waits_for_the_first(keys: Commands) -> None:
    """Three secrets would mean that nobody knows which receivers have which."""
    keys.json("keys", "rotate", "webhook", "council", *REASON)
    done = keys("keys", "rotate", "webhook", "council", *REASON)
    assert "being changed already" in str(done.exception)


async def test_a_new_checkpoint_key_signs_and_old_checkpoints_still_verify(
    keys: Commands, database: Database, tmp_path: Path
) -> None:
    """The old private key is gone from the file; its public key verifies what it signed."""

    def use(made: Chain) -> None:
        signer = audit_keys(keys.table(), "file").signer
        assert signer is not None
        made.sealer.signer = signer

    async with chain(database, tmp_path / "checkpoints") as made:
        use(made)
        made.now = datetime.now(UTC)  # that of the commands
        await made.append(*(entry(number, recorded_at=made.now) for number in (1, 2)))
        await made.seal_all()
        done = keys.json("keys", "rotate", "checkpoint", *REASON)
        use(made)
        made.now = datetime.now(UTC)
        await made.append(*(entry(number, recorded_at=made.now) for number in (3, 4)))
        await made.seal_all()
    signed_by = ['"key":"2025-1"' in one for one in made.lines()]
    assert signed_by == [True, False, False]  # the last: of the change's own entry
    assert keys.json("audit", "verify")["ok"] is True
    text = keys.file.read_text()
    assert KEY.private_bytes_raw().hex() not in text
    assert keys.table()["audit"]["current"] == done["after"]
    assert keys.json("keys", "rotate", "checkpoint", *REASON)["after"] == f"{done['after']}-2"
    assert keys.json("audit", "verify")["ok"] is True


def test_the_list_names_keys_by_id_and_age_and_shows_none(keys: Commands) -> None:
    """What was made here has an age; of what came from elsewhere nobody wrote it down."""
    keys.json("keys", "rotate", "webhook", "council", *REASON)
    keys.json("keys", "rotate", "checkpoint", "--name", "next", *REASON)
    rows = {(one["key"], one["state"]): one for one in keys.json("keys", "list")["keys"]}
    assert set(rows) == {
        ("bus", "in use"),
        ("store", "in use"),
        ("webhook:council", "signs"),
        ("webhook:council", "signs too, until retired"),
        ("checkpoint:2025-1", "verifies"),
        ("checkpoint:next", "signs"),
    }
    assert [rows[one]["age_days"] for one in (("bus", "in use"), ("checkpoint:next", "signs"))] == [
        None,
        0,
    ]
    assert rows["webhook:council", "signs"]["age_days"] == 0
    assert len({one["id"] for one in rows.values()}) == len(rows)
    assert keys("keys", "list").exit_code == 0
    table = keys.table()
    secrets = (BUS, STORE, OLD, table["webhook"]["council"][0], table["audit"]["next"])
    assert [one for one in secrets if one in keys.printed] == []
