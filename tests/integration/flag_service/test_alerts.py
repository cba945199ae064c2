"""Alerts over real HTTP, a real bus and a real database: list, accept, and crashes of accept."""

from __future__ import annotations

import asyncio
import json
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psycopg
import pytest
from aiokafka.structs import ConsumerRecord

from connectors.local_authority.client import HubClient, HubRefused, HubUnavailable
from halyard.kafka import header
from halyard.settings import Settings
from schemas import codec
from schemas.events import AlertReceipt, Rung
from schemas.topics import ALERT_RECEIPT
from stores import alerts
from tests.support.alerts import AT, NUMBER, TRACE, alert, save
from tests.support.face import (
    CLINIC,
    CONTACT,
    INFIRMARY,
    NORTH,
    SOUTH,
    TOKENS,
    Hub,
    bearer,
    environment,
    hub,
    settings,
    topic_records,
)
from tests.support.processes import Process
from tests.support.services import Database
from tests.support.settled import settled
from tests.support.waiting import aeventually

ANSWER = "Known to us; the duty worker comes at once."


@pytest.fixture
def made(kafka_bootstrap: str, namespace: str, database: Database) -> Settings:
    """Settings of a face with everything behind it."""
    return settings(bootstrap=kafka_bootstrap, namespace=namespace, database_url=database.url)


@pytest.fixture
async def face(made: Settings) -> AsyncIterator[Hub]:
    """The face itself."""
    async with hub(made) as running:
        yield running


def rows(database: Database, statement: str) -> list[tuple[object, ...]]:
    """What a query gives now."""
    with psycopg.connect(database.url, options="-c search_path=halyard") as connection:
        return connection.execute(statement.encode()).fetchall()


async def test_an_authority_sees_its_alerts_and_nobody_elses(face: Hub) -> None:
    """Rows of other organisations are invisible; a hospital sees those of its own visits."""
    await save(face.pool, alert(1), alert(2, authority=SOUTH), alert(3, hospital=CLINIC))
    for organisation, expected in ((NORTH, [1, 3]), (SOUTH, [2]), (INFIRMARY, [1, 2])):
        async with face.client(organisation) as client:
            page = await client.alerts()
        assert [uuid.UUID(one["alert_id"]).int for one in page.alerts] == expected


async def test_an_alert_says_why_and_whom_to_ring_and_hides_the_number(face: Hub) -> None:
    """The authority knows the child by its own id; a hospital is not told that id."""
    await save(face.pool, alert(1))
    async with face.client(NORTH) as client:
        page = await client.alerts()
    (seen,) = page.alerts
    assert seen["visit"]["department"] == "Emergency Department"
    assert seen["visit"]["reason"] == "Fall"
    assert seen["hospital"]["callback"]["phone"] == "01632 960100"
    assert seen["flags"][0]["local_id"] == "C-1"
    assert (seen["state"], seen["version"], seen["round"]) == ("raised", 1, 1)
    async with face.client(INFIRMARY) as client:
        other = await client.alerts()
    assert "local_id" not in other.alerts[0]["flags"][0]
    assert NUMBER not in json.dumps([seen, other.alerts])


async def test_a_restricted_childs_alert_is_in_nobodys_list(face: Hub) -> None:
    """Neither the hospital's nor the authority's: only the contact for restricted people, who
    has it by webhook, knows its id, with which the authority accepts it.
    """
    await save(face.pool, alert(1, restricted=True))
    for organisation in (INFIRMARY, NORTH):
        async with face.client(organisation) as client:
            assert (await client.alerts()).alerts == ()
    async with face.client(SOUTH) as client:
        with pytest.raises(HubRefused):
            await client.accept(uuid.UUID(int=1), by="desk", answer=ANSWER)
    async with face.client(NORTH) as client:
        done = await client.accept(uuid.UUID(int=1), by="desk", answer=ANSWER)
        assert (done["state"], done["changed"]) == ("accepted", True)
        assert (await client.alerts()).alerts == ()


async def test_an_alert_that_becomes_restricted_is_closed_in_the_list(face: Hub) -> None:
    """Whoever had it in a list is told that it is withheld, and nothing else of it, whatever state
    they asked for.
    """
    hidden = alert(1, restricted=True, withheld_at=AT, version=2, state="accepted")
    await save(face.pool, hidden, alert(2))
    for organisation in (INFIRMARY, NORTH):
        async with face.client(organisation) as client:
            page = await client.alerts()
        assert [one["state"] for one in page.alerts] == ["withheld", "raised"]
        assert set(page.alerts[0]) == {"alert_id", "version", "state", "changed_at"}
        async with face.pool.connection() as connection:
            found = await alerts.page_for_organisation(
                connection, organisation, states=["raised"], withheld=True
            )
        assert len(found.rows) == 2


