"""The application over both sides' rows, asked by anybody in any role: for the matrix of routes."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import httpx
from fastapi import FastAPI

from flag_service.app import create_app
from flag_service.bus import Bus
from flag_service.live import Live, Pace
from flag_service.matrix import Line
from flag_service.refusals import Refusals, into
from flag_service.roles import Role
from halyard.caller import Attempt, Caller
from halyard.http_edge import bearer
from halyard.postgres import Pool, make_pool
from policies.desk import Desk
from policies.model import load_policies
from stores.credentials import Kind
from stores.panels import Agency
from tests.support.face import CLINIC, INFIRMARY, KEYS, NORTH, SOUTH, directory, settings
from tests.support.services import Database
from tests.support.two_sides import (
    AGENCY,
    AT,
    NUMBER,
    alert_id,
    fill,
    held_id,
    open_reviews,
    own_id,
)

AUTHORITY_ROLES = {Role.LA_SYSTEM, Role.SOCIAL_WORKER}


def home(role: Role) -> tuple[str, str]:
    """The organisation in which the test has the role, and another of its kind."""
    return (NORTH, SOUTH) if role in AUTHORITY_ROLES else (INFIRMARY, CLINIC)


async def door(attempt: Attempt) -> Caller | None:
    """Admits ``role@organisation``."""
    role, _, organisation = (bearer(attempt) or "").partition("@")
    if not organisation:
        return None
    return Caller(
        organisation=organisation,
        subject=f"user:{role}",
        roles=frozenset({role}),
        person=not role.endswith("-system"),
        name="Made Up",
    )


@dataclass(frozen=True, slots=True)
class World:
    """The application over a filled database, asked without a network."""

    app: FastAPI
    http: httpx.AsyncClient
    refusals: Refusals
    database: Database
    kinds: dict[str, tuple[Kind, ...]]  # by organisation

    async def ask(self, line: Line, role: str, organisation: str, whose: str) -> httpx.Response:
        """Use the line's route as a role of `organisation`, for what is `whose`."""
        return await self.http.request(
            line.method,
            path(line.route, whose),
            headers={
                "Authorization": f"Bearer {role}@{organisation}",
                "Content-Type": "application/json",
            },
            content=BODIES.get(line.route, b"{}") if line.method == "POST" else None,
        )


BODIES = {
    "/alerts/{alert_id}/accept": b'{"by": "duty desk", "answer": "seen"}',
    "/alerts/{alert_id}/share": b'{"recipient": "%b", "reason": "made up"}' % AGENCY.encode(),
    "/reviews/disclosures/{item_id}": b'{"decision": "refuse", "reason": "made up"}',
    "/reviews/accesses/{review_id}": b'{"outcome": "appropriate", "note": "made up"}',
    "/audit/subject-access": b'{"nhs_number": "%b", "reason": "made up"}' % NUMBER.encode(),
    "/worklist/{entry_id}/resolve": b'{"nhs_number": "%b", "reason": "made up"}' % NUMBER.encode(),
    "/worklist/{entry_id}/reject": b'{"because": "nobody", "reason": "made up"}',
    "/worklist/{entry_id}/ask": b'{"question": "names", "reason": "made up"}',
    "/worklist/{entry_id}/retry": b'{"reason": "made up"}',
    "/worklist/{entry_id}/undo": b'{"reason": "made up"}',
    "/traces": (
        b'{"purpose": "direct-care", "reason": "made up", "person": {"nhs_number": "%b", '
        b'"family": "Made", "birth_date": "2017-03-04"}}' % NUMBER.encode()
    ),
    "/people/record": (
        b'{"nhs_number": "%b", "purpose": "direct-care", "reason": "made up"}' % NUMBER.encode()
    ),
    "/flags/query": b'{"nhs_number": "%b", "purpose": "direct-care"}' % NUMBER.encode(),
}
"""Bodies that come as far as a row; to other routes an empty one does."""


def path(route: str, whose: str) -> str:
    """The route with ids of an organisation's own things; of what it has none, an id of nothing."""
    return route.format_map(
        Ids(
            upload_id=own_id(whose, "upload"),
            alert_id=alert_id(whose),
            letter_id=own_id(whose, "letter"),
            item_id=held_id(whose),
            review_id=own_id(whose, "review"),
            entry_id=own_id(whose, "entry"),
            batch_id=own_id(whose, "batch"),
            trace_id=own_id(whose, "trace"),
        )
    )


class Ids(dict[str, uuid.UUID]):
    """Ids by the name of a place in a route; else the id of nothing."""

    def __missing__(self, _name: str) -> uuid.UUID:
        return uuid.UUID(int=77)


@asynccontextmanager
async def world(database: Database, rights: str) -> AsyncIterator[World]:
    """An application whose pool has these rights: the ``face``'s, or the app role's."""
    made = settings(database_url=database.url, request_timeout=0.2)
    async with (
        make_pool(made, name="app", size=2) as app_pool,
        make_pool(made, name="face", size=4, schema="face") as face_pool,
    ):
        await fill(app_pool)
        owner = settings(database_url=database.owner_url)
        async with make_pool(owner, name="owner", size=1) as owner_pool:
            await open_reviews(owner_pool)
        pool: Pool = face_pool if rights == "face" else app_pool
        school = Agency(code=AGENCY, name="A School", kind="school")
        known = replace(directory(), agencies={AGENCY: school})
        desk = Desk(load_policies(None), known, KEYS, "process:serve")
        refusals = Refusals(into(face_pool), lambda: AT)
        app = create_app(
            made,
            pool,
            KEYS,
            known,
            Bus(made),
            lambda: AT,
            live_lists=Live(pool, desk, pace=Pace(longest=0)),  # one reading, then it ends
            door=door,
            refusals=refusals,
        )
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
            codes = (NORTH, INFIRMARY, AGENCY)
            kinds = {code: known.kinds_of(code) for code in codes}
            yield World(app, http, refusals, database, kinds)
