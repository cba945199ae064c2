"""Tokens that are good for one request: whether one was used before.

This process remembers what it has seen; PostgreSQL, when it answers, what all processes have. While
it does not, memory alone decides, and says so: taking messages in needs no database, everything
else waits until it can be said (`halyard.caller.Caller.unchecked`).
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

import psycopg
from psycopg_pool import PoolTimeout

from halyard import metrics
from halyard.clock import Clock
from halyard.postgres import Pool, load_queries
from halyard.telemetry import get_logger

Use = Literal["first", "unchecked", "used", "full"]
"""``first`` of all processes; ``unchecked``: the first of this one, and the database does not
answer; ``used`` before; ``full``: neither the database answers nor has this process room for it."""

REMEMBERED: Final = 200_000
_BATCH: Final = 500
_BREAK_SECONDS: Final = 5.0  # without asking, after the database did not answer
_FORGET_SECONDS: Final = 60.0
_FORGET_AT_ONCE: Final = 5_000
_MARGIN: Final = timedelta(minutes=1)  # another process's clock may be behind

_SQL = load_queries("stores", "used_tokens.sql")
log = get_logger()


@dataclass(frozen=True, slots=True)
class _Asked:
    digest: bytes
    expires_at: datetime
    first: asyncio.Future[bool | None] = field(compare=False)  # None: not known


class UsedTokens:
    """The tokens that were used. `seconds` is how long the database may take to answer; without a
    `pool` this process is the only one. The `pool` is for this alone: were it shared, whoever keeps
    it busy would decide whether a token is checked.
    """

    def __init__(
        self,
        pool: Pool | None,
        clock: Clock,
        *,
        seconds: float = 0.5,
        remembered: int = REMEMBERED,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._clock = clock
        self._seconds = seconds
        self._remembered = remembered
        self._monotonic = monotonic
        self._seen: OrderedDict[bytes, datetime] = OrderedDict()
        self._asked: list[_Asked] = []
        self._writing: asyncio.Task[None] | None = None
        self._away_until = 0.0

    async def use(self, client: str, token_id: str, expires_at: datetime) -> Use:
        """Use a token of `client`, which is not admitted any more after `expires_at`."""
        digest = hashlib.sha256(f"{len(client)} {client} {token_id}".encode()).digest()
        self._drop_expired()
        if digest in self._seen:
            return "used"
        full = len(self._seen) >= self._remembered
        self._seen[digest] = expires_at  # before anything is awaited: the next one is the second
        first = await self._first_of_all(digest, expires_at)
        if full:
            self._seen.pop(digest, None)
        if first is not None:
            return "first" if first else "used"
        if full:
            return "full"
        metrics.count("halyard_used_tokens_unchecked_total")
        return "unchecked"

    async def _first_of_all(self, digest: bytes, expires_at: datetime) -> bool | None:
        if self._pool is None or self._monotonic() < self._away_until:
            return None
        asked = _Asked(digest, expires_at, asyncio.get_running_loop().create_future())
        self._asked.append(asked)
        if self._writing is None:
            self._writing = asyncio.create_task(self._write(self._pool), name="used-tokens")
        try:
            async with asyncio.timeout(self._seconds):
                return await asked.first
        except TimeoutError:
            self._away("TimeoutError")
            return None

    async def _write(self, pool: Pool) -> None:
        """Ask for all who wait, together."""
        try:
            while self._asked:
                batch, self._asked = self._asked[:_BATCH], self._asked[_BATCH:]
                known: set[bytes] | None = None
                try:
                    async with asyncio.timeout(self._seconds):
                        known = await self._written(pool, batch)
                except (psycopg.Error, PoolTimeout, TimeoutError) as error:
                    self._away(type(error).__name__)
                finally:
                    for asked in batch:
                        if not asked.first.done():
                            asked.first.set_result(None if known is None else asked.digest in known)
        finally:
            self._writing = None

    async def _written(self, pool: Pool, batch: list[_Asked]) -> set[bytes]:
        # always in one order: two processes that write the same never wait for each other
        rows = sorted({asked.digest: asked.expires_at for asked in batch}.items())
        async with pool.connection() as connection:
            cursor = await connection.execute(
                _SQL["use"],
                {"digests": [row[0] for row in rows], "expiries": [row[1] for row in rows]},
            )
            return {bytes(row["digest"]) for row in await cursor.fetchall()}

    async def watch(self, stopping: asyncio.Event) -> None:
        """Forget what has expired, every minute until `stopping`."""
        while not stopping.is_set():
            try:
                await self.forget()
            except (psycopg.Error, PoolTimeout) as error:
                log.warning("used_tokens_not_forgotten", reason=type(error).__name__)
            try:
                async with asyncio.timeout(_FORGET_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                pass  # time to forget again

    async def forget(self, at_once: int = _FORGET_AT_ONCE) -> int:
        """Remove every row that has expired, `at_once` in a statement; gives their number."""
        forgotten = 0
        while self._pool is not None:
            async with self._pool.connection() as connection:
                cursor = await connection.execute(
                    _SQL["forget"], {"before": self._clock() - _MARGIN, "limit": at_once}
                )
            forgotten += cursor.rowcount
            if cursor.rowcount < at_once:
                break
        return forgotten

    def _away(self, reason: str) -> None:
        if self._monotonic() >= self._away_until:
            log.warning("used_tokens_unchecked", reason=reason, seconds=_BREAK_SECONDS)
        self._away_until = self._monotonic() + _BREAK_SECONDS

    def _drop_expired(self) -> None:
        """The oldest are looked at first: lives differ by minutes at most."""
        now = self._clock()
        while self._seen:
            digest, expires_at = next(iter(self._seen.items()))
            if expires_at >= now:
                return
            del self._seen[digest]
