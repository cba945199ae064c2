"""A real broker as our child."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import kafka
import pytest
from kafka.admin import NewTopic

from halyard.embedded import datadir, errors, jars, probe
from halyard.embedded.kafka import EmbeddedKafka

READY_SECONDS = 15


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One formatted data directory for the module."""
    return tmp_path_factory.mktemp("broker")


@pytest.fixture
def broker(directory: Path) -> Iterator[EmbeddedKafka]:
    """A running broker; stopped after the test, formatted once."""
    with EmbeddedKafka(directory, heap_mb=256) as started:
        yield started


def topics(broker: EmbeddedKafka) -> set[str]:
    """Names of the topics it has."""
    with closing(kafka.KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        return set(admin.list_topics())


def create(broker: EmbeddedKafka, topic: str) -> None:
    """Make a topic with one partition."""
    with closing(kafka.KafkaAdminClient(bootstrap_servers=broker.bootstrap_servers)) as admin:
        admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])


def test_broker_answers_with_our_cluster_id(broker: EmbeddedKafka) -> None:
    """Ready means that the broker at our port names the id that this directory was given."""
    host, _, port = broker.bootstrap_servers.partition(":")
    assert host == "127.0.0.1"
    assert probe.describe_cluster(host, int(port)) == probe.Cluster(
        broker.cluster_id, {1: int(port)}
    )
    assert broker.log_file.stat().st_size > 0


def test_restart_after_sigkill_is_ready_in_time_with_its_data(
    broker: EmbeddedKafka, namespace: str
) -> None:
    """After a power cut the same directory serves again, at the same address, in under 15 s."""
    create(broker, namespace)
    address, cluster_id = broker.bootstrap_servers, broker.cluster_id
    os.kill(broker.pid, signal.SIGKILL)
    broker.kill()
    began = time.monotonic()
    broker.start()
    assert time.monotonic() - began < READY_SECONDS
    assert (broker.bootstrap_servers, broker.cluster_id) == (address, cluster_id)
    assert namespace in topics(broker)


def test_second_broker_on_a_directory_is_refused_and_harms_nothing(
    broker: EmbeddedKafka, directory: Path
) -> None:
    """Our lock is taken before Java starts: the first broker goes on."""
    with pytest.raises(errors.DirectoryInUse, match=f"process {os.getpid()}"):
        EmbeddedKafka(directory).start()
    assert broker.alive()
    topics(broker)


def test_topics_are_never_made_by_the_broker(broker: EmbeddedKafka, namespace: str) -> None:
    """A misspelt topic is an error, not a new topic."""
    producer = kafka.KafkaProducer(
        bootstrap_servers=broker.bootstrap_servers, max_block_ms=1500, delivery_timeout_ms=2000,
        request_timeout_ms=1000,
    )  # fmt: skip
    with closing(producer), pytest.raises(kafka.errors.KafkaError):
        producer.send(namespace, b"x").get(timeout=3)
    assert namespace not in topics(broker)


def test_wanted_port_that_is_taken_is_told_before_java_starts(tmp_path: Path) -> None:
    """A fixed port in use gives a sentence at once, and the directory is free again."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        broker = EmbeddedKafka(tmp_path, port=port)
        for _ in range(2):
            with pytest.raises(errors.PortTaken, match=f"Port {port}"):
                broker.start()
    assert not broker.alive()


def test_port_taken_between_look_and_bind_is_answered_by_another(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losing the race for a free port costs a second start, not an error."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        (directory / "port").write_text(f"{taken}\n")
        looks = iter([True])
        real, really_free = EmbeddedKafka._wait, datadir.port_is_free
        monkeypatch.setattr(datadir, "port_is_free", lambda one: next(looks, really_free(one)))
        attempts: list[str] = []

        def counted(self: EmbeddedKafka, timeout: float) -> None:
            attempts.append(self.bootstrap_servers)
            real(self, timeout)

        monkeypatch.setattr(EmbeddedKafka, "_wait", counted)
        with EmbeddedKafka(directory, heap_mb=256) as broker:
            assert broker.bootstrap_servers != f"127.0.0.1:{taken}"
    assert attempts[0] == f"127.0.0.1:{taken}"
    assert len(attempts) == 2


def test_broken_jar_that_slipped_through_is_named_for_what_it_is(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A missing class is told as broken jars, not as a stack trace."""
    good = jars.ensure_jars(jars.default_cache(os.environ), environment=os.environ)
    for jar in good.iterdir():
        if "kafka-server-common" not in jar.name:
            (tmp_path / jar.name).symlink_to(jar)
    monkeypatch.setattr(jars, "ensure_jars", lambda *_, **__: tmp_path)
    with pytest.raises(errors.JarsBroken, match="SHA-256"):
        EmbeddedKafka(directory, heap_mb=256).start()
