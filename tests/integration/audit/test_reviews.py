"""Accesses that a person looks at: opened by the sealer, closed once, never by who looked."""

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
from stores.audit_reviews import Review
from streams.audit.reviewing import ReviewRefused, close_review
from tests.support.audit import COUNCIL, HOSPITAL, NOW, Chain, chain, entry
from tests.support.services import Database


@pytest.fixture
async def made(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """A chain whose sealer takes no sample, and finds three children or refusals an hour many."""
    async with chain(
        database, tmp_path / "c", sample_one_in=0, children_an_hour=3, refusals_an_hour=3
    ) as made:
        yield made


async def opened(made: Chain) -> list[Review]:
    """Every open review."""
    async with transaction(made.pool) as connection:
        return await audit_reviews.page(connection)


async def close(
    made: Chain, review: Review, by: str, outcome: str = "appropriate"
) -> Review | None:
    """Close a review."""
    async with transaction(made.pool) as connection:
        return await close_review(
            connection,
            review.review_id,
            Actor(subject=by, organisation=HOSPITAL),
            outcome=outcome,
            note="looked at the rota",
            now=NOW,
            entry_id=uuid.uuid4(),
        )


async def test_broken_glass_is_always_reviewed_and_soon(made: Chain) -> None:
    """One review, due within a day, with the access that it is about; sealing again opens none."""
    await made.append(entry(1, purpose="break-glass"), entry(2))
    await made.seal_all()
    await made.seal_all()
    (review,) = await opened(made)
    assert (review.rule, review.entry_id) == ("break-glass", entry(1).entry_id)
    assert review.due_at - review.opened_at == timedelta(hours=24)
    assert review.entry is not None
    assert review.entry["purpose"] == "break-glass"


async def test_an_actor_who_looks_at_many_children_is_reviewed_once_an_hour(made: Chain) -> None:
    """The same child again counts once; the fourth child within an hour opens one review."""
    same = [entry(n, actor="user:anne", person="a" * 32) for n in range(5)]
    await made.append(*same)
    await made.seal_all()
    assert await opened(made) == []
    await made.append(*(entry(n, actor="user:anne", person=f"{n:032x}") for n in range(10, 15)))
    await made.append(*(entry(n, actor="client:x", person=f"{n:032x}") for n in range(20, 30)))
    await made.seal_all()
    (review,) = await opened(made)
    assert (review.rule, review.actor) == ("many-children", "user:anne")


async def test_who_is_refused_often_is_reviewed(made: Chain) -> None:
    """Refusals are counted with how often each stands for."""
    refused: dict[str, Any] = {
        "kind": "refusal",
        "decision": "deny",
        "actor": "client:x",
        "purpose": None,
    }
    await made.append(entry(1, **refused), entry(2, **refused))
    await made.seal_all()
    assert await opened(made) == []
    await made.append(entry(3, **refused, detail=(("count", "40"),)))
    await made.seal_all()
    assert [one.rule for one in await opened(made)] == ["refused-often"]


async def test_a_review_is_closed_once_and_never_by_who_looked(made: Chain) -> None:
    """The outcome stays as it was written and is in the chain; the same again is no error."""
    await made.append(entry(1, purpose="break-glass", actor="user:anne"))
    await made.seal_all()
    (review,) = await opened(made)
    with pytest.raises(ReviewRefused) as refused:
        await close(made, review, "user:anne")
    assert refused.value.rule == "review.own_access"
    first = await close(made, review, "user:guardian")
    assert first is not None
    assert await close(made, review, "user:guardian") == first
    with pytest.raises(ReviewRefused) as refused:
        await close(made, review, "user:guardian", "inappropriate")
    assert refused.value.rule == "review.closed"
    assert await opened(made) == []
    rows = made.rows("select body from audit_entries where body ->> 'kind' = 'review'")
    assert len(rows) == 1
    body = rows[0][0]
    assert (body["actor"], body["detail"]["outcome"]) == ("user:guardian", "appropriate")
    assert body["subject"] == f"entry:{entry(1).entry_id}"


async def test_a_review_of_another_organisation_is_like_none(made: Chain) -> None:
    """Whoever closes names the chain that is their own."""
    await made.append(entry(1, purpose="break-glass"))
    await made.seal_all()
    (review,) = await opened(made)
    async with transaction(made.pool) as connection:
        done = await close_review(
            connection,
            review.review_id,
            Actor(subject="user:x", organisation=COUNCIL),
            outcome="appropriate",
            note="Not mine",
            now=NOW,
            entry_id=uuid.uuid4(),
            chain=COUNCIL,
        )
    assert done is None
