"""The live list over real HTTP and a real database: nothing is skipped, and it is never silent."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import httpx
import orjson
import pytest
from starlette.types import Message

from connectors.local_authority.events import Event, Events
from flag_service.live import CHANNEL, Live, Pace, _Reader, _Stream
from halyard.caller import Caller, Credential
from halyard.postgres import transaction
from halyard.settings import Settings
from stores import alerts
from streams.delivery.listener import listen
from tests.support.alerts import AT, alert, save
from tests.support.face import (
    CLINIC,
    INFIRMARY,
    NORTH,
    SOUTH,
    Hub,
    bearer,
    desk_of,
    directory,
    environment,
    hub,
    settings,
)
from tests.support.processes import Process
from tests.support.services import Database
from tests.support.waiting import aeventually


@pytest.fixture
def made(database: Database) -> Settings:
    """Settings of a face with a database; no list needs the bus."""
    return settings(database_url=database.url)


@pytest.fixture
async def face(made: Settings) -> AsyncIterator[Hub]:
    """The face itself."""
    async with hub(made, connect=False) as running:
        yield running


@contextlib.asynccontextmanager
async def following(
    face: Hub, organisation: str = NORTH, **options: str
) -> AsyncIterator[AsyncIterator[Event]]:
    """A reader of the stream; `options` are ``after``, ``state`` and ``last_event_id``."""
    headers = bearer(organisation)
    if (last := options.pop("last_event_id", None)) is not None:
        headers["Last-Event-ID"] = last

    async def events(response: httpx.Response) -> AsyncIterator[Event]:
        found = Events()
        async for chunk in response.aiter_bytes():
            for event in found.feed(chunk):
                yield event

    async with (
        httpx.AsyncClient(base_url=face.url, timeout=10, trust_env=False) as http,
        http.stream("GET", "/alerts/stream", headers=headers, params=options) as response,
    ):
        assert response.status_code == 200, (await response.aread()).decode()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield events(response)


async def take(events: AsyncIterator[Event], count: int) -> list[int]:
    """The numbers of the next `count` alerts."""
    found: list[int] = []
    async with asyncio.timeout(10):
        while len(found) < count:
            event = await anext(events)
            if event.kind == "alert":
                found.append(number(orjson.loads(event.data)))
    return found


def number(one: dict[str, str]) -> int:
    """Which alert it is."""
    return uuid.UUID(one["alert_id"]).int


async def settled(face: Hub, last: int) -> str:
    """The cursor that stands after alert `last`."""

    async def place() -> str | None:
        async with face.client(NORTH) as client:
            page = await client.alerts()
        async with face.client(NORTH) as client:
            rest = await client.alerts(after=page.next)
        return page.next if not rest.alerts and number(page.alerts[-1]) == last else None

    return await aeventually(place, why="the list is settled") or ""


async def test_c20_what_commits_late_is_not_skipped_by_a_list(face: Hub) -> None:
    """Alert 10 is written first and commits after 11: a list that was read in between shows 11 at
    once, and going on from its cursor gives 10.
    """
    async with face.client(NORTH) as client:
        async with transaction(face.pool) as held:
            await alerts.save(held, [alert(10)])
            await save(face.pool, alert(11))
            first = await client.alerts()
            assert [number(one) for one in first.alerts] == [11]
        second = await client.alerts(after=first.next)
        assert [number(one) for one in second.alerts] == [10, 11]
    after = await settled(face, 11)
    async with face.client(NORTH) as client:
        assert (await client.alerts(after=after)).alerts == ()


async def test_c20_pages_go_on_while_another_transaction_runs(face: Hub) -> None:
    """A reading page by page has everything that is committed, each once; the cursor at its end
    stands before what was committed late.
    """
    async with face.client(NORTH) as client:
        async with transaction(face.pool) as held:
            await alerts.save(held, [alert(10)])
            await save(face.pool, *(alert(number) for number in (11, 12, 13)))
            seen: list[int] = []
            after, more = None, True
            while more:
                page = await client.alerts(after=after, limit=1)
                seen += [number(one) for one in page.alerts]
                after, more = page.next, page.more
            assert seen == [11, 12, 13]
        assert number((await client.alerts(after=after)).alerts[0]) == 10


async def test_c20_what_commits_late_is_not_skipped_by_the_live_list(face: Hub) -> None:
    """The reader has 11 while 10 is not committed, breaks off, comes back with the last id that it
    was given, and gets 10.
    """
    async with transaction(face.pool) as held:
        await alerts.save(held, [alert(10)])
        await save(face.pool, alert(11))
        async with following(face) as events:
            async with asyncio.timeout(10):
                event = await anext(events)
            assert number(orjson.loads(event.data)) == 11
    async with following(face, last_event_id=event.last_id or "") as events:
        assert sorted(await take(events, 2)) == [10, 11]


async def test_c20_a_connection_that_stays_has_the_late_one_once(face: Hub) -> None:
    """On one connection each version comes once, the late one too, and then the id moves on."""
    async with following(face) as events:
        async with transaction(face.pool) as held:
            await alerts.save(held, [alert(10)])
            await save(face.pool, alert(11))
            assert await take(events, 1) == [11]
        assert await take(events, 1) == [10]
        await save(face.pool, alert(12))
        assert await take(events, 1) == [12]


@pytest.mark.parametrize("way", ["last_event_id", "after"])
async def test_a_reader_goes_on_where_it_was(face: Hub, way: str) -> None:
    """By the header that browsers send, or by the cursor of a list."""
    await save(face.pool, alert(1), alert(2))
    after = await settled(face, 2)
    await save(face.pool, alert(3))
    async with following(face, **{way: after}) as events:
        assert await take(events, 1) == [3]


async def test_a_reader_sees_its_own_alerts_and_states(face: Hub) -> None:
    """An authority its own, a hospital those of its visits, no restricted person's; by state."""
    await save(
        face.pool,
        alert(1),
        alert(2, authority=SOUTH),
        alert(3, hospital=CLINIC),
        replace(alert(4), restricted=True),
        replace(alert(5), state="withdrawn"),
        alert(6),
    )
    for organisation, expected in ((NORTH, {1, 3, 5, 6}), (SOUTH, {2}), (INFIRMARY, {1, 2, 5, 6})):
        async with following(face, organisation) as events:
            assert set(await take(events, len(expected))) == expected
    async with following(face, state="withdrawn") as events:
        assert await take(events, 1) == [5]


