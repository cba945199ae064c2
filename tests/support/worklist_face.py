"""The face of the worklist with one entry, asked without a network."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from flag_service.app import create_app
from flag_service.bus import Bus
from halyard.caller import Attempt, Caller
from halyard.http_edge import bearer
from halyard.postgres import Pool, make_pool, transaction
from policies.model import Policies
from stores import worklist
from stores.worklist import WorklistEntry
from tests.support.face import KEYS, NORTH, directory, settings
from tests.support.services import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NUMBER = "9990000018"
ENTRY = WorklistEntry(
    entry_id=uuid.UUID(int=1),
    reported_event_id=uuid.UUID(int=101),
    event_kind="flag",
    organisation=NORTH,
    source=NORTH,
    rule="pds.get.birth_date_differs",
    indicator="S05",
    opened_at=NOW - timedelta(hours=3),
    local_id="C-1",
    upload_id=uuid.UUID(int=7),
    line=1,
    claim={
        "nhs_number": NUMBER,
        "family": "Testchild",
        "given": ["Robin"],
        "birth_date": "2017-03-14",
        "gender": None,
    },
    candidates=({"rule": "pds.get.birth_date_differs", "found_by": "number", "fields": {}},),
)


async def door(attempt: Attempt) -> Caller | None:
    """Admits ``name/role@organisation``."""
    who, _, organisation = (bearer(attempt) or "").partition("@")
    name, _, role = who.partition("/")
    return Caller(
        organisation=organisation,
        subject=f"user:{name}",
        roles=frozenset({role}),
        person=not role.endswith("-system"),
        name=name.title(),
    )


class Face:
    """The application with the face's own rights, asked without a network."""

    def __init__(self, http: httpx.AsyncClient, pool: Pool) -> None:
        self.http, self.pool = http, pool
        self.now = NOW

    async def ask(
        self, path: str, who: str = f"pat/records-officer@{NORTH}", **body: Any
    ) -> httpx.Response:
        """GET without a body, else POST."""
        return await self.http.request(
            "POST" if body else "GET",
            f"/worklist/{ENTRY.entry_id}{path}",
            headers={"Authorization": f"Bearer {who}"},
            json=body or None,
        )

    async def rows(self, query: Any) -> list[dict[str, Any]]:
        async with transaction(self.pool) as connection:
            return await (await connection.execute(query)).fetchall()


@asynccontextmanager
async def facing(database: Database, policies: Policies | None = None) -> AsyncIterator[Face]:
    """One entry of NORTH's; `policies`: other than the product's."""
    made = settings(database_url=database.url, request_timeout=0.2)
    async with (
        make_pool(made, name="app", size=2) as app_pool,
        make_pool(made, name="face", size=4, schema="face") as pool,
    ):
        async with transaction(app_pool) as connection:
            await worklist.add(connection, [ENTRY])
        http = httpx.AsyncClient(base_url="http://hub")
        made_face = Face(http, app_pool)
        app = create_app(
            made,
            pool,
            KEYS,
            directory(),
            Bus(made),
            lambda: made_face.now,
            door=door,
            policies=policies,
        )
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
            made_face.http = client
            yield made_face
