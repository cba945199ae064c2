"""The edge of an HTTP face: credentials, limits and answers, over the real server."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, Request
from prometheus_client import generate_latest
from pydantic import BaseModel, ConfigDict

from halyard import metrics
from halyard.caller import Attempt, Caller
from halyard.errors import ConfigurationError, DatabaseUnavailable
from halyard.http import HttpProblem, Limit, listen, make_app, organisation
from halyard.http_edge import bearer
from halyard.settings import Profile, SecuritySettings, Settings
from tests.support.face import raw, real_logs, served, settings
from tests.support.waiting import aeventually

TOKEN = "practice-token"
CANARY = "9990000018"
AUTHENTICATED = {"Authorization": f"Bearer {TOKEN}"}


class Body(BaseModel):
    """A body with one field."""

    model_config = ConfigDict(extra="forbid", strict=True)

    count: int


async def admit(attempt: Attempt) -> Caller | None:
    """Who shows `TOKEN` is ORG01."""
    return Caller("ORG01", "client:test") if bearer(attempt) == TOKEN else None


async def anybody(_attempt: Attempt) -> Caller | None:
    """Everybody is ORG01."""
    return Caller("ORG01", "client:test")


def routes(calls: list[str]) -> APIRouter:
    """Routes that note that they were reached."""
    router = APIRouter()

    @router.get("/who")
    async def who(request: Request, code: Annotated[str, Depends(organisation)]) -> dict[str, Any]:
        return {"organisation": code, "traceparent": request.state.traceparent}

    @router.post("/things/{thing}")
    async def thing(thing: uuid.UUID, body: Body) -> dict[str, Any]:
        calls.append("thing")
        return {"count": body.count}

    @router.post("/stream")
    async def stream(request: Request) -> dict[str, Any]:
        calls.append("stream")
        total = 0
        async for chunk in request.stream():
            total += len(chunk)
        return {"bytes": total}

    @router.get("/fails/{how}")
    async def fails(how: str) -> dict[str, Any]:
        if how == "transient":
            raise DatabaseUnavailable
        if how == "problem":
            raise HttpProblem(409, "No", "Do this.", rule="test.no", extras={"state": "odd"})
        if how == "slow":
            await asyncio.sleep(30)
        raise RuntimeError(CANARY)

    @router.get("/open")
    async def open_path() -> dict[str, Any]:
        return {}

    return router


@pytest.fixture(autouse=True)
def _logs(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Logs as in a process: structlog's own default prints locals, slowly."""
    with real_logs():
        yield


@pytest.fixture
def calls() -> list[str]:
    """Which routes were reached."""
    return []


@pytest.fixture
async def url(calls: list[str]) -> AsyncIterator[str]:
    """The test application, served."""
    app = make_app(
        settings(max_body_bytes=2_000),
        title="Test",
        authenticate=admit,
        routers=[routes(calls)],
        open_paths=["/open"],
        limits={
            ("POST", "/stream"): Limit(
                100_000, seconds=5, idle_seconds=0.3, too_large="Cut it in two."
            ),
            ("GET", "/fails/slow"): Limit(10, seconds=0.2),
        },
    )
    async with served(app) as base_url:
        yield base_url


