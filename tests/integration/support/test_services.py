"""The places that every integration test stands on."""

from __future__ import annotations

from collections.abc import Callable

import psycopg

from halyard.embedded.probe import describe_cluster
from tests.support.services import Database


def test_kafka_of_the_run_names_itself(kafka_bootstrap: str) -> None:
    """The broker that tests are given answers with a cluster id and one live broker or more."""
    host, _, port = kafka_bootstrap.partition(":")
    cluster = describe_cluster(host, int(port))
    assert cluster is not None
    assert cluster.brokers


def test_databases_are_migrated_and_apart(make_database: Callable[[], Database]) -> None:
    """Each database has the schema, and what is written in one is not in another."""
    first, second = make_database(), make_database()
    insert = "insert into halyard.inbox (stage, event_id) values ('test', gen_random_uuid())"
    with psycopg.connect(first.url) as connection:
        connection.execute(insert)
    with psycopg.connect(second.url) as connection:
        row = connection.execute("select count(*) from halyard.inbox").fetchone()
    assert row == (0,)


def test_app_role_owns_nothing(database_url: str) -> None:
    """Tests run as the app role: no superuser, no bypass of row-level security, no tables made."""
    with psycopg.connect(database_url) as connection:
        row = connection.execute(
            "select rolsuper, rolbypassrls, "
            "has_schema_privilege('halyard', 'create') from pg_roles where rolname = current_user"
        ).fetchone()
    assert row == (False, False, False)
