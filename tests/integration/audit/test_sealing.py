"""Sealing: every entry once, in order, whatever runs at the same time; checkpoints in time."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from halyard.audit_chain import read_checkpoint
from halyard.postgres import transaction
from stores import audit
from streams.audit.export import Exporter, pieces
from streams.audit.sealer import Sealer
from tests.support.audit import COUNCIL, HOSPITAL, NOW, chain, entry
from tests.support.services import Database


def pieces_in(directory: Path) -> list[Path]:
    """The export's files there."""
    return [one.path for one in pieces(directory)]


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Where checkpoints go."""
    return tmp_path / "checkpoints"


async def test_an_entry_of_a_running_transaction_is_waited_for(
    database: Database, directory: Path
) -> None:
    """What is committed late is sealed late, and nothing that came after it goes before it."""
    async with chain(database, directory) as made:
        async with transaction(made.pool) as slow:
            await audit.append(slow, [entry(1)])
            await made.append(entry(2))
            assert await made.sealer.seal() == 0
        await made.seal_all()
        assert made.rows("select seq, entry_id from audit_seals order by seq") == [
            (1, entry(1).entry_id),
            (2, entry(2).entry_id),
        ]


async def test_several_sealers_and_writers_leave_one_chain(
    database: Database, directory: Path
) -> None:
    """Three sealers, four writers, batches of seven, and a reader who verifies all the while: no
    gap, no double, no false alarm.
    """
    async with chain(database, directory, seal_batch=7) as made:
        sealers = [
            Sealer(
                made.sealing, made.sealer.signer, Exporter(directory), made.settings, lambda: NOW
            )
            for _ in range(3)
        ]
        running = True

        async def write(writer: int) -> None:
            for number in range(25):
                where = HOSPITAL if number % 2 else COUNCIL
                await made.append(entry(1_000 * writer + number, where))

        async def keep_sealing(sealer: Sealer) -> None:
            while running:
                await sealer.step(final=True)

        async def keep_verifying() -> int:
            count = 0
            while running:
                assert (await made.verify()).findings == ()
                count += 1
            return count

        others = [asyncio.create_task(keep_sealing(one)) for one in sealers]
        reading = asyncio.create_task(keep_verifying())
        await asyncio.gather(*(write(writer) for writer in range(4)))
        running = False
        await asyncio.gather(*others)
        assert await reading > 0
        await made.seal_all()
        found = await made.verify()
        assert found.ok
        assert (found.links, found.window.entries) == (100, 0)
        numbers = [read_checkpoint(line).number for line in made.lines()]
        assert numbers == list(range(1, len(numbers) + 1))


async def test_a_checkpoint_is_signed_at_half_of_the_open_window(
    database: Database, directory: Path
) -> None:
    """By age or by number, whichever comes first; before that nothing is signed."""
    async with chain(database, directory, window_seconds=10, window_entries=8) as made:
        await made.append(entry(0))
        await made.seal_some()
        made.now = NOW + timedelta(seconds=4)
        assert await made.sealer.checkpoint() == 0
        made.now = NOW + timedelta(seconds=5)
        assert await made.sealer.checkpoint() == 1
        await made.append(*(entry(number + 60) for number in range(4)))
        await made.seal_some()
        assert await made.sealer.checkpoint() == 1


async def test_what_was_signed_and_not_exported_goes_out_next(
    database: Database, directory: Path
) -> None:
    """A crash between commit and export, or a line cut short by one, costs no checkpoint."""
    async with chain(database, directory) as made:
        await made.append(entry(1))
        await made.seal_all()
        (path,) = made.files()
        whole = path.read_text()
        path.write_text(whole[:-20])  # as after a crash
        assert (await made.verify()).exported == 0
        cut = path.read_text()
        assert made.sealer.exporter.last_number() == 0  # looks, as others than the sealer may
        assert path.read_text() == cut
        assert await made.sealer.export() == 1
        assert path.read_text() == whole
        assert await made.sealer.export() == 0


async def test_a_second_sealer_has_an_export_of_its_own(
    database: Database, directory: Path, tmp_path: Path
) -> None:
    """A sealer on another machine writes out everything that its own directory lacks."""
    async with chain(database, directory) as made:
        await made.append(entry(1))
        await made.seal_all()
        other = Sealer(
            made.sealing, made.sealer.signer, Exporter(tmp_path / "b"), made.settings, lambda: NOW
        )
        await other.export()
        assert (await made.verify(checkpoints=tmp_path / "b")).ok
        assert [one.read_text() for one in pieces_in(tmp_path / "b")] == [
            one.read_text() for one in made.files()
        ]


async def test_the_export_goes_on_in_a_new_file_whatever_the_clock_says(
    database: Database, directory: Path
) -> None:
    """Files are ended by size and ordered by number: a clock that goes back costs no line (and is
    told of, by the times that it left).
    """
    async with chain(database, directory) as made:
        made.sealer.exporter = Exporter(directory, file_bytes=700)
        for number, days in enumerate((4_000, 0, 0, 1), start=1):
            await made.append(entry(number))
            made.now = NOW + timedelta(days=days)
            await made.seal_all()
        assert [path.name for path in made.files()] == [
            "checkpoints-000000000001.jsonl",
            "checkpoints-000000000003.jsonl",
        ]
        found = await made.verify()
        assert ({one.kind for one in found.findings}, found.exported) == ({"backdated"}, 4)


async def test_an_export_that_fails_is_tried_again(database: Database, tmp_path: Path) -> None:
    """Sealing goes on while the export's disk is away; then everything goes out."""
    place = tmp_path / "checkpoints"
    async with chain(database, place) as made:
        place.write_text("not a directory")
        await made.append(entry(1))
        await made.seal_some()
        with pytest.raises(OSError, match="exists"):
            await made.sealer.step(final=True)
        assert made.rows("select count(*) from audit_seals") == [(1,)]
        place.unlink()
        await made.seal_all()
        assert (await made.verify()).exported == 1


async def test_sealing_goes_on_after_a_restore_into_another_cluster(
    database: Database, directory: Path
) -> None:
    """Rows of a dump carry transaction numbers that this cluster has not reached: what was not
    sealed there is sealed here, and so is what comes after.
    """
    async with chain(database, directory) as made:
        await made.append(entry(1), entry(2))
        made.as_owner("update audit_entries set xid = '900000000000000'::xid8")
        await made.seal_all()
        await made.append(entry(3))
        await made.seal_all()
        made.now += timedelta(seconds=1)
        await made.append(entry(4))
        await made.seal_all()
        found = await made.verify()
        assert (found.findings, found.links) == ((), 4)


@pytest.mark.parametrize("table", ["audit_entries", "audit_seals", "audit_checkpoints"])
async def test_the_hubs_roles_can_only_add(database: Database, directory: Path, table: str) -> None:
    """Neither a worker's role nor the face's may change or take away what the chain holds, not by
    way of a partition either.
    """
    async with chain(database, directory) as made:
        await made.append(entry(1))
        await made.seal_all()
    statements = [f"delete from {table}", f"update {table} set chain = 'x'", f"truncate {table}"]
    if table == "audit_entries":
        statements += [
            "delete from audit_entries_other",
            "insert into audit_entries_other default values",
        ]
    for url in (database.url, database.face_url):
        for statement in statements:
            with (
                psycopg.connect(url, options="-c search_path=halyard") as connection,
                pytest.raises(psycopg.errors.InsufficientPrivilege),
            ):
                connection.execute(statement)
