"""Which bus key the system uses, by its id: a process with another one does not start, or ends.

The row is made by the first process that asks; `halyard keys rotate bus` changes it when nothing is
under way any more (docs/adr/0041).
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import psycopg
from psycopg.rows import dict_row
from psycopg_pool import PoolTimeout

from halyard import telemetry
from halyard.errors import ConfigurationError, HalyardError, TransientError
from halyard.postgres import Connection, Pool, load_queries, one, translated
from halyard.settings import Settings

_SQL = load_queries("stores", "bus_key.sql")

POLL_SECONDS: Final = 2.0
_START_SECONDS: Final = 2.0
_PATIENCE_SECONDS: Final = 3  # for a database that ingress can do without

log = telemetry.get_logger()


class OtherBusKey(ConfigurationError):
    """The bus key was changed, and this process has another one: give it the new secrets file
    (docs/howto/rotate-keys.md) and start it again.
    """


@dataclass(frozen=True, slots=True)
class BusKey:
    """The key in use."""

    key_id: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Undone:
    """What a change of the key would tear: counts of rows."""

    unpublished: int  # in the outbox
    never_sent: int  # in the outbox, parked
    parked: int  # keys behind a trace
    waiting: int  # claims without a decision
    traces: int


async def current(connection: Connection, *, hold: bool = False) -> BusKey | None:
    """The key in use; None before the first process has started. With `hold` it stays until the
    transaction ends.
    """
    cursor = await connection.execute(_SQL["hold" if hold else "current"])
    row = await cursor.fetchone()
    return None if row is None else BusKey(**row)


async def confirm(connection: Connection, key_id: str, *, register: bool = True) -> None:
    """Return if `key_id` is the key in use; where none is, it is from now on (with `register`).

    Raises `OtherBusKey`.
    """
    found = await current(connection)
    if found is None and register:
        values = {"key_id": key_id, "at": datetime.now(UTC)}
        await connection.execute(_SQL["register"], values)
        found = await current(connection)
    if found is not None and found.key_id != key_id:
        raise OtherBusKey


async def switch(connection: Connection, *, before: str, after: str, at: datetime) -> bool:
    """Use the key `after` from now on; False if `before` is not the one in use."""
    values = {"before": before, "key_id": after, "at": at}
    return (await connection.execute(_SQL["switch"], values)).rowcount == 1


async def sessions(connection: Connection) -> list[str]:
    """Names of the hub's processes that are connected (``halyard-serve``, …)."""
    cursor = await connection.execute(_SQL["sessions"])
    return [row["name"] for row in await cursor.fetchall()]


async def undone(connection: Connection) -> Undone:
    """What waits."""
    return Undone(**one(await (await connection.execute(_SQL["undone"])).fetchone()))


def guard(pool: Pool, key_id: str, *, register: bool = True) -> Callable[[], Awaitable[None]]:
    """`confirm`, on a connection of `pool`: one round trip."""

    async def check() -> None:
        try:
            async with pool.connection() as connection:
                await confirm(connection, key_id, register=register)
        except (psycopg.Error, PoolTimeout) as error:
            raise translated(error) from None

    return check


async def at_start(check: Callable[[], Awaitable[None]]) -> None:
    """Check, for a process that starts without the database too: it is waited for a moment.

    Raises `OtherBusKey`.
    """
    with contextlib.suppress(TransientError, TimeoutError):
        async with asyncio.timeout(_START_SECONDS):
            await check()


async def watch(check: Callable[[], Awaitable[None]]) -> None:
    """Check at once and every two seconds, until cancelled or the key is another one.

    Raises `OtherBusKey`; a database that does not answer is asked again.
    """
    while True:
        try:
            await check()
        except OtherBusKey:
            raise
        except HalyardError:
            pass  # who needs the database says so itself
        await asyncio.sleep(POLL_SECONDS)


class FromIngress:
    """`guard` for a process that has no database and needs none: over one connection of its own,
    where the database can be reached. The connection tells `sessions` that the process runs.
    """

    def __init__(self, settings: Settings, name: str, key_id: str) -> None:
        self._url = settings.database.url.get_secret_value()
        self._name = name
        self._key_id = key_id
        self._connection: Connection | None = None
        self._told = False

    async def check(self) -> None:
        """Raises `OtherBusKey`. A database that is away is logged once, and taking in goes on."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                if self._connection is None or self._connection.closed:
                    self._connection = await psycopg.AsyncConnection.connect(
                        self._url,
                        autocommit=True,
                        row_factory=dict_row,
                        connect_timeout=_PATIENCE_SECONDS,
                        application_name=f"halyard-{self._name}",
                        options="-c search_path=halyard -c timezone=UTC",
                    )
                await confirm(self._connection, self._key_id)
        except (psycopg.Error, TimeoutError, OSError) as error:
            await self.close()
            if not self._told:
                log.warning("bus_key_unknown", error=telemetry.describe(error))
            self._told = True
        else:
            self._told = False

    async def close(self) -> None:
        """Let the connection go."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error, OSError):
                await connection.close()
