"""The authorisation matrix as a table, and the hook that decides by it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, FastAPI

from flag_service import matrix, matrix_page
from flag_service.app import create_app
from flag_service.authorising import (
    ORGANISATION_RULE,
    RULE,
    Authorising,
    checked,
    flat,
    methods_of,
)
from flag_service.bus import Bus
from flag_service.matrix import ANY_CALLER, ANYBODY, MATRIX, RIGHTS, Line, Right, Scope
from flag_service.roles import Role
from flag_service.status import OPEN_PATHS
from halyard.caller import Attempt, Caller
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.postgres import make_pool
from halyard.settings import Profile
from stores.credentials import Kind, default_roles
from stores.panels import Agency
from tests.support.face import INFIRMARY, KEYS, NORTH, STRANGER, bearer, directory, settings

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "authorisation.md"


@pytest.fixture(scope="module")
def app() -> FastAPI:
    """The whole application; nothing stands behind it."""
    made = settings()
    return create_app(
        made, make_pool(made, name="test"), KEYS, directory(), Bus(made), system_clock
    )


def test_production_does_not_start_without_a_door() -> None:
    """Shared tokens are no default of a hub that matters."""
    made = settings().model_copy(update={"profile": Profile.PRODUCTION})
    pool = make_pool(made, name="test")
    with pytest.raises(ConfigurationError, match="make_door"):
        create_app(made, pool, KEYS, directory(), Bus(made), system_clock)


def asked(
    authorise: Authorising, method: str, path: str, caller: Caller | None
) -> tuple[int, str] | None:
    """Status and rule of the refusal, or None."""
    refused = authorise({"type": "http", "method": method, "path": path, "state": {}}, caller)
    return None if refused is None else (refused.status_code, refused.rule)


def caller(*roles: str) -> Caller:
    """Somebody of NORTH."""
    return Caller(organisation=NORTH, subject="user:test", roles=frozenset(roles))


async def test_every_route_has_a_line_and_every_line_a_route(app: FastAPI) -> None:
    """No route without authorisation, no line for what is not there."""
    there = {(method, one.path) for one in flat(app.router.routes) for method in methods_of(one)}
    assert there == {(line.method, line.route) for line in MATRIX}


@pytest.mark.parametrize("missing", MATRIX, ids=lambda line: f"{line.method} {line.route}")
async def test_a_route_without_its_line_does_not_start(app: FastAPI, missing: Line) -> None:
    """A check that is taken out of the table keeps the process from starting, and says which."""
    rest = [line for line in MATRIX if line != missing]
    with pytest.raises(ConfigurationError, match="has no line") as caught:
        Authorising(rest).bind(app.router.routes)
    assert f"{missing.method} {missing.route}" in caught.value.message


def test_a_new_route_in_a_router_does_not_start_without_a_line() -> None:
    """Also in a router that is included in another, and with a prefix of its own."""
    inner, outer = APIRouter(prefix="/inner"), APIRouter()

    @inner.get("/new")
    async def new() -> None: ...

    outer.include_router(inner)
    with pytest.raises(ConfigurationError, match="GET /inner/new has no line"):
        Authorising().bind(outer.routes)


def test_what_is_mounted_does_not_start() -> None:
    """The table could not tell what stands behind a mount, or behind a prefix given elsewhere."""
    app, router = FastAPI(openapi_url=None), APIRouter()
    app.mount("/x", FastAPI())
    with pytest.raises(ConfigurationError, match="mount nothing"):
        list(flat(app.router.routes))

    @router.get("/livez")
    async def livez() -> None: ...

    other = FastAPI(openapi_url=None)
    other.include_router(router, prefix="/hidden")
    with pytest.raises(ConfigurationError, match="mount nothing"):
        list(flat(other.router.routes))


ALERTS = next(line for line in MATRIX if line.route == "/alerts")
LOOK_UP = next(line for line in MATRIX if line.route == "/flags/query")


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (dataclasses.replace(ALERTS, who=frozenset({Role.OPERATOR})), "not the role's"),
        (dataclasses.replace(ALERTS, right=Right.REPLAY), "not the role's"),
        (
            dataclasses.replace(ALERTS, scope=Scope.PERSON, who=frozenset({Role.NCMD})),
            "of a person",
        ),
        (dataclasses.replace(ALERTS, who=ANY_CALLER), "shows nobody's rows"),
        (dataclasses.replace(LOOK_UP, who=ANYBODY), "shows nobody's rows"),
        (Line("GET", "/a/{b}", Right.LIST, Scope.NOBODY, ANYBODY), "no parameters"),
        (dataclasses.replace(LOOK_UP, purpose=None), "says what for"),
        (dataclasses.replace(LOOK_UP, organisations=None), "which organisations"),
    ],
)
def test_a_line_that_gives_too_much_does_not_start(line: Line, text: str) -> None:
    """A role's rights are a second table: one careless line widens nobody."""
    with pytest.raises(ConfigurationError, match=text):
        checked([line])