@pytest.mark.parametrize("options", [{}, {"state": "raised"}])
async def test_an_alert_that_becomes_restricted_is_withheld_from_who_was_shown_it(
    face: Hub, options: dict[str, str]
) -> None:
    """Its place in every list is closed, whatever states were asked for: it says `withheld`, and
    nothing else of it. Who comes later is told no more.
    """
    since = AT + timedelta(hours=1)
    hidden = alert(1, restricted=True, withheld_at=since, version=2, state="accepted")
    withheld = {
        "alert_id": str(hidden.alert_id),
        "version": 2,
        "state": "withheld",
        "changed_at": since.isoformat(),
    }

    async def shown(events: AsyncIterator[Event]) -> dict[str, str]:
        async with asyncio.timeout(10):
            async for event in events:
                if event.kind == "alert":
                    found: dict[str, str] = orjson.loads(event.data)
                    return found
        raise AssertionError

    async with (
        following(face, INFIRMARY, **options) as hospital,
        following(face, NORTH, **options) as authority,
    ):
        await save(face.pool, alert(1))
        assert (await shown(hospital))["state"] == (await shown(authority))["state"] == "raised"
        await save(face.pool, hidden)
        assert await shown(hospital) == await shown(authority) == withheld
    async with following(face, NORTH, **options) as events:
        assert await shown(events) == withheld


async def test_hints_leave_a_pause_between_two_readings_of_a_list(made: Settings) -> None:
    """However many changes there are, a list is not read without end."""
    async with hub(made, connect=False, pace=Pace(poll=60, rest=0.15)) as face:

        def readings() -> int:
            return face.asking.get_stats()["requests_num"]

        async with following(face):
            before, started = readings(), time.monotonic()

            def three() -> bool:
                face.lists.hint()
                return readings() >= before + 3

            await aeventually(three, why="three readings")
            assert time.monotonic() - started >= 2 * 0.15


