"""A letter that never gets through holds up those behind it for a time, not for ever."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from connectors.sending import Delivered, Message, Result, Retry, Target
from halyard.postgres import Pool, transaction
from halyard.settings import DeliverySettings
from stores.mailbox import MAX_ATTEMPTS
from streams.delivery.decisions import MAX_ANSWERED
from streams.delivery.letters import LetterPusher
from tests.integration.delivery.practice import SECRET, quick
from tests.integration.delivery.test_letters import directory_of, letter, standing, write
from tests.support.waiting import aeventually

TWO_TRIES: DeliverySettings = quick(max_retry_seconds=0.1)


class Wire:
    """Stands for the network: what it does not let through fails as told."""

    def __init__(self, **failing: str) -> None:
        self.failing = {int(number.strip("n")): reason for number, reason in failing.items()}
        self.away: str | None = None
        self.tried: list[int] = []

    async def send(self, target: Target, message: Message) -> Result:
        """One attempt."""
        number = message.delivery_id.int
        self.tried.append(number)
        reason = self.away or self.failing.get(number)
        return Retry(reason, destination_down=True) if reason else Delivered("status-200")


@asynccontextmanager
async def pushing(pool: Pool, wire: Wire) -> AsyncIterator[None]:
    """A pusher at work over `wire`."""
    stopping = asyncio.Event()
    pusher = LetterPusher(
        pool=pool,
        webhooks=wire,
        directory=directory_of(letters="https://letters.test/webhook"),
        secrets={"practice": SECRET},
        settings=TWO_TRIES,
        keep_days=90,
        random=lambda: 0.5,
    )
    task = asyncio.create_task(pusher.run(stopping, stop_seconds=4.0))
    try:
        yield
    finally:
        stopping.set()
        await task


async def tried_long(pool: Pool, number: int, reason: str) -> None:
    """The letter has one attempt left before it is stepped past."""
    async with transaction(pool) as connection:
        await connection.execute(
            "update letters set attempts = %s, last_error = %s where letter_id = %s",
            (MAX_ATTEMPTS - 1, reason, uuid.UUID(int=number)),
        )


def test_a_letter_is_stepped_past_when_an_answered_one_is_parked() -> None:
    """One bound for both, about four hours."""
    assert MAX_ATTEMPTS == MAX_ANSWERED


@pytest.mark.parametrize("reason", ["status-503", "status-401", "broken", "timeout"])
async def test_a_letter_that_fails_where_another_goes_through_is_parked(
    pool: Pool, reason: str
) -> None:
    """Whatever the failure: the next goes through, the old one gets one more chance, then a person
    has it; the others follow.
    """
    wire = Wire(n1=reason)
    await write(pool, letter(1), letter(2), letter(3))
    await tried_long(pool, 1, reason)

    async def done() -> bool:
        return [one[1] for one in await standing(pool)] == ["parked", "pushed", "pushed"]

    async with pushing(pool, wire):
        await aeventually(done)
    assert wire.tried == [1, 2, 1, 3]
    assert (await standing(pool))[0] == (1, "parked", MAX_ATTEMPTS + 1, reason)


async def test_an_outage_parks_nothing(pool: Pool) -> None:
    """Answered 503 for hours, whichever it is, and taken in the end: every letter arrives."""
    wire = Wire()
    wire.away = "status-503"
    await write(pool, letter(1), letter(2), letter(3))
    await tried_long(pool, 1, "status-503")
    async with pushing(pool, wire):
        await aeventually(lambda: len(wire.tried) >= 4)
        assert set(wire.tried[1:]) == {2}
        wire.away = None

        async def done() -> bool:
            return {one[1] for one in await standing(pool)} == {"pushed"}

        await aeventually(done)
    assert wire.tried[-3:] == [2, 1, 3]


async def test_nobody_steps_past_a_letter_that_reached_no_one(pool: Pool) -> None:
    """No connection says nothing of the letter: however often, what is behind it waits."""
    wire = Wire()
    wire.away = "connect"
    await write(pool, letter(1), letter(2))
    await tried_long(pool, 1, "connect")
    async with pushing(pool, wire):
        await aeventually(lambda: len(wire.tried) >= 4)
    assert set(wire.tried) == {1}
