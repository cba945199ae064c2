"""The NCMD store on a real bus and database: what is kept, and where it goes on."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import psycopg
import pytest

from connectors.ncmd.position import LogGap
from connectors.ncmd.sink import TooMuchPoison
from halyard import faults
from halyard.dead_letters import PREFIX
from halyard.postgres import make_pool, transaction
from schemas import codec
from schemas.codec import encode
from schemas.deaths import CaseChange, CaseState
from schemas.topics import CASE_CHANGED
from stores import ncmd
from tests.integration.ncmd.rig import Rig
from tests.support.ncmd_cases import as_record, case_id, changed, voided
from tests.support.services import Database
from tests.support.waiting import aeventually


async def test_versions_and_offsets_are_in_the_store(rig: Rig) -> None:
    """Every version is history, the newest is current with facts and links, and the store stands
    at the end of the log; a void leaves its history and a tombstone, and no fact."""
    await rig.send([changed(1), changed(2), changed(1, 2), changed(3), voided(3, 2)])
    async with rig.sink():
        await rig.until(5)
    assert sum(rig.stands().values()) == 5
    cases = {row["case_id"]: row for row in rig.query("select * from ncmd.cases")}
    assert {key: row["version"] for key, row in cases.items()} == {
        case_id(1): 2,
        case_id(2): 1,
        case_id(3): 2,
    }
    assert cases[case_id(1)]["nhs_number"] == "9990000018"
    assert cases[case_id(3)]["state"] == "VOIDED"
    assert cases[case_id(3)]["nhs_number"] is None
    facts = rig.query("select case_id, value from ncmd.facts where name = 'death.circumstances'")
    assert {row["case_id"]: row["value"] for row in facts} == {
        case_id(1): "as told 2",
        case_id(2): "as told 1",
    }
    kinds = rig.query("select kind from ncmd.links where case_id = %s", case_id(3))
    assert [row["kind"] for row in kinds] == ["notification"]
    tombstones = rig.query("select * from ncmd.tombstones")
    assert [(row["case_id"], row["reason"]) for row in tombstones] == [
        (case_id(3), "entered-in-error")
    ]


async def test_a_lower_version_and_a_repeat_change_nothing_and_a_gap_is_kept(rig: Rig) -> None:
    """What comes again or late leaves the current version; a missing version is said, and one that
    comes late fills the history."""
    await rig.send([changed(1), changed(1, 4)])
    async with rig.sink():
        await rig.until(2)
        gaps = rig.query("select after_version, before_version from ncmd.version_gaps")
        assert [tuple(row.values()) for row in gaps] == [(1, 4)]
        assert (await _status(rig)).version_gaps == 1
        await rig.send([changed(1, 2), changed(1), changed(1, 3), changed(2)])
        await rig.until(5)
    assert (await _status(rig)).version_gaps == 0
    (case,) = rig.query("select version from ncmd.cases where case_id = %s", case_id(1))
    assert case["version"] == 4
    (fact,) = rig.query(
        "select value from ncmd.facts where case_id = %s and position = 2", case_id(1)
    )
    assert fact["value"] == "as told 4"


async def _status(rig: Rig) -> ncmd.Status:
    async with (
        make_pool(rig.settings, name="test", size=1, schema="ncmd") as pool,
        transaction(pool) as connection,
    ):
        return await ncmd.status(connection)


async def test_what_this_version_does_not_know_is_kept_and_flagged(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A case event with a change that a newer version has added: content applied, bytes kept,
    flagged for a person; nothing is dropped."""
    raw = _with_newer_symbol(monkeypatch)
    event = changed(1)
    await rig.send([as_record(event, raw(event)), changed(2)])
    async with rig.sink():
        await rig.until(2)
    cases = {row["case_id"]: row for row in rig.query("select * from ncmd.cases")}
    assert cases[case_id(1)]["change"] == "UNKNOWN"
    assert cases[case_id(1)]["needs_person"]
    assert cases[case_id(1)]["state"] == "OPEN"
    assert not cases[case_id(2)]["needs_person"]
    (row,) = rig.query("select * from ncmd.history where needs_person")
    assert bytes(row["content"]) == raw(event)
    assert rig.query("select count(*) as n from ncmd.facts")[0]["n"] == 4


