"""Rigs: a store alone, or with the topic of cases; one database for all, emptied for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from connectors import kafka_reader
from tests.integration.ncmd.rig import Rig
from tests.support.services import Database, DatabaseServer

NO_BUS = "127.0.0.1:9"


@pytest.fixture(scope="package")
def _store_database(database_server: DatabaseServer, _migrated: str) -> Iterator[Database]:
    database = database_server.create(template=_migrated)
    yield database
    database_server.drop(database)


@pytest.fixture
def store_database(_store_database: Database) -> Database:
    """A database with an empty store, a fifth of the price of a new one. Not for tests that change
    its tables or its rights."""
    empty(_store_database)
    return _store_database


def empty(database: Database) -> None:
    """Take every row out of the store; for few rows a tenth of the price of truncate."""
    with psycopg.connect(database.owner_url) as connection:
        for (table,) in connection.execute(
            "select tablename from pg_tables where schemaname = 'ncmd'"
        ).fetchall():
            connection.execute(sql.SQL("delete from ncmd.{}").format(sql.Identifier(table)))


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sinks in this process end in a tenth of a second, and do not gather records for long."""
    monkeypatch.setattr(kafka_reader, "POLL_MS", 100)
    monkeypatch.setattr(kafka_reader, "GATHER_MS", 20)


@pytest.fixture
def store_rig(store_database: Database, tmp_path: Path) -> Rig:
    """A store without a bus."""
    return Rig.make(NO_BUS, "unused", store_database, tmp_path)


@pytest.fixture
def rig(kafka_bootstrap: str, namespace: str, store_database: Database, tmp_path: Path) -> Rig:
    """The rig with its usual limits and its topics."""
    made = Rig.make(kafka_bootstrap, namespace, store_database, tmp_path)
    made.make_topics()
    return made
