"""Flag files over real HTTP onto a real bus; no database stands behind (none is needed)."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from aiokafka.structs import ConsumerRecord
from prometheus_client import generate_latest

from connectors.local_authority.client import HubRefused, HubUnavailable
from halyard import metrics
from halyard.kafka import header
from schemas import codec
from schemas.events import FlagSubmitted, MessageRejected, PlanType, SubmissionKind
from schemas.topics import FLAG_SUBMITTED, MESSAGE_REJECTED
from tests.support.face import (
    INFIRMARY,
    KEYS,
    NORTH,
    ORDERED,
    TOKENS,
    Hub,
    bearer,
    flag,
    hub,
    lines,
    raw,
    real_logs,
    settings,
)
from tests.support.waiting import aeventually

NDJSON = {"Content-Type": "application/x-ndjson"}


@pytest.fixture
async def face(kafka_bootstrap: str, namespace: str) -> AsyncIterator[Hub]:
    """A hub on the bus, with small limits, without a database."""
    made = settings(
        bootstrap=kafka_bootstrap,
        namespace=namespace,
        max_upload_bytes=400_000,
        max_upload_line_bytes=2_000,
    )
    async with hub(made) as running:
        yield running


def events(records: list[ConsumerRecord]) -> list[FlagSubmitted]:
    """Submitted flags and trailers, by line."""
    found = [codec.decode_as(FlagSubmitted, record.value) for record in records]
    return sorted(found, key=lambda event: event.line)


async def submitted(face: Hub) -> list[FlagSubmitted]:
    """What is on the bus now."""
    return events(await face.records(FLAG_SUBMITTED))


def stopped_uploads() -> float:
    """Uploads that broke off, as the metrics count them."""
    labels = {"route": "/uploads", "status": "400"}
    return metrics.registry.get_sample_value("halyard_http_requests_total", labels) or 0.0


async def test_every_line_is_on_the_bus_when_202_is_answered(face: Hub) -> None:
    """Records and a trailer with their count; the sender's bytes stay with each."""
    file = lines(flag(), flag(local_id="C-2", plan_type="UCP", la_gss=NORTH))
    async with face.client(NORTH) as client:
        receipt = await client.upload(file)
    assert (receipt.accepted, receipt.refused_count) == (2, 0)
    first, second, trailer = await submitted(face)
    assert [one.upload_id for one in (first, second, trailer)] == [receipt.upload_id] * 3
    assert first.message == file.split(b"\n")[0]
    assert first.claim is not None
    assert first.claim.nhs_number == "9990000018"
    assert second.record is not None
    assert second.record.plan_type is PlanType.UCPP
    assert (trailer.kind, trailer.count, trailer.line) == (SubmissionKind.TRAILER, 2, 3)
    assert (first.source, first.organisation) == (NORTH, NORTH)


async def test_records_carry_cloudevents_headers_and_pseudonyms_as_keys(face: Hub) -> None:
    """One traceparent each; the first line goes on with the sender's trace."""
    trace = f"00-{uuid.uuid4().hex}-{uuid.uuid4().hex[:16]}-01"
    async with face.client(NORTH) as client:
        await client.upload(lines(flag(), flag(local_id="C-2")), traceparent=trace)
    records = await face.records(FLAG_SUBMITTED)
    traces = {}
    for record in records:
        event = codec.decode_as(FlagSubmitted, record.value)
        assert header(record.headers, "ce_id") == str(event.event_id)
        assert header(record.headers, "ce_type") == "uk.halyard.FlagSubmitted"
        assert header(record.headers, "ce_source") == f"/halyard/{NORTH}"
        assert record.key.decode() == event.source_person
        assert record.timestamp == int(event.received_at.timestamp() * 1000)
        traces[event.line] = header(record.headers, "traceparent")
    assert traces[1] == traces[3] == trace
    assert traces[2] != trace
    keys = {one.line: one.source_person for one in events(records)}
    assert keys[1] == KEYS.source_person(NORTH, "C-1", None, None)


async def test_one_person_of_one_authority_is_always_under_one_key(face: Hub) -> None:
    """With and without a number, so that later lines never overtake earlier ones."""
    async with face.client(NORTH) as client:
        await client.upload(lines(flag(), flag(nhs_number=None), flag(nhs_number="9990000026")))
    assert len({one.source_person for one in (await submitted(face))[:3]}) == 1


