"""The registry of topics, read from ``schemas/topics.toml``."""

from __future__ import annotations

import functools
import tomllib
from dataclasses import dataclass
from importlib import resources
from typing import Any

ATTENDANCE_REPORTED = "safeguarding.attendance.reported.v1"
ATTENDANCE_VERIFIED = "safeguarding.attendance.verified.v1"
FLAG_SUBMITTED = "safeguarding.flag.submitted.v1"
FLAG_VERIFIED = "safeguarding.flag.verified.v1"
IDENTITY_UNRESOLVED = "safeguarding.identity.unresolved.v1"
ALERT_CHANGED = "safeguarding.alert.changed.v1"
ALERT_RECEIPT = "safeguarding.alert.receipt.v1"
MESSAGE_REJECTED = "safeguarding.message.rejected.v1"
DEATH_NOTIFIED = "child-death.death.notified.v1"
DEATH_VERIFIED = "child-death.death.verified.v1"
REPORT_SUBMITTED = "child-death.report.submitted.v1"
REPORT_VERIFIED = "child-death.report.verified.v1"
REPORT_REQUESTED = "child-death.report.requested.v1"
CASE_CHANGED = "child-death.case.changed.v1"
ACCESS_RECORDED = "safeguarding.access.recorded.v1"
PERSON_CHANGED = "safeguarding.person.changed.v1"
CONTROL = "halyard.control.v1"


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic as the registry states it; `name` is without namespace."""

    name: str
    key: str
    schema: str
    partitions: int
    embedded_partitions: int
    replication: int
    min_insync_replicas: int
    retention_days: int
    cleanup_policy: str
    max_message_bytes: int
    writers: tuple[str, ...]
    readers: tuple[str, ...]
    personal_data: str


def dead_letter(topic: str, group: str) -> str:
    """Name of the dead-letter topic of `group` for `topic`."""
    return f"{topic}.{group}.dlq"


@functools.cache
def registry() -> tuple[Topic, ...]:
    """Every topic, dead-letter topics included, in the file's order."""
    table = tomllib.loads((resources.files("schemas") / "topics.toml").read_text())
    defaults = table["defaults"]
    topics = [_topic(name, {**defaults, **entry}) for name, entry in table["topic"].items()]
    by_name = {topic.name: topic for topic in topics}
    for group, sources in table["dead_letter"]["groups"].items():
        for source in sources:
            origin = by_name[source]
            topics.append(
                _topic(
                    dead_letter(source, group),
                    {
                        **defaults,
                        "key": f"as {source}",
                        "schema": origin.schema,
                        "retention_days": max(
                            table["dead_letter"]["retention_days"], origin.retention_days + 30
                        ),
                        "writers": [group],
                        "readers": ["operator"],
                        "personal_data": origin.personal_data,
                    },
                )
            )
    return tuple(topics)


def _topic(name: str, entry: dict[str, Any]) -> Topic:
    return Topic(
        name=name,
        **{**entry, "writers": tuple(entry["writers"]), "readers": tuple(entry["readers"])},
    )
