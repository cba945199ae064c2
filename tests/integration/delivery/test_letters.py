"""Letters pushed to a real receiver: repeated under one id, refused alone, in order."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from connectors.webhook.sender import WebhookSender
from halyard import faults, metrics
from halyard.clock import system_clock
from halyard.faults import FaultInjected
from halyard.postgres import Pool, transaction
from halyard.settings import DeliverySettings
from stores import mailbox
from stores.directory import Directory
from stores.mailbox import Letter
from streams.delivery.decisions import MAX_ANSWERED
from streams.delivery.letters import LetterPusher
from tests.integration.delivery.practice import (
    AUTHORITY,
    HOSPITAL,
    SECRET,
    Running,
    quick,
    receiving,
)
from tests.integration.delivery.practice import directory_of as practice_directory
from tests.support.waiting import aeventually


def letter(number: int, organisation: str = HOSPITAL, endpoint: str | None = "letters") -> Letter:
    """A letter that needs to be acknowledged."""
    letter_id = uuid.UUID(int=number)
    return Letter(
        letter_id,
        organisation,
        "case-voided",
        b'{"resourceType":"Bundle","id":"%s","type":"message"}' % str(letter_id).encode(),
        datetime.now(UTC),
        endpoint=endpoint,
        case_id=uuid.UUID(int=500),
        needs_acknowledgement=True,
    )


def directory_of(**urls: str) -> Directory:
    """Letters to the hospital go to the endpoint ``letters``, to the authority to ``other``."""
    made = practice_directory(**urls)
    to_hospital = {"message_endpoint": "letters" if "letters" in urls else None}
    to_authority = {"message_endpoint": "other" if "other" in urls else None}
    return replace(
        made,
        hospitals={HOSPITAL: made.hospitals[HOSPITAL].model_copy(update=to_hospital)},
        authorities={AUTHORITY: made.authorities[AUTHORITY].model_copy(update=to_authority)},
    )


async def write(pool: Pool, *letters: Letter) -> None:
    """Write letters in one transaction."""
    async with transaction(pool) as connection:
        await mailbox.add(connection, letters)


async def standing(pool: Pool) -> list[tuple[int, str | None, int, str | None]]:
    """(number, push, attempts, last error) of each letter, in order."""
    async with transaction(pool) as connection:
        cursor = await connection.execute(
            "select letter_id, push, attempts, last_error from letters order by position"
        )
        return [
            (row["letter_id"].int, row["push"], row["attempts"], row["last_error"])
            for row in await cursor.fetchall()
        ]


def came(receiver: Running) -> list[tuple[int, str]]:
    """(number, answer) of each push, in the order of the wire."""
    return [(uuid.UUID(one.delivery_id).int, one.answer) for one in receiver.receiver.received]


@asynccontextmanager
async def pushing(
    pool: Pool, directory: Directory, settings: DeliverySettings | None = None
) -> AsyncIterator[asyncio.Task[None]]:
    """A pusher at work; stopped at the end."""
    settings = settings or quick()
    stopping = asyncio.Event()
    async with WebhookSender(
        system_clock, timeout_seconds=settings.timeout_seconds, max_connections=4
    ) as webhooks:
        pusher = LetterPusher(
            pool=pool,
            webhooks=webhooks,
            directory=directory,
            secrets={"practice": SECRET},
            settings=settings,
            keep_days=90,
            random=lambda: 0.5,
        )
        task = asyncio.create_task(pusher.run(stopping, stop_seconds=4.0))
        try:
            yield task
        finally:
            stopping.set()
            with suppress(FaultInjected):
                await task


async def test_a_letter_is_pushed_signed_and_still_waits_to_be_acknowledged(pool: Pool) -> None:
    """The receiver verifies the signature; the kind stands in the headers. A letter without an
    endpoint is not pushed.
    """
    async with receiving() as hospital:
        await write(pool, letter(1), letter(2, endpoint=None))
        async with pushing(pool, directory_of(letters=hospital.url)):
            await aeventually(lambda: came(hospital) == [(1, "ok")])

            async def marked() -> bool:
                return await standing(pool) == [(1, "pushed", 1, None), (2, None, 0, None)]

            await aeventually(marked)
        assert hospital.receiver.received[0].kind == "case-voided"
        async with transaction(pool) as connection:
            awaited = await mailbox.unacknowledged(connection, uuid.UUID(int=500))
        assert awaited == [(HOSPITAL, "case-voided")] * 2


async def test_a_failed_push_comes_again_with_the_same_id_and_bytes_and_keeps_the_order(
    pool: Pool,
) -> None:
    """500 twice: the letter is tried again under its id, and the next one waits behind it."""
    async with receiving() as hospital:
        hospital.receiver.misbehave("500", 2)
        await write(pool, letter(1), letter(2))
        async with pushing(pool, directory_of(letters=hospital.url)):
            expected = [(1, "500"), (1, "500"), (1, "ok"), (2, "ok")]
            await aeventually(lambda: came(hospital) == expected)
        assert len({one.body_sha256 for one in hospital.receiver.received[:3]}) == 1


async def test_a_refused_letter_is_parked_alone_and_can_be_fetched(pool: Pool) -> None:
    """422 parks it; the next goes out, and the list still has both."""
    async with receiving() as hospital:
        hospital.receiver.misbehave("refuse", 1)
        await write(pool, letter(1), letter(2))
        async with pushing(pool, directory_of(letters=hospital.url)):
            expected = [(1, "parked", 1, "status-422"), (2, "pushed", 1, None)]

            async def done() -> bool:
                return await standing(pool) == expected

            await aeventually(done)
            await aeventually(
                lambda: metrics.registry.get_sample_value("halyard_letters_parked") is not None
            )
        async with transaction(pool) as connection:
            found = await mailbox.get(connection, HOSPITAL, uuid.UUID(int=1))
        assert found is not None
        assert found.body == letter(1).body


async def test_a_pusher_that_dies_between_push_and_mark_repeats_the_same(pool: Pool) -> None:
    """The receiver has it, the row does not say so: after the lease it comes again, same id, same
    bytes, and only then the next.
    """
    async with receiving() as hospital:
        directory = directory_of(letters=hospital.url)
        await write(pool, letter(1), letter(2))
        faults.arm("letters.after_send:raise:1")
        try:
            async with pushing(pool, directory, quick(lease_seconds=0.5)) as task:
                await asyncio.wait({task}, timeout=10)
                assert isinstance(task.exception(), FaultInjected)
        finally:
            faults.arm(None)
        assert (await standing(pool))[0][:3] == (1, "pending", 1)
        async with pushing(pool, directory):
            await aeventually(lambda: came(hospital) == [(1, "ok"), (1, "ok"), (2, "ok")])
        first, again, _ = hospital.receiver.received
        assert again.repeat
        assert first.body_sha256 == again.body_sha256


async def test_an_organisation_that_is_away_holds_up_no_other(pool: Pool) -> None:
    """Nobody listens for one; the letter of another at the same time goes out."""
    async with receiving() as authority:
        directory = directory_of(letters="http://127.0.0.1:1/webhook", other=authority.url)
        await write(pool, *(letter(number) for number in (1, 2, 3)))
        await write(pool, letter(4, AUTHORITY, "other"))
        async with pushing(pool, directory):
            await aeventually(lambda: came(authority) == [(4, "ok")])

            async def tried() -> bool:
                return (await standing(pool))[0][2] > 1

            await aeventually(tried)
        assert [one[2] for one in (await standing(pool))[1:3]] == [0, 0]


async def test_a_letter_goes_where_its_organisation_is_now(pool: Pool) -> None:
    """Also if the place that it was written for is still in the directory: that may be somebody
    else's by now. Without any it waits, and is not lost.
    """
    async with receiving() as former, receiving() as hospital:
        await write(pool, letter(1, endpoint="former"))
        async with pushing(pool, directory_of(former=former.url)):

            async def waits() -> bool:
                return (await standing(pool))[0][3] == "no-endpoint"

            await aeventually(waits)
        async with pushing(pool, directory_of(former=former.url, letters=hospital.url)):
            await aeventually(lambda: came(hospital) == [(1, "ok")])
        assert came(former) == []


async def test_a_letter_that_breaks_its_receiver_is_parked_in_the_end(pool: Pool) -> None:
    """A 500 for hours may be the letter's fault: it must not hold back those behind it for ever."""
    async with receiving() as hospital:
        hospital.receiver.misbehave("500", 1)
        await write(pool, letter(1), letter(2))
        async with transaction(pool) as connection:
            await connection.execute(
                "update letters set attempts = %s where letter_id = %s",
                (MAX_ANSWERED - 1, uuid.UUID(int=1)),
            )
        async with pushing(pool, directory_of(letters=hospital.url)):
            await aeventually(lambda: came(hospital) == [(1, "500"), (2, "ok")])
        assert (await standing(pool))[0] == (1, "parked", MAX_ANSWERED, "status-500")


async def test_old_letters_are_purged_while_it_runs(pool: Pool) -> None:
    """Housekeeping deletes what is older than the setting, but not what waits."""
    old = datetime.now(UTC) - timedelta(days=91)
    await write(pool, replace(letter(1, endpoint=None), created_at=old))
    aged = replace(letter(2, endpoint=None), created_at=old, needs_acknowledgement=False)
    await write(pool, aged)
    async with pushing(pool, directory_of()):

        async def purged() -> bool:
            return [one[0] for one in await standing(pool)] == [1]

        await aeventually(purged)
