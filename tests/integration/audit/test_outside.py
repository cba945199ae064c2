"""What verifying says when the proof outside the database is gone or old, and who may write it."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg.errors import InsufficientPrivilege

from halyard.audit_chain import read_checkpoint
from streams.audit.sealer import NotOurs
from tests.support.audit import HOSPITAL, KEY, NOW, Chain, chain, entry
from tests.support.services import Database


def add(url: str, statement: str) -> None:
    """A statement of whoever has this URL."""
    with psycopg.connect(url, options="-c search_path=halyard") as connection:
        connection.execute(statement)


async def test_a_worker_adds_neither_seals_nor_checkpoints(sealed: Chain) -> None:
    """Who could add one could stop sealing, or write lines into the files outside: the sealer's
    role alone can, and it changes nothing either.
    """
    for url in (sealed.database.url, sealed.database.face_url):
        for statement in (
            "insert into audit_checkpoints values (9, 'RX901', 'head', 1, now(), 'garbage')",
            "insert into audit_seals select * from audit_seals limit 1",
            "insert into audit_progress values (true, '9000', 'x')",
        ):
            with pytest.raises(InsufficientPrivilege):
                add(url, statement)
    for statement in ("delete from audit_seals", "update audit_checkpoints set line = ''"):
        with pytest.raises(InsufficientPrivilege):
            add(sealed.database.sealer_url, statement)


async def test_nobody_chooses_the_transaction_number_of_an_entry(sealed: Chain) -> None:
    """By it entries are sealed: one that is chosen would never be."""
    for url in (sealed.database.url, sealed.database.face_url, sealed.database.sealer_url):
        with pytest.raises(InsufficientPrivilege):
            add(
                url,
                "insert into audit_entries (entry_id, chain, recorded_at, xid, body, actor)"
                " values (gen_random_uuid(), 'E99000002', now(), '3'::xid8, '{}', 'user:a')",
            )


@pytest.mark.parametrize("number", [1_000, 2**63 - 1])
async def test_a_checkpoint_of_somebody_else_is_not_exported(sealed: Chain, number: int) -> None:
    """Garbage among the stored ones, or one that another key signed: the files hold ours alone, and
    go on; the sealer says that it is not well.
    """
    forged = replace(read_checkpoint(sealed.lines()[-1]), number=number, key="other")
    for line in ("garbage", forged.signed(KEY).line()):
        sealed.as_owner("delete from audit_checkpoints where number > 3")
        sealed.as_owner(
            "insert into audit_checkpoints values (%s, 'RX901', 'head', 1, now(), %s)",
            parameters=(number, line),
        )
        with pytest.raises(NotOurs):
            await sealed.sealer.export()
        assert len(sealed.lines()) == 3


async def test_an_export_that_is_gone_is_found(sealed: Chain) -> None:
    """Removed, or empty with a tail cut and the stored checkpoints deleted."""
    sealed.now += timedelta(seconds=60)
    shutil.rmtree(sealed.directory)
    assert ("checkpoint-lost", "", None) in await sealed.kinds()
    sealed.directory.mkdir()
    sealed.as_owner(
        "delete from audit_entries where entry_id in"
        " (select entry_id from audit_seals where seq > 3)",
        "delete from audit_seals where seq > 3",
        "delete from audit_checkpoints",
    )
    found = await sealed.verify()
    assert not found.ok
    assert {one.kind for one in found.findings} == {"checkpoint-lost"}


async def test_stored_checkpoints_that_are_gone_are_found(sealed: Chain) -> None:
    """The files have them all: the database has none."""
    sealed.as_owner("delete from audit_checkpoints")
    assert ("checkpoint-lost", "", None) in await sealed.kinds()


async def test_a_sealer_that_stands_still_is_found(database: Database, tmp_path: Path) -> None:
    """Stopped for three days, and what was not sealed deleted: nothing was signed for too long. A
    sealer at work signs the hub's chain every few minutes, whatever happens.
    """
    async with chain(database, tmp_path / "c", heartbeat_seconds=300) as made:
        await made.append(entry(1))
        await made.seal_all()
        for _ in range(3):
            made.now += timedelta(seconds=310)
            await made.sealer.step()
        assert [(one.chain, one.seq) for one in map(read_checkpoint, made.lines())] == [
            (HOSPITAL, 1),
            ("hub", 0),
            ("hub", 0),
            ("hub", 0),
        ]
        found = await made.verify()
        assert (found.findings, found.ok) == ((), True)
        await made.append(entry(2, "hub"))
        await made.seal_all()
        assert (await made.verify()).ok
        await made.append(*(entry(number) for number in range(600, 610)))
        made.now += timedelta(days=3)
        made.as_owner(
            "delete from audit_entries where entry_id not in (select entry_id from audit_seals)"
        )
        assert await made.kinds() == {("silent", "", None)}
        assert await made.kinds(live=False) == set()  # a copy may be of last night


async def test_entries_with_a_false_time_are_found(sealed: Chain) -> None:
    """Long before what its chain had sealed, or after: nobody was told then."""
    await sealed.append(entry(500, recorded_at=NOW - timedelta(days=40)))
    await sealed.append(entry(501, recorded_at=NOW + timedelta(days=4_000)))
    sealed.now += timedelta(seconds=20)
    await sealed.seal_all()
    found = await sealed.verify()
    assert [(one.kind, one.seq, one.more) for one in found.findings] == [("backdated", 11, 1)]


async def test_an_entry_that_is_added_again_with_another_time_is_found(sealed: Chain) -> None:
    """One id is one entry, whatever its second row says."""
    again = replace(entry(3), decision="deny", recorded_at=NOW + timedelta(seconds=30))
    await sealed.append(again)
    sealed.now += timedelta(seconds=20)
    await sealed.seal_all()
    assert await sealed.kinds() == {("twice", HOSPITAL, 11)}


async def test_an_entry_below_a_restored_number_is_sealed(sealed: Chain) -> None:
    """A dump's row carries a number that this cluster reaches later: what has lower numbers and
    comes meanwhile has its place all the same.
    """
    (now,) = sealed.rows("select pg_current_xact_id()::text::bigint")[0]
    await sealed.append(entry(703))
    sealed.as_owner(
        f"update audit_entries set xid = '{now + 400}' where entry_id = '{entry(703).entry_id}'"
    )
    await sealed.sealer.step(final=True)
    await sealed.append(entry(704))
    while int(sealed.rows("select pg_current_xact_id()::text")[0][0]) <= now + 400:
        pass
    await sealed.seal_all()
    found = await sealed.verify()
    assert (found.findings, found.links, found.window.unsealed) == ((), 16, 0)
    stray = uuid.uuid4()
    sealed.as_owner(
        "insert into audit_entries (entry_id, chain, recorded_at, xid, body, actor)"
        f" values ('{stray}', '{HOSPITAL}', now(), '3'::xid8, '{{}}', 'user:a')"
    )
    assert await sealed.kinds() == {("stray", HOSPITAL, None)}
