"""Both Kafka clients put a key on the same partition."""

from __future__ import annotations

import inspect
from typing import Any, cast

from aiokafka.partitioner import DefaultPartitioner as AsyncPartitioner
from aiokafka.producer import AIOKafkaProducer
from hypothesis import given
from hypothesis import strategies as st
from kafka import KafkaProducer
from kafka.partitioner.default import DefaultPartitioner as SyncPartitioner


class _Cluster:
    """As much of kafka-python's metadata as its partitioner asks for."""

    def __init__(self, partitions: int) -> None:
        self._partitions = set(range(partitions))

    def topics(self) -> set[str]:
        return {"t"}

    def partitions_for_topic(self, _topic: str) -> set[int]:
        return self._partitions

    available_partitions_for_topic = partitions_for_topic


@given(key=st.binary(max_size=64), partitions=st.integers(1, 40))
def test_a_key_is_on_the_same_partition_by_either_client(key: bytes, partitions: int) -> None:
    """murmur2 over the key's bytes in both; the order of a key does not depend on the client."""
    everything = list(range(partitions))
    by_aiokafka = cast("Any", AsyncPartitioner())(key, everything, everything)
    by_kafka = SyncPartitioner().partition("t", key, key, None, None, _Cluster(partitions))
    assert by_aiokafka == by_kafka


def test_those_partitioners_are_the_ones_in_use() -> None:
    """The clients' defaults are what the test above compares."""
    default = inspect.signature(AIOKafkaProducer).parameters["partitioner"].default
    assert isinstance(default, AsyncPartitioner)
    assert isinstance(KafkaProducer.DEFAULT_CONFIG["partitioner"], SyncPartitioner)
