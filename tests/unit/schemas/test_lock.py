"""lock.json, the Avro files, the dataclasses and the registry say the same."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from halyard.errors import ContractError
from schemas import codec, lock
from schemas.codec import EVENT_TYPES
from schemas.compatibility import incompatibilities
from schemas.events import AlertReceipt
from schemas.topics import CONTROL, registry
from tests.unit.schemas.samples import class_named

NAMES = sorted(EVENT_TYPES)


def _entries(name: str) -> list[dict[str, Any]]:
    subject = codec.subject(EVENT_TYPES[name])
    return [entry for entry in lock.read() if entry["subject"] == subject]


@pytest.mark.parametrize("name", NAMES)
def test_the_newest_locked_version_is_the_avro_file(name: str) -> None:
    """A changed Avro file is locked (`python -m schemas.lock`) in the same commit."""
    assert _entries(name)[-1]["schema"] == codec.schema_from_files(EVENT_TYPES[name])


@pytest.mark.parametrize("name", NAMES)
def test_the_dataclass_has_the_fields_of_the_avro_file(name: str) -> None:
    """Same names in the same order, for the event and for everything within it."""
    schema = codec.schema_from_files(EVENT_TYPES[name])
    found = 0
    for record in _records(schema):
        cls = class_named(record["name"].rsplit(".", 1)[1])
        assert [item["name"] for item in record["fields"]] == [
            item.name for item in dataclasses.fields(cls)
        ]
        found += 1
    assert found


@pytest.mark.parametrize("name", NAMES)
def test_the_enums_have_the_symbols_of_the_avro_file(name: str) -> None:
    """Same symbols, and UNKNOWN is the default of each."""
    for enum in _nodes(codec.schema_from_files(EVENT_TYPES[name]), "enum"):
        cls = class_named(enum["name"].rsplit(".", 1)[1])
        assert enum["symbols"] == [member.value for member in cls]
        assert enum["default"] == "UNKNOWN"


@pytest.mark.parametrize("name", NAMES)
def test_all_locked_versions_are_compatible_both_ways(name: str) -> None:
    """FULL_TRANSITIVE: every version reads every other."""
    for old, new in itertools.combinations(_entries(name), 2):
        assert incompatibilities(old["schema"], new["schema"]) == []


def test_ids_are_unique_and_versions_grow() -> None:
    """An id stands for one schema for ever."""
    entries = lock.read()
    assert len({entry["id"] for entry in entries}) == len(entries)
    for name in NAMES:
        assert [e["version"] for e in _entries(name)] == list(range(1, len(_entries(name)) + 1))


def test_every_topic_names_a_schema_that_is_there() -> None:
    """Only the control topic has none."""
    for topic in registry():
        assert (topic.schema in EVENT_TYPES) != (topic.name == CONTROL), topic.name
        assert len(topic.name) <= 200


def _receipt() -> dict[str, Any]:
    return codec.schema_from_files(AlertReceipt)


def _field(schema: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in schema["fields"] if item["name"] == name)
    return found


def test_an_added_field_with_a_default_is_compatible() -> None:
    """Old bytes get the default, old readers skip the field."""
    new = _receipt()
    new["fields"].append({"name": "channel", "type": ["null", "string"], "default": None})
    assert incompatibilities(_receipt(), new) == []


def test_an_added_field_without_a_default_is_found() -> None:
    """New readers could not read old bytes."""
    new = _receipt()
    new["fields"].append({"name": "channel", "type": "string"})
    assert incompatibilities(_receipt(), new) == [
        "new readers: .channel: missing, and has no default"
    ]


def test_a_removed_field_without_a_default_is_found() -> None:
    """Old readers could not read new bytes."""
    new = _receipt()
    new["fields"].remove(_field(new, "hospital"))
    assert incompatibilities(_receipt(), new) == [
        "old readers: .hospital: missing, and has no default"
    ]


def test_a_changed_type_is_found() -> None:
    """A long that becomes text breaks both ways."""
    new = _receipt()
    _field(new, "version")["type"] = "string"
    assert len(incompatibilities(_receipt(), new)) == 2


def test_a_widened_union_is_found() -> None:
    """Text that may be absent cannot be read by those who need it."""
    new = _receipt()
    _field(new, "hospital")["type"] = ["null", "string"]
    assert any(text.startswith("old readers") for text in incompatibilities(_receipt(), new))


def test_an_added_symbol_is_compatible_only_with_a_default() -> None:
    """The default is what makes UNKNOWN of a symbol from the future."""
    old, new = _receipt(), _receipt()
    _field(new, "rung")["type"]["symbols"].append("TELEPHONED")
    assert incompatibilities(old, new) == []
    del _field(old, "rung")["type"]["default"]
    assert incompatibilities(old, new)


def test_locking_refuses_a_breaking_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m schemas.lock` says what breaks and writes nothing."""
    file = tmp_path / "lock.json"
    entries = copy.deepcopy(lock.read())
    entries[-1]["schema"]["fields"].append({"name": "gone", "type": "string"})
    text = json.dumps({"schemas": entries})
    file.write_text(text)
    with pytest.raises(ContractError, match="gone"):
        lock.update(file)
    assert file.read_text() == text


def test_locking_an_unchanged_contract_changes_nothing(tmp_path: Path) -> None:
    """The file that is checked in is what the command writes."""
    file = tmp_path / "lock.json"
    file.write_text(lock.LOCK_FILE.read_text())
    assert lock.update(file) == []
    assert file.read_text() == lock.LOCK_FILE.read_text()


def _nodes(node: Any, kind: str) -> list[dict[str, Any]]:
    if isinstance(node, list):
        return [found for one in node for found in _nodes(one, kind)]
    if not isinstance(node, dict):
        return []
    mine = [node] if node.get("type") == kind else []
    return mine + [found for value in node.values() for found in _nodes(value, kind)]


def _records(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return _nodes(schema, "record")
