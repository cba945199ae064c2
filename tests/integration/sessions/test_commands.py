"""`halyard access sessions …`: the operator sees who is logged in, and ends it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner, Result

from halyard.cli.main import app
from tests.integration.sessions.conftest import NURSE, WORKER, Rig
from tests.support.face import INFIRMARY, NORTH
from tests.support.services import Database


async def run(*arguments: str) -> Result:
    """The command; it has an event loop of its own."""
    return await asyncio.to_thread(
        CliRunner().invoke, app, ["access", "sessions", *arguments, "--json"]
    )


async def rows(*arguments: str) -> list[dict[str, Any]]:
    """What it prints."""
    done = await run(*arguments)
    assert done.exit_code == 0, done.output
    return list(json.loads(done.stdout)["sessions"])


async def test_the_operator_lists_and_ends_sessions(
    rig: Rig, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of an organisation or a person; the browser is logged out, and the chain says by whom."""
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("HALYARD_DATABASE__URL", database.url)
    worker, nurse = await rig.browser(), await rig.browser()
    await worker.log_in(WORKER)
    await nurse.log_in(NURSE)
    assert {one["organisation"] for one in await rows("list")} == {NORTH, INFIRMARY}
    (one,) = await rows("list", "--subject", "user:p-1")
    assert (one["organisation"], one["roles"]) == (NORTH, "social-worker")
    assert "Sam Social" not in str(one)
    assert await rows("end", "--organisation", INFIRMARY, "--subject", "user:p-1") == []
    assert len(await rows("end", "--organisation", NORTH)) == 1
    assert (await worker.get("/session")).status_code == 401
    assert (await nurse.get("/session")).status_code == 200
    assert len(await rows("end", "--subject", "user:p-2")) == 1
    assert (await nurse.get("/session")).status_code == 401
    assert (await run("end")).exit_code == 2
    with psycopg.connect(database.admin_url) as connection:
        found = connection.execute(
            "select body->>'chain', body->>'subject', body->>'actor' from halyard.audit_entries "
            "where body->>'rule' = 'session.ended-by-operator' order by 1"
        ).fetchall()
    assert [row[:2] for row in found] == [
        (NORTH, "session:user:p-1"),
        (INFIRMARY, "session:user:p-2"),
    ]
    assert all(row[2].startswith("cli:") for row in found)
