"""A hub on Kafka and PostgreSQL of its own, for tests that stop them or read their logs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from halyard import postgres
from halyard.embedded.kafka import EmbeddedKafka
from halyard.embedded.postgres import EmbeddedPostgres
from sandbox.pds.people import Person
from tests.support.services import DatabaseServer
from tests.support.system import Hub

H = TypeVar("H", bound=Hub)


@dataclass(frozen=True, slots=True)
class Own(Generic[H]):
    """A hub, not started yet, and the Kafka and PostgreSQL that are its alone."""

    hub: H
    kafka: EmbeddedKafka
    postgres: EmbeddedPostgres


@contextlib.contextmanager
def hub_of_its_own(
    home: Path,
    kind: type[H],
    *,
    people: Iterable[Person] = (),
    settings: Mapping[str, str] | None = None,
) -> Iterator[Own[H]]:
    """Such a hub, not started yet; its services run as long as the context."""
    kafka, database = EmbeddedKafka(home / "kafka"), EmbeddedPostgres(home / "postgres")
    try:
        kafka.launch()
        database.launch()
        database.wait_ready()
        owned = DatabaseServer(database.admin_url, "own").create()
        postgres.migrate(owned.owner_url)
        kafka.wait_ready()
        with kind(
            home / "hub",
            bootstrap=kafka.bootstrap_servers,
            database=owned,
            namespace="own",
            people=people,
            settings=settings,
        ) as hub:
            yield Own(hub, kafka, database)
    finally:
        kafka.stop()
        database.stop()