async def test_lists_leave_half_of_the_connections_to_the_others(made: Settings) -> None:
    """While lists have all that they may have, an alert is read and accepted as ever; a list whose
    turn does not come ends, as without a database.
    """
    pace = Pace(poll=0.05, turn=0.1)
    async with hub(made, connect=False, pace=pace) as face, AsyncExitStack() as stack:
        for _ in range(face.asking.max_size // 2):
            await stack.enter_async_context(face.lists.reading(NORTH))
        async with asyncio.timeout(10), face.client(NORTH) as client:
            assert (await client.alerts()).alerts == ()
            async with following(face) as events:
                assert [event async for event in events] == []


async def test_a_change_comes_by_its_hint_without_a_poll(
    made: Settings, database: Database
) -> None:
    """PostgreSQL's NOTIFY wakes a list that would look again in a minute."""
    async with hub(made, connect=False, pace=Pace(poll=60)) as face:
        listening = asyncio.create_task(listen(database.url, face.lists.hint, CHANNEL))
        try:
            async with following(face) as events:
                await save(face.pool, alert(1))
                assert await take(events, 1) == [1]
                await save(face.pool, alert(2))
                assert await take(events, 1) == [2]
        finally:
            listening.cancel()


async def test_the_hub_says_that_it_looked(made: Settings) -> None:
    """A comment line at every heartbeat, and an answer to who asks for too much."""
    pace = Pace(poll=0.05, heartbeat=0.1, most_each=1)
    async with (
        hub(made, connect=False, pace=pace) as face,
        httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH), trust_env=False) as http,
    ):
        async with http.stream("GET", "/alerts/stream") as response, asyncio.timeout(10):
            text, pieces = "", response.aiter_text()  # held: dropping it would close the stream
            async for piece in pieces:
                text += piece
                if text.count(": nothing new") >= 2:
                    break
            refused = await http.get("/alerts/stream")
        assert refused.status_code == 429
        assert refused.json()["rule"] == "alerts.too_many_streams"

        async def free() -> bool:
            async with http.stream("GET", "/alerts/stream") as response:
                return response.status_code == 200

        await aeventually(free, why="room for the next reader")
        assert (await http.get("/alerts/stream", params={"after": "x"})).status_code == 422


async def test_it_ends_when_the_hub_stops_or_its_time_is_over(made: Settings) -> None:
    """The reader sees the end of the stream, not a broken connection."""
    pace = Pace(poll=0.05, longest=0.2)
    async with (
        hub(made, connect=False, pace=pace) as face,
        following(face) as events,
        asyncio.timeout(10),
    ):
        assert [event async for event in events] == []
    async with (
        hub(made, connect=False, pace=Pace(poll=60)) as face,
        following(face) as events,
        asyncio.timeout(10),
    ):
        face.lists.stopping.set()
        assert [event async for event in events] == []


async def test_without_a_database_the_answer_is_a_503() -> None:
    """And a stream that is open ends: silence is the reader's alarm."""
    async with (
        hub(settings(), connect=False) as face,
        httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH), trust_env=False) as http,
    ):
        answer = await http.get("/alerts/stream", timeout=20)
    assert answer.status_code == 503


async def test_a_reader_who_takes_nothing_is_cut_off(face: Hub) -> None:
    """What is sent and not taken is waited for once, for the time allowed; nothing is held."""
    await save(face.pool, *(alert(one) for one in range(1, 30)))
    taken: list[Message] = []

    async def send(message: Message) -> None:
        if len(taken) == 5:
            await asyncio.Event().wait()
        taken.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    live = Live(face.asking, desk_of(directory()), pace=Pace(send=0.1))
    async with asyncio.timeout(10):
        await _Stream(live, _Reader(live, Caller(NORTH, "test"), None, None))(
            {"type": "http"}, receive, send
        )
    assert len(taken) == 5
    assert taken[-1]["more_body"]


@pytest.mark.parametrize(
    ("credential", "ended"), [("access-token", "credential"), ("machine-token", "time")]
)
async def test_a_list_ends_with_the_token_that_opened_it(
    face: Hub, credential: Credential, ended: str
) -> None:
    """When it expires; a machine's token opened this one request, and may expire meanwhile."""
    live = Live(face.asking, desk_of(directory()), pace=Pace(longest=0), clock=lambda: AT)
    asking = Caller(NORTH, "test", credential=credential, expires_at=AT)

    async def taken(_message: Message) -> None: ...

    stream = _Stream(live, _Reader(live, asking, None, None))
    assert await stream._run(taken, asyncio.Event(), asyncio.Event()) == ended


async def test_the_process_stops_in_time_with_a_reader_connected(
    made: Settings, database: Database, tmp_path: Path
) -> None:
    """SIGTERM: the reader's stream ends, and `halyard serve` exits zero at once."""
    command = (str(Path(sys.executable).with_name("halyard")), "serve")
    with Process(command, directory=tmp_path, env=environment(made, tmp_path)) as process:
        text = await asyncio.to_thread(process.wait_for, '"event": "serving"', 30)
        line = next(one for one in text.splitlines() if '"serving"' in one)
        url = f"http://127.0.0.1:{orjson.loads(line)['port']}"
        async with (
            httpx.AsyncClient(base_url=url, headers=bearer(NORTH), trust_env=False) as http,
            http.stream("GET", "/alerts/stream", timeout=10) as response,
            asyncio.timeout(20),
        ):
            assert response.status_code == 200
            process.send_signal(signal.SIGTERM)
            async for _ in response.aiter_bytes():
                pass
        assert await asyncio.to_thread(process.wait, 10) == 0