async def test_a_schema_one_version_older_is_read(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record written before this version added a field is read with the field's default."""
    raw = _older(monkeypatch)
    event = changed(1)
    await rig.send([as_record(event, raw(event))])
    async with rig.sink():
        await rig.until(1)
    (row,) = rig.query("select * from ncmd.cases")
    assert (row["version"], row["needs_person"], row["nhs_number"]) == (1, False, "9990000018")


async def test_what_cannot_be_read_is_a_dead_letter_and_the_case_goes_on(rig: Rig) -> None:
    """An unknown schema id and broken bytes go to the dead-letter topic byte for byte and are
    counted; later versions of the same case are stored, with the gap."""
    unknown = b"\x00\x00\x00\xff\xff" + encode(changed(1, 2))[5:]
    broken = encode(changed(1, 3))[:40]
    await rig.send(
        [
            changed(1),
            as_record(changed(1, 2), unknown),
            as_record(changed(1, 3), broken),
            changed(1, 4),
        ]
    )
    async with rig.sink():
        await rig.until(2)
        letters = await asyncio.to_thread(rig.dead_letters, 2)
    assert [letter.value for letter in letters] == [unknown, broken]
    assert {letter.key for letter in letters} == {str(case_id(1)).encode()}
    headers = dict(letters[0].headers)
    assert headers[PREFIX + "exception.class.name"] == b"halyard.errors.ContractError"
    rows = rig.query("select reason from ncmd.dead_letters order by kafka_offset")
    assert len(rows) == 2
    assert "schema id" in rows[0]["reason"]
    gaps = rig.query("select after_version, before_version from ncmd.version_gaps")
    assert [tuple(row.values()) for row in gaps] == [(1, 4)]


async def test_a_version_that_cannot_be_kept_is_found_among_others(rig: Rig) -> None:
    """A second content under a version that is there, and a text that PostgreSQL cannot hold: dead
    letters, while all others of the batch are stored."""
    other = changed(1, panel="southtown")
    nul = changed(3, panel="north\x00town")
    await rig.send([changed(1), other, changed(2), nul, changed(4)])
    async with rig.sink():
        await rig.until(3)

        async def both() -> bool:
            return len(rig.query("select 1 from ncmd.dead_letters")) == 2

        await aeventually(both, 15, 0.05, why="two dead letters")
    (row,) = rig.query("select panel from ncmd.cases where case_id = %s", case_id(1))
    assert row["panel"] == "northtown"
    assert sum(rig.stands().values()) == 5


async def test_too_much_poison_stops_the_sink(
    kafka_bootstrap: str, namespace: str, store_database: Database, tmp_path: Path
) -> None:
    """More unreadable records in a row than the limit: it ends and passes over none of them."""
    rig = Rig.make(kafka_bootstrap, namespace, store_database, tmp_path, max_poison_in_a_row=3)
    rig.make_topics(1)
    event = changed(1)
    await rig.send([as_record(event, b"\x00nonsense") for _ in range(4)])
    with pytest.raises(TooMuchPoison):
        await rig.until_it_ends()
    assert rig.stands() == {0: 0}
    assert rig.query("select 1 from ncmd.dead_letters") == []


async def test_two_sinks_at_once_write_everything_once(rig: Rig) -> None:
    """Two sinks read the same records; each version is there once, and neither fails."""
    events = [changed(number, version) for version in (1, 2, 3) for number in range(40)]
    async with rig.sink(), rig.sink():
        for start in range(0, len(events), 30):
            await rig.send(events[start : start + 30])
        await rig.until(len(events))
    assert sum(rig.stands().values()) == len(events)
    assert rig.query("select 1 from ncmd.version_gaps") == []


async def test_a_connection_that_is_lost_is_tried_again(rig: Rig) -> None:
    """PostgreSQL ends the store's connections: the batch in hand is written by another one."""
    await rig.send([changed(number) for number in range(5)])
    async with rig.sink() as sink:
        await rig.until(5)
        with psycopg.connect(rig.database.admin_url) as connection:
            connection.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where usename = 'halyard_ncmd' and datname = current_database()"
            )
        await rig.send([changed(number, 2) for number in range(5)])
        await rig.until(10)
        assert sink.waiting() is None
        assert sink.stalled() is None


