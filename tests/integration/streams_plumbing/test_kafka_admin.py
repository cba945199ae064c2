"""Topics: planned, applied, and applied again."""

from __future__ import annotations

import socket
from dataclasses import replace
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaProducer, TopicPartition
from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    GroupAuthorizationFailedError,
    KafkaError,
    LeaderNotAvailableError,
    NotCoordinatorError,
)

from halyard import kafka_acls, kafka_admin
from halyard.errors import BrokerUnavailable, ConfigurationError
from halyard.kafka_admin import TopicSpec


def test_a_plan_is_applied_once(kafka_bootstrap: str, namespace: str) -> None:
    """The plan names what is missing and changes nothing; after apply there is nothing to do."""
    wanted = [TopicSpec(f"{namespace}.{n}", 2, 1, {"retention.ms": "3600000"}) for n in "ab"]
    plan = kafka_admin.plan(kafka_bootstrap, wanted)
    assert plan.create == tuple(wanted)
    assert kafka_admin.plan(kafka_bootstrap, wanted) == plan
    assert kafka_admin.apply(kafka_bootstrap, wanted) == plan
    assert kafka_admin.plan(kafka_bootstrap, wanted).empty
    assert kafka_admin.apply(kafka_bootstrap, wanted).empty


def test_differences_are_shown_and_mended(kafka_bootstrap: str, namespace: str) -> None:
    """More partitions, other settings: applied. Fewer partitions, other copies: only said."""
    topic = TopicSpec(f"{namespace}.t", 2, 1, {"retention.ms": "3600000"})
    kafka_admin.apply(kafka_bootstrap, [topic])
    more = replace(topic, partitions=3, config={"retention.ms": "7200000"})
    plan = kafka_admin.plan(kafka_bootstrap, [more])
    assert [(one.present, one.wanted) for one in plan.extend] == [(2, 3)]
    assert [(c.key, c.present, c.wanted) for c in plan.configure] == [
        ("retention.ms", "3600000", "7200000")
    ]
    assert len(plan.lines()) == 2
    kafka_admin.apply(kafka_bootstrap, [more])
    assert kafka_admin.plan(kafka_bootstrap, [more]).empty
    less = kafka_admin.plan(kafka_bootstrap, [replace(more, partitions=1, replication=3)])
    assert less.empty
    assert len(less.warnings) == 2


def test_the_lag_of_a_group_that_never_read_is_everything(
    kafka_bootstrap: str, namespace: str
) -> None:
    """Asked with topics, every partition is told; without, only what the group committed."""
    topic = TopicSpec(f"{namespace}.t", 3, 1)
    kafka_admin.apply(kafka_bootstrap, [topic])
    lag = kafka_admin.group_lag(kafka_bootstrap, f"{namespace}.nobody", [topic.name])
    assert [(one.partition, one.committed, one.lag) for one in lag] == [
        (0, None, 0),
        (1, None, 0),
        (2, None, 0),
    ]
    assert kafka_admin.group_lag(kafka_bootstrap, f"{namespace}.nobody") == []


def test_the_lag_in_a_topic_that_the_broker_does_not_know_is_no_zero(
    kafka_bootstrap: str, namespace: str
) -> None:
    """A topic that is new to the broker, or not there: how far behind a group is cannot be told,
    and to say nothing would say that it is not behind."""
    topic = TopicSpec(f"{namespace}.t", 2, 1)
    kafka_admin.apply(kafka_bootstrap, [topic])
    asked = [topic.name, f"{namespace}.missing"]
    with pytest.raises(BrokerUnavailable, match="halyard topics apply"):
        kafka_admin.group_lag(kafka_bootstrap, f"{namespace}.nobody", asked)


class Unready:
    """A call of the real client of which a broker says that it cannot answer it yet: `times` new
    clients are told so whenever they ask, as each keeps what it found, and later ones the truth.
    """

    def __init__(
        self, patch: pytest.MonkeyPatch, call: str, error: type[KafkaError], times: int = 1
    ) -> None:
        self.clients: list[KafkaAdminClient] = []
        real = getattr(KafkaAdminClient, call)

        def answer(client: KafkaAdminClient, *given: Any, **named: Any) -> Any:
            if client not in self.clients:
                self.clients.append(client)
            if client in self.clients[:times]:
                raise error
            return real(client, *given, **named)

        patch.setattr(KafkaAdminClient, call, answer)


@pytest.mark.parametrize(
    "error", [NotCoordinatorError, CoordinatorLoadInProgressError, CoordinatorNotAvailableError]
)
def test_a_coordinator_that_moves_is_waited_for(
    kafka_bootstrap: str, namespace: str, monkeypatch: pytest.MonkeyPatch, error: type[KafkaError]
) -> None:
    """Its group is asked for again, of a new client: one that has found a coordinator keeps it,
    also when that says that it is none any more."""
    topic = TopicSpec(f"{namespace}.t", 1, 1)
    kafka_admin.apply(kafka_bootstrap, [topic])
    unready = Unready(monkeypatch, "list_group_offsets", error, times=2)
    (part,) = kafka_admin.group_lag(kafka_bootstrap, f"{namespace}.nobody", [topic.name])
    assert (part.committed, part.lag) == (None, 0)
    assert len(unready.clients) >= 3  # the broker itself may be busy too


