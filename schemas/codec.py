"""Events to bytes and back: Avro in the Confluent wire format.

Value = ``0x00``, four bytes big-endian schema id, Avro binary. Ids come from ``schemas/lock.json``
(checked in), which keeps every version ever written, so that old bytes stay readable; they are
read into this version's shape by Avro schema resolution.
"""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import struct
import types
import typing
from collections.abc import Callable
from enum import StrEnum
from importlib import resources
from typing import Any

import fastavro
from fastavro.types import Schema

from halyard.errors import ContractError
from schemas import accesses, changes, deaths, events

Event = events.Event | deaths.DeathEvent | accesses.AccessRecorded | changes.PersonChanged

EVENT_TYPES: dict[str, type[Any]] = {cls.__name__: cls for cls in typing.get_args(Event)}
NAMESPACE = "uk.halyard"
E = typing.TypeVar("E", bound=Event)
_HEADER = struct.Struct(">bI")


@functools.cache
def _lock() -> dict[str, Any]:
    text = (resources.files("schemas") / "lock.json").read_text()
    return typing.cast("dict[str, Any]", json.loads(text))


@functools.cache
def _writers() -> dict[str, tuple[bytes, Schema]]:
    """Newest locked version of each subject: (wire header, parsed schema)."""
    newest: dict[str, tuple[bytes, Schema]] = {}
    for entry in sorted(_lock()["schemas"], key=lambda entry: entry["version"]):
        parsed = fastavro.parse_schema(entry["schema"])
        newest[entry["subject"]] = (_HEADER.pack(0, entry["id"]), parsed)
    return newest


@functools.cache
def _by_id() -> dict[int, tuple[str, Schema]]:
    return {
        entry["id"]: (entry["subject"], fastavro.parse_schema(entry["schema"]))
        for entry in _lock()["schemas"]
    }


def subject(cls: type[Any]) -> str:
    """Subject of an event class in the lock file (RecordNameStrategy)."""
    return f"{NAMESPACE}.{cls.__name__}"


def encode(event: Event) -> bytes:
    """`event` in the wire format, under the newest locked schema of its class."""
    header, schema = _writers()[subject(type(event))]
    buffer = io.BytesIO()
    buffer.write(header)
    fastavro.schemaless_writer(buffer, schema, _dumper(type(event))(event))
    return buffer.getvalue()


def decode(value: bytes | None) -> Event:
    """The event in `value`. Raises `ContractError` for anything that is not one of ours."""
    if value is None or len(value) < _HEADER.size:
        raise ContractError("A record has no value in the Confluent wire format.")
    magic, schema_id = _HEADER.unpack_from(value)
    known = _by_id().get(schema_id)
    if magic != 0 or known is None:
        raise ContractError(
            f"A record names schema id {schema_id}, which this version does not know; "
            "upgrade this process or inspect the record's producer."
        )
    name, writer = known
    try:
        reader = _writers()[name][1]
        record = fastavro.schemaless_reader(
            io.BytesIO(value[_HEADER.size :]), writer, None if reader is writer else reader
        )
        cls = EVENT_TYPES[name.removeprefix(f"{NAMESPACE}.")]
        return typing.cast("Event", _loader(cls)(record))
    except Exception as error:  # noqa: BLE001 - fastavro raises anything for foreign bytes
        # the cause would quote field values
        raise ContractError(
            f"A record of {name} cannot be decoded ({type(error).__name__}); inspect it in the "
            "dead-letter topic."
        ) from None


def decode_as(cls: type[E], value: bytes | None) -> E:
    """As `decode`, and the event is a `cls`; else `ContractError`."""
    event = decode(value)
    if not isinstance(event, cls):
        raise ContractError(f"A record holds {type(event).__name__}, not {cls.__name__}.")
    return event


Convert = Callable[[Any], Any]
_dumpers: dict[Any, Convert] = {}
_loaders: dict[Any, Convert] = {}


def _inner(hint: Any) -> tuple[Any, bool]:
    """(type without None, whether it may be None)."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return inner[0], True
    return hint, False


def _dumper(cls: Any) -> Convert:
    made = _dumpers.get(cls)
    if made is None:
        made = _dumpers[cls] = _make_dumper(cls)
    return made


def _make_dumper(cls: type[Any]) -> Convert:
    plain: list[str] = []
    nested: list[tuple[str, Convert, bool]] = []
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        inner, _ = _inner(hints[item.name])
        many = typing.get_origin(inner) is tuple
        element = typing.get_args(inner)[0] if many else inner
        if dataclasses.is_dataclass(element):
            nested.append((item.name, _dumper(typing.cast("type[Any]", element)), many))
        else:
            plain.append(item.name)

    def dump(event: Any) -> dict[str, Any]:
        record = {name: getattr(event, name) for name in plain}
        for name, convert, many in nested:
            value = getattr(event, name)
            if value is not None:
                value = [convert(one) for one in value] if many else convert(value)
            record[name] = value
        return record

    return dump


def _loader(cls: Any) -> Convert:
    made = _loaders.get(cls)
    if made is None:
        made = _loaders[cls] = _make_loader(cls)
    return made


def _make_loader(cls: type[Any]) -> Convert:
    converts: dict[str, Convert] = {}
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        inner, _ = _inner(hints[item.name])
        many = typing.get_origin(inner) is tuple
        element = typing.get_args(inner)[0] if many else inner
        one: Convert | None = None
        if dataclasses.is_dataclass(element):
            one = _loader(typing.cast("type[Any]", element))
        elif isinstance(element, type) and issubclass(element, StrEnum):
            one = element
        if many:
            converts[item.name] = _tuple_of(one)
        elif one is not None:
            converts[item.name] = one

    def load(record: Any) -> Any:
        for name, convert in converts.items():
            value = record[name]
            if value is not None:
                record[name] = convert(value)
        return cls(**record)

    return load


def _tuple_of(one: Convert | None) -> Convert:
    if one is None:
        return tuple
    return lambda values: tuple(one(value) for value in values)


def schema_from_files(cls: type[Any]) -> dict[str, Any]:
    """The schema of `cls` as ``schemas/avro`` states it, with its named types inlined."""
    with resources.as_file(resources.files("schemas") / "avro") as folder:
        parsed = fastavro.schema.load_schema(str(folder / f"{subject(cls)}.avsc"))
    clean = json.loads(json.dumps(parsed))
    return typing.cast("dict[str, Any]", _without_hints(clean))


def _without_hints(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _without_hints(v) for k, v in node.items() if not k.startswith("__")}
    if isinstance(node, list):
        return [_without_hints(one) for one in node]
    return node


__all__ = [
    "EVENT_TYPES",
    "Event",
    "accesses",
    "changes",
    "deaths",
    "decode",
    "decode_as",
    "encode",
    "events",
    "schema_from_files",
    "subject",
]
