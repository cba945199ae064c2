"""Tampering with the chain, by the database's owner with SQL: every way is found and named."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson

from halyard.audit_chain import GENESIS, Place, digest, link_hash, read_checkpoint
from halyard.postgres import transaction
from stores import audit_walk
from tests.support.audit import COUNCIL, HOSPITAL, OTHER_KEY, Chain, entry

UNGUARDED = (
    "alter table audit_seals drop constraint audit_seals_pkey",
    "alter table audit_seals drop constraint audit_seals_entry_id_recorded_at_key",
)


async def links(chain: Chain) -> list[audit_walk.LinkRow]:
    """The hospital's links."""
    async with transaction(chain.pool) as connection:
        return [row async for row in audit_walk.links(connection, chain=HOSPITAL)]


def relink(chain: Chain, rows: list[tuple[audit_walk.LinkRow, dict[str, Any]]]) -> None:
    """Write the hospital's seals anew, with hashes that fit these bodies."""
    chain.as_owner(f"delete from audit_seals where chain = '{HOSPITAL}'")
    last = GENESIS
    for seq, (row, body) in enumerate(rows, start=1):
        place = Place(HOSPITAL, seq, row.place.sealed_at, row.place.xid, last)
        made = link_hash(place, body)
        chain.as_owner(
            "insert into audit_seals values (%s, %s, %s, %s, %s, %s, %s, %s)",
            parameters=(
                HOSPITAL,
                seq,
                row.entry_id,
                row.recorded_at,
                str(row.place.xid),
                last,
                made,
                place.sealed_at,
            ),
        )
        last = made


async def test_an_untouched_chain_verifies(sealed: Chain) -> None:
    """Everything is read, nothing is found, and the open window is empty."""
    found = await sealed.verify()
    assert found.findings == ()
    assert (found.chains, found.links, found.exported, found.stored) == (2, 14, 3, 3)
    assert (found.window.entries, found.window.within) == (0, True)
    assert [(one.chain, one.seq) for one in map(read_checkpoint, sealed.lines())] == [
        (COUNCIL, 4),
        (HOSPITAL, 6),
        (HOSPITAL, 10),
    ]


async def test_tampering_1_an_edited_entry(sealed: Chain) -> None:
    """A changed decision; a changed child beside the body; a changed time of sealing."""
    sealed.as_owner(
        "update audit_entries set body = jsonb_set(body, '{decision}', '\"deny\"')"
        f" where entry_id = '{entry(3).entry_id}'",
        f"update audit_entries set person = null where entry_id = '{entry(2, COUNCIL).entry_id}'",
    )
    assert await sealed.kinds() == {("altered", HOSPITAL, 3), ("altered", COUNCIL, 2)}
    assert await sealed.kinds(chain=COUNCIL) == {("altered", COUNCIL, 2)}


async def test_tampering_2_a_deleted_entry(sealed: Chain) -> None:
    """An entry without its link, an entry with its link."""
    sealed.as_owner(
        f"delete from audit_entries where entry_id = '{entry(4).entry_id}'",
        f"delete from audit_entries where entry_id = '{entry(2, COUNCIL).entry_id}'",
        f"delete from audit_seals where entry_id = '{entry(2, COUNCIL).entry_id}'",
    )
    assert await sealed.kinds() == {("missing", HOSPITAL, 4), ("gap", COUNCIL, 2)}


async def test_tampering_3_an_inserted_entry(sealed: Chain) -> None:
    """An entry put among the sealed ones, with the places after it moved on; and one without."""
    false = entry(50, request_id=None)
    body = orjson.dumps(false.body()).decode()
    sealed.as_owner(
        *UNGUARDED,
        f"update audit_seals set seq = seq + 1 where chain = '{HOSPITAL}' and seq >= 5",
        "insert into audit_entries select '"
        f"{false.entry_id}', chain, '{false.recorded_at}', xid, '{body}', person, actor"
        f" from audit_entries where entry_id = '{entry(4).entry_id}'",
        "insert into audit_seals select chain, 5, '"
        f"{false.entry_id}', '{false.recorded_at}', xid, hash, sha256(hash), sealed_at"
        f" from audit_seals where chain = '{HOSPITAL}' and seq = 4",
    )
    assert ("altered", HOSPITAL, 5) in await sealed.kinds()
    sealed.as_owner(f"delete from audit_seals where entry_id = '{false.entry_id}'")
    assert ("stray", HOSPITAL, None) in await sealed.kinds()


async def test_tampering_4_reordered_entries(sealed: Chain) -> None:
    """Two entries change places."""
    sealed.as_owner(
        *UNGUARDED,
        f"update audit_seals set seq = 11 - seq where chain = '{HOSPITAL}' and seq in (5, 6)",
    )
    assert ("broken-link", HOSPITAL, 5) in await sealed.kinds()


async def test_tampering_5_a_tail_cut_before_the_last_exported_checkpoint(sealed: Chain) -> None:
    """The last entries go, with links and stored checkpoints: the export knows of them."""
    sealed.as_owner(
        "delete from audit_entries e using audit_seals s where s.entry_id = e.entry_id"
        f" and s.chain = '{HOSPITAL}' and s.seq > 8",
        f"delete from audit_seals where chain = '{HOSPITAL}' and seq > 8",
        "delete from audit_checkpoints where number = 3",
    )
    assert await sealed.kinds() == {
        ("cut", HOSPITAL, 10),
        ("checkpoint-lost", HOSPITAL, 10),
        ("checkpoint-lost", "", None),
    }
    assert await sealed.kinds(checkpoints=None) == set()  # why there is an export


