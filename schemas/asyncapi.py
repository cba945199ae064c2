"""The bus as AsyncAPI 3.0: channels, messages and operations, from the registry and the schemas.

Nothing is written down here twice: topics, sizes, writers and readers come from
``schemas/topics.toml``, payloads and their ids from ``schemas/lock.json``. Addresses are names
without namespace (``HALYARD_KAFKA__NAMESPACE``), sizes those of production.
"""

from __future__ import annotations

import re
from importlib.metadata import version
from typing import Any, Final

from halyard.dead_letters import ATTEMPTS, FIRST_FAILED_AT, PREFIX
from halyard.kafka import TRACEPARENT
from schemas import lock
from schemas.codec import NAMESPACE
from schemas.topics import CONTROL, Topic, registry

BINDING: Final = "0.5.0"
"""Version of the Kafka bindings."""
AVRO: Final = "application/vnd.apache.avro;version=1.9.0"
CONTENT_TYPE: Final = "application/vnd.confluent.avro"
MS_PER_DAY: Final = 86_400_000

Json = dict[str, Any]

_DESCRIPTION: Final = """\
The message bus of Halyard. A value is Avro in the Confluent wire format: 0x00, the schema id \
(four bytes, big-endian), the record. Headers are CloudEvents 1.0 in binary mode. Keys are keyed \
pseudonyms or ids; no NHS number stands in a topic's name, a key or a header. An enumeration's \
symbol that a reader does not know reads as UNKNOWN. A record may come more than once: `ce_id` is \
the same then.\
"""

_HEADERS: Final[dict[str, tuple[str, Json]]] = {
    "ce_specversion": ("CloudEvents version.", {"const": "1.0"}),
    "ce_id": ("Id of the event, derived from its cause.", {"format": "uuid"}),
    "ce_type": ("Type of the event: the subject of its schema.", {}),
    "ce_source": ("A feed, an authority or a stage of the hub; never a person.", {}),
    "ce_time": ("When the hub took it in or decided it (ISO 8601).", {"format": "date-time"}),
    "content-type": ("Of the value.", {"const": CONTENT_TYPE}),
    TRACEPARENT: ("W3C trace context.", {}),
}
_DEAD: Final = ("topic", "partition", "offset", "connector.name", "exception.class.name")

# Who reads a topic without a consumer group of its own
_NO_GROUP: Final = frozenset({"operator", "every worker", "cli"})


def document() -> Json:
    """The AsyncAPI document of the whole bus."""
    topics = registry()
    schemas = _newest()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Halyard",
            "version": version("halyard"),
            "description": _DESCRIPTION,
        },
        "defaultContentType": CONTENT_TYPE,
        "servers": {
            "bus": {
                "host": "kafka:9092",
                "protocol": "kafka",
                "description": "The organisation's own cluster "
                "(HALYARD_KAFKA__BOOTSTRAP_SERVERS). Schema ids come from the lock file that the "
                "release holds, not from a registry.",
                "bindings": {"kafka": {"bindingVersion": BINDING}},
            }
        },
        "channels": {_id(topic.name): _channel(topic) for topic in topics},
        "operations": {
            name: operation for topic in topics for name, operation in _operations(topic).items()
        },
        "components": {
            "messages": _messages(topics, schemas),
            "messageTraits": {
                "cloudEvent": {"headers": _headers()},
                "deadLetter": {"headers": _dead_letter_headers()},
            },
        },
    }