@pytest.fixture
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client without credentials."""
    async with httpx.AsyncClient(base_url=url, trust_env=False) as made:
        yield made


def is_problem(response: httpx.Response, status: int, rule: str) -> None:
    """Assert that `response` is this problem."""
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert body["status"] == status
    assert body["rule"] == rule
    assert body["type"] == f"urn:halyard:problem:{rule}"
    assert body["title"]
    assert body["detail"]


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {'x' * 600}", TOKEN],
)
async def test_without_a_valid_token_every_path_is_401(
    client: httpx.AsyncClient, header: str | None
) -> None:
    """No token, a wrong one or another scheme is 401, also for a path that is not there."""
    headers = {} if header is None else {"Authorization": header}
    for path in ("/who", "/not-there"):
        response = await client.get(path, headers=headers)
        is_problem(response, 401, "http.unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")


async def test_the_token_is_asked_for_before_a_byte_of_the_body_is_read(
    url: str, calls: list[str]
) -> None:
    """A request without token is answered 401 while its announced body has not even begun."""
    answer = await raw(url, b"POST /stream HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\n")
    assert answer.status == 401
    assert answer.headers["connection"] == "close"
    assert calls == []


async def test_a_malformed_or_huge_body_without_a_token_is_401(
    client: httpx.AsyncClient, calls: list[str]
) -> None:
    """Neither size nor form of a body is looked at before the token."""
    for path, content in (
        ("/things/not-a-uuid", b"{{{"),
        ("/things/x", b"x" * 10_000),
        ("/stream", b"x" * 3_000_000),
    ):
        response = await client.post(path, content=content)
        is_problem(response, 401, "http.unauthenticated")
    assert calls == []


async def test_two_authorization_headers_are_refused(url: str) -> None:
    """A request that claims two identities has none."""
    line = f"Authorization: Bearer {TOKEN}\r\n".encode()
    answer = await raw(url, b"GET /who HTTP/1.1\r\nHost: x\r\n" + line * 2 + b"\r\n")
    assert answer.status == 401


async def test_the_organisation_comes_from_the_token(client: httpx.AsyncClient) -> None:
    """A route sees the organisation of the token, and nothing the request says of itself."""
    response = await client.get("/who", headers={**AUTHENTICATED, "X-Organisation": "ORG02"})
    assert response.json()["organisation"] == "ORG01"


async def test_open_paths_need_no_token(client: httpx.AsyncClient) -> None:
    """A path that is named open answers everybody."""
    assert (await client.get("/open")).status_code == 200


async def test_an_announced_body_over_the_limit_is_413_before_the_route(
    client: httpx.AsyncClient, calls: list[str]
) -> None:
    """Content-Length alone decides; the route is not reached."""
    response = await client.post(
        f"/things/{uuid.uuid4()}", content=b"x" * 2_001, headers=AUTHENTICATED
    )
    is_problem(response, 413, "http.too_large")
    assert response.json()["limit_bytes"] == 2_000
    assert calls == []


async def test_413_advises_what_the_route_can_do_about_it(client: httpx.AsyncClient) -> None:
    """A stream of records can be cut in parts; one question cannot."""
    details = []
    for path in ("/stream", "/who"):
        response = await client.post(path, content=b"x" * 100_001, headers=AUTHENTICATED)
        is_problem(response, 413, "http.too_large")
        details.append(response.json()["detail"])
    assert "Cut it in two." in details[0]
    assert "fields" in details[1]
    assert "in two" not in details[1]


async def test_an_unannounced_body_over_the_limit_is_413(client: httpx.AsyncClient) -> None:
    """A chunked body is counted while it comes."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x" * 1_000

    response = await client.post(f"/things/{uuid.uuid4()}", content=chunks(), headers=AUTHENTICATED)
    is_problem(response, 413, "http.too_large")


async def test_a_path_may_have_a_larger_limit(client: httpx.AsyncClient) -> None:
    """Uploads may be larger than any other body."""
    response = await client.post("/stream", content=b"x" * 90_000, headers=AUTHENTICATED)
    assert response.json() == {"bytes": 90_000}


async def test_a_body_that_stops_coming_is_408(url: str) -> None:
    """A sender who announces bytes and sends none does not hold the connection for ever."""
    head = (
        f"POST /stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n"
        "Content-Length: 100\r\n\r\nabc"
    )
    answer = await raw(url, head.encode())
    assert answer.status == 408
    assert answer.json()["rule"] == "http.body_stalled"
    assert answer.headers["connection"] == "close"


async def test_a_request_over_its_time_is_503(client: httpx.AsyncClient) -> None:
    """The time limit of a path holds."""
    response = await client.get("/fails/slow", headers=AUTHENTICATED)
    is_problem(response, 503, "http.time_limit")
    assert response.headers["retry-after"]


async def test_a_small_body_sent_to_nowhere_leaves_the_client_able_to_go_on(
    client: httpx.AsyncClient,
) -> None:
    """A refused request with a body does not break the client's next one."""
    for _ in range(3):
        is_problem(
            await client.post("/not-there", content=b"x" * 1_000, headers=AUTHENTICATED),
            404,
            "http.not_found",
        )
    assert (await client.get("/who", headers=AUTHENTICATED)).status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "rule"),
    [
        ("GET", "/not-there", 404, "http.not_found"),
        ("DELETE", "/who", 405, "http.method_not_allowed"),
        ("GET", "/fails/transient", 503, "http.unavailable"),
        ("GET", "/fails/problem", 409, "test.no"),
        ("GET", "/fails/bug", 500, "http.internal"),
    ],
)
async def test_every_failure_is_a_problem(
    client: httpx.AsyncClient, method: str, path: str, status: int, rule: str
) -> None:
    """404, 405, our own errors and bugs are all application/problem+json."""
    is_problem(await client.request(method, path, headers=AUTHENTICATED), status, rule)