def test_a_coordinator_that_does_not_come_is_said_in_time(
    kafka_bootstrap: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking again ends."""
    monkeypatch.setattr(kafka_admin, "_PATIENCE_SECONDS", 0.5)
    unready = Unready(monkeypatch, "list_group_offsets", NotCoordinatorError, times=1_000)
    with pytest.raises(BrokerUnavailable, match="NotCoordinatorError"):
        kafka_admin.group_lag(kafka_bootstrap, f"{namespace}.nobody")
    assert len(unready.clients) > 1


def test_a_refusal_is_not_asked_about_again(
    kafka_bootstrap: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What no time mends is said at once."""
    refused = Unready(monkeypatch, "list_group_offsets", GroupAuthorizationFailedError)
    with pytest.raises(ConfigurationError, match="GroupAuthorizationFailedError"):
        kafka_admin.group_lag(kafka_bootstrap, f"{namespace}.nobody")
    assert len(refused.clients) == 1


@pytest.mark.parametrize("call", ["describe_topics", "list_partition_offsets"])
def test_a_leader_that_is_not_there_yet_is_waited_for(
    kafka_bootstrap: str, namespace: str, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Also by the questions for topics and offsets."""
    topic = TopicSpec(f"{namespace}.t", 1, 1)
    kafka_admin.apply(kafka_bootstrap, [topic])
    unready = Unready(monkeypatch, call, LeaderNotAvailableError)
    assert kafka_admin.group_lag(kafka_bootstrap, f"{namespace}.nobody", [topic.name])
    assert len(unready.clients) >= 2


def test_an_apply_that_is_broken_off_is_finished_and_told_whole(
    kafka_bootstrap: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The topics were made, and the broker did not say so in time: the same plan goes on."""
    wanted = [TopicSpec(f"{namespace}.{n}", 1, 1) for n in "ab"]
    unready = Unready(monkeypatch, "wait_for_topics", LeaderNotAvailableError)
    assert kafka_admin.apply(kafka_bootstrap, wanted).create == tuple(wanted)
    assert len(unready.clients) == 1  # the second found nothing left to do
    assert kafka_admin.plan(kafka_bootstrap, wanted).empty


def test_refused_settings_of_a_topic_are_said(kafka_bootstrap: str, namespace: str) -> None:
    """A value that the broker does not take is not told as applied."""
    topic = TopicSpec(f"{namespace}.t", 1, 1, {"retention.ms": "3600000"})
    kafka_admin.apply(kafka_bootstrap, [topic])
    wrong = replace(topic, config={"retention.ms": "soon"})
    with pytest.raises(ConfigurationError, match=f"{namespace}.t"):
        kafka_admin.apply(kafka_bootstrap, [wrong])


def test_rights_are_asked_for_again_too(
    kafka_bootstrap: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that is not ready is no broker that refuses; this one has no authorizer."""
    unready = Unready(monkeypatch, "describe_acls", NotCoordinatorError)
    with pytest.raises(ConfigurationError, match=r"authorizer\.class\.name"):
        kafka_acls.plan(kafka_bootstrap, [])
    assert len(unready.clients) >= 2


def test_what_retention_took_is_no_lag(kafka_bootstrap: str, namespace: str) -> None:
    """A group that never committed has to read what is retained, and no more."""
    topic = TopicSpec(f"{namespace}.t", 1, 1)
    kafka_admin.apply(kafka_bootstrap, [topic])
    producer = KafkaProducer(bootstrap_servers=kafka_bootstrap)
    for _ in range(5):
        producer.send(topic.name, b"x").get(10)
    producer.close()
    client = KafkaAdminClient(bootstrap_servers=kafka_bootstrap)
    client.delete_records({TopicPartition(topic.name, 0): 3})
    client.close()
    (part,) = kafka_admin.group_lag(kafka_bootstrap, f"{namespace}.nobody", [topic.name])
    assert (part.committed, part.end, part.lag) == (None, 5, 2)


def test_a_cluster_describes_itself(kafka_bootstrap: str) -> None:
    """Id and brokers, for `halyard doctor`."""
    cluster = kafka_admin.describe(kafka_bootstrap)
    assert cluster.cluster_id
    assert kafka_bootstrap.split(",")[0] in cluster.brokers


def test_an_absent_broker_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the setting that names its address."""
    monkeypatch.setattr(kafka_admin, "_TIMEOUT_MS", 1_000)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(BrokerUnavailable, match="HALYARD_KAFKA__BOOTSTRAP_SERVERS"):
            kafka_admin.plan(f"127.0.0.1:{taken.getsockname()[1]}", [])
