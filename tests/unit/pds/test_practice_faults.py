"""What can be made to go wrong with the practice PDS."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any
from uuid import uuid4

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.pds.faults import ROUTES, Faults, read_faults
from sandbox.pds.people import load_people
from sandbox.pds.server import PdsThread
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.samples.cast import CAST, PEOPLE_FILE

Call = Callable[[], httpx.Response]


@pytest.fixture(scope="module")
def server() -> Iterator[PdsThread]:
    """A practice PDS on loopback that asks for no token."""
    with PdsThread(load_people(PEOPLE_FILE), PdsSandboxSettings(token=None)) as thread:
        yield thread


@pytest.fixture
def practice(server: PdsThread) -> PdsThread:
    """The same without faults."""
    server.pds.reset()
    return server


@pytest.fixture
def call(practice: PdsThread) -> Iterator[Call]:
    """A retrieval of one record."""
    with httpx.Client(timeout=10) as client:
        yield lambda: client.get(
            f"{practice.url}/Patient/{CAST.robin.nhs_number}",
            headers={"X-Request-ID": str(uuid4())},
        )


def test_a_connection_can_be_dropped(practice: PdsThread, call: Call) -> None:
    """The answer begins and never comes; the next one does."""
    practice.pds.faults = Faults(drop=True, times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        call()
    assert call().json()["id"] == CAST.robin.nhs_number


def test_a_body_can_be_slow(practice: PdsThread, call: Call) -> None:
    """The same body, in pieces over the time that was asked for."""
    plain = call()
    practice.pds.faults = Faults(slow_body_ms=200)
    started = time.monotonic()
    slow = call()
    assert time.monotonic() - started >= 0.2
    assert slow.content == plain.content
    assert slow.headers["etag"] == plain.headers["etag"]


def test_a_share_of_requests_fails_and_always_the_same_ones(
    practice: PdsThread, call: Call
) -> None:
    """About the share that was asked for gets the status; the same seed, the same requests."""

    def statuses(seed: int) -> list[int]:
        practice.pds.faults = Faults(error_rate=0.3, error_status=429, seed=seed)
        return [call().status_code for _ in range(40)]

    first = statuses(seed=5)
    assert 4 <= first.count(429) <= 24
    assert set(first) == {200, 429}
    assert statuses(seed=5) == first
    assert statuses(seed=6) != first


@pytest.mark.parametrize(("rate", "expected"), [(0, {200}), (1, {503})])
def test_none_and_all(practice: PdsThread, call: Call, rate: float, expected: set[int]) -> None:
    """A share of nothing never fails, one of everything always."""
    practice.pds.faults = Faults(error_rate=rate)
    assert {call().status_code for _ in range(10)} == expected


def test_latency_is_spread(practice: PdsThread) -> None:
    """Latency stays within its jitter and below zero is none."""
    draw = practice.pds._draw
    waits = [Faults(latency_ms=50, latency_jitter_ms=20).wait_seconds(draw) for _ in range(200)]
    assert 0.03 <= min(waits) < 0.04 < 0.06 < max(waits) <= 0.07
    assert min(Faults(latency_jitter_ms=5).wait_seconds(draw) for _ in range(50)) == 0.0


def test_one_kind_of_request_can_fail_alone(practice: PdsThread, call: Call) -> None:
    """Faults of a route are in place of the others, for as many of its own requests."""
    faults = read_faults({"status": 408, "routes": {"retrieve": {"status": 503, "times": 2}}})
    practice.pds.faults = faults
    with httpx.Client() as client:
        searched = client.get(f"{practice.url}/Patient", headers={"X-Request-ID": str(uuid4())})
    assert searched.status_code == 408
    assert [call().status_code for _ in range(3)] == [503, 503, 200]


def test_without_faults_an_answer_waits_for_nothing(call: Call) -> None:
    """Calls on one connection do not wait for each other's acknowledgement (40 ms and more)."""
    call()
    started = time.monotonic()
    for _ in range(20):
        call()
    assert time.monotonic() - started < 0.7


def test_faults_at_the_start_are_back_after_a_reset() -> None:
    """What the settings say goes wrong holds from the start, and again after a reset."""
    settings = PdsSandboxSettings(token=None, faults=Faults(down=True))
    with PdsThread(load_people(PEOPLE_FILE), settings) as practice:
        url = f"{practice.url}/Patient/{CAST.robin.nhs_number}"
        headers = {"X-Request-ID": str(uuid4())}
        assert httpx.get(url, headers=headers).status_code == 503
        practice.pds.faults = Faults()
        assert httpx.get(url, headers=headers).status_code == 200
        practice.pds.reset()
        assert httpx.get(url, headers=headers).status_code == 503


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"latency_ms": -1}, "latency_ms is a whole number from 0"),
        ({"latency_ms": 600_001}, "latency_ms is a whole number from 0 to 600000"),
        ({"latency_ms": None}, "latency_ms"),
        ({"status": 200}, "status is a whole number from 400 to 599"),
        ({"error_rate": 1.1}, "error_rate is a number from 0 to 1"),
        ({"error_rate": True}, "error_rate"),
        ({"error_rate": float("nan")}, "error_rate"),
        ({"times": 0}, "times"),
        ({"drop": "yes"}, "drop is true or false"),
        ({"routes": []}, "routes"),
        ({"routes": {"elsewhere": {}}}, "retrieve, search, write, token"),
        ({"routes": {"token": {"routes": {}}}}, "one level deep"),
        ({"routes": {"token": {"canary": 1}}}, "A field is not known"),
        ({"canary": 1}, "A field is not known"),
        ("canary", "Send a JSON object"),
        (None, "Send a JSON object"),
    ],
)
def test_wrong_faults_are_said(body: Any, says: str) -> None:
    """Which field, and what it may be; never what was sent."""
    with pytest.raises(ValueError, match=says) as caught:
        read_faults(body)
    assert "canary" not in str(caught.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from([each.name for each in fields(Faults)] + [*ROUTES, "x"]), inner
            )
        ),
        max_leaves=8,
    )
)
def test_any_body_is_faults_or_refused(body: Any) -> None:
    """Whatever is sent: faults that can be asked and spent, or a ValueError."""
    try:
        faults = read_faults(body)
    except ValueError:
        return
    for route in ROUTES:
        assert faults.on(route).wait_seconds(random.Random(1)) >= 0
        assert isinstance(faults.spent(route), Faults)
    assert faults.any in (True, False)


def test_what_is_wrong_is_told() -> None:
    """`any` is true for every fault and for none else."""
    assert not Faults().any
    assert not read_faults({"seed": 3, "routes": {"token": {}}}).any
    for body in (
        {"down": True}, {"latency_ms": 1}, {"latency_jitter_ms": 1}, {"status": 500},
        {"garbage": True}, {"not_supported": True}, {"slow_body_ms": 1}, {"drop": True},
        {"error_rate": 0.1}, {"routes": {"search": {"down": True}}},
    ):  # fmt: skip
        assert read_faults(body).any
