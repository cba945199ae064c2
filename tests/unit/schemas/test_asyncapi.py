"""The AsyncAPI document says of the bus what registry, schemas and lock file say."""

from __future__ import annotations

from typing import Any

import fastavro
import pytest

from schemas import lock
from schemas.asyncapi import MS_PER_DAY, document, named_apart
from schemas.topics import Topic, registry


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    """The document."""
    return document()


def test_each_topic_is_a_channel_with_its_settings(made: dict[str, Any]) -> None:
    """Partitions, replicas, retention, size and who reads and writes, for every topic."""
    channels = {one["address"]: one for one in made["channels"].values()}
    assert set(channels) == {topic.name for topic in registry()}
    for topic in registry():
        kafka = channels[topic.name]["bindings"]["kafka"]
        assert (kafka["partitions"], kafka["replicas"]) == (topic.partitions, topic.replication)
        assert kafka["topicConfiguration"] == {
            "cleanup.policy": [topic.cleanup_policy],
            "retention.ms": topic.retention_days * MS_PER_DAY,
            "max.message.bytes": topic.max_message_bytes,
            "min.insync.replicas": topic.min_insync_replicas,
            "unclean.leader.election.enable": False,
        }
        assert _of(made, topic, "send") == set(topic.writers)
        assert _of(made, topic, "receive") == set(topic.readers)


def _of(made: dict[str, Any], topic: Topic, action: str) -> set[str]:
    return {
        one["summary"].split(" ")[0] if " every" not in f" {one['summary']}" else "every worker"
        for one in made["operations"].values()
        if one["action"] == action and one["summary"].endswith(f" {topic.name}")
    }


def test_a_group_reads_under_its_own_name(made: dict[str, Any]) -> None:
    """A stage's consumer group is named; who has none has no binding for it."""
    for one in made["operations"].values():
        process = one["summary"].rsplit(" ", 2)[0]
        group = one["bindings"]["kafka"].get("groupId")
        if one["action"] == "send" or process in ("operator", "every worker", "cli"):
            assert group is None
        else:
            assert group == {"type": "string", "const": process}


def test_each_payload_is_the_newest_locked_schema_with_all_its_ids(made: dict[str, Any]) -> None:
    """To Avro they are the same; the ids are those of the wire format."""
    entries = lock.read()
    for message in made["components"]["messages"].values():
        if message["name"] == "Control":
            continue
        versions = [one for one in entries if one["subject"] == message["x-subject"]]
        ids = {str(one["version"]): one["id"] for one in versions}
        assert message["x-schema-ids"] == ids
        assert _canonical(message["payload"]["schema"]) == _canonical(versions[-1]["schema"])


def _canonical(schema: Any) -> str:
    return fastavro.schema.to_parsing_canonical_form(fastavro.parse_schema(schema))


def test_names_are_set_apart_all_the_way_down() -> None:
    """Also within fields, unions and arrays; a reference stays a full name."""
    inner = {"type": "enum", "name": "uk.x.E", "symbols": ["A"]}
    field = {"name": "f", "type": ["null", inner, {"type": "array", "items": "uk.x.E"}]}
    made = named_apart({"type": "record", "name": "uk.x.R", "fields": [field]})
    assert (made["namespace"], made["name"]) == ("uk.x", "R")
    _null, enum, array = made["fields"][0]["type"]
    assert (enum["namespace"], enum["name"]) == ("uk.x", "E")
    assert array["items"] == "uk.x.E"


def test_every_reference_resolves(made: dict[str, Any]) -> None:
    """Of channels, messages and traits."""
    found: list[str] = []

    def look(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("$ref"), str):
                found.append(node["$ref"])
            for value in node.values():
                look(value)
        elif isinstance(node, list):
            for value in node:
                look(value)

    look(made)
    assert found
    for reference in found:
        place: Any = made
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]