async def test_the_list_goes_on_after_its_cursor(face: Hub) -> None:
    """Page by page, each once; then what changed since."""
    await save(face.pool, *(alert(number) for number in range(1, 6)))
    await settled(face.pool)
    seen: list[int] = []
    async with face.client(NORTH) as client:
        after, more = None, True
        while more:
            page = await client.alerts(after=after, limit=2)
            seen.extend(uuid.UUID(one["alert_id"]).int for one in page.alerts)
            after, more = page.next, page.more
        assert seen == [1, 2, 3, 4, 5]
        assert (await client.alerts(after=after)).alerts == ()
        await client.accept(uuid.UUID(int=2), by="duty desk", answer=ANSWER)
        page = await client.alerts(after=after)
        assert [(one["state"], one["answer"]) for one in page.alerts] == [("accepted", ANSWER)]
        assert [
            uuid.UUID(one["alert_id"]).int
            for one in (await client.alerts(states=["raised"])).alerts
        ] == [1, 3, 4, 5]


async def test_following_gives_each_change_once(face: Hub) -> None:
    """`halyard alerts follow` in small."""
    await save(face.pool, alert(1), alert(2))
    seen: list[tuple[int, str]] = []
    async with face.client(NORTH) as client:
        stopping = asyncio.Event()
        async for one in client.follow_alerts(interval=0.01, stopping=stopping):
            seen.append((uuid.UUID(one["alert_id"]).int, one["state"]))
            if len(seen) == 2:
                await client.accept(uuid.UUID(int=1), by="duty desk", answer=ANSWER)
            if len(seen) == 3:
                stopping.set()
    assert seen == [(1, "raised"), (2, "raised"), (1, "accepted")]


async def test_accepting_tells_bus_and_hospital(face: Hub, database: Database) -> None:
    """One receipt on the bus under the alert's trace, one row for the hospital's contact."""
    await save(face.pool, alert(1))
    async with face.client(NORTH) as client:
        done = await client.accept(uuid.UUID(int=1), by="duty desk", answer=ANSWER)
    assert (done["state"], done["changed"], done["answer"]) == ("accepted", True, ANSWER)
    (record,) = await face.records(ALERT_RECEIPT)
    receipt = codec.decode_as(AlertReceipt, record.value)
    assert (receipt.rung, receipt.by, receipt.answer) == (Rung.ACCEPTED, "duty desk", ANSWER)
    assert record.key.decode() == str(uuid.UUID(int=1))
    assert header(record.headers, "traceparent") == TRACE
    ((destination, kind, body),) = rows(database, "select destination, kind, body from deliveries")
    assert (destination, kind) == (CONTACT, "receipt")
    assert isinstance(body, bytes)
    assert json.loads(body)["answer"] == ANSWER
    assert rows(database, "select count(*) from outbox where published_at is null") == [(0,)]


async def test_accepting_again_changes_nothing(face: Hub, database: Database) -> None:
    """Whoever was first stays; there is one receipt and one row for the hospital."""
    await save(face.pool, alert(1))
    async with face.client(NORTH) as client:
        first = await client.accept(uuid.UUID(int=1), by="duty desk", answer=ANSWER)
        again = await client.accept(uuid.UUID(int=1), by="somebody else", answer="Other.")
    assert (first["changed"], again["changed"]) == (True, False)
    assert {**again, "changed": True} == first
    assert len(await face.records(ALERT_RECEIPT)) == 1
    assert rows(database, "select count(*) from deliveries") == [(1,)]


async def test_many_at_once_make_one_acceptance(face: Hub, database: Database) -> None:
    """Ten people press the button in the same moment."""
    await save(face.pool, alert(1))
    async with face.client(NORTH) as client:
        done = await asyncio.gather(
            *(
                client.accept(uuid.UUID(int=1), by=f"desk {number}", answer=ANSWER)
                for number in range(10)
            )
        )
    assert sum(one["changed"] for one in done) == 1
    assert len({one["accepted_by"] for one in done}) == 1
    assert len(await face.records(ALERT_RECEIPT)) == 1
    assert rows(database, "select count(*) from deliveries") == [(1,)]
    assert rows(database, "select version from alerts") == [(2,)]


@pytest.mark.parametrize(
    ("other", "answer"),
    [(SOUTH, (404, "alert.not_known")), (INFIRMARY, (403, "access.role_not_allowed"))],
)
async def test_only_the_authority_that_owns_it_may_accept(
    face: Hub, database: Database, other: str, answer: tuple[int, str]
) -> None:
    """To others the alert is not there; the hospital that may see it accepts nothing."""
    await save(face.pool, alert(1))
    async with face.client(other) as client:
        for alert_id in (uuid.UUID(int=1), uuid.uuid4()):
            with pytest.raises(HubRefused) as caught:
                await client.accept(alert_id, by="duty desk", answer=ANSWER)
            assert (caught.value.status, caught.value.rule) == answer
    assert rows(database, "select state from alerts") == [("raised",)]