def _channel(topic: Topic) -> Json:
    name = _message(topic)
    return {
        "address": topic.name,
        "title": topic.name,
        "description": f"Key: {topic.key}. Personal data: {topic.personal_data}.",
        "servers": [{"$ref": "#/servers/bus"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        "tags": [{"name": f"personal-data:{topic.personal_data}"}],
        "bindings": {
            "kafka": {
                "topic": topic.name,
                "partitions": topic.partitions,
                "replicas": topic.replication,
                "topicConfiguration": {
                    "cleanup.policy": topic.cleanup_policy.split(","),
                    "retention.ms": topic.retention_days * MS_PER_DAY,
                    "max.message.bytes": topic.max_message_bytes,
                    "min.insync.replicas": topic.min_insync_replicas,
                    "unclean.leader.election.enable": False,
                },
                "bindingVersion": BINDING,
            }
        },
        "x-single-node-partitions": topic.embedded_partitions,
    }


def _operations(topic: Topic) -> Json:
    operations: Json = {}
    for action, processes in (("send", topic.writers), ("receive", topic.readers)):
        for process in processes:
            operations[_id(f"{process} {action} {topic.name}")] = _operation(topic, action, process)
    return operations


def _operation(topic: Topic, action: str, process: str) -> Json:
    channel = f"#/channels/{_id(topic.name)}"
    binding: Json = {"bindingVersion": BINDING}
    if action == "receive" and process not in _NO_GROUP:
        binding = {"groupId": {"type": "string", "const": process}, **binding}
    verb = "writes" if action == "send" else "reads"
    return {
        "action": action,
        "channel": {"$ref": channel},
        "summary": f"{process} {verb} {topic.name}",
        "messages": [{"$ref": f"{channel}/messages/{_message(topic)}"}],
        "bindings": {"kafka": binding},
    }


def _messages(topics: tuple[Topic, ...], schemas: dict[str, Json]) -> Json:
    messages: Json = {}
    for topic in topics:
        name = _message(topic)
        if name in messages:
            continue
        if topic.schema == "none":
            messages[name] = _control(topic)
        else:
            messages[name] = _event(name, topic, schemas[f"{NAMESPACE}.{topic.schema}"])
    return dict(sorted(messages.items()))


def _event(name: str, topic: Topic, locked: Json) -> Json:
    dead = name != topic.schema
    traits = ["cloudEvent", "deadLetter"] if dead else ["cloudEvent"]
    what = str(locked["schema"].get("doc", topic.schema))
    return {
        "name": name,
        "title": topic.schema,
        "summary": f"As a stage could not take it: {what}" if dead else what,
        "contentType": CONTENT_TYPE,
        "traits": [{"$ref": f"#/components/messageTraits/{one}"} for one in traits],
        "payload": {"schemaFormat": AVRO, "schema": named_apart(locked["schema"])},
        "bindings": {
            "kafka": {
                "key": {"type": "string", "description": topic.key.removeprefix("as ")},
                "schemaIdLocation": "payload",
                "schemaIdPayloadEncoding": "confluent",
                "schemaLookupStrategy": "RecordNameStrategy",
                "bindingVersion": BINDING,
            }
        },
        "x-subject": locked["subject"],
        "x-schema-ids": {str(number): schema_id for number, schema_id in locked["ids"]},
    }


def named_apart(schema: Any) -> Any:
    """`schema` with each full name as name and namespace: the same to Avro, and the only form that
    AsyncAPI's own JSON schema takes.
    """
    if isinstance(schema, list):
        return [named_apart(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: named_apart(value) for key, value in schema.items()}
    if schema.get("type") in ("record", "enum", "fixed") and "." in schema["name"]:
        namespace, _, made["name"] = schema["name"].rpartition(".")
        made["namespace"] = namespace
    return made


def _control(topic: Topic) -> Json:
    return {
        "name": _message(topic),
        "title": "Control",
        "summary": "Stages look again whether they are paused; what is paused stands in the "
        "database.",
        "contentType": "application/json",
        "payload": {
            "type": "object",
            "required": ["stage", "action"],
            "properties": {"stage": {"type": "string"}, "action": {"type": "string"}},
        },
        "bindings": {"kafka": {"bindingVersion": BINDING}},
    }


def _headers() -> Json:
    return {
        "type": "object",
        "required": list(_HEADERS),
        "properties": {
            name: {"type": "string", "description": words, **more}
            for name, (words, more) in _HEADERS.items()
        },
    }


def _dead_letter_headers() -> Json:
    names = [*(PREFIX + one for one in _DEAD), ATTEMPTS, FIRST_FAILED_AT]
    return {
        "type": "object",
        "required": names,
        "properties": {name: {"type": "string"} for name in names},
    }


def _newest() -> dict[str, Json]:
    """Newest locked version of each subject, with the ids of all of them."""
    newest: dict[str, Json] = {}
    for entry in lock.read():
        ids = [*newest.get(entry["subject"], {}).get("ids", ()), (entry["version"], entry["id"])]
        newest[entry["subject"]] = {**entry, "ids": ids}
    return newest


def _message(topic: Topic) -> str:
    if topic.name == CONTROL:
        return "Control"
    return f"{topic.schema}DeadLetter" if topic.name.endswith(".dlq") else topic.schema


def _id(text: str) -> str:
    """A key of the document (A-Z, a-z, 0-9, `_`, `-`)."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)
