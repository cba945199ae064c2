"""Topics and groups: what is there, what is wanted, and the way from one to the other.

kafka-python's admin client, synchronous: for the command line, `halyard doctor` and tests. Knows
no registry: the caller says which topics are wanted. Nothing is ever deleted or shrunk.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import KafkaError, LeaderNotAvailableError, TopicAlreadyExistsError

from halyard.errors import BrokerUnavailable, ConfigurationError

_TIMEOUT_MS = 15_000
_PATIENCE_SECONDS: Final = 15.0  # a cluster's first group waits for the offsets topic to be made
_PAUSE_SECONDS: Final = 0.2

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """A topic as it should stand on the cluster; `name` with its namespace."""

    name: str
    partitions: int
    replication: int
    config: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConfigChange:
    """A setting of a topic that differs; `present` is None where the broker's default holds."""

    topic: str
    key: str
    present: str | None
    wanted: str


@dataclass(frozen=True, slots=True)
class Extension:
    """A topic that gets more partitions."""

    topic: str
    present: int
    wanted: int


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference between what is there and what is wanted; `warnings` cannot be applied."""

    create: tuple[TopicSpec, ...] = ()
    extend: tuple[Extension, ...] = ()
    configure: tuple[ConfigChange, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing is to be done."""
        return not (self.create or self.extend or self.configure)

    def lines(self) -> list[str]:
        """The plan as text, a line for each step."""
        return [
            *(
                f"+ create {t.name} ({t.partitions} partitions, × {t.replication})"
                for t in self.create
            ),
            *(f"~ extend {e.topic}: {e.present} → {e.wanted} partitions" for e in self.extend),
            *(f"~ set {c.topic} {c.key}: {c.present} → {c.wanted}" for c in self.configure),
            *(f"! {text}" for text in self.warnings),
        ]


@dataclass(frozen=True, slots=True)
class Cluster:
    """The cluster as its brokers describe it."""

    cluster_id: str
    brokers: tuple[str, ...]  # host:port
    controller: int


@dataclass(frozen=True, slots=True)
class PartitionLag:
    """How far a group is behind in one partition; `committed` is None if it never committed,
    `start` the offset of the oldest record that is retained."""

    topic: str
    partition: int
    committed: int | None
    start: int
    end: int

    @property
    def lag(self) -> int:
        """Records not yet committed, of those retained."""
        return max(0, self.end - max(self.start, self.committed or 0))


def _reach(bootstrap: str) -> None:
    """Find one address that listens; kafka-python knocks for long and leaves its sockets open."""
    last: OSError | None = None
    for address in bootstrap.split(","):
        host, _, port = address.strip().rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), _TIMEOUT_MS / 1000).close()
        except ValueError:
            raise ConfigurationError(
                "HALYARD_KAFKA__BOOTSTRAP_SERVERS must be host:port, several with commas between."
            ) from None
        except OSError as error:
            last = error
        else:
            return
    raise last or ConnectionRefusedError


@contextlib.contextmanager
def admin_client(bootstrap: str) -> Iterator[KafkaAdminClient]:
    """kafka-python's admin client. Raises `BrokerUnavailable`, `ConfigurationError`."""
    try:
        _reach(bootstrap)
        client = KafkaAdminClient(
            bootstrap_servers=bootstrap.split(","),
            client_id="halyard-admin",
            request_timeout_ms=_TIMEOUT_MS,
            bootstrap_timeout_ms=_TIMEOUT_MS,
        )
    except (KafkaError, OSError) as error:
        raise BrokerUnavailable(
            f"No Kafka answers at {bootstrap} ({type(error).__name__}); check "
            "HALYARD_KAFKA__BOOTSTRAP_SERVERS and that the broker runs."
        ) from None
    try:
        yield client
    except KafkaError as error:
        if error.retriable:
            raise BrokerUnavailable(
                f"Kafka did not complete ({type(error).__name__}); try again."
            ) from None
        raise ConfigurationError(
            f"Kafka refused ({type(error).__name__}); check the rights of this client and the "
            "topic's settings."
        ) from None
    finally:
        client.close()


def ask(bootstrap: str, question: Callable[[KafkaAdminClient], T]) -> T:
    """What `question` has of a client; `question` changes nothing when it is asked again.

    It is asked again, for `_PATIENCE_SECONDS`, while Kafka says that it cannot answer yet (a
    group's coordinator or a partition's leader moves, or loads), and of a new client each time:
    kafka-python 3.0 keeps a group's coordinator for as long as the client lives, also one that has
    said that it is none. Raises as `admin_client`.
    """
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with admin_client(bootstrap) as client:
            try:
                return question(client)
            except KafkaError as error:
                if not error.retriable or time.monotonic() >= deadline:
                    raise
        time.sleep(_PAUSE_SECONDS)


def plan(bootstrap: str, wanted: Sequence[TopicSpec]) -> Plan:
    """What would make the cluster as `wanted`; changes nothing.

    Raises `BrokerUnavailable` if no broker answers.
    """
    return ask(bootstrap, lambda client: _plan(client, wanted))