async def test_broken_lines_are_named_and_the_rest_goes_through(face: Hub) -> None:
    """Line, field, rule and what to do; the broken bytes are kept."""
    broken = json.dumps(flag(birth_date="yesterday")).encode()
    async with face.client(NORTH) as client:
        receipt = await client.upload(
            lines(
                flag(),
                broken,
                b"",
                b"{not json",
                flag(local_id="C-5", start=None, shoe_size="38"),
                b'{"family": "' + b"x" * 3_000 + b'"}',
                flag(local_id="C-7"),
            )
        )
    assert receipt.accepted == 2
    assert receipt.refused_count == 4
    assert {(one.line, one.field, one.rule) for one in receipt.refused} == {
        (2, "birth_date", "date.not_iso"),
        (4, "", "line.not_json"),
        (5, "shoe_size", "column.unknown"),
        (6, "", "line.too_long"),
    }
    assert all(one.message for one in receipt.refused)
    assert [one.line for one in await submitted(face)] == [1, 7, 8]
    assert (await submitted(face))[-1].count == 2
    kept = {
        one.place: one
        for one in (
            codec.decode_as(MessageRejected, record.value)
            for record in await face.records(MESSAGE_REJECTED)
        )
    }
    assert set(kept) == {"line 2, birth_date", "line 4", "line 5, shoe_size", "line 6"}
    assert kept["line 2, birth_date"].head == broken
    assert kept["line 2, birth_date"].transport == "http"
    assert kept["line 6"].truncated
    assert (kept["line 6"].length, len(kept["line 6"].head)) == (3_014, 2_000)


async def test_the_list_of_refusals_is_bounded_and_their_count_is_not(face: Hub) -> None:
    """A file with every line broken does not make an endless answer."""
    async with face.client(NORTH) as client:
        receipt = await client.upload(b"[]\n" * 1_500)
    assert (receipt.accepted, receipt.refused_count, len(receipt.refused)) == (0, 1_500, 1_000)


async def test_an_empty_file_is_taken(face: Hub) -> None:
    """An authority with nothing to say still says that it is there."""
    async with face.client(NORTH) as client:
        receipt = await client.upload(b"")
    (trailer,) = await submitted(face)
    assert (receipt.accepted, trailer.count, trailer.line) == (0, 0, 1)


async def test_a_large_file_is_streamed_in_order(face: Hub, tmp_path: Path) -> None:
    """Thousands of lines, more than may be in flight; each key's lines stay in order."""
    path = tmp_path / "flags.jsonl"
    amount = 1_600
    path.write_bytes(lines(*(flag(local_id=f"C-{n % 50}", family=f"F{n}") for n in range(amount))))
    async with face.client(NORTH) as client:
        receipt = await client.upload(path)
    assert (receipt.accepted, receipt.refused_count) == (amount, 0)
    last: dict[bytes, int] = {}
    records = await face.records(FLAG_SUBMITTED)
    assert len(records) == amount + 1
    for record in records:
        line = codec.decode_as(FlagSubmitted, record.value).line
        assert last.get(record.key, 0) < line
        last[record.key] = line


async def test_the_same_file_under_the_same_sequence_is_the_same_upload(face: Hub) -> None:
    """Upload id, event ids and order repeat: sending again is harmless."""
    file = lines(flag(), flag(local_id="C-2"))
    async with face.client(ORDERED) as client:
        first = await client.upload(file, sequence=7)
        again = await client.upload(file, sequence=7)
        other = await client.upload(file, sequence=8)
    assert first.upload_id == again.upload_id != other.upload_id
    found = await submitted(face)
    assert len(found) == 9
    assert len({one.event_id for one in found}) == 6
    assert {one.sequence for one in found} == {7, 8}


async def test_a_flag_made_again_later_is_not_taken_for_a_repeat(face: Hub) -> None:
    """The same line in a later file is a new event: between them it may have been deleted."""
    async with face.client(NORTH) as client:
        await client.upload(lines(flag()))
        await client.upload(lines(flag()))
    first, second = (one for one in await submitted(face) if one.record)
    assert first.event_id != second.event_id
    assert first.sequence != second.sequence


async def test_a_sequence_is_asked_for_where_the_directory_says_so(face: Hub) -> None:
    """Missing, zero, or not a number: 422 and nothing on the bus."""
    async with face.client(ORDERED) as client:
        with pytest.raises(HubRefused) as caught:
            await client.upload(lines(flag()))
        assert caught.value.status == 422
        assert caught.value.place == "query.sequence"
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(ORDERED)) as plain:
        for bad in ("0", "-1", "x", str(2**63)):
            response = await plain.post(
                f"/uploads?sequence={bad}", content=lines(flag()), headers=NDJSON
            )
            assert response.status_code == 422
    assert await face.records(FLAG_SUBMITTED) == []


async def test_only_authorities_upload_and_only_json_lines(face: Hub) -> None:
    """A hospital is 403; another content type, or a packed body, is 415."""
    async with face.client(INFIRMARY) as client:
        with pytest.raises(HubRefused) as caught:
            await client.upload(lines(flag()))
        assert caught.value.status == 403
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as plain:
        for headers in ({"Content-Type": "text/plain"}, {**NDJSON, "Content-Encoding": "gzip"}):
            response = await plain.post("/uploads", content=lines(flag()), headers=headers)
            assert response.status_code == 415
    assert await face.records(FLAG_SUBMITTED) == []


