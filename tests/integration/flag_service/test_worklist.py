"""``GET /worklist``: an organisation's open entries, with their age."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

from halyard.postgres import transaction
from stores import worklist
from stores.worklist import WorklistEntry
from tests.support.face import NORTH, SOUTH, Hub, hub, settings
from tests.support.services import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Hub]:
    """A hub on a database at a fixed time."""
    made = settings(database_url=database.url)
    async with hub(made, connect=False, clock=lambda: NOW) as running:
        yield running


def entry(number: int, organisation: str = NORTH) -> WorklistEntry:
    """An entry opened `number` hours ago."""
    return WorklistEntry(
        entry_id=uuid.UUID(int=number),
        reported_event_id=uuid.UUID(int=100 + number),
        event_kind="flag",
        organisation=organisation,
        source=organisation,
        rule="pds-none",
        indicator="S04",
        opened_at=NOW - timedelta(hours=number),
        local_id=f"C-{number}",
        upload_id=uuid.UUID(int=7),
        line=number,
    )


async def test_open_entries_age_in_view_of_their_own_organisation(face: Hub) -> None:
    """Oldest first, page by page; others' and closed ones are not there."""
    async with transaction(face.pool) as connection:
        await worklist.add(connection, [entry(1), entry(2), entry(3), entry(4), entry(5, SOUTH)])
        await worklist.close(connection, {uuid.UUID(int=104): "resolved"}, now=NOW)
    async with face.client(NORTH) as client:
        body = await client.worklist()
        assert [(one["line"], one["age_seconds"]) for one in body["entries"]] == [
            (3, 10_800),
            (2, 7_200),
            (1, 3_600),
        ]
        assert body["entries"][0]["local_id"] == "C-3"
        assert (await client.worklist(after=body["next"]))["entries"] == []
