"""Over the whole face nobody learns where a restricted child is, or that there is one.

Three worlds are looked at by everybody else; what they are shown is compared byte by byte.
"""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import httpx
import pytest

from connectors.fhir.writing import NHS_NUMBER
from flag_service import lookups
from tests.support import hidden
from tests.support.disclosing import SCHOOL, as_
from tests.support.face import SOUTH, STRANGER, bearer, hub, settings
from tests.support.hidden import CHILD, HERE, HIDDEN_ALERT, OLD, ORDINARY, THERE
from tests.support.services import DatabaseServer

Seen = dict[str, str]
"""What was answered to each request: status, headers and body."""

OBSERVERS: Final[Mapping[str, Mapping[str, str]]] = {
    "nurse": as_("nurse"),
    "clinician": as_("clinician"),
    "auditor": as_("auditor"),
    "authority": bearer(SOUTH),
    "social worker": as_("south-worker"),
    "school": as_("school"),
    "stranger": bearer(STRANGER),
}
HERS: Final = {"her own social worker": as_("worker")}
NOBODYS: Final = uuid.UUID(int=8_888)
LISTS: Final = (
    *("/me", "/alerts", "/alerts?state=raised", "/alerts?state=withdrawn", "/alerts?limit=1"),
    *(
        "/reports/shared-numbers",
        "/worklist",
        "/reviews/disclosures",
        "/reviews/accesses",
        "/fhir/R4/messages",
        "/audit",
    ),
    *("/audit?kind=access", "/audit?flow=alert", f"/audit?subject=alert:{HIDDEN_ALERT}"),
    *("/readyz", "/_status", "/patient-flags/FHIR/R4/metadata", "/cpis/FHIR/R4/metadata"),
)
PURPOSES: Final = ("urgent-care", "direct-care", "child-protection", "break-glass")
_VARY: Final = frozenset({"date", "content-length"})  # a cursor is longer or shorter
# ids that are drawn anew, and places in lists: by transaction, of which a cluster has many
_DRAWN: Final = re.compile(
    r'[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}|"next":(?:"[^"]*"|null)'
)
_NAMED: Final = re.compile(r"x-request-id: .*|\"request_id\":\"[^\"]*\"")


@dataclass(slots=True)
class World:
    """A face, and its clock: a second for each request, so that lists have one order."""

    now: datetime = hidden.NOW
    url: str = ""

    def clock(self) -> datetime:
        """The present."""
        return self.now


Worlds = dict[str, World]


@pytest.fixture
async def worlds(
    database_server: DatabaseServer, _migrated: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Worlds]:
    """A face on each world: nobody hidden, a child here, the same child there."""
    monkeypatch.setattr(lookups, "COVERING_SECONDS", 0.0)  # so that ages are the same in all
    places = {"nobody": None, "here": HERE, "there": THERE}
    databases = {name: database_server.create(template=_migrated) for name in places}
    try:
        async with AsyncExitStack() as stack:
            made: Worlds = {}
            for name, place in places.items():
                world = made[name] = World()
                opened = settings(database_url=databases[name].url)
                face = await stack.enter_async_context(
                    hub(opened, connect=False, clock=world.clock, known=hidden.directory())
                )
                await hidden.fill(face.pool, place)
                world.url = face.url
            yield made
    finally:
        for database in databases.values():
            database_server.drop(database)


async def asked(world: World, who: str, requests: list[httpx.Request]) -> Seen:
    """The answers to `requests`, one after another."""
    seen: Seen = {}
    async with httpx.AsyncClient(timeout=20) as http:
        for place, request in enumerate(requests):
            world.now += timedelta(seconds=1)
            request.headers.update({**OBSERVERS, **HERS}[who])
            request.headers["X-Request-ID"] = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{who}{place}"))
            answer = await http.send(request)
            headers = [f"{k}: {v}" for k, v in answer.headers.items() if k not in _VARY]
            key = f"{place} {request.method} {request.url.raw_path.decode()}"
            text = _DRAWN.sub("<drawn>", answer.text)
            if "/audit" in key and answer.status_code == 200:
                # what was recorded in one instant stands in the order of ids that are drawn
                text = "".join(sorted(text.split("},{")))
            seen[key] = "\n".join([str(answer.status_code), *sorted(headers), text])
    return seen


def lists(face: World) -> list[httpx.Request]:
    """Everything that can be read without naming a child, and what can be tried on an alert."""
    get = [httpx.Request("GET", f"{face.url}{path}") for path in LISTS]
    return [*get, *by_id(face, HIDDEN_ALERT)]


