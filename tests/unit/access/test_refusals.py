"""Refusals on their way to the audit chain: counted together, bounded, never in the way."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flag_service.refusals import Refusals
from halyard.caller import Caller
from halyard.errors import DatabaseUnavailable
from stores.audit import AuditEntry
from tests.support.face import NORTH

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


class Chain:
    """Where entries end up; `away` makes it fail."""

    def __init__(self) -> None:
        self.entries: list[AuditEntry] = []
        self.away = False

    async def put(self, entries: Sequence[AuditEntry]) -> None:
        """As the real one does."""
        if self.away:
            raise DatabaseUnavailable
        self.entries += entries


@pytest.fixture
def chain() -> Chain:
    """A chain in memory; the real one is in tests/integration/access."""
    return Chain()


def noted(refusals: Refusals, subject: str = "user:1", times: int = 1) -> None:
    """`times` refusals of one subject."""
    who = Caller(organisation=NORTH, subject=subject, roles=frozenset({"clinician", "auditor"}))
    for _ in range(times):
        refusals.note(who, "GET /alerts", "access.role_not_allowed", {"request_id": "r"})


def made(chain: Chain, **options: Any) -> Refusals:
    """A fresh one."""
    return Refusals(chain.put, lambda: AT, **options)


async def test_the_same_refusal_is_one_entry_with_its_number(chain: Chain) -> None:
    """Who, in which roles, at which route, by which rule, how often; then nothing is left."""
    refusals = made(chain)
    noted(refusals, times=1_000)
    noted(refusals, "user:2")
    assert await refusals.write() == 2
    assert await refusals.write() == 0
    first, second = chain.entries
    assert (first.chain, first.actor, first.kind, first.decision) == (
        NORTH, "user:1", "refusal", "deny",
    )  # fmt: skip
    assert (first.role, first.subject) == ("auditor,clinician", "route:GET /alerts")
    since = {"first_at": "2026-03-10T12:00:00+00:00"}
    assert dict(first.detail) == {"count": "1000", **since}
    assert dict(second.detail) == {"count": "1", **since}
    assert first.entry_id != second.entry_id


async def test_what_repeats_is_written_once_a_minute(chain: Chain) -> None:
    """However long somebody goes on: the first at once, then one entry a minute, none lost."""
    times = iter(AT + timedelta(seconds=2 * number) for number in range(1_000))
    refusals = Refusals(chain.put, lambda: next(times))
    for _ in range(100):
        noted(refusals, times=10)
        await refusals.write()
    assert len(chain.entries) <= 8
    await refusals.last()
    assert sum(int(dict(one.detail)["count"]) for one in chain.entries) == 1_000


async def test_a_flood_of_different_refusals_is_counted_beyond_a_number(chain: Chain) -> None:
    """At most `most` entries and one for the rest: nobody fills the chain, or the memory."""
    refusals = made(chain, most=3)
    for number in range(50):
        noted(refusals, f"user:{number}", times=2)
    assert await refusals.write() == 4
    assert [one.chain for one in chain.entries] == [NORTH, NORTH, NORTH, "hub"]
    assert dict(chain.entries[-1].detail) == {"count": "94"}
    assert sum(int(dict(one.detail)["count"]) for one in chain.entries) == 100


async def test_what_cannot_be_written_is_kept_within_the_same_bound(chain: Chain) -> None:
    """A database that is away costs no refusal its count."""
    refusals = made(chain, most=2)
    chain.away = True
    noted(refusals, "user:1", times=3)
    noted(refusals, "user:2")
    with pytest.raises(DatabaseUnavailable):
        await refusals.write()
    noted(refusals, "user:3", times=5)
    noted(refusals, "user:1")
    chain.away = False
    await refusals.write()
    assert {one.actor: dict(one.detail)["count"] for one in chain.entries} == {
        "user:1": "4",
        "user:2": "1",
        "process:serve": "5",
    }


async def test_the_last_ones_are_written_or_told(chain: Chain) -> None:
    """At a stop nothing is raised."""
    refusals = made(chain, new_id=lambda: uuid.UUID(int=1))
    noted(refusals)
    chain.away = True
    await refusals.last()
    chain.away = False
    await refusals.last()
    assert [one.entry_id for one in chain.entries] == [uuid.UUID(int=1)]
