"""The registry of topics: every entry is whole, and names what is there."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from schemas import topics
from schemas.codec import EVENT_TYPES
from schemas.topics import CONTROL, Topic, dead_letter, registry

# The processes of the hub, as `halyard --help` names them, and the people behind a terminal
PROCESSES = {
    "cases",
    "connector-hl7v2",
    "dispatcher",
    "identity",
    "journal",
    "matching",
    "ncmd",
    "serve",
    "tracer",
    "cli",
}
READERS = PROCESSES | {"every worker", "operator"}
KEYS = {"source person", "person", "alert id", "case id", "source", "none"}

BY_NAME = {topic.name: topic for topic in registry()}
SOURCES = [topic for topic in registry() if not topic.name.endswith(".dlq")]
LETTERS = [topic for topic in registry() if topic.name.endswith(".dlq")]


def _name(topic: Topic) -> str:
    return topic.name


@pytest.mark.parametrize("topic", registry(), ids=_name)
def test_a_name_is_legal_and_versioned(topic: Topic) -> None:
    """Kafka allows 249 of these characters; 40 are the namespace's. Dots only: Kafka's metrics
    cannot tell a dot from an underscore."""
    assert re.fullmatch(r"[a-z0-9.-]+", topic.name)
    assert re.search(r"\.v[1-9][0-9]*(\.[a-z0-9-]+\.dlq)?$", topic.name)
    assert len(topic.name) + len("x" * 40 + ".") <= 249


def test_no_topic_is_there_twice() -> None:
    """A dead-letter topic listed by hand would hide the derived one."""
    assert [name for name, count in Counter(t.name for t in registry()).items() if count > 1] == []


@pytest.mark.parametrize("topic", SOURCES, ids=_name)
def test_an_entry_is_whole(topic: Topic) -> None:
    """Schema, key, readers, writers and class of personal data are of the known ones."""
    assert topic.schema in EVENT_TYPES or (topic.name, topic.schema) == (CONTROL, "none")
    assert topic.key in KEYS
    assert topic.writers
    assert set(topic.writers) <= PROCESSES
    assert topic.readers
    assert set(topic.readers) <= READERS
    assert topic.personal_data in {"clinical", "pseudonymous", "none"}


@pytest.mark.parametrize("topic", registry(), ids=_name)
def test_sizes_and_copies_are_safe(topic: Topic) -> None:
    """Three copies of which two are written, time-based retention, room for the largest record."""
    assert topic.replication == 3
    assert topic.min_insync_replicas == 2
    assert topic.cleanup_policy == "delete"
    assert topic.retention_days >= 14
    assert 1 <= topic.embedded_partitions <= topic.partitions
    assert topic.max_message_bytes >= 1_000_000 + 64_000


def test_the_journal_reads_every_topic_of_ours() -> None:
    """`halyard trace` shows every hop; only nudges to workers are none."""
    assert {topic.name for topic in SOURCES if "journal" not in topic.readers} == {CONTROL}


def test_dead_letters_are_derived_from_their_source() -> None:
    """One for each stage and each topic that it reads; key, schema and class are the source's,
    and they are kept longer."""
    stages = {"identity", "matching", "cases", "ncmd"}
    expected = {
        dead_letter(topic.name, group) for topic in SOURCES for group in stages & set(topic.readers)
    }
    assert {topic.name for topic in LETTERS} == expected
    for letter in LETTERS:
        source_name, group, _ = letter.name.rsplit(".", 2)
        source = BY_NAME[source_name]
        assert letter.key == f"as {source_name}"
        assert letter.schema == source.schema
        assert letter.personal_data == source.personal_data
        assert letter.max_message_bytes >= source.max_message_bytes
        assert letter.writers == (group,)
        assert letter.readers == ("operator",)
        assert letter.retention_days > source.retention_days


def test_constants_name_topics_of_the_registry() -> None:
    """Every name in the module stands in the file, and the reverse."""
    constants = {
        value for name, value in vars(topics).items() if name.isupper() and isinstance(value, str)
    }
    assert constants == {topic.name for topic in SOURCES}


def test_every_event_has_a_topic() -> None:
    """An event type that nobody may write is dead."""
    assert {topic.schema for topic in SOURCES} - {"none"} == set(EVENT_TYPES)
