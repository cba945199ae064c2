"""Who is not let in takes no room from who is: over the real server, with real sockets."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter

from halyard import http_edge
from halyard.caller import Attempt, Authenticate, Caller
from halyard.http import make_app
from halyard.http_edge import bearer
from halyard.settings import Settings
from halyard.settings_access import AccessSettings
from tests.support.face import served

GOOD = {"Authorization": "Bearer good"}


async def admit(attempt: Attempt) -> Caller | None:
    """Admits ``good``."""
    return Caller("ORG01", "client:x") if bearer(attempt) == "good" else None


@contextlib.asynccontextmanager
async def face(authenticate: Authenticate = admit, **access: object) -> AsyncIterator[str]:
    """The URL of an application with these limits; /log-in and /probe need no credential."""
    router = APIRouter()

    @router.get("/quick")
    @router.get("/log-in")
    @router.get("/probe")
    async def quick() -> dict[str, str]:
        return {}

    app = make_app(
        Settings(access=AccessSettings.model_validate(access)),
        title="t",
        authenticate=authenticate,
        routers=[router],
        open_paths=["/log-in", "/probe"],
        probes=["/probe"],
    )
    async with served(app) as url:
        yield url


@contextlib.asynccontextmanager
async def withheld(url: str, token: str, length: int) -> AsyncIterator[list[int]]:
    """Ten sockets that have announced a body, were answered, and send nothing; the answers."""
    port = int(url.rpartition(":")[2])
    head = (
        f"POST /quick HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
        f"Content-Length: {length}\r\n\r\n"
    )
    async with contextlib.AsyncExitStack() as stack:
        answers = []
        for _ in range(10):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            stack.callback(writer.close)
            writer.write(head.encode())
            answers.append(int((await reader.readuntil(b"\r\n")).split()[1]))
        yield answers


@pytest.mark.parametrize(("token", "length", "status"), [("no", 10, 401), ("good", 10**9, 413)])
async def test_who_is_refused_and_withholds_the_body_holds_no_place(
    token: str, length: int, status: int
) -> None:
    """What was announced is waited for a moment after the answer, and nobody else waits for it."""
    async with (
        face(max_concurrent_requests=1) as url,
        httpx.AsyncClient(base_url=url) as client,
        withheld(url, token, length) as answers,
    ):
        assert answers == [status] * 10
        for _ in range(5):
            assert (await client.get("/quick", headers=GOOD)).status_code == 200


async def test_who_is_being_looked_up_holds_no_place_and_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However long a look-up takes, others are let in; it ends, and says that it was not done."""
    monkeypatch.setattr(http_edge, "AUTHENTICATE_SECONDS", 0.5)
    asked = asyncio.Event()

    async def slowly(attempt: Attempt) -> Caller | None:
        if attempt.cookie is not None:
            asked.set()
            await asyncio.Event().wait()
        return await admit(attempt)

    async with (
        face(slowly, max_concurrent_requests=1) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        waiting = [
            asyncio.create_task(client.get("/quick", headers={"Cookie": f"halyard={one}"}))
            for one in range(10)
        ]
        await asked.wait()
        assert (await client.get("/quick", headers=GOOD)).status_code == 200
        for answer in await asyncio.gather(*waiting):
            assert answer.status_code == 503
            assert answer.json()["rule"] == "http.authentication_unavailable"


async def test_open_paths_but_probes_are_counted_by_address() -> None:
    """What starts work for whoever comes has a limit of its own; probes are answered, and failures
    of others behind the address leave it alone.
    """
    async with (
        face(failures_per_second=0.01, failures_burst=2) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        assert [(await client.get("/quick")).status_code for _ in range(3)] == [401, 401, 429]
        got = [await client.get("/log-in") for _ in range(3)]
        assert [one.status_code for one in got] == [200, 200, 429]
        assert got[2].headers["Retry-After"]
        assert (await client.get("/probe")).status_code == 200
        assert (await client.get("/quick", headers=GOOD)).status_code == 200


async def test_the_door_is_told_of_an_address_that_failed_too_often() -> None:
    """It may save itself what costs; who shows something good is let in all the same."""
    suspects = []

    async def noting(attempt: Attempt) -> Caller | None:
        suspects.append(attempt.suspect())
        return await admit(attempt)

    async with (
        face(noting, failures_per_second=0.01, failures_burst=2) as url,
        httpx.AsyncClient(base_url=url) as client,
    ):
        for _ in range(3):
            await client.get("/quick")
        assert (await client.get("/quick", headers=GOOD)).status_code == 200
    assert suspects == [False, False, True, True]