async def test_tampering_6_a_duplicated_entry(sealed: Chain) -> None:
    """An entry is sealed a second time at the end, with a hash that fits."""
    rows = await links(sealed)
    last, again = rows[-1], rows[2]
    assert again.entry is not None
    place = Place(HOSPITAL, 11, last.place.sealed_at, again.place.xid, last.hash)
    sealed.as_owner(*UNGUARDED)
    sealed.as_owner(
        "insert into audit_seals values (%s, %s, %s, %s, %s, %s, %s, %s)",
        parameters=(
            HOSPITAL,
            11,
            again.entry_id,
            again.recorded_at,
            str(again.place.xid),
            last.hash,
            link_hash(place, again.entry.body),
            place.sealed_at,
        ),
    )
    assert await sealed.kinds() == {("twice", HOSPITAL, 11)}


async def test_tampering_7_a_forked_chain(sealed: Chain) -> None:
    """A second link at one place, with a hash that fits."""
    rows = await links(sealed)
    before, other = rows[6], rows[9]
    assert other.entry is not None
    place = Place(HOSPITAL, 8, other.place.sealed_at, other.place.xid, before.hash)
    sealed.as_owner(*UNGUARDED)
    sealed.as_owner(
        "insert into audit_seals values (%s, %s, %s, %s, %s, %s, %s, %s)",
        parameters=(
            HOSPITAL,
            8,
            other.entry_id,
            other.recorded_at,
            str(other.place.xid),
            before.hash,
            link_hash(place, other.entry.body),
            place.sealed_at,
        ),
    )
    kinds = await sealed.kinds()
    assert ("forked", HOSPITAL, 8) in kinds
    assert ("twice", HOSPITAL, 10) in kinds


async def test_tampering_8_a_chain_built_anew(sealed: Chain) -> None:
    """Everything after a change is hashed anew, and the stored checkpoints signed by another key:
    the export states other hashes.
    """
    sealed.as_owner(
        "update audit_entries set body = jsonb_set(body, '{purpose}', '\"audit\"')"
        f" where entry_id = '{entry(3).entry_id}'"
    )
    rows = [(row, row.entry.body) for row in await links(sealed) if row.entry is not None]
    relink(sealed, rows)
    heads = {row.place.seq: row.hash for row in await links(sealed)}
    previous = None
    for number, seq in ((2, 6), (3, 10)):
        (line,) = sealed.rows(f"select line from audit_checkpoints where number = {number}")[0]
        from dataclasses import replace

        old = read_checkpoint(line)
        forged = replace(old, hash=heads[seq], previous=previous).signed(OTHER_KEY)
        previous = digest(forged.line())
        sealed.as_owner(
            "update audit_checkpoints set line = %s where number = %s",
            parameters=(forged.line(), number),
        )
    kinds = await sealed.kinds()
    assert ("rebuilt", HOSPITAL, 6) in kinds
    assert ("checkpoint-altered", HOSPITAL, 6) in kinds
    assert ("checkpoint-signature", HOSPITAL, 6) in kinds
    assert not any(chain == COUNCIL for _, chain, _ in kinds)


async def test_tampering_9_an_edited_checkpoint(sealed: Chain) -> None:
    """In the database, in the export, or taken out of either."""
    sealed.as_owner(
        "update audit_checkpoints set line = replace(line, '\"seq\":6', '\"seq\":5'), seq = 5"
        " where number = 2"
    )
    assert {("checkpoint-signature", HOSPITAL, 5), ("checkpoint-altered", HOSPITAL, 6)} <= (
        await sealed.kinds()
    )
    sealed.as_owner("delete from audit_checkpoints where number = 2")
    assert ("checkpoint-lost", HOSPITAL, 6) in await sealed.kinds()


async def test_tampering_9_an_edited_export(sealed: Chain) -> None:
    """A line of the export is changed, or taken out."""
    (path,) = sealed.directory.glob("*.jsonl")
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], lines[1].replace('"seq":6', '"seq":7'), lines[2]]))
    assert ("checkpoint-signature", HOSPITAL, 7) in await sealed.kinds()
    path.write_text("".join([lines[0], lines[2]]))
    assert ("checkpoint-order", HOSPITAL, 10) in await sealed.kinds()
    path.write_text("".join([lines[0], "{}\n", lines[2]]))
    assert ("checkpoint-altered", "", None) in await sealed.kinds()


async def test_a_checkpoint_of_an_unknown_key_is_not_believed(sealed: Chain) -> None:
    """Without its public key a checkpoint proves nothing, and verifying says so."""
    assert {kind for kind, _, _ in await sealed.kinds(keys={})} == {"checkpoint-key"}


async def test_the_open_window_is_stated(sealed: Chain) -> None:
    """What is not sealed, or not under an exported checkpoint, is counted, with its age."""
    await sealed.append(entry(40), entry(41))
    sealed.now += timedelta(seconds=5)
    found = await sealed.verify()
    assert found.ok
    assert (found.window.unsealed, found.window.uncovered) == (2, 0)
    assert found.window.within
    sealed.now += timedelta(seconds=60)
    assert not (await sealed.verify()).window.within


def test_the_export_is_append_only_for_who_reads_it(tmp_path: Path) -> None:
    """A directory that is not there has no checkpoints, and that is no error of its own."""
    from streams.audit.export import pieces

    assert pieces(tmp_path / "none") == []
