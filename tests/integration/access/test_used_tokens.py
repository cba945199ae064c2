"""Tokens good for one request, over several processes that share a database."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from flag_service.app import create_app
from flag_service.bus import Bus
from flag_service.door import make_door
from halyard import metrics
from halyard.clock import system_clock
from halyard.postgres import Pool, make_pool
from halyard.postgres import one as one_row
from halyard.problems import HttpProblem
from halyard.settings import Settings
from stores.used_tokens import UsedTokens
from tests.support.access import AUDIENCE, attempt, directory, key, machine_claims, sign
from tests.support.face import KEYS
from tests.support.services import Database
from tests.support.waiting import aeventually

AWAY = "postgresql://nobody@127.0.0.1:1/none"


def settings(url: str) -> Settings:
    """Settings of a face with this database."""
    return Settings.model_validate(
        {"access": {"audience": AUDIENCE}, "http": {"database_url": url}}
    )


@contextlib.asynccontextmanager
async def face_pool(url: str) -> AsyncIterator[Pool]:
    """The pool of one process of `halyard serve`, under its own role."""
    pool = make_pool(settings(url), name="test", schema="face", size=2)
    await pool.open(wait=False)
    try:
        yield pool
    finally:
        await pool.close(timeout=1)


def soon() -> datetime:
    """When a token of now is over."""
    return datetime.now(UTC) + timedelta(minutes=5)


def unchecked() -> float:
    """Tokens of which one process alone has spoken."""
    return metrics.registry.get_sample_value("halyard_used_tokens_unchecked_total") or 0.0


async def test_of_two_processes_only_one_lets_a_token_in(database: Database) -> None:
    """Whichever comes second refuses it, also when both are asked at the same moment."""
    async with face_pool(database.face_url) as one, face_pool(database.face_url) as two:
        first, second = UsedTokens(one, system_clock), UsedTokens(two, system_clock)
        assert await first.use("m", "a", soon()) == "first"
        assert await second.use("m", "a", soon()) == "used"
        assert await first.use("m", "a", soon()) == "used"
        both = [
            await asyncio.gather(first.use("m", f"b{n}", soon()), second.use("m", f"b{n}", soon()))
            for n in range(10)
        ]
        assert [sorted(pair) for pair in both] == [["first", "used"]] * 10


async def test_a_replay_at_another_process_is_refused(database: Database) -> None:
    """Through the doors of two processes."""
    made = settings(database.face_url)
    async with face_pool(database.face_url) as one, face_pool(database.face_url) as two:
        doors = [make_door(made, directory(), pool, system_clock) for pool in (one, two)]
        now = int(datetime.now(UTC).timestamp())
        token = sign(machine_claims(iat=now, exp=now + 60), key("edis"))
        assert await doors[0](attempt(token)) is not None
        with pytest.raises(HttpProblem) as caught:
            await doors[1](attempt(token))
        assert caught.value.rule == "token.replayed"


async def test_many_at_a_time_share_their_questions(database: Database) -> None:
    """All of hundreds of different tokens are let in, and none of them twice."""
    async with face_pool(database.face_url) as pool:
        used = UsedTokens(pool, system_clock, seconds=5)
        names = [f"t{n}" for n in range(600)] * 2
        found = await asyncio.gather(*(used.use("m", name, soon()) for name in names))
        assert (found.count("first"), found.count("used")) == (600, 600)


async def test_without_the_database_memory_alone_decides() -> None:
    """Taking messages in needs none: a token is let in once, quickly, and it is counted."""
    async with face_pool(AWAY) as pool:
        used = UsedTokens(pool, system_clock, seconds=0.05)
        before = unchecked()
        async with asyncio.timeout(2):
            assert await used.use("m", "a", soon()) == "unchecked"
            for n in range(50):  # not asked again for each
                assert await used.use("m", f"b{n}", soon()) == "unchecked"
        assert await used.use("m", "a", soon()) == "used"
        assert unchecked() == before + 51


async def test_what_cannot_be_remembered_is_not_let_in() -> None:
    """No room and no database: nobody could say whether it comes again."""
    now = datetime.now(UTC)
    used = UsedTokens(None, lambda: now, remembered=3)
    for n in range(3):
        assert await used.use("m", str(n), now + timedelta(minutes=5)) == "unchecked"
    assert await used.use("m", "3", now + timedelta(minutes=5)) == "full"
    now += timedelta(minutes=6)
    assert await used.use("m", "4", now + timedelta(minutes=5)) == "unchecked"


async def rows(pool: Pool) -> int:
    """How many tokens stand in the database."""
    async with pool.connection() as connection:
        cursor = await connection.execute("select count(*) as n from used_tokens")
        return int(one_row(await cursor.fetchone())["n"])


async def test_expired_tokens_are_forgotten(database: Database) -> None:
    """All of them, however many: a page after the other. The table holds minutes, not years."""
    now = datetime.now(UTC)
    async with face_pool(database.face_url) as pool:
        used = UsedTokens(pool, lambda: now)
        for n in range(5):
            await used.use("m", str(n), now + timedelta(minutes=5))
        now += timedelta(minutes=7)
        await used.use("m", "last", now + timedelta(minutes=5))
        assert await used.forget(at_once=2) == 5
        assert await rows(pool) == 1


async def test_the_door_forgets_while_it_is_watched(database: Database) -> None:
    """Off the way of requests, and whether or not there is an issuer."""
    past = datetime.now(UTC) - timedelta(hours=1)
    stopping = asyncio.Event()
    async with face_pool(database.face_url) as pool:
        assert await UsedTokens(pool, lambda: past).use("m", "old", past) == "first"
        door = make_door(settings(database.face_url), directory(), pool, system_clock)
        watching = asyncio.create_task(door.watch(stopping))

        async def gone() -> bool:
            return await rows(pool) == 0

        try:
            await aeventually(gone, 5)
        finally:
            stopping.set()
            await watching


async def test_a_replay_is_refused_while_somebody_forgets(database: Database) -> None:
    """Locks on rows that have expired hold up nobody's answer."""
    past = datetime.now(UTC) - timedelta(hours=1)
    async with face_pool(database.face_url) as one, face_pool(database.face_url) as two:
        assert await UsedTokens(one, lambda: past).use("m", "old", past) == "first"
        assert await UsedTokens(one, system_clock).use("m", "a", soon()) == "first"
        async with one.connection() as holding, holding.transaction():
            await holding.execute("delete from used_tokens where expires_at < now()")
            assert await UsedTokens(two, system_clock).use("m", "a", soon()) == "used"


async def test_while_nobody_can_say_a_token_hands_in_and_reads_nothing() -> None:
    """Through the hub's own application, its database away: a machine's message goes to its route,
    and whatever would show a record is 503, not an answer to a token that may be a replay.
    """
    made, known = settings(AWAY), directory()
    async with face_pool(AWAY) as pool:
        door = make_door(made, known, pool, system_clock)
        app = create_app(made, pool, KEYS, known, Bus(made), system_clock, door=door)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://hub") as http:

            async def ask(method: str, path: str) -> httpx.Response:
                now = int(datetime.now(UTC).timestamp())
                token = sign(machine_claims(iat=now, exp=now + 60), key("edis"))
                headers = {"Authorization": f"Bearer {token}"}
                return await http.request(method, path, headers=headers, content=b"{}")

            for line in ("GET /alerts", "POST /flags/query", "GET /worklist"):
                answer = await ask(*line.split())
                assert (answer.status_code, answer.json()["rule"]) == (503, "token.use_unknown")
            answer = await ask("POST", "/fhir/R4/$process-message")
            assert answer.json()["resourceType"] == "OperationOutcome"  # of the route: no broker
            assert "use_unknown" not in answer.text
            assert (await ask("GET", "/me")).status_code == 200
