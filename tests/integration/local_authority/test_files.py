"""CSV files over real HTTP onto a real bus, and the answer to a file as a whole."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from connectors.local_authority.client import AnswerPage, HubRefused
from halyard import ids
from halyard.postgres import transaction
from schemas import codec
from schemas.events import FlagSubmitted, MessageRejected, PlanType, SubmissionKind
from schemas.topics import FLAG_SUBMITTED, MESSAGE_REJECTED
from stores import coverage, uploads
from stores.uploads import Answer, Line, Trailer
from tests.support.face import NORTH, ORDERED, Hub, bearer, flag, hub, lines, settings
from tests.support.services import Database

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HEADER = b"NHS Number;Surname;Forenames;DOB;Plan type;Start date;Local ID\r\n"
ROW = b'999 000 0018;Testfield;"Robin\nAlex";04/03/2017;cpp;06/01/2025;C-1\r\n'


@pytest.fixture
async def face(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Hub]:
    """A hub on the bus, without a database."""
    made = settings(bootstrap=kafka_bootstrap, namespace=namespace, oldest_client_version="2.1")
    async with hub(made) as running:
        yield running


@pytest.fixture
async def answering(database: Database) -> AsyncIterator[Hub]:
    """A hub on a database; no broker is there (none is needed to read answers)."""
    async with hub(settings(database_url=database.url), connect=False) as running:
        yield running


async def submitted(face: Hub) -> list[FlagSubmitted]:
    """What is on the bus now, by line."""
    found = [
        codec.decode_as(FlagSubmitted, one.value) for one in await face.records(FLAG_SUBMITTED)
    ]
    return sorted(found, key=lambda one: one.line)


async def test_a_csv_file_becomes_the_same_records_as_json_lines(face: Hub) -> None:
    """Bad rows are named by line and column; the trailer counts and digests the file."""
    bad = ROW.replace(b"06/01/2025", b"6/1/25")
    async with face.client(NORTH) as client:
        receipt = await client.upload(HEADER + ROW + bad + ROW, file_format="csv")
    assert (receipt.accepted, receipt.refused_count) == (2, 1)
    (refused,) = receipt.refused
    assert (refused.line, refused.field, refused.rule) == (4, "start", "date.two_digit_year")
    first, second, trailer = await submitted(face)
    assert (first.line, second.line) == (2, 6)
    assert first.message == ROW.rstrip()
    assert first.record is not None
    assert first.claim is not None
    assert (first.record.plan_type, first.record.start) == (PlanType.CPP, "2025-01-06")
    assert (first.claim.nhs_number, first.claim.given) == ("9990000018", ("Robin", "Alex"))
    assert trailer.kind is SubmissionKind.TRAILER
    assert (trailer.count, trailer.refused, trailer.file_format) == (2, 1, "csv")
    assert trailer.file_digest
    (kept,) = [
        codec.decode_as(MessageRejected, one.value) for one in await face.records(MESSAGE_REJECTED)
    ]
    assert (kept.place, kept.head) == ("line 4, start", bad.rstrip())


async def test_a_file_without_a_readable_header_is_refused_and_known(face: Hub) -> None:
    """422 with CPF01, line and column; the trailer tells those behind that nothing was taken."""
    with pytest.raises(HubRefused) as caught:
        async with face.client(NORTH) as client:
            await client.upload(HEADER.replace(b"DOB", b"Surname") + ROW * 2_000, file_format="csv")
    problem = caught.value.problem
    assert (caught.value.status, problem["file_code"], problem["accepted"]) == (422, "CPF01", 0)
    assert [(one["place"], one["rule"]) for one in problem["errors"]] == [
        ("line 1, family", "header.twice")
    ]
    (trailer,) = await submitted(face)
    assert str(trailer.upload_id) == problem["upload_id"]
    assert (trailer.count, trailer.marks, trailer.file_digest) == (0, ("header.twice",), None)
    assert len(await face.records(MESSAGE_REJECTED)) == 1


async def test_the_same_bytes_have_the_same_digest_under_any_number(face: Hub) -> None:
    """And other bytes another; the digest is keyed, so nobody guesses a file."""
    async with face.client(ORDERED) as client:
        for sequence, body in ((1, lines(flag())), (2, lines(flag())), (3, b"")):
            await client.upload(body, sequence=sequence)
    digests = {
        one.sequence: one.file_digest
        for one in await submitted(face)
        if one.kind is SubmissionKind.TRAILER
    }
    assert digests[1] == digests[2] != digests[3]


async def test_a_client_that_states_an_old_version_is_told_so(face: Hub) -> None:
    """CPF06, and nothing is read; who states none, or a newer one, is taken."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as plain:
        for version, status in (("2.0.9", 422), ("odd", 422), ("2.1", 202), ("2.10", 202)):
            headers = {"Content-Type": "application/x-ndjson", "Halyard-Client-Version": version}
            response = await plain.post("/uploads", content=b"", headers=headers)
            assert response.status_code == status, version
            assert response.json().get("file_code") == ("CPF06" if status == 422 else None)


