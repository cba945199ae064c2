"""Reads every topic of the registry, for the journal.

Two journals at a time do the same work twice and write the same rows.
"""

from __future__ import annotations

from connectors.kafka_reader import KafkaReader
from halyard.settings import Settings
from schemas.topics import CONTROL, registry


class Reader(KafkaReader):
    """A consumer of every topic but the control topic."""

    def __init__(self, settings: Settings) -> None:
        topics = [topic.name for topic in registry() if topic.name != CONTROL]
        super().__init__(settings, name="journal", topics=topics)