async def test_a_log_that_does_not_reach_back_stops_the_sink(rig: Rig) -> None:
    """Retention took what the store lacks: it fails closed and says what to do; told to go on from
    these places, it does, and keeps the gaps."""
    await rig.send([changed(number) for number in range(20)])
    async with rig.sink():
        await rig.until(20)
    stands = rig.stands()
    await rig.send([changed(number, 2) for number in range(20)])
    rig.forget_before([(number, offset + 1) for number, offset in stands.items()])
    leave = ",".join(f"{number}:{offset}" for number, offset in sorted(stands.items()))
    with pytest.raises(LogGap, match=f"AFTER_GAP={leave}"):
        await rig.until_it_ends()
    assert rig.stands() == stands
    async with rig.with_ncmd(after_gap=leave).sink():
        await rig.until(40 - len(stands))
    gaps = rig.query("select partition, expected_offset, found_offset from ncmd.log_gaps")
    assert {(row["partition"], row["expected_offset"], row["found_offset"]) for row in gaps} == {
        (number, offset, offset + 1) for number, offset in stands.items()
    }


async def test_a_store_that_is_ahead_of_the_log_stops_the_sink(rig: Rig) -> None:
    """The log ends before the store's offset, as after a loss of the cluster: it fails closed."""
    await rig.send([changed(1)])
    _stand(rig, 99)
    with pytest.raises(LogGap, match="ends before it"):
        await rig.until_it_ends()


async def test_another_log_under_the_same_name_stops_the_sink(rig: Rig) -> None:
    """The topic was made anew: its offsets mean nothing to the store, and it fails closed."""
    _stand(rig, 1, str(uuid.uuid4()))
    with pytest.raises(LogGap, match="another one"):
        await rig.until_it_ends()


async def test_a_commit_that_is_not_confirmed_is_found_out(rig: Rig) -> None:
    """The batch is written, and the sink does not hear of it: it asks where the store stands, goes
    on from there, and writes nothing twice."""
    events = [changed(number, version) for version in (1, 2) for number in range(20)]
    await rig.send(events)
    faults.arm("ncmd.after_commit:raise:1")
    try:
        async with rig.sink():
            await rig.until(len(events))
    finally:
        faults.arm(None)
    assert sum(rig.stands().values()) == len(events)
    assert rig.query("select 1 from ncmd.version_gaps") == []


def _stand(rig: Rig, offset: int, incarnation: str = "") -> None:
    rig.query(
        "insert into ncmd.offsets (topic, partition, next_offset, incarnation) "
        "values (%s, 0, %s, %s)",
        CASE_CHANGED,
        offset,
        incarnation,
    )


def _with_newer_symbol(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Bytes as a newer producer writes them: a change that this version has no symbol for."""
    name, schema = codec._by_id()[_newest_id()]
    newer = codec._without_hints(schema)
    (change,) = (one for one in newer["fields"] if one["name"] == "change")
    change["type"]["symbols"] = [*change["type"]["symbols"], "ANALYSED"]
    newer["fields"].append({"name": "added_later", "type": "string", "default": ""})
    return _writer(monkeypatch, name, newer, {"change": "ANALYSED"})


def _older(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Bytes as an older producer wrote them: `by` did not exist yet."""
    name, schema = codec._by_id()[_newest_id()]
    older = codec._without_hints(schema)
    older["fields"] = [one for one in older["fields"] if one["name"] != "by"]
    return _writer(monkeypatch, name, older, {})


def _newest_id() -> int:
    return int.from_bytes(encode(changed(1))[1:5], "big")


def _writer(monkeypatch: pytest.MonkeyPatch, name: str, schema: Any, values: dict[str, Any]) -> Any:
    import io

    import fastavro

    parsed = fastavro.parse_schema(schema)
    monkeypatch.setitem(codec._by_id(), 9_999, (name, parsed))

    def raw(event: Any) -> bytes:
        buffer = io.BytesIO(b"\x00" + (9_999).to_bytes(4, "big"))
        buffer.seek(0, io.SEEK_END)
        fastavro.schemaless_writer(buffer, parsed, {**codec._dumper(type(event))(event), **values})
        return buffer.getvalue()

    return raw


def test_symbols_that_may_truly_be_unknown_need_nobody() -> None:
    """A flag history of nobody is unknown and asks for no person; an unknown state does."""
    from connectors.ncmd.reading import names_the_unknown
    from schemas.deaths import FlagHistory

    assert not names_the_unknown(changed(1, flag_history=FlagHistory.UNKNOWN))
    assert names_the_unknown(changed(1, state=CaseState.UNKNOWN))
    assert names_the_unknown(changed(1, change=CaseChange.UNKNOWN))