def test_a_route_has_one_line() -> None:
    """Two would leave it to their order."""
    with pytest.raises(ConfigurationError, match="two lines"):
        checked([ALERTS, ALERTS])


def test_each_role_has_its_rights_and_operators_see_no_record() -> None:
    """Listing, seeing, replaying and configuring are rights of their own."""
    assert set(RIGHTS) == set(Role)
    for role in Role:
        runs = {Right.REPLAY, Right.CONFIGURE} & RIGHTS[role]
        assert bool(runs) == (role is Role.OPERATOR)
    assert Right.SEE not in RIGHTS[Role.OPERATOR]
    assert Right.ACT not in RIGHTS[Role.OPERATOR]


def test_the_page_is_the_table() -> None:
    """docs/reference/authorisation.md: whoever widens a line changes the page, in plain sight."""
    assert PAGE.read_text() == matrix_page.page(), (
        "run: python -m flag_service.matrix_page >docs/reference/authorisation.md"
    )


def test_the_status_routes_are_open() -> None:
    """And beside them only what lets people log in."""
    assert matrix.open_paths() == {*OPEN_PATHS, "/session/login", "/session/callback"}


async def test_nobody_is_let_through_before_the_routes_are_known() -> None:
    """An application that forgot `bind` refuses everything."""
    assert asked(Authorising(), "GET", "/livez", None) == (404, "http.not_found")
    assert asked(Authorising(), "GET", "/alerts", caller(*Role)) == (404, "http.not_found")


@pytest.mark.parametrize(
    ("method", "path", "roles", "answer"),
    [
        ("GET", "/livez", None, None),
        ("GET", "/me", (), None),
        ("GET", "/alerts", ("la-system",), None),
        ("GET", "/alerts", (), (403, RULE)),
        ("GET", "/alerts", ("operator", "auditor"), (403, RULE)),
        ("GET", "/alerts", ("operator", "social-worker"), None),
        ("GET", "/alerts", None, (403, RULE)),
        ("POST", "/alerts/x/accept", ("hospital-system",), (403, RULE)),
        ("POST", "/alerts/x/accept", ("social-worker",), None),
        ("POST", "/alerts/x/y/accept", ("social-worker",), (404, "http.not_found")),
        ("HEAD", "/openapi.json", (), None),
        ("HEAD", "/alerts", ("la-system",), (405, "http.method_not_allowed")),
        ("OPTIONS", "/alerts", ("la-system",), (405, "http.method_not_allowed")),
        ("DELETE", "/uploads", ("la-system",), (405, "http.method_not_allowed")),
        ("GET", "/alerts/", ("la-system",), (404, "http.not_found")),
        ("GET", "//alerts", ("la-system",), (404, "http.not_found")),
        ("GET", "/ALERTS", ("la-system",), (404, "http.not_found")),
        ("GET", "/nothing", (), (404, "http.not_found")),
    ],
)
async def test_the_hook_decides_by_route_method_and_role(
    app: FastAPI, method: str, path: str, roles: tuple[str, ...] | None, answer: Any
) -> None:
    """Whatever no line allows is refused here; nothing else goes on to the router."""
    authorise = Authorising()
    authorise.bind(app.router.routes)
    who = None if roles is None else caller(*roles)
    assert asked(authorise, method, path, who) == answer


PEOPLE_LINES = [line for line in MATRIX if line.people]


def test_what_is_left_to_people_is_marked_so() -> None:
    """Reviews of disclosures and accesses, subject-access reports, and the worklist's entries."""
    acts = ("claim", "resolve", "reject", "ask", "retry", "undo")
    assert {line.route for line in PEOPLE_LINES} == {
        "/worklist/{entry_id}",
        *(f"/worklist/{{entry_id}}/{act}" for act in acts),
        "/reviews/disclosures",
        "/reviews/disclosures/{item_id}",
        "/reviews/accesses",
        "/reviews/accesses/{review_id}",
        "/audit/subject-access",
    }
    assert {line.route for line in MATRIX if line.route.startswith("/reviews/")} <= {
        line.route for line in PEOPLE_LINES
    }


@pytest.mark.parametrize("line", PEOPLE_LINES, ids=lambda line: f"{line.method} {line.route}")
async def test_a_system_in_a_persons_role_decides_nothing(app: FastAPI, line: Line) -> None:
    """A role's name makes nobody a person; `GET /me` does not offer it to a system either."""
    authorise = Authorising()
    authorise.bind(app.router.routes)
    machine = caller(*line.who)
    asks = (authorise, line.method, line.route.replace("{", "").replace("}", ""))
    assert asked(*asks, machine) == (403, "access.people_only")
    person = dataclasses.replace(machine, person=True)
    assert asked(*asks, person) is None


