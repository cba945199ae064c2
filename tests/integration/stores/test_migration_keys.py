"""Migration 0026: rows that stood under the bus key are found under the store key."""

from __future__ import annotations

import uuid

import psycopg
import pytest

from halyard import postgres
from tests.support.services import DatabaseServer


def test_rows_of_before_are_found_under_the_store_key(
    database_server: DatabaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Merged patients, deaths and visits are carried over, with every claim of their keys; a key
    that nothing names stays as it is.
    """
    files = postgres._migration_files()
    database = database_server.create()
    try:
        with monkeypatch.context() as before:
            older = [one for one in files if one[0] < "0026"]
            before.setattr(postgres, "_migration_files", lambda: older)
            postgres.migrate(database.owner_url)
        events = [uuid.uuid4() for _ in range(4)]
        with psycopg.connect(database.owner_url) as connection:
            connection.execute("set search_path = halyard")
            for event, key in zip(events, ("retired", "visit", "visit", "nobody"), strict=True):
                connection.execute(
                    "insert into claims (reported_event_id, key, event_kind, state, rule, "
                    "indicator, received_at, decided_at, traceparent) values "
                    "(%s, %s, 'attendance', 'verified', 'r', '01', now(), now(), '')",
                    (event, key),
                )
            connection.execute(
                "insert into merges values ('retired', 'R', 'surviving', 'S', now(), now(), %s)",
                (events[0],),
            )
            connection.execute(
                "insert into visit_events (reported_event_id, revision, retracted, visit_id, "
                "source_patient, person, received_at, traceparent, event) "
                "values (%s, 1, false, %s, 'V', 'P', now(), '', '')",
                (events[1], uuid.uuid4()),
            )
            connection.execute("insert into parked_keys values ('visit', %s)", (uuid.uuid4(),))
        postgres.migrate(database.owner_url)
        with psycopg.connect(database.owner_url) as connection:
            connection.execute("set search_path = halyard")
            claims: dict[uuid.UUID, str] = dict(
                connection.execute("select reported_event_id, key from claims").fetchall()
            )
            merges = connection.execute("select retired_key, surviving_key from merges").fetchall()
            parked = connection.execute("select key from parked_keys").fetchall()
    finally:
        database_server.drop(database)
    assert [claims[event] for event in events] == ["R", "V", "V", "nobody"]
    assert (merges, parked) == ([("R", "S")], [("V",)])
