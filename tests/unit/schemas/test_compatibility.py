"""FULL_TRANSITIVE compatibility: what it finds is what a reader would meet."""

from __future__ import annotations

import copy
import io
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import codec
from schemas.codec import EVENT_TYPES
from schemas.compatibility import incompatibilities

Schema = dict[str, Any]


def _record(*fields: Schema, name: str = "uk.halyard.Sample") -> Schema:
    return {"type": "record", "name": name, "fields": list(fields)}


def _field(name: str, kind: Any, **more: Any) -> Schema:
    return {"name": name, "type": kind, **more}


def _enum(*symbols: str, **more: Any) -> Schema:
    return {"type": "enum", "name": "uk.halyard.Kind", "symbols": list(symbols), **more}


ID = _field("id", "long")
MOMENT = _record(_field("utc", "long"), name="uk.halyard.Moment")


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            _record(ID, _field("by", "string", default="")),
            _record(ID),
            None,
        ),
        (
            _record(ID, _field("by", "string", default="")),
            _record(ID, _field("by", "string")),
            None,  # the field itself is still there: nothing that was written is unreadable
        ),
        (
            _record(ID),
            _record(ID, _field("by", "string")),
            "new readers: .by: missing, and has no default",
        ),
        (
            _record(ID, _field("by", "string")),
            _record(ID),
            "old readers: .by: missing, and has no default",
        ),
        (
            _record(_field("kind", _enum("A", "B"))),
            _record(_field("kind", _enum("A"))),
            "new readers: .kind: symbols ['B'] without a default",
        ),
        (
            _record(_field("kind", _enum("A", "B", default="A"))),
            _record(_field("kind", _enum("A", default="A"))),
            None,
        ),
        (
            _record(_field("kind", _enum("A"))),
            _record(_field("kind", _enum("A", "B", default="A"))),
            "old readers: .kind: symbols ['B'] without a default",
        ),
        (
            _record(_field("at", {"type": "long", "logicalType": "timestamp-micros"})),
            _record(_field("at", {"type": "long", "logicalType": "timestamp-millis"})),
            "new readers: .at: long became long",
        ),
        (
            _record(_field("tags", {"type": "array", "items": "string"})),
            _record(_field("tags", {"type": "array", "items": "long"})),
            "new readers: .tags[]: string became long",
        ),
        (
            _record(_field("at", ["null", MOMENT], default=None)),
            _record(
                _field(
                    "at",
                    [
                        "null",
                        _record(
                            _field("utc", "long"),
                            _field("zone", "string"),
                            name="uk.halyard.Moment",
                        ),
                    ],
                    default=None,
                )
            ),
            "new readers: .at: no branch fits",
        ),
        (
            _record(_field("at", ["null", "long"], default=None)),
            _record(_field("at", "long")),
            "new readers: .at: null became long",
        ),
        (
            _record(_field("at", MOMENT)),
            _record(_field("at", _record(_field("utc", "long"), name="uk.halyard.Instant"))),
            "new readers: .at: record uk.halyard.Moment became uk.halyard.Instant",
        ),
        (
            _record(_field("first", MOMENT), _field("last", "uk.halyard.Moment")),
            _record(_field("first", MOMENT), _field("last", "long")),
            "new readers: .last: record became long",
        ),
    ],
)
def test_what_breaks_is_named(old: Schema, new: Schema, problem: str | None) -> None:
    """Which side cannot read, at which place, and why; nothing where both can."""
    found = incompatibilities(old, new)
    if problem is None:
        assert found == []
    else:
        assert problem in found


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_a_schema_is_compatible_with_itself(name: str) -> None:
    """Named types that are used twice included."""
    schema = codec.schema_from_files(EVENT_TYPES[name])
    assert incompatibilities(schema, copy.deepcopy(schema)) == []


@pytest.mark.parametrize("name", sorted(EVENT_TYPES))
def test_every_removed_default_field_matters_to_nobody_who_has_it(name: str) -> None:
    """Each field of each event: with a default it may go, without one old readers would miss it."""
    schema = codec.schema_from_files(EVENT_TYPES[name])
    for item in schema["fields"]:
        without = copy.deepcopy(schema)
        without["fields"] = [one for one in without["fields"] if one["name"] != item["name"]]
        found = [
            text
            for text in incompatibilities(schema, without)
            if text.startswith(f"old readers: .{item['name']}:")
        ]
        assert bool(found) == ("default" not in item), item["name"]


_TYPES = st.sampled_from(
    ["string", "long", "boolean", ["null", "string"], {"type": "array", "items": "string"}]
)
_VALUES: dict[str, Any] = {"string": "x", "long": 7, "boolean": True}


def _value(kind: Any) -> Any:
    if isinstance(kind, list):
        return None
    return ["x"] if isinstance(kind, dict) else _VALUES[kind]


_SCHEMAS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]), st.tuples(_TYPES, st.booleans()), min_size=1
).map(
    lambda fields: _record(
        *(
            _field(name, kind, **({"default": _value(kind)} if has_default else {}))
            for name, (kind, has_default) in fields.items()
        )
    )
)


@given(old=_SCHEMAS, new=_SCHEMAS)
def test_it_never_says_yes_where_a_reader_fails(old: Schema, new: Schema) -> None:
    """If nothing is found, the Avro library reads each version's bytes with the other's schema."""
    if incompatibilities(old, new):
        return
    for writer, reader in ((old, new), (new, old)):
        parsed = fastavro.parse_schema(copy.deepcopy(writer))
        buffer = io.BytesIO()
        record = {item["name"]: _value(item["type"]) for item in writer["fields"]}
        fastavro.schemaless_writer(buffer, parsed, record)
        buffer.seek(0)
        read = fastavro.schemaless_reader(
            buffer, parsed, fastavro.parse_schema(copy.deepcopy(reader))
        )
        assert isinstance(read, dict)
        assert read.keys() == {item["name"] for item in reader["fields"]}