async def test_what_is_withdrawn_or_has_changed_is_not_accepted(face: Hub) -> None:
    """409 that says which: an alert that is over, or one that got another plan meanwhile."""
    await save(face.pool, alert(1, state="withdrawn", withdrawn_at=AT), alert(2, round=2))
    async with face.client(NORTH) as client:
        for number, rule in ((1, "alert.withdrawn"), (2, "alert.other_round")):
            with pytest.raises(HubRefused) as caught:
                await client.accept(uuid.UUID(int=number), by="desk", answer=ANSWER, round_=1)
            assert (caught.value.status, caught.value.rule) == (409, rule)
        assert (await client.accept(uuid.UUID(int=2), by="desk", answer=ANSWER, round_=2))[
            "changed"
        ]


async def test_a_bad_acceptance_or_cursor_is_422_and_not_echoed(face: Hub) -> None:
    """An answer text is asked for."""
    await save(face.pool, alert(1))
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as plain:
        path = f"/alerts/{uuid.UUID(int=1)}/accept"
        for body in (
            {"by": NUMBER},
            {"by": "x", "answer": " "},
            {"by": "x", "answer": "y", NUMBER: 1},
        ):
            response = await plain.post(path, json=body)
            assert response.status_code == 422
            assert NUMBER not in response.text
        response = await plain.get("/alerts", params={"after": NUMBER})
        assert response.status_code == 422
        assert NUMBER not in response.text


async def test_accepting_does_not_wait_for_a_broker_that_is_away(
    database: Database, namespace: str
) -> None:
    """The acceptance holds; the receipt waits in the outbox for the sweeper."""
    made = settings(namespace=namespace, database_url=database.url)
    async with hub(made, connect=False) as face:
        await save(face.pool, alert(1))
        async with face.client(NORTH) as client:
            assert (await client.accept(uuid.UUID(int=1), by="desk", answer=ANSWER))["changed"]
    assert rows(database, "select count(*) from outbox where published_at is null") == [(1,)]
    assert rows(database, "select count(*) from deliveries where state = 'open'") == [(1,)]


@contextmanager
def serving(made: Settings, place: Path, name: str, **extra: str) -> Iterator[tuple[Process, str]]:
    """The real process, and its base URL."""
    process = Process(
        (sys.executable, "-m", "tests.support.serve"),
        directory=place,
        name=name,
        env=environment(made, place, **extra),
    )
    with process:
        log = process.wait_for('"serving"', 30)
        port = next(
            json.loads(line)["port"] for line in log.splitlines() if '"event": "serving"' in line
        )
        yield process, f"http://127.0.0.1:{port}"


async def accept(url: str) -> dict[str, object]:
    """Accept the first alert."""
    async with HubClient(url, TOKENS[NORTH]) as client:
        return await client.accept(uuid.UUID(int=1), by="duty desk", answer=ANSWER)


@pytest.mark.parametrize("point", ["before_commit", "after_commit", "after_produce"])
async def test_accept_killed_anywhere_loses_nothing_and_repeats_are_the_same(
    face: Hub, made: Settings, database: Database, tmp_path: Path, point: str
) -> None:
    """Before the commit nothing has happened and the retry does it; after it, the receipt comes by
    the sweeper; between produce and mark it comes twice, with the same id and bytes."""
    await save(face.pool, alert(1))
    with serving(made, tmp_path, "killed", HALYARD_FAULT=f"accept.{point}:kill") as (process, url):
        await aeventually(lambda: "broker_connected" in process.log_text(), 30)
        with pytest.raises(HubUnavailable):
            await accept(url)
        assert process.wait(10) == -9
    state = "raised" if point == "before_commit" else "accepted"
    assert rows(database, "select state from alerts") == [(state,)]
    with serving(made, tmp_path, "again") as (_, url):
        again = await accept(url)
        assert again["changed"] is (point == "before_commit")
        assert again["answer"] == ANSWER

        async def receipts() -> list[ConsumerRecord]:
            published = rows(database, "select count(*) from outbox where published_at is null")
            return await topic_records(made, ALERT_RECEIPT) if published == [(0,)] else []

        found = await aeventually(receipts, 20)
    assert len(found) == (2 if point == "after_produce" else 1)
    assert len({(record.key, record.value, tuple(record.headers)) for record in found}) == 1
    assert rows(database, "select count(*) from deliveries") == [(1,)]


async def test_the_process_serves_without_a_broker_and_stops_when_told(
    database: Database, namespace: str, tmp_path: Path
) -> None:
    """Look-ups go on; status says what is away; SIGTERM ends it cleanly."""
    made = settings(namespace=namespace, database_url=database.url)
    with serving(made, tmp_path, "alone") as (process, url):
        async with httpx.AsyncClient(base_url=url) as plain:

            async def warns() -> bool:
                return bool((await plain.get("/_status")).json()["status"] == "warn")

            await aeventually(warns, 15)
            status = (await plain.get("/_status")).json()
            assert status["checks"]["postgresql:status"][0]["status"] == "pass"
            assert status["checks"]["kafka:status"][0]["status"] == "fail"
            assert (await plain.get("/livez")).status_code == 200
            ready = await plain.get("/readyz")
            assert ready.status_code == 503
            assert set(ready.json()["reasons"]) == {"kafka"}
            assert (await plain.get("/alerts", headers=bearer(NORTH))).json()["alerts"] == []
        assert process.terminate(15) == 0
