"""Places, pace and memory: the bookkeeping behind a listener under a flood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.floods import BURST_SECONDS, FAIR_BYTES, LONGEST_HOLD, Memory, Pace, Places

HOSTS = st.sampled_from(["192.0.2.1", "192.0.2.2", "192.0.2.3"])


def test_a_burst_of_refusals_is_free_and_more_are_paced() -> None:
    """At 10 a second: twenty at once cost nothing; then each one costs a tenth of a second."""
    pace = Pace(10.0)
    waits = [pace.charge("192.0.2.1", 100.0) for _ in range(25)]
    assert waits[:20] == [0.0] * 20
    assert waits[20:] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert pace.debt("192.0.2.2", 100.0) == 0.0
    assert pace.debt("192.0.2.1", 100.0 + BURST_SECONDS + 1) == 0.0


def test_nobody_is_held_for_longer_than_a_second() -> None:
    """However many refusals there were."""
    pace = Pace(1.0)
    assert [pace.charge("192.0.2.1", 0.0) for _ in range(1_000)][-1] == LONGEST_HOLD


@given(st.lists(st.tuples(HOSTS, st.floats(0, 5)), max_size=60))
def test_an_address_pays_for_its_own_refusals_alone(charges: list[tuple[str, float]]) -> None:
    """What one address is charged is the same with and without the others."""
    together, alone, now = Pace(2.0), Pace(2.0), 0.0
    for host, passed in charges:
        now += passed
        waits = together.charge(host, now)
        if host == "192.0.2.1":
            assert waits == alone.charge(host, now)
    together.forget(now + 10_000)
    assert together == Pace(2.0)


@given(st.lists(st.tuples(st.booleans(), HOSTS), max_size=80))
def test_places_are_given_back(steps: list[tuple[bool, str]]) -> None:
    """Never more than the limits allow, and none is lost."""
    places, there = Places(5, 2), list[str]()
    for comes, host in steps:
        if comes and not places.crowded(host) and not places.full:
            places.take(host)
            there.append(host)
        elif not comes and host in there:
            places.leave(host)
            there.remove(host)
        assert places.full is (len(there) == 5)
        assert places.crowded(host) is (there.count(host) == 2)


def test_memory_has_a_half_for_each_purpose() -> None:
    """Beyond its half, only connections with more than a fair share are not read."""
    memory = Memory(1_000_000)
    memory.incomplete = 500_000
    assert not memory.overdrawn
    memory.incomplete += 1
    assert memory.overdrawn
    assert memory.may_read(10_000_000)
    memory.in_work = 500_001
    assert memory.may_read(FAIR_BYTES)
    assert not memory.may_read(FAIR_BYTES + 1)
