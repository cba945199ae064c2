"""What a request must say of its purpose: the table's column, shown to be true of each route."""

from __future__ import annotations

import uuid
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from flag_service.app import create_app
from flag_service.bus import Bus
from flag_service.matrix import MATRIX, Line, Why
from halyard.caller import Attempt, Caller
from halyard.clock import system_clock
from halyard.postgres import make_pool
from tests.support.face import KEYS, NORTH, directory, settings

NUMBER = "9990000018"
BODIES: dict[str, dict[str, Any]] = {
    "/flags/query": {"nhs_number": NUMBER, "purpose": "direct-care"},
    "/traces": {
        "purpose": "direct-care",
        "reason": "made up",
        "person": {"nhs_number": NUMBER, "family": "Made", "birth_date": "2017-03-04"},
    },
    "/people/record": {"nhs_number": NUMBER, "purpose": "direct-care", "reason": "made up"},
    "/alerts/{alert_id}/share": {"recipient": "EE1", "reason": "made up"},
    "/reviews/disclosures/{item_id}": {"decision": "refuse", "reason": "made up"},
    "/audit/subject-access": {"nhs_number": NUMBER, "reason": "made up"},
    "/worklist/{entry_id}/resolve": {"nhs_number": NUMBER, "reason": "made up"},
    "/worklist/{entry_id}/reject": {"because": "nobody", "reason": "made up"},
    "/worklist/{entry_id}/ask": {"question": "names", "reason": "made up"},
    "/worklist/{entry_id}/retry": {"reason": "made up"},
    "/worklist/{entry_id}/undo": {"reason": "made up"},
}
BY_IDENTIFIER = {"patient:identifier": f"https://fhir.nhs.uk/Id/nhs-number|{NUMBER}"}
SEARCHES = {
    "PatientFlag": {"patient": NUMBER, "code": "child-protection-information-sharing-flag"},
    "CareTeam": BY_IDENTIFIER,
    "AuditEvent": BY_IDENTIFIER,
}
ASKED = [line for line in MATRIX if line.purpose is not None]


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The whole application, with nothing behind it, open to a person in every role."""
    made = settings()
    person = Caller(NORTH, "user:test", frozenset().union(*(one.who for one in ASKED)), person=True)

    async def door(_attempt: Attempt) -> Caller | None:
        return person

    pool = make_pool(made, name="test")
    return create_app(made, pool, KEYS, directory(), Bus(made), system_clock, door=door)


async def sent(app: FastAPI, line: Line, **content: Any) -> httpx.Response:
    """The route's answer."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    one = uuid.UUID(int=1)
    path = line.route.format(alert_id=one, item_id=one, entry_id=one)
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:
        return await http.request(line.method, path, **content)


def named(line: Line) -> str:
    """The route."""
    return f"{line.method} {line.route}"


@pytest.mark.parametrize(
    "line", [line for line in ASKED if line.purpose is not Why.ACCESS], ids=named
)
async def test_without_its_purpose_or_reason_a_request_is_refused(app: FastAPI, line: Line) -> None:
    """422, which names the member; also if it is there and says nothing."""
    body, member = BODIES[line.route], str(line.purpose)
    without = {name: value for name, value in body.items() if name != member}
    assert without != body
    for wrong in (without, {**body, member: ""}, {**body, member: None}):
        answer = await sent(app, line, json=wrong)
        assert (answer.status_code, answer.json()["rule"]) == (422, "http.invalid")
        assert f"body.{member}" in answer.text


@pytest.mark.parametrize("line", [line for line in ASKED if line.purpose is Why.ACCESS], ids=named)
@pytest.mark.parametrize(
    "headers", [{"IsUnscheduledAccessEvent": "perhaps"}, {"Halyard-Purpose": "curiosity"}]
)
async def test_a_kind_of_access_that_is_none_is_refused(
    app: FastAPI, line: Line, headers: dict[str, str]
) -> None:
    """By every search: 400, which names the header (what each kind means: test_fhir_search.py)."""
    search = line.route.removesuffix("/_search").rpartition("/")[2]
    given: dict[str, Any] = {"params" if line.method == "GET" else "data": SEARCHES[search]}
    answer = await sent(app, line, headers=headers, **given)
    assert answer.status_code == 400, answer.text
    assert f"header.{next(iter(headers))}" in answer.text