async def arrive(
    face: Hub,
    number: int,
    trailer: Trailer | None,
    *,
    codes: tuple[str | None, ...] = (),
    at: datetime = AT,
    authority: str = ORDERED,
    sender: bool = True,
) -> uuid.UUID:
    """An upload of `authority` under `number`, as identity registers and answers it."""
    upload_id = ids.derive("upload", authority, number)
    made = [
        Line(
            upload_id=upload_id,
            line=line,
            reported_event_id=ids.derive("event", str(upload_id), line),
            authority=authority,
            sequence=number if sender else int(at.timestamp() * 1_000_000),
            received_at=at,
        )
        for line in range(1, len(codes) + 2)
    ]
    known = {
        one.reported_event_id: Answer(*code.split(maxsplit=1))
        for one, code in zip(made, codes, strict=False)
        if code
    }
    async with transaction(face.pool) as connection:
        await uploads.register(connection, made[:-1], made[-1:])
        if trailer is not None:
            await uploads.expect(connection, upload_id, trailer)
        await uploads.answer(connection, known, now=at)
    return upload_id


async def page_of(face: Hub, upload_id: uuid.UUID, authority: str = ORDERED) -> AnswerPage:
    """The upload's answers."""
    async with face.client(authority) as client:
        page = await client.answers(upload_id)
    assert page is not None
    return page


async def test_the_file_is_answered_with_its_counts(answering: Hub) -> None:
    """A restricted record counts by what became of it; refused lines count too."""
    upload = await arrive(
        answering,
        1,
        Trailer(4, refused=2, format="csv", digest="d1"),
        codes=("CPR06", "CPR05 held on", "CPR02 held on the restricted path", "CPR02 not held: x"),
    )
    file = (await page_of(answering, upload)).file
    assert (file.code, file.final, file.refused) == ("CPF03", True, 2)
    assert file.counts == {"CPR02": 2, "CPR05": 1, "CPR06": 1}
    whole = await arrive(
        answering, 2, Trailer(2), codes=("CPR06", "CPR02 deleted: the plan is no longer held")
    )
    assert (await page_of(answering, whole)).file.code == "CPF02"
    none = await arrive(answering, 3, Trailer(1), codes=("CPR04",))
    assert (await page_of(answering, none)).file.code == "CPF04"


async def test_while_pds_is_away_the_file_waits_and_says_so(answering: Hub) -> None:
    """CPF05 is not final; it goes when PDS answers again."""
    upload = await arrive(answering, 1, Trailer(2), codes=("CPR06", None))
    assert (await page_of(answering, upload)).file.code is None
    async with transaction(answering.pool) as connection:
        await connection.execute("update pds_ration set breaker_until = now(), failures = 5")
    file = (await page_of(answering, upload)).file
    assert (file.code, file.final) == ("CPF05", False)
    async with transaction(answering.pool) as connection:
        await connection.execute("update pds_ration set breaker_until = null, failures = 0")
    assert (await page_of(answering, upload)).file.code is None


