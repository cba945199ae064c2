"""The dataclasses and the Avro files agree in more than names: types, absence, defaults."""

from __future__ import annotations

import dataclasses
import types
import typing
import uuid
from datetime import datetime
from enum import StrEnum
from typing import Any

import pytest

from schemas import codec
from schemas.codec import EVENT_TYPES
from tests.unit.schemas.samples import class_named

SIMPLE = {str: "string", int: "long", bool: "boolean", bytes: "bytes"}
LOGICAL = {uuid.UUID: "uuid", datetime: "timestamp-micros"}


def _named(node: Any, found: dict[str, Any]) -> dict[str, Any]:
    if isinstance(node, list):
        for one in node:
            _named(one, found)
    elif isinstance(node, dict):
        if "name" in node and node["type"] in ("record", "enum"):
            found[node["name"]] = node
        for item in node.get("fields", []):
            _named(item["type"], found)
        _named(node.get("items"), found)
    return found


def _class(full_name: str) -> Any:
    name = full_name.rsplit(".", 1)[1]
    return class_named(name)


def _agrees(hint: Any, avro: Any, names: dict[str, Any]) -> bool:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return (
            isinstance(avro, list)
            and avro[0] == "null"
            and len(avro) == 2
            and _agrees(inner[0], avro[1], names)
        )
    if isinstance(avro, str) and avro in names:
        avro = names[avro]
    kind = avro if isinstance(avro, str) else avro.get("type") if isinstance(avro, dict) else None
    if typing.get_origin(hint) is tuple:
        return kind == "array" and _agrees(typing.get_args(hint)[0], avro["items"], names)
    if dataclasses.is_dataclass(hint) or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        wanted = "record" if dataclasses.is_dataclass(hint) else "enum"
        return kind == wanted and avro["name"] == f"uk.halyard.{getattr(hint, '__name__', '')}"
    if hint in LOGICAL:
        return isinstance(avro, dict) and avro.get("logicalType") == LOGICAL[hint]
    return kind in {SIMPLE.get(hint), "int" if hint is int else None}


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_types_and_absence_agree(name: str) -> None:
    """A field may be None exactly where the schema has null first; every type is its Avro type."""
    schema = codec.schema_from_files(EVENT_TYPES[name])
    names = _named(schema, {})
    for full_name, record in names.items():
        if record["type"] != "record":
            continue
        cls = _class(full_name)
        hints = typing.get_type_hints(cls)
        for item in record["fields"]:
            assert _agrees(hints[item["name"]], item["type"], names), f"{full_name}.{item['name']}"


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_what_may_be_left_out_has_a_default_in_both(name: str) -> None:
    """A field without a default in Python has none in Avro that would invent a value, unless it is
    empty or absent."""
    schema = codec.schema_from_files(EVENT_TYPES[name])
    for full_name, record in _named(schema, {}).items():
        if record["type"] != "record":
            continue
        cls = _class(full_name)
        for item in dataclasses.fields(cls):
            avro = next(one for one in record["fields"] if one["name"] == item.name)
            required = (
                item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING
            )
            if required and "default" in avro:
                assert avro["default"] in (None, "", [], 0, False, "UNKNOWN"), item.name