def by_id(face: World, alert_id: uuid.UUID) -> list[httpx.Request]:
    """Everything that can be asked and tried of an id."""
    place = f"{face.url}/alerts/{alert_id}"
    match = {"If-Match": '"1"'}
    verdict = {"decision": "release", "reason": "w"}
    return [
        httpx.Request("GET", place),
        httpx.Request("POST", f"{place}/accept", json={"by": "x", "answer": "y"}),
        httpx.Request("POST", f"{place}/accept", json={"by": "x", "answer": "y"}, headers=match),
        httpx.Request("POST", f"{place}/share", json={"recipient": SCHOOL, "reason": "z"}),
        httpx.Request("POST", f"{face.url}/reviews/disclosures/{alert_id}", json=verdict),
        httpx.Request("GET", f"{face.url}/fhir/R4/messages/{alert_id}"),
        httpx.Request("GET", f"{face.url}/uploads/{alert_id}"),
    ]


def look_ups(face: World, number: str) -> list[httpx.Request]:
    """A look at a number in every way that there is."""
    made = []
    for purpose in PURPOSES:
        body = {"nhs_number": number, "purpose": purpose, "reason": "she cannot say who she is"}
        made.append(httpx.Request("POST", f"{face.url}/flags/query", json=body))
        made.append(httpx.Request("POST", f"{face.url}/people/record", json=body))
    subject = {"nhs_number": number, "reason": "asked by the mother"}
    made.append(httpx.Request("POST", f"{face.url}/audit/subject-access", json=subject))
    of_patient = {"patient:identifier": f"{NHS_NUMBER}|{number}"}
    codes = {"patient": number, "code": "http://snomed.info/sct|375041000000100"}
    for path, parameters in (
        ("/cpis/FHIR/R4/CareTeam", of_patient),
        ("/cpis/FHIR/R4/AuditEvent", of_patient),
        ("/patient-flags/FHIR/R4/PatientFlag", codes),
        ("/patient-flags/FHIR/R4/PatientFlag", {"patient": number}),
    ):
        made.append(httpx.Request("GET", f"{face.url}{path}", params=parameters))
        made.append(httpx.Request("POST", f"{face.url}{path}/_search", data=parameters))
    return made


async def test_nobody_else_sees_that_a_restricted_child_is_there(worlds: Worlds) -> None:
    """Lists with their totals and cursors, records by id, searches of the audit chain, ETags,
    refusals, and look-ups of other numbers: the same with a restricted child and without.
    """
    for who in OBSERVERS:
        seen = {}
        for name, face in worlds.items():
            requests = [*look_ups(face, ORDINARY), *look_ups(face, OLD), *lists(face)]
            seen[name] = await asked(face, who, requests)
        assert seen["here"] == seen["nobody"], who
        assert seen["there"] == seen["nobody"], who


async def test_an_id_of_a_hidden_alert_is_as_any_that_is_not_there(worlds: Worlds) -> None:
    """Never 403 here and 404 there: whoever guesses an id learns nothing."""
    face = worlds["here"]
    for who in OBSERVERS:
        one, other = [
            [
                _NAMED.sub("", text)
                for text in (await asked(face, who, by_id(face, alert_id))).values()
            ]
            for alert_id in (HIDDEN_ALERT, NOBODYS)
        ]
        assert one == other, who


async def test_whoever_asks_about_the_child_learns_nothing_of_where_she_is(
    worlds: Worlds,
) -> None:
    """In JSON and both FHIR shapes, for every purpose, glass broken too: the answer is the same
    wherever she lives, is treated and was looked at; so is what one reads afterwards of one's own
    looks.
    """
    for who in OBSERVERS:
        seen = {}
        for name in ("here", "there"):
            face = worlds[name]
            requests = [*look_ups(face, CHILD), *lists(face)]
            seen[name] = await asked(face, who, requests)
        assert seen["here"] == seen["there"], who
        told = json.dumps(seen)
        assert [one for one in hidden.secrets(HERE, THERE) if one in told] == [], who
    own = await asked(worlds["here"], "her own social worker", look_ups(worlds["here"], CHILD))
    assert HERE.phone in json.dumps(own)  # so the search would have found it


async def test_the_live_list_passes_over_a_restricted_child_as_if_nothing_were(
    worlds: Worlds,
) -> None:
    """To everybody who may read one: the same events, before and after the child comes."""

    async def first(face: World, who: str, count: int) -> list[str]:
        found: list[str] = []
        async with (
            asyncio.timeout(15),
            httpx.AsyncClient(base_url=face.url, headers=OBSERVERS[who], timeout=15) as http,
            http.stream("GET", "/alerts/stream") as response,
        ):
            async for line in response.aiter_lines():
                if line.startswith("data: "):
                    found.append(line)
                if len(found) == count:
                    return found
        return found

    for who in ("nurse", "authority", "social worker"):
        seen = {name: await first(face, who, 2) for name, face in worlds.items()}
        assert seen["here"] == seen["nobody"] == seen["there"]
        ids: list[Any] = [json.loads(one[6:])["alert_id"] for one in seen["here"]]
        assert str(HIDDEN_ALERT) not in ids