async def test_a_repeated_file_is_recognised_for_thirty_days(answering: Hub) -> None:
    """By its bytes, whatever its number; another authority's, an empty one and an old one not."""

    def trailer(count: int = 1, digest: str = "same") -> Trailer:
        return Trailer(count, format="csv", digest=digest)

    async def repeat_of(upload: uuid.UUID, authority: str = ORDERED) -> str | None:
        return (await page_of(answering, upload, authority)).file.repeat_of

    first = await arrive(answering, 1, trailer(), codes=("CPR06",))
    second = await arrive(answering, 2, trailer(), codes=("CPR06",), at=AT + timedelta(days=29))
    much_later = AT + timedelta(days=60)
    third = await arrive(answering, 3, trailer(), codes=("CPR06",), at=much_later)
    other = await arrive(answering, 4, trailer(), codes=("CPR06",), authority=NORTH)
    empty = [await arrive(answering, number, trailer(0, "empty")) for number in (5, 6)]
    assert await repeat_of(first) is None
    assert await repeat_of(second) == str(first)
    assert await repeat_of(third) is None
    assert await repeat_of(other, NORTH) is None
    assert [await repeat_of(one) for one in empty] == [None, None]


async def test_a_gap_and_a_late_file_are_told_as_they_stand(answering: Hub) -> None:
    """What was missing may come yet; numbers of receipt are no sender's numbers."""

    async def note(upload: uuid.UUID) -> str | None:
        return (await page_of(answering, upload)).file.sequence_note

    before = AT - timedelta(days=1)
    await arrive(answering, 99, Trailer(0), at=before, sender=False)
    first = await arrive(answering, 5, Trailer(0))
    third = await arrive(answering, 7, Trailer(0), at=AT + timedelta(minutes=1))
    assert await note(first) is None
    assert await note(third) == "gap: expected 6, got 7"
    second = await arrive(answering, 6, Trailer(0), at=AT + timedelta(minutes=2))
    assert (await note(second) or "").startswith("late: ")
    assert await note(third) is None


async def test_another_file_under_a_used_number_is_told(answering: Hub) -> None:
    """But a number whose file was refused as a whole may be used again."""
    again = Trailer(0, format="csv", digest="other")
    used = await arrive(answering, 5, Trailer(0, digest="first"))
    assert await arrive(answering, 5, again) == used
    assert ((await page_of(answering, used)).file.sequence_note or "").startswith("reused: ")
    refused = await arrive(answering, 6, Trailer(0, refused=1, rule="header.none"))
    assert (await page_of(answering, refused)).file.code == "CPF01"
    await arrive(answering, 6, again)
    file = (await page_of(answering, refused)).file
    assert (file.code, file.sequence_note) == ("CPF02", None)


async def test_a_file_that_cannot_be_read_changes_no_answer_of_the_one_before(
    answering: Hub,
) -> None:
    """Its number's plans are held: nobody is told that nothing was taken; and what comes under the
    number after it is still another file."""
    good = Trailer(2, format="csv", digest="first")
    used = await arrive(answering, 7, good, codes=("CPR06", "CPR06"))
    unreadable = Trailer(0, refused=1, format="csv", rule="file.workbook")
    assert await arrive(answering, 7, unreadable) == used
    page = await page_of(answering, used)
    assert (page.file.code, page.file.final, page.file.refused) == ("CPF02", True, 0)
    assert (page.expected, page.answered, page.file.sequence_note) == (2, 2, None)
    await arrive(answering, 7, Trailer(2, format="csv", digest="other"))
    assert ((await page_of(answering, used)).file.sequence_note or "").startswith("reused: ")


async def test_a_number_whose_first_file_was_refused_is_used_by_the_next(answering: Hub) -> None:
    """Refused, refused again, taken, refused: the file that was taken is answered, and another one
    after it is told."""
    unreadable = Trailer(0, refused=1, rule="header.none")
    for trailer in (unreadable, unreadable, Trailer(1, digest="first"), unreadable):
        upload = await arrive(answering, 8, trailer, codes=("CPR06",) if trailer.digest else ())
    file = (await page_of(answering, upload)).file
    assert (file.code, file.sequence_note) == ("CPF02", None)
    await arrive(answering, 8, Trailer(1, digest="other"))
    assert ((await page_of(answering, upload)).file.sequence_note or "").startswith("reused: ")


async def test_a_file_that_cannot_be_read_is_no_sign_of_life(answering: Hub) -> None:
    """An authority whose every file is refused is not covered by them."""
    await arrive(answering, 1, Trailer(0, refused=1, rule="header.none"), authority=NORTH)
    async with transaction(answering.pool) as connection:
        assert await coverage.coverage(connection) == {}