def _plan(client: KafkaAdminClient, wanted: Sequence[TopicSpec]) -> Plan:
    present: dict[str, list[dict[str, Any]]] = {
        topic["name"]: topic["partitions"] for topic in client.describe_topics()
    }
    brokers = len(client.describe_cluster()["brokers"])
    create = tuple(spec for spec in wanted if spec.name not in present)
    there = [spec for spec in wanted if spec.name in present]
    if not all(present[spec.name] for spec in there):  # just made: the broker knows the name alone
        raise LeaderNotAvailableError
    extend, warnings = [], []
    for spec in there:
        count, copies = len(present[spec.name]), len(present[spec.name][0]["replica_nodes"])
        if count < spec.partitions:
            extend.append(Extension(spec.name, count, spec.partitions))
        elif count > spec.partitions:
            warnings.append(
                f"{spec.name} has {count} partitions, {spec.partitions} are wanted: partitions "
                "cannot be taken away; change the registry or make a new version of the topic."
            )
        if copies != spec.replication:
            warnings.append(
                f"{spec.name} has {copies} copies, {spec.replication} are wanted: reassign its "
                "partitions with kafka-reassign-partitions."
            )
    if create and (most := max(spec.replication for spec in create)) > brokers:
        warnings.append(f"{most} copies are wanted, and the cluster has {brokers} broker(s).")
    return Plan(create, tuple(extend), tuple(_differences(client, there)), tuple(warnings))


def _differences(client: KafkaAdminClient, specs: Sequence[TopicSpec]) -> Iterator[ConfigChange]:
    asked = [
        ConfigResource(ConfigResourceType.TOPIC, spec.name, configs=dict.fromkeys(spec.config))
        for spec in specs
        if spec.config
    ]
    if not asked:
        return
    described = client.describe_configs(asked, config_filter="all")
    by_topic = described.get("topic", {})
    for spec in specs:
        present = by_topic.get(spec.name, {})
        for key, value in spec.config.items():
            found = present.get(key, {}).get("value")
            if found != value:
                yield ConfigChange(spec.name, key, found, value)


def apply(bootstrap: str, wanted: Sequence[TopicSpec]) -> Plan:
    """Create, extend and configure as `plan` says; gives what was done. Idempotent.

    Returns when every topic has its leaders. Raises `BrokerUnavailable`, and
    `ConfigurationError` if the cluster refuses.
    """
    begun: list[Plan] = []  # asked again, the second plan lacks what the first has done

    def change(client: KafkaAdminClient) -> Plan:
        begun.append(_plan(client, wanted))
        _carry_out(client, begun[-1])
        return begun[0]

    return ask(bootstrap, change)


def _carry_out(client: KafkaAdminClient, todo: Plan) -> None:
    if todo.create:
        with contextlib.suppress(TopicAlreadyExistsError):  # another did the same just now
            client.create_topics(
                {
                    spec.name: {
                        "num_partitions": spec.partitions,
                        "replication_factor": spec.replication,
                        "configs": dict(spec.config),
                    }
                    for spec in todo.create
                }
            )
        client.wait_for_topics([spec.name for spec in todo.create])
    if todo.extend:
        client.create_partitions({one.topic: one.wanted for one in todo.extend})
        client.wait_for_topics([one.topic for one in todo.extend])
    if todo.configure:
        changes: dict[str, dict[str, str]] = {}
        for change in todo.configure:
            changes.setdefault(change.topic, {})[change.key] = change.wanted
        said = client.alter_configs(
            [
                ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)
                for topic, configs in changes.items()
            ]
        )
        # kafka-python hands a refusal on as a text in its answer
        if refused := sorted(name for name, result in said["topic"].items() if result != "OK"):
            raise ConfigurationError(
                f"Kafka refused the settings of {', '.join(refused)}; check the topic's settings "
                "in the registry and the rights of this client."
            )


def describe(bootstrap: str) -> Cluster:
    """The cluster's id, brokers and controller. Raises `BrokerUnavailable`."""
    told = ask(bootstrap, lambda client: client.describe_cluster())
    return Cluster(
        cluster_id=told["cluster_id"],
        brokers=tuple(f"{broker['host']}:{broker['port']}" for broker in told["brokers"]),
        controller=told["controller_id"],
    )


def group_lag(bootstrap: str, group: str, topics: Sequence[str] = ()) -> list[PartitionLag]:
    """How far `group` is behind, by partition; of `topics`, else of what it ever committed.

    Names are as on the cluster. Raises `BrokerUnavailable`, also for a topic that the broker does
    not know, or not yet whole: of what it does not tell, nobody knows how far the group is.
    """
    return ask(bootstrap, lambda client: _group_lag(client, group, topics))


def _group_lag(client: KafkaAdminClient, group: str, topics: Sequence[str]) -> list[PartitionLag]:
    committed = {
        partition: offset.offset
        for partition, offset in client.list_group_offsets(group)[group].items()
        if offset.offset >= 0
    }
    partitions = _partitions(client, topics) if topics else set(committed)
    if not partitions:
        return []
    starts = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.EARLIEST))
    ends = client.list_partition_offsets(dict.fromkeys(partitions, OffsetSpec.LATEST))
    return [
        PartitionLag(
            one.topic, one.partition, committed.get(one), starts[one].offset, ends[one].offset
        )
        for one in sorted(partitions)
    ]


def _partitions(client: KafkaAdminClient, topics: Sequence[str]) -> set[TopicPartition]:
    described = client.describe_topics(list(topics))
    # kafka-python hands errors on as a code in the answer: such a topic has no partitions, or few
    whole = {
        topic["name"] for topic in described if topic["partitions"] and not topic["error_code"]
    }
    if whole != set(topics):
        raise BrokerUnavailable(
            "The broker does not know every topic that was asked for; run `halyard topics apply`, "
            "or try again if they are new."
        )
    return {
        TopicPartition(topic["name"], partition["partition_index"])
        for topic in described
        for partition in topic["partitions"]
    }
