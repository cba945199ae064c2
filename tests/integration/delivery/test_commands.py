"""`halyard deliveries list|redrive`: an operator finds what was refused, and sends it again."""

from __future__ import annotations

import asyncio
import json
import uuid
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from halyard.cli.main import app
from halyard.postgres import Pool, transaction
from stores import deliveries
from tests.integration.delivery.practice import NUMBER, add, delivery, raise_alert, states


@pytest.fixture(autouse=True)
def _system(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands find this test's database, and no running system."""
    monkeypatch.setenv("HALYARD_DATABASE__URL", database_url)
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path))


async def run(*arguments: str) -> Result:
    """One command, beside the test's own loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, ["deliveries", *arguments])


async def park_one(pool: Pool) -> deliveries.Delivery:
    """An alert whose receiver answered 422."""
    alert = await raise_alert(pool)
    await add(pool, delivery(alert))
    (one,) = (await deliveries.claim(pool, room=1, share=1, lease_seconds=30)).deliveries
    async with transaction(pool) as connection:
        await deliveries.park(connection, one, reason="status-422")
    return one


async def test_a_parked_alert_is_listed_without_its_body_and_redriven(pool: Pool) -> None:
    """The list names destination, ids and reason; the redrive opens the row and says how many."""
    one = await park_one(pool)
    listed = await run("list", "--json")
    assert listed.exit_code == 0
    (shown,) = json.loads(listed.stdout)["deliveries"]
    assert (shown["destination"], shown["delivery_id"], shown["state"], shown["last_error"]) == (
        "authority",
        str(one.delivery_id),
        "parked",
        "status-422",
    )
    assert NUMBER not in listed.output
    assert "body" not in shown
    assert "parked" in (await run("list")).stdout
    done = await run("redrive", str(one.delivery_id), "--reason", "Their fault is mended", "--json")
    assert json.loads(done.stdout) == {"opened": [str(one.delivery_id)], "superseded": []}
    assert await states(pool, one.alert_id) == [(1, "alert", "open")]


async def test_all_of_a_destination_are_redriven_at_once(pool: Pool) -> None:
    """After a receiver's fault one command sends everything again; a second finds nothing."""
    rows = [await park_one(pool) for _ in range(3)]
    asked = ("redrive", "--destination", "authority", "--reason", "Mended")
    done = await run(*asked)
    assert (done.exit_code, done.stdout) == (0, "3 to be sent again, 0 superseded\n")
    for one in rows:
        assert await states(pool, one.alert_id) == [(1, "alert", "open")]
    assert (await run(*asked)).exit_code == 1
    assert (await run("list", "--destination", "contact")).stdout.startswith("nothing is parked")


@pytest.mark.parametrize(
    "arguments",
    [
        ("--reason", "x"),
        (str(uuid.uuid4()), "--destination", "authority", "--reason", "x"),
        ("no-id", "--reason", "x"),
        (str(uuid.uuid4()),),
    ],
)
async def test_a_redrive_needs_one_aim_and_a_reason(arguments: tuple[str, ...]) -> None:
    """Wrong arguments are exit code 2; nothing is touched."""
    assert (await run("redrive", *arguments)).exit_code == 2