async def test_a_bug_tells_nothing_of_itself(
    client: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """The text of an unexpected error is neither answered nor logged; its class is."""
    response = await client.get("/fails/bug", headers=AUTHENTICATED)
    said = capfd.readouterr()
    assert CANARY not in response.text + said.out + said.err
    assert "RuntimeError" in said.err
    assert response.headers["x-request-id"] in said.err


@pytest.mark.parametrize(
    ("content", "place", "rule"),
    [
        (b'{"count": "' + CANARY.encode() + b'"}', "body.count", "int_type"),
        (b'{"count": 1, "' + CANARY.encode() + b'": 1}', "body.(a field", "extra_forbidden"),
        (b'{"count": ' + CANARY.encode() + b"x}", "body.", "json_invalid"),
        (b"{}", "body.count", "missing"),
    ],
)
async def test_a_422_names_place_and_rule_and_never_echoes(
    client: httpx.AsyncClient, content: bytes, place: str, rule: str
) -> None:
    """What was sent does not come back, whether it stood as a value or as a name."""
    response = await client.post(
        f"/things/{uuid.uuid4()}",
        content=content,
        headers={**AUTHENTICATED, "Content-Type": "application/json"},
    )
    is_problem(response, 422, "http.invalid")
    (error,) = response.json()["errors"]
    assert set(error) == {"place", "rule"}
    assert error["place"].startswith(place)
    assert error["rule"] == rule
    assert CANARY not in response.text


async def test_a_422_of_the_path_does_not_echo_it(client: httpx.AsyncClient) -> None:
    """pydantic's message for a wrong UUID quotes parts of it; the answer does not."""
    response = await client.post(f"/things/{CANARY}", json={"count": 1}, headers=AUTHENTICATED)
    is_problem(response, 422, "http.invalid")
    assert CANARY not in response.text


async def test_every_answer_has_the_security_headers(client: httpx.AsyncClient) -> None:
    """Also refusals: nothing is cached, framed, sniffed or referred."""
    for response in (await client.get("/open"), await client.get("/who")):
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["referrer-policy"] == "no-referrer"
        assert "server" not in response.headers


async def test_a_request_id_is_kept_if_it_is_a_uuid_and_else_made(
    client: httpx.AsyncClient,
) -> None:
    """Any other text could hold a person, and would go to the logs."""
    given = str(uuid.uuid4())
    response = await client.get("/open", headers={"X-Request-ID": given})
    assert response.headers["x-request-id"] == given
    for bad in (CANARY, "x" * 36, ""):
        response = await client.get("/open", headers={"X-Request-ID": bad})
        uuid.UUID(response.headers["x-request-id"])
        assert response.headers["x-request-id"] != bad


@pytest.mark.parametrize(
    "bad",
    [
        "",
        CANARY,
        "00-" + "0" * 32 + "-" + "1" * 16 + "-01",
        "00-" + "a" * 32 + "-" + "0" * 16 + "-01",
        "ff-" + "a" * 32 + "-" + "b" * 16 + "-01",
        "00-" + "A" * 32 + "-" + "b" * 16 + "-01",
        "00-" + "a" * 32 + "-" + "b" * 16 + "-01-x",
    ],
)
async def test_a_traceparent_is_kept_if_it_is_valid_and_else_made(
    client: httpx.AsyncClient, bad: str
) -> None:
    """W3C trace context, version 00."""
    good = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    response = await client.get("/who", headers={**AUTHENTICATED, "traceparent": good})
    assert response.json()["traceparent"] == good
    response = await client.get("/who", headers={**AUTHENTICATED, "traceparent": bad})
    made = response.json()["traceparent"]
    assert made != bad
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", made)


async def test_metrics_know_a_request_by_its_template(client: httpx.AsyncClient) -> None:
    """Paths with ids, unknown paths and unauthenticated ones give bounded labels."""
    thing = uuid.uuid4()
    await client.post(f"/things/{thing}", json={"count": 1}, headers=AUTHENTICATED)
    await client.get(f"/nowhere/{CANARY}", headers=AUTHENTICATED)
    await client.get(f"/nowhere/{CANARY}")

    def counted() -> bool:
        text = generate_latest(metrics.registry).decode()
        assert str(thing) not in text
        assert CANARY not in text
        return all(
            f'halyard_http_requests_total{{route="{route}",status="{status}"}}' in text
            for route, status in (
                ("/things/{thing}", 200),
                ("unmatched", 404),
                ("unauthenticated", 401),
            )
        )

    await aeventually(counted, 5)


async def test_nothing_is_logged_of_a_request_that_went_well(
    client: httpx.AsyncClient, capfd: pytest.CaptureFixture[str]
) -> None:
    """There is no access log: its lines would hold paths and queries."""
    await client.get(f"/open?nhs_number={CANARY}")
    said = capfd.readouterr()
    assert said.out + said.err == ""


def test_a_taken_port_is_a_sentence() -> None:
    """The error says what to do."""
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"Port {port}.*HALYARD_HTTP__PORT"):
            listen("127.0.0.1", port)


async def test_documentation_pages_are_off_and_the_schema_is_for_practice_only(
    client: httpx.AsyncClient, tmp_path: Any
) -> None:
    """No page loads scripts from elsewhere; in production the schema is not served at all."""
    for path in ("/docs", "/redoc"):
        assert (await client.get(path, headers=AUTHENTICATED)).status_code == 404
    assert json.loads((await client.get("/openapi.json", headers=AUTHENTICATED)).text)["paths"]
    production = Settings(
        profile=Profile.PRODUCTION, security=SecuritySettings(secrets_file=tmp_path / "secrets")
    )
    app = make_app(production, title="Test", authenticate=anybody, routers=[])
    async with served(app) as base_url, httpx.AsyncClient(base_url=base_url) as other:
        assert (await other.get("/openapi.json", headers=AUTHENTICATED)).status_code == 404
