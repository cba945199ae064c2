"""How often somebody may ask, and what is told to who asks too often."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import APIRouter

from halyard.caller import Attempt, Caller
from halyard.http import make_app
from halyard.http_edge import bearer
from halyard.rates import Buckets, network_of
from halyard.settings import Settings
from halyard.settings_access import AccessSettings


class Time:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    """And says how long to wait; each key has its own."""
    time = Time()
    buckets = Buckets(2, 3, monotonic=time)
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]
    assert buckets.take("b") == 0
    time.now += 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0, 0.5]
    time.now += 1_000
    assert [buckets.take("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_buckets_forget_the_one_that_was_used_longest_ago() -> None:
    """Memory is bounded whoever asks."""
    buckets = Buckets(1, 1, remembered=10, monotonic=Time())
    for one in range(1_000):
        buckets.take(str(one))
        buckets.take("busy")
    assert len(buckets) == 10
    assert buckets.take("busy") > 0


def test_no_rate_is_no_limit() -> None:
    """And remembers nobody."""
    buckets = Buckets(0, 1)
    assert {buckets.take("a") for _ in range(100)} == {0}
    assert len(buckets) == 0


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_an_ipv6_network_counts_as_one(address: str, counted: str) -> None:
    """A machine has a whole /64 to write from."""
    assert network_of(address) == counted


class Gate:
    """Holds requests to /slow until it is opened."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.waiting = asyncio.Event()


@contextlib.asynccontextmanager
async def face(gate: Gate | None = None, **access: object) -> AsyncIterator[httpx.AsyncClient]:
    """An application with these limits; tokens are organisations."""
    router = APIRouter()

    @router.get("/quick")
    async def quick() -> dict[str, str]:
        return {}

    @router.get("/slow")
    async def slow() -> dict[str, str]:
        assert gate is not None
        gate.waiting.set()
        await gate.open.wait()
        return {}

    async def admit(attempt: Attempt) -> Caller | None:
        token = bearer(attempt)
        return None if token in (None, "wrong") else Caller(str(token), "client:x")

    made = Settings(access=AccessSettings.model_validate(access))
    probes = ["/openapi.json"]
    app = make_app(
        made, title="t", authenticate=admit, routers=[router], open_paths=probes, probes=probes
    )
    transport = httpx.ASGITransport(app=app, client=("192.0.2.7", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://hub") as client:
        yield client


def bearing(token: str) -> dict[str, str]:
    """The header."""
    return {"Authorization": f"Bearer {token}"}


async def test_who_asks_too_often_is_told_when_to_come_back() -> None:
    """429 with Retry-After; another organisation is served meanwhile."""
    async with face(requests_per_second=0.5, requests_burst=2) as client:
        got = [await client.get("/quick", headers=bearing("A")) for _ in range(3)]
        assert [one.status_code for one in got] == [200, 200, 429]
        assert got[2].json()["rule"] == "http.too_many"
        assert 1 <= int(got[2].headers["Retry-After"]) <= 2
        assert (await client.get("/quick", headers=bearing("B"))).status_code == 200


async def test_failures_of_an_address_keep_out_nobody_who_is_let_in() -> None:
    """Who goes on failing hears nothing more than 429; behind the same address others work."""
    async with face(failures_per_second=0.5, failures_burst=2) as client:
        got = [await client.get("/quick", headers=bearing("wrong")) for _ in range(3)]
        assert [one.status_code for one in got] == [401, 401, 429]
        assert (await client.get("/quick", headers=bearing("A"))).status_code == 200


async def test_requests_at_a_time_are_bounded_and_probes_are_answered() -> None:
    """503 with Retry-After at once; places come back."""
    gate = Gate()
    async with face(gate, max_concurrent_requests=1) as client:
        first = asyncio.create_task(client.get("/slow", headers=bearing("A")))
        await gate.waiting.wait()
        busy = await client.get("/quick", headers=bearing("A"))
        assert (busy.status_code, busy.json()["rule"]) == (503, "http.busy")
        assert busy.headers["Retry-After"] == "1"
        assert (await client.get("/openapi.json")).status_code == 200
        gate.open.set()
        assert (await first).status_code == 200
        assert (await client.get("/quick", headers=bearing("A"))).status_code == 200


async def test_who_is_refused_gives_the_place_back() -> None:
    """A flood of wrong tokens does not fill the house."""
    async with face(max_concurrent_requests=1) as client:
        for _ in range(5):
            assert (await client.get("/quick")).status_code == 401
        assert (await client.get("/quick", headers=bearing("A"))).status_code == 200