async def test_a_file_over_the_limit_is_413_and_tells_what_was_taken(face: Hub) -> None:
    """Announced, it is refused before anything is read; else when it is reached."""

    async with face.client(NORTH) as client:
        with pytest.raises(HubRefused) as caught:
            await client.upload(b" " * 400_001)
        assert caught.value.rule == "http.too_large"
        assert await face.records(FLAG_SUBMITTED) == []
    request = (
        f"POST /uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKENS[NORTH]}\r\n"
        "Content-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    ).encode()
    chunk = lines(*(flag() for _ in range(100)))
    request += (b"%x\r\n%s\r\n" % (len(chunk), chunk)) * (450_000 // len(chunk))
    answer = await raw(face.url, request + b"0\r\n\r\n", seconds=30)
    assert answer.status == 413
    body = answer.json()
    assert body["complete"] is False
    assert body["accepted"] > 100
    found = await submitted(face)
    assert len(found) >= body["accepted"]
    assert all(one.kind is SubmissionKind.RECORD for one in found)


async def test_a_file_that_breaks_off_has_no_trailer_and_no_half_line(face: Hub) -> None:
    """What came whole is taken; a piece of a line is never read as one."""
    before = stopped_uploads()
    body = lines(flag(local_id="C-1"), flag(local_id="C-2")) + b'{"local_id": "C-3"'
    head = (
        f"POST /uploads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKENS[NORTH]}\r\n"
        f"Content-Type: application/x-ndjson\r\nContent-Length: {len(body) + 500}\r\n\r\n"
    )
    host, _, port = face.url.removeprefix("http://").partition(":")
    _, writer = await asyncio.open_connection(host, int(port))
    writer.write(head.encode() + body)
    await writer.drain()

    async def taken() -> bool:
        return len(await face.records(FLAG_SUBMITTED)) == 2

    await aeventually(taken, 15)
    writer.close()
    await writer.wait_closed()
    await aeventually(lambda: stopped_uploads() > before, 15)
    found = await submitted(face)
    assert [one.kind for one in found] == [SubmissionKind.RECORD] * 2
    assert await face.records(MESSAGE_REJECTED) == []


async def test_broker_away_is_503_and_says_so(namespace: str) -> None:
    """Nothing is promised; the sender is told to send the whole file again."""
    async with hub(settings(namespace=namespace), connect=False) as face:
        async with face.client(NORTH) as client:
            with pytest.raises(HubUnavailable, match="Send the whole file again"):
                await client.upload(lines(flag()))
        async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as plain:
            response = await plain.post("/uploads", content=lines(flag()), headers=NDJSON)
        assert response.status_code == 503
        assert response.headers["content-type"] == "application/problem+json"
        assert response.json()["accepted"] == 0
        assert response.headers["retry-after"]


async def test_a_broker_lost_half_way_is_503_with_what_was_confirmed(face: Hub) -> None:
    """And the whole file sent again, under its sequence, completes the same upload."""
    async with face.client(ORDERED) as client:

        async def file(*, lose: bool) -> AsyncIterator[bytes]:
            yield lines(flag(local_id="C-1"))

            async def there() -> bool:
                return bool(await face.records(FLAG_SUBMITTED))

            await aeventually(there, 15)
            if lose:
                await face.bus.stop()
            yield lines(flag(local_id="C-2"))

        with pytest.raises(HubUnavailable) as caught:
            await client.upload(file(lose=True), sequence=3)
        assert caught.value.problem["accepted"] == 1
        assert [one.line for one in await submitted(face)] == [1]
        await face.bus.connect(asyncio.Event())
        receipt = await client.upload(file(lose=False), sequence=3)
    found = await submitted(face)
    assert str(receipt.upload_id) == caught.value.problem["upload_id"]
    assert {(one.line, one.kind) for one in found} == {
        (1, SubmissionKind.RECORD),
        (2, SubmissionKind.RECORD),
        (3, SubmissionKind.TRAILER),
    }
    assert len({one.event_id for one in found}) == 3


async def test_the_number_and_the_name_are_in_no_log_metric_header_or_key(
    face: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    """Canaries in good lines, broken lines, wrong columns and wrong places."""
    number, name = "9990000018", "Canaryfield"
    with real_logs():
        async with face.client(NORTH) as client:
            receipt = await client.upload(
                lines(
                    flag(nhs_number=number, family=name),
                    flag(nhs_number=number, family=name, start=number),
                    flag(**{number: name, name: number}),
                    f'{{"{number}": "{name}"'.encode(),
                )
            )
            with pytest.raises(HubUnavailable):
                await client.answers(receipt.upload_id)
    said = capfd.readouterr()
    logged = said.out + said.err + generate_latest(metrics.registry).decode()
    assert "http_not_done" in said.err
    assert number not in logged
    assert name not in logged
    for topic in (FLAG_SUBMITTED, MESSAGE_REJECTED):
        for record in await face.records(topic):
            outside = repr((record.topic, record.key, record.headers))
            assert number not in outside
            assert name not in outside