@pytest.mark.parametrize(
    "line",
    [line for line in MATRIX if line.scope is Scope.PERSON],
    ids=lambda line: f"{line.method} {line.route}",
)
async def test_only_hospitals_and_authorities_ask_of_a_person(app: FastAPI, line: Line) -> None:
    """A role alone does not do: it must be held in an organisation of a kind that the line names,
    and one that the directory does not have is of none.
    """
    assert line.organisations == frozenset[Kind]({"hospital", "authority"})
    kinds: dict[str, tuple[Kind, ...]] = {
        "H": ("hospital",), "A": ("authority",), "S": ("agency",), "P": ("panel",),
        "B": ("agency", "hospital"),
    }  # fmt: skip
    authorise = Authorising(kinds_of=lambda code: kinds.get(code, ()))
    authorise.bind(app.router.routes)
    assert not isinstance(line.who, str)
    for role in line.who:
        for code in (*kinds, "nowhere"):
            who = dataclasses.replace(caller(role), organisation=code)
            answer = None if code in "HAB" else (403, ORGANISATION_RULE)
            assert asked(authorise, line.method, line.route, who) == answer


@pytest.mark.parametrize(
    "line",
    [line for line in MATRIX if line.scope is Scope.PERSON],
    ids=lambda line: f"{line.method} {line.route}",
)
async def test_a_session_looks_nobody_up_by_a_link(app: FastAPI, line: Line) -> None:
    """Cookies come with links of other sites (Lax): by GET only tokens ask of a person."""
    authorise = Authorising(kinds_of=directory().kinds_of)
    authorise.bind(app.router.routes)
    nurse = dataclasses.replace(caller("safeguarding-nurse"), person=True)
    session = dataclasses.replace(nurse, credential="session")
    answer = (403, "session.use_post") if line.method == "GET" else None
    assert asked(authorise, line.method, line.route, session) == answer
    assert asked(authorise, line.method, line.route, nurse) is None


async def test_a_refusal_comes_before_the_body_is_read(app: FastAPI) -> None:
    """403 for a body that nobody would parse, and that is never asked for."""

    async def never() -> Any:
        raise AssertionError("the body was read")
        yield b""

    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app, raise_app_exceptions=False), base_url="http://hub"
    ) as http:
        answer = await http.post("/alerts/x/accept", headers=bearer(INFIRMARY), content=b"\0" * 99)
    assert (answer.status_code, answer.json()["rule"]) == (403, RULE)


@pytest.mark.parametrize(
    ("organisation", "roles", "route", "there"),
    [
        (NORTH, ["la-system"], "POST /uploads", True),
        (INFIRMARY, ["hospital-system"], "POST /uploads", False),
        (INFIRMARY, ["hospital-system"], "POST /flags/query", True),
        (STRANGER, [], "POST /flags/query", False),
    ],
)
async def test_me_tells_who_one_is_and_what_one_may(
    app: FastAPI, organisation: str, roles: list[str], route: str, there: bool
) -> None:
    """Organisation, roles, and the lines of the table that are open to them."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://hub", headers=bearer(organisation)
    ) as http:
        body = (await http.get("/me")).json()
    assert (body["organisation"], body["roles"]) == (organisation, roles)
    assert (route in {f"{one['method']} {one['route']}" for one in body["may"]}) == there
    assert "GET /livez" not in {f"{one['method']} {one['route']}" for one in body["may"]}


def test_practice_tokens_have_the_roles_of_their_organisations_kind() -> None:
    """What an organisation is decides what its token may do; a stranger's may nothing."""
    known = {role.value for role in Role}
    for code, roles in (
        (NORTH, {"la-system"}),
        (INFIRMARY, {"hospital-system"}),
        (STRANGER, set()),
    ):
        assert set(default_roles(directory().kinds_of(code))) == roles
        assert roles <= known


async def test_me_offers_no_route_that_the_organisation_is_refused() -> None:
    """A nurse's role in a school, say: what only hospitals and authorities may ask is not listed,
    and asking is 403, of a FHIR face in its own shape.
    """

    async def door(_attempt: Attempt) -> Caller:
        nurse = caller("safeguarding-nurse")
        return dataclasses.replace(nurse, organisation="SCH001", person=True)

    made = settings()
    school = Agency(code="SCH001", name="A School", kind="school")
    known = dataclasses.replace(directory(), agencies={"SCH001": school})
    pool = make_pool(made, name="test")
    app = create_app(made, pool, KEYS, known, Bus(made), system_clock, door=door)
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://hub"
    ) as http:
        listed = {one["route"] for one in (await http.get("/me")).json()["may"]}
        answer = await http.post("/flags/query", json={})
        fhir = await http.post("/cpis/FHIR/R4/CareTeam/_search")
    assert "/worklist" in listed
    assert listed.isdisjoint(line.route for line in MATRIX if line.organisations is not None)
    assert (answer.status_code, answer.json()["rule"]) == (403, ORGANISATION_RULE)
    coding = fhir.json()["issue"][0]["details"]["coding"]
    assert (fhir.status_code, fhir.json()["resourceType"]) == (403, "OperationOutcome")
    assert [one["code"] for one in coding] == ["ACCESS_DENIED", ORGANISATION_RULE]
