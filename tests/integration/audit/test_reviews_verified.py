"""Reviews that the database's owner takes away or changes: verifying finds them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from halyard.actor import Actor
from halyard.postgres import transaction
from stores import audit_reviews
from streams.audit import retention
from streams.audit.reviewing import close_review
from tests.support.audit import COUNCIL, HOSPITAL, Chain, chain, entry
from tests.support.services import Database


@pytest.fixture
async def reviewed(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """Broken glass in two organisations and a look at a restricted child; one review is closed."""
    async with chain(database, tmp_path / "c", sample_one_in=0) as made:
        hidden: dict[str, Any] = {"actor": "user:anne", "detail": (("person", "restricted"),)}
        await made.append(
            entry(1, purpose="break-glass"),
            entry(2),
            entry(3, **hidden),
            entry(1, COUNCIL, purpose="break-glass"),
        )
        made.now += timedelta(seconds=20)
        await made.seal_all()
        async with transaction(made.pool) as connection:
            found = await audit_reviews.page(connection)
            assert sorted((one.chain, one.rule) for one in found) == [
                (COUNCIL, "break-glass"),
                (HOSPITAL, "break-glass"),
                (HOSPITAL, "restricted"),
            ]
            await close_review(
                connection,
                next(one.review_id for one in found if one.entry_id == entry(1).entry_id),
                Actor(subject="user:guardian", organisation=HOSPITAL),
                outcome="needs-enquiry",
                note="looked at the rota",
                now=made.now,
                entry_id=uuid.UUID(int=99),
            )
        made.now += timedelta(seconds=20)
        await made.seal_all()
        yield made


CLOSED = f"entry_id = '{entry(1).entry_id}'"
OPEN = f"entry_id = '{entry(3).entry_id}'"


async def test_reviews_that_nobody_touched_verify(reviewed: Chain) -> None:
    """Open and closed."""
    assert await reviewed.kinds() == set()


async def test_a_closed_review_that_is_gone_is_found(reviewed: Chain) -> None:
    """The first place that speaks of it is named, and its outcome at place 4 as one more."""
    reviewed.as_owner(f"delete from audit_reviews where {CLOSED}")
    found = await reviewed.verify()
    assert [(one.kind, one.chain, one.more) for one in found.findings] == [
        ("review-lost", HOSPITAL, 1)
    ]
    assert not found.ok


@pytest.mark.parametrize(
    "change",
    [
        "outcome = 'appropriate'",
        "reviewer = 'user:anne'",
        "note = 'nothing'",
        "note = null",
        "closed_at = closed_at + interval '1 day'",
        "closed_at = null, reviewer = null, outcome = null, note = null",
    ],
)
async def test_an_outcome_that_was_changed_is_found(reviewed: Chain, change: str) -> None:
    """Whatever was written then stands in the chain; also a review that is opened again."""
    reviewed.as_owner(f"update audit_reviews set {change} where {CLOSED}")
    assert await reviewed.kinds() == {("review-altered", HOSPITAL, 4)}
    assert await reviewed.kinds(chain=COUNCIL) == set()


async def test_an_outcome_that_nobody_wrote_into_the_chain_is_found(reviewed: Chain) -> None:
    """A review that is closed past the hub."""
    reviewed.as_owner(
        "update audit_reviews set closed_at = now(), reviewer = 'user:x', outcome = 'appropriate'"
        f" where {OPEN}"
    )
    assert await reviewed.kinds() == {("review-altered", HOSPITAL, None)}


async def test_an_open_review_of_what_is_always_reviewed_is_missed(reviewed: Chain) -> None:
    """Broken glass and restricted children: what was sealed has its review, or somebody took it."""
    reviewed.as_owner(f"delete from audit_reviews where {OPEN}")
    assert await reviewed.kinds() == {("review-lost", HOSPITAL, 3)}
    reviewed.as_owner("delete from audit_reviews")
    assert await reviewed.kinds(chain=COUNCIL) == {("review-lost", COUNCIL, 1)}


async def test_what_retention_took_is_no_review_that_is_lost(reviewed: Chain) -> None:
    """Reviews stay when their entries, and those of their outcomes, go as was stated; what was
    closed since is compared as before.
    """
    before = reviewed.now - timedelta(seconds=10)
    await retention.state(
        reviewed.sealing,
        reviewed.sealer.signer,
        before=before,
        now=reviewed.now,
        actor="cli:test",
        entry_id=uuid.uuid4(),
    )
    await reviewed.seal_all()
    reviewed.as_owner(f"delete from audit_entries where recorded_at < '{before.isoformat()}'")
    assert (await reviewed.verify()).findings == ()
    reviewed.as_owner(
        f"update audit_reviews set closed_at = '{(before + timedelta(days=1)).isoformat()}',"
        f" reviewer = 'user:x', outcome = 'appropriate' where {OPEN}"
    )
    assert await reviewed.kinds() == {("review-altered", HOSPITAL, None)}
