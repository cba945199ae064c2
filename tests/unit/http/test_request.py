"""What a request may say: what its route documents, each once, and a body in JSON."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Query, Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from halyard.caller import Attempt, Caller
from halyard.http import HttpProblem, make_app
from halyard.http_edge import bearer
from halyard.http_request import check_members
from tests.support.face import settings

CANARY = "9990000018"
AUTHENTICATED = {"Authorization": "Bearer x"}
JSON = {"Content-Type": "application/json"}


class Body(BaseModel):
    """A body with an object in it."""

    model_config = ConfigDict(extra="forbid")

    count: int
    more: dict[str, Any] = {}


async def admit(attempt: Attempt) -> Caller | None:
    """Whoever shows a token."""
    return Caller("ORG01", "client:test") if bearer(attempt) else None


def routes() -> APIRouter:
    """Routes with parameters, with a body, with a raw body, and of another standard."""
    router = APIRouter()

    @router.get("/things")
    async def things(
        limit: Annotated[int, Query(ge=1)] = 1,
        state: Annotated[list[str] | None, Query()] = None,
    ) -> dict[str, Any]:
        return {"limit": limit, "state": state}

    @router.post("/things/{thing}")
    async def thing(thing: uuid.UUID, body: Body) -> dict[str, Any]:
        return {"count": body.count}

    @router.post("/raw")
    async def raw(request: Request) -> dict[str, Any]:
        return {"bytes": len(await request.body())}

    @router.get("/open")
    async def open_path() -> dict[str, Any]:
        return {}

    @router.get("/fhir/any")
    async def fhir() -> dict[str, Any]:
        return {}

    return router


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """The test application."""
    app = make_app(
        settings(),
        title="Test",
        authenticate=admit,
        routers=[routes()],
        open_paths=["/open"],
        foreign=("/fhir/",),
    )
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(
        transport=transport, base_url="http://hub", headers=AUTHENTICATED
    ) as made:
        yield made


@pytest.mark.parametrize(
    ("query", "rule", "place"),
    [
        (f"{CANARY}=1", "http.parameter_unknown", "query.(a parameter that is not known)"),
        ("Limit=1", "http.parameter_unknown", "query.(a parameter that is not known)"),
        ("limit=1&limits", "http.parameter_unknown", "query.(a parameter that is not known)"),
        ("limit=1&limit=2", "http.repeated", "query.limit"),
        (f"state={CANARY}%00", "http.control_character", "query.state"),
        ("state=a&state=a%0Ab", "http.control_character", "query.state"),
    ],
)
async def test_a_parameter_that_nobody_reads_is_refused(
    client: httpx.AsyncClient, query: str, rule: str, place: str
) -> None:
    """And one that stands twice; the answer names those that there are, and repeats nothing."""
    answer = await client.get(f"/things?{query}")
    problem = answer.json()
    assert (answer.status_code, problem["rule"], problem["place"]) == (422, rule, place)
    assert rule != "http.parameter_unknown" or "limit, state" in problem["detail"]
    assert CANARY not in answer.text


async def test_a_control_character_in_a_path_is_refused(client: httpx.AsyncClient) -> None:
    """By the name of the parameter, as in a query."""
    answer = await client.post("/things/a%00b", content=b'{"count": 1}', headers=JSON)
    problem = answer.json()
    assert (answer.status_code, problem["rule"]) == (422, "http.control_character")
    assert problem["place"] == "path.thing"


async def test_what_a_route_documents_is_taken(client: httpx.AsyncClient) -> None:
    """Once, or as often as it stands where a list is meant. Open paths (a log-in comes back with
    whatever its issuer adds) and paths of another standard are let alone.
    """
    answer = await client.get("/things?limit=2&state=a&state=b")
    assert answer.json() == {"limit": 2, "state": ["a", "b"]}
    for path in ("/open", "/fhir/any"):
        assert (await client.get(f"{path}?else=1")).status_code == 200
    assert (await client.post("/raw?else=1")).status_code == 422
    assert (await client.post("/raw", content=b"x")).json() == {"bytes": 1}


async def test_nobody_learns_of_parameters_without_a_credential(client: httpx.AsyncClient) -> None:
    """Who is not let in is 401, whatever is asked."""
    answer = await client.get("/things?else=1", headers={"Authorization": ""})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    ("body", "place"),
    [
        ('{"count": 1, "count": 2}', "body.count"),
        ('{"count": 1, "coun\\u0074": 2}', "body.count"),
        (f'{{"{CANARY}": 1, "{CANARY}": 2}}', "body.(a field that is not known)"),
        ('{"count": 1, "more": {"a": 1, "a": 1}}', "body.(within)"),
        ('[{"a": 1, "a": 2}]', "body.(a field that is not known)"),
    ],
)
async def test_a_member_that_stands_twice_is_refused(
    client: httpx.AsyncClient, body: str, place: str
) -> None:
    """The last would win without a word: 422, with its place and without its value."""
    answer = await client.post(f"/things/{uuid.uuid4()}", content=body, headers=JSON)
    problem = answer.json()
    assert (answer.status_code, problem["rule"], problem["place"]) == (422, "http.repeated", place)
    assert CANARY not in answer.text


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; charset=utf-8", 200),
        ("application/x+json", 200),
        ("text/plain", 415),
        ("text/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/jsonx", 415),
        ("", 415),
    ],
)
async def test_a_body_that_is_not_json_is_415(
    client: httpx.AsyncClient, kind: str, status: int
) -> None:
    """The problem says what is expected; whatever the body is."""
    answer = await client.post(
        f"/things/{uuid.uuid4()}", content=b'{"count": 1}', headers={"Content-Type": kind}
    )
    assert answer.status_code == status
    if status == 415:
        assert answer.json()["rule"] == "http.not_json"
        assert "application/json" in answer.json()["detail"]


async def test_what_is_no_json_at_all_is_said_as_before(client: httpx.AsyncClient) -> None:
    """A text that breaks off, one that is nested without end, and none."""
    for content in (b'{"count": 1, "count"', b"[" * 50_000, b""):
        answer = await client.post(f"/things/{uuid.uuid4()}", content=content, headers=JSON)
        assert answer.status_code in (400, 422)
        assert answer.json()["rule"] in ("http.invalid", "http.bad_request")


@given(
    st.recursive(st.integers(), lambda inner: st.dictionaries(st.text(), inner) | st.lists(inner))
)
def test_no_json_whose_members_stand_once_is_refused(value: Any) -> None:
    """Whatever is in it."""
    check_members(json.dumps(value).encode(), frozenset())


def test_the_same_name_in_two_objects_is_no_repetition() -> None:
    """Only within one."""
    check_members(b'{"a": {"b": 1}, "c": {"b": 1}}', frozenset())
    with pytest.raises(HttpProblem):
        check_members(b'{"c": [{"b": 1, "b": 1}]}', frozenset())
