"""``GET /uploads/{id}``: answers as they become known, for the authority itself."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import httpx
import pytest

from connectors.local_authority.answers import TEXTS
from connectors.local_authority.client import HubUnavailable
from halyard.postgres import transaction
from stores import uploads
from stores.uploads import Answer, Line, Trailer
from tests.support.face import INFIRMARY, NORTH, SOUTH, Hub, bearer, hub, settings
from tests.support.services import Database

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
UPLOAD = uuid.UUID(int=7)


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Hub]:
    """A hub on a database; no broker is there (none is needed to read answers)."""
    async with hub(settings(database_url=database.url), connect=False) as running:
        yield running


def line(number: int) -> Line:
    """A line of North's upload, as identity registers it."""
    return Line(
        upload_id=UPLOAD,
        line=number,
        reported_event_id=uuid.UUID(int=1_000 + number),
        authority=NORTH,
        sequence=1,
        received_at=AT,
        local_id=f"C-{number}",
    )


async def register(face: Hub, *numbers: int, expected: int | None = None) -> None:
    """Lines were read from the bus, and perhaps the trailer."""
    async with transaction(face.pool) as connection:
        await uploads.register(connection, [line(number) for number in numbers], [])
        if expected is not None:
            await uploads.expect(connection, UPLOAD, Trailer(expected))


async def answer(face: Hub, **codes: str) -> None:
    """Identity answers lines ``l1``, ``l2``, …"""
    async with transaction(face.pool) as connection:
        await uploads.answer(
            connection,
            {
                uuid.UUID(int=1_000 + int(name[1:])): Answer(code, "Because.")
                for name, code in codes.items()
            },
            now=AT,
        )


async def test_answers_come_as_they_become_known(face: Hub) -> None:
    """Not complete before the trailer's count is known and reached."""
    await register(face, 1, 2)
    await answer(face, l1="CPR06")
    async with face.client(NORTH) as client:
        page = await client.answers(UPLOAD)
        assert page is not None
        assert (page.expected, page.answered, page.complete) == (None, 1, False)
        assert [(one.line, one.local_id, one.code) for one in page.records] == [(1, "C-1", "CPR06")]
        await register(face, 3, expected=3)
        await answer(face, l2="CPR01", l3="CPR02")
        page = await client.answers(UPLOAD)
        assert page is not None
        assert (page.expected, page.answered, page.complete) == (3, 3, True)
        assert [one.text for one in page.records] == [
            TEXTS["CPR06"],
            TEXTS["CPR01"],
            TEXTS["CPR02"],
        ]
        assert page.records[0].detail == "Because."


async def test_lines_without_an_answer_are_shown_as_waiting(face: Hub) -> None:
    """Their code is null."""
    await register(face, 1)
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as plain:
        (record,) = (await plain.get(f"/uploads/{UPLOAD}")).json()["records"]
    assert (record["code"], record["text"], record["answered_at"]) == (None, None, None)


async def test_answers_are_paged_by_line(face: Hub) -> None:
    """`next_after` leads through all of them."""
    await register(face, *range(1, 8), expected=7)
    await answer(face, **{f"l{number}": "CPR06" for number in range(1, 8)})
    seen: list[int] = []
    after: int | None = 0
    async with face.client(NORTH) as client:
        while after is not None:
            page = await client.answers(UPLOAD, after=after, limit=3)
            assert page is not None
            assert len(page.records) <= 3
            seen.extend(one.line for one in page.records)
            after = page.next_after
    assert seen == list(range(1, 8))


async def test_following_gives_each_answer_once_until_complete(face: Hub) -> None:
    """The client polls; an answer that comes between two polls is not missed, whatever its line."""
    await register(face, 1, 2, 3, expected=3)
    await answer(face, l3="CPR06")
    told = []
    async with face.client(NORTH) as client:
        async for one in client.follow_answers(UPLOAD, seconds=10, interval=0.01):
            told.append(one.line)
            if one.line == 3:
                await answer(face, l1="CPR05", l2="CPR06")
    assert told == [3, 1, 2]


async def test_following_an_upload_that_nobody_reads_ends_with_advice(face: Hub) -> None:
    """It does not wait for ever."""
    async with face.client(NORTH) as client:
        answers = client.follow_answers(uuid.uuid4(), seconds=0.1, interval=0.01)
        with pytest.raises(HubUnavailable, match="identity worker"):
            await anext(answers)


async def test_an_upload_not_read_yet_is_404_with_advice(face: Hub) -> None:
    """It may have been answered 202 a moment ago."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as plain:
        response = await plain.get(f"/uploads/{uuid.uuid4()}")
    assert response.status_code == 404
    assert response.headers["retry-after"] == "2"
    assert "ask again" in response.json()["detail"]


@pytest.mark.parametrize(("other", "status"), [(SOUTH, 404), (INFIRMARY, 403)])
async def test_another_organisations_upload_is_not_there(
    face: Hub, other: str, status: int
) -> None:
    """The same answer as for an id that does not exist; a hospital asks for no upload at all."""
    await register(face, 1, expected=1)
    async with httpx.AsyncClient(base_url=face.url) as plain:
        there = await plain.get(f"/uploads/{UPLOAD}", headers=bearer(other))
        nowhere = await plain.get(f"/uploads/{uuid.uuid4()}", headers=bearer(other))
    assert there.status_code == nowhere.status_code == status
    assert there.json() == nowhere.json()
