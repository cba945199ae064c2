"""The chain's arithmetic: any order of appending and sealing verifies, any change is found."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.audit_chain import (
    GENESIS,
    CheckpointRejected,
    Place,
    canonical,
    digest,
    link_hash,
    read_checkpoint,
)
from halyard.audit_keys import Signer
from stores.audit_seals import Head, Uncovered, Unsealed
from stores.audit_walk import EntryRow, LinkRow
from streams.audit.checking import ChainCheck, CheckpointCheck, Findings
from streams.audit.sealer import head_checkpoint, link
from tests.support.audit import COUNCIL, HOSPITAL, KEY, NOW, PUBLIC, entry

SIGNER = Signer("test", KEY)


def unsealed(number: int, chain: str) -> Unsealed:
    """An entry as the sealer takes it."""
    made = entry(number, chain)
    return Unsealed(made.entry_id, made.recorded_at, chain, number, made.body())


def built(batches: list[list[str]]) -> tuple[list[LinkRow], list[str]]:
    """Links and checkpoint lines of batches of chains, sealed and signed one after the other."""
    heads: dict[str, Head] = {}
    rows: list[LinkRow] = []
    lines: list[str] = []
    previous: dict[str, str] = {}
    number = 0
    for place, batch in enumerate(batches):
        at = NOW + timedelta(seconds=place)
        entries = []
        for chain in batch:
            number += 1
            entries.append(unsealed(number, chain))
        for seal in link(entries, heads, at):
            heads[seal.entry.chain] = Head(seal.place.seq, seal.hash)
            body = seal.entry.body
            rows.append(
                LinkRow(
                    seal.place,
                    seal.entry.entry_id,
                    seal.entry.recorded_at,
                    seal.hash,
                    EntryRow(seal.entry.chain, seal.entry.xid, body["person"], body["actor"], body),
                )
            )
        for chain in sorted(set(batch)):
            waiting = Uncovered(chain, heads[chain], 0, previous.get(chain), None)
            line = head_checkpoint(waiting, len(lines) + 1, at, SIGNER).line()
            previous[chain] = digest(line)
            lines.append(line)
    return sorted(rows, key=lambda row: (row.place.chain, row.place.seq)), lines


def found(rows: list[LinkRow], lines: list[str]) -> set[str]:
    """Kinds of findings."""
    findings = Findings()
    checkpoints = CheckpointCheck(findings, PUBLIC)
    believed = [one for line in lines if (one := checkpoints.feed(line, "line")) is not None]
    hashes = {(row.place.chain, row.place.seq): row.hash for row in rows}
    checkpoints.compare(believed, hashes)
    chains = ChainCheck(findings, kept=checkpoints.kept, covered=checkpoints.covered)
    for row in sorted(rows, key=lambda row: (row.place.chain, row.place.seq)):
        chains.feed(row)
    chains.finish()
    return {one.kind for one in findings.all()}


BATCHES = st.lists(
    st.lists(st.sampled_from([HOSPITAL, COUNCIL, "hub"]), min_size=1, max_size=5),
    min_size=1,
    max_size=6,
)


@given(BATCHES)
def test_any_order_of_appending_and_sealing_verifies(batches: list[list[str]]) -> None:
    """Whatever is appended to whichever chains in whatever batches, nothing is found."""
    assert found(*built(batches)) == set()


def with_one_change(row: LinkRow, data: st.DataObject) -> LinkRow:
    """The row with one thing in it changed."""
    assert row.entry is not None
    what = data.draw(
        st.sampled_from(
            [
                *(f"body.{name}" for name in row.entry.body),
                "added",
                "hash",
                "prev",
                "sealed",
                "xid",
                "entry xid",
                "entry chain",
                "person",
                "actor",
                "recorded",
                "gone",
            ]
        )
    )
    bit = 1 << data.draw(st.integers(0, 7))
    byte = data.draw(st.integers(0, 31))

    def flipped(value: bytes) -> bytes:
        return value[:byte] + bytes([value[byte] ^ bit]) + value[byte + 1 :]

    body: dict[str, Any] = dict(row.entry.body)
    if what.startswith("body."):
        name = what.removeprefix("body.")
        if data.draw(st.booleans()):
            del body[name]
        else:
            body[name] = json.loads(
                data.draw(st.sampled_from(['"x"', "7", "null", "[]", '["x"]', "{}"]))
            )
        return replace(row, entry=replace(row.entry, body=body))
    changes: dict[str, LinkRow] = {
        "added": replace(row, entry=replace(row.entry, body={**body, "note": "x"})),
        "hash": replace(row, hash=flipped(row.hash)),
        "prev": replace(row, place=replace(row.place, prev_hash=flipped(row.place.prev_hash))),
        "sealed": replace(
            row,
            place=replace(row.place, sealed_at=row.place.sealed_at + timedelta(microseconds=1)),
        ),
        "xid": replace(row, place=replace(row.place, xid=row.place.xid + 1)),
        "entry xid": replace(row, entry=replace(row.entry, xid=row.entry.xid + 1)),
        "entry chain": replace(row, entry=replace(row.entry, chain="x")),
        "person": replace(row, entry=replace(row.entry, person=None)),
        "actor": replace(row, entry=replace(row.entry, actor="x")),
        "recorded": replace(row, recorded_at=row.recorded_at + timedelta(microseconds=1)),
        "gone": replace(row, entry=None),
    }
    return changes[what]


@given(BATCHES, st.data())
def test_any_single_change_of_a_sealed_row_is_found(
    batches: list[list[str]], data: st.DataObject
) -> None:
    """A member, a bit of a hash, a time, a number, a column beside the body, the entry itself."""
    rows, lines = built(batches)
    place = data.draw(st.integers(0, len(rows) - 1))
    changed = with_one_change(rows[place], data)
    if changed == rows[place]:
        return
    assert found([*rows[:place], changed, *rows[place + 1 :]], lines)


@given(BATCHES, st.data())
def test_any_row_taken_out_or_put_in_twice_is_found(
    batches: list[list[str]], data: st.DataObject
) -> None:
    """Also the last: a checkpoint covers it."""
    rows, lines = built(batches)
    place = data.draw(st.integers(0, len(rows) - 1))
    assert found([*rows[:place], *rows[place + 1 :]], lines)
    assert found([*rows, rows[place]], lines)


@given(BATCHES, st.data())
def test_any_byte_of_a_checkpoint_that_is_changed_is_found(
    batches: list[list[str]], data: st.DataObject
) -> None:
    """Every byte of a line is under its signature, or is the signature."""
    rows, lines = built(batches)
    place = data.draw(st.integers(0, len(lines) - 1))
    raw = bytearray(lines[place].encode())
    at = data.draw(st.integers(0, len(raw) - 1))
    raw[at] = data.draw(st.integers(32, 126).filter(lambda one: one != raw[at]))
    assert found(rows, [*lines[:place], raw.decode(), *lines[place + 1 :]])


def test_a_link_can_be_checked_without_this_code() -> None:
    """The hash is SHA-256 of the JSON that the reference page writes down."""
    place = Place(HOSPITAL, 1, NOW, 7, GENESIS)
    text = (
        '{"chain":"RX901","entry":{"a":"é","b":[1]},'
        f'"prev_hash":"{"0" * 64}","sealed_at":"2026-03-10T12:00:00.000000+00:00",'
        '"seq":1,"shape":1,"xid":"7"}'
    )
    assert link_hash(place, {"b": [1], "a": "é"}) == hashlib.sha256(text.encode()).digest()


@given(
    st.dictionaries(
        st.sampled_from(["reason", "actor_name", "rule"]),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    )
)
def test_canonical_json_is_what_rfc_8785_writes(body: dict[str, str]) -> None:
    """Sorted, without spaces, only the escapes that it names, UTF-8."""
    plain = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert canonical(body).decode() == plain


@pytest.mark.parametrize(
    "line",
    [
        "",
        "{}",
        "[]",
        "null",
        '{"format":"halyard-checkpoint-1"}',
        "\udcff".encode("utf-8", "replace").decode(),
    ],
)
def test_what_is_no_checkpoint_is_refused(line: str) -> None:
    """Without telling what stood there."""
    with pytest.raises(CheckpointRejected):
        read_checkpoint(line)


def test_a_checkpoint_reads_back_as_it_was_written() -> None:
    """Line, digest and signature."""
    _, (line,) = built([[HOSPITAL, HOSPITAL]])
    found_again = read_checkpoint(line)
    assert found_again.line() == line
    assert found_again.is_signed_by(KEY.public_key())
    assert not replace(found_again, seq=3).is_signed_by(KEY.public_key())
