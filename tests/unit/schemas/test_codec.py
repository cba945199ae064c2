"""The wire format: golden bytes, round trips, and records that are not ours."""

from __future__ import annotations

import dataclasses
import io
import struct
import types
import typing
import uuid
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.errors import ContractError
from schemas import codec, lock
from schemas.codec import EVENT_TYPES, Event, decode, decode_as, encode
from schemas.events import AlertReceipt, MessageRejected, Rung
from tests.unit.schemas.samples import SAMPLES

GOLDEN = Path(__file__).with_name("golden")
BY_NAME = {type(sample).__name__: sample for sample in SAMPLES}


def strategy(hint: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation as events use them."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return st.none() | strategy(inner[0])
    if typing.get_origin(hint) is tuple:
        return st.lists(strategy(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(list(hint))
    if dataclasses.is_dataclass(hint):
        hints = typing.get_type_hints(hint)
        fields = {item.name: strategy(hints[item.name]) for item in dataclasses.fields(hint)}
        return st.builds(typing.cast("type[Any]", hint), **fields)
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: st.text(max_size=12),
        bytes: st.binary(max_size=12),
        bool: st.booleans(),
        int: st.integers(-(2**63), 2**63 - 1),
        uuid.UUID: st.uuids(),
        datetime: st.datetimes(
            datetime(1900, 1, 1),  # noqa: DTZ001 - hypothesis wants naive limits
            datetime(2200, 1, 1),  # noqa: DTZ001
            timezones=st.just(UTC),
        ),
    }
    return simple[hint]


def test_there_is_a_sample_of_every_event() -> None:
    """A new event type brings its sample and golden bytes."""
    assert BY_NAME.keys() == EVENT_TYPES.keys()
    assert {file.stem for file in GOLDEN.glob("*.hex")} == {
        f"{name}.v{version}" for name in EVENT_TYPES for version in _versions(name)
    }


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_bytes_stay_as_they_were_written(name: str) -> None:
    """The newest version encodes to the bytes that are checked in."""
    golden = bytes.fromhex((GOLDEN / f"{name}.v{max(_versions(name))}.hex").read_text())
    assert encode(BY_NAME[name]) == golden


@pytest.mark.parametrize("file", sorted(GOLDEN.glob("*.hex")), ids=lambda file: file.stem)
def test_every_version_ever_written_can_be_read(file: Path) -> None:
    """Golden bytes of each locked version decode; the newest give the sample back."""
    name, _, version = file.stem.partition(".v")
    event = decode(bytes.fromhex(file.read_text()))
    assert type(event).__name__ == name
    if int(version) == max(_versions(name)):
        assert event == BY_NAME[name]


@given(st.one_of([strategy(cls) for cls in EVENT_TYPES.values()]))
def test_every_event_survives_encoding(event: Event) -> None:
    """Decoding what was encoded gives an equal event, whatever its values."""
    assert decode(encode(event)) == event


def test_a_symbol_from_the_future_becomes_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old reader that meets a rung it does not know sees UNKNOWN: a person looks, no drop."""
    entries = lock.read()
    newest = [entry for entry in entries if entry["subject"] == codec.subject(AlertReceipt)][-1]
    future = codec.schema_from_files(AlertReceipt)
    rung = next(item for item in future["fields"] if item["name"] == "rung")
    rung["type"]["symbols"].append("TELEPHONED")
    schema = fastavro.parse_schema(future)
    known = {**codec._by_id(), 9_999: (newest["subject"], schema)}
    monkeypatch.setattr(codec, "_by_id", lambda: known)
    record = codec._dumper(AlertReceipt)(BY_NAME["AlertReceipt"])
    buffer = io.BytesIO()
    buffer.write(struct.pack(">bI", 0, 9_999))
    fastavro.schemaless_writer(buffer, schema, {**record, "rung": "TELEPHONED"})
    event = decode_as(AlertReceipt, buffer.getvalue())
    assert event.rung is Rung.UNKNOWN
    assert event.alert_id == getattr(BY_NAME["AlertReceipt"], "alert_id", None)


@given(st.binary(max_size=40))
def test_foreign_bytes_are_a_contract_error(value: bytes) -> None:
    """Nothing but `ContractError` comes out of the decoder, without a cause that quotes bytes."""
    for head in (b"\x01", b"\x00\x00\x00\x00\x01\x02"):
        with pytest.raises(ContractError) as caught:
            decode(head + value)
        assert caught.value.__cause__ is None


@pytest.mark.parametrize("value", [None, b"", b"\x00", b"\x00\xff\xff\xff\xff"])
def test_a_value_without_a_known_schema_is_a_contract_error(value: bytes | None) -> None:
    """No value, a short one, an id that is not in the lock."""
    with pytest.raises(ContractError):
        decode(value)


def test_another_event_than_expected_is_a_contract_error() -> None:
    """`decode_as` names both types."""
    with pytest.raises(ContractError, match="MessageRejected"):
        decode_as(MessageRejected, encode(BY_NAME["AlertReceipt"]))


def test_a_repr_shows_no_personal_data() -> None:
    """Events may end in a traceback: number, names, bytes are not in their repr."""
    for sample in SAMPLES:
        text = repr(sample)
        for secret in ("9990000018", "Exâmple", "ZZ99 3WZ", "cough", "MSH|", "We ring"):
            assert secret not in text


def _versions(name: str) -> list[int]:
    subject = codec.subject(EVENT_TYPES[name])
    return [entry["version"] for entry in lock.read() if entry["subject"] == subject]
