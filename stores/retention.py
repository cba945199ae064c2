"""What is kept for how long, by class of data, and the end of what is older.

Rows that only ever grow (the audit chain, accesses) stand in monthly partitions, which are dropped
whole (`stores.months`); rows that a fold or a person may still change go by statements that look
again under the locks that guard them. Bodies on the bus end by the topics' own retention.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

from halyard.postgres import Connection, Pool, load_queries, lock, one, transaction

_SQL = load_queries("stores", "retention.sql")

Locked = Literal["visit", "person"]


@dataclass(frozen=True, slots=True)
class DataClass:
    """One class of data. `days` None: kept until somebody decides otherwise; `least`: fewer days
    would break something that the hub promises, for the reason in `why`.
    """

    name: str
    what: str
    days: int | None
    least: int
    why: str
    # what its keys are, where a lock guards them; else its `…_due` names the locks
    locked: Locked | None = None

    @property
    def query(self) -> str:
        """The stem of its queries' names."""
        return self.name.replace("-", "_")


ROWS: Final = (
    DataClass(
        "delivery-bodies",
        "bodies of what was delivered, superseded or refused; the row stays",
        30,
        1,
        "a receiver may ask what it was sent",
    ),
    DataClass(
        "visit-bodies",
        "events and reasons of visits that alerted nobody; place and time stay",
        30,
        8,
        "a flag that comes within 48 hours is compared with them, and corrections come late",
        locked="visit",
    ),
    DataClass(
        "alerts",
        "alerts that are accepted, closed or withdrawn, with their visits and deliveries",
        400,
        366,
        "their visits go with them, and earlier attendances of 12 months are shown; one that "
        "nobody accepted is never due",
    ),
    DataClass(
        "visits",
        "visits without an alert: pseudonym, site, department, time",
        366,
        366,
        "earlier attendances of 12 months are shown",
        locked="visit",
    ),
    DataClass(
        "flags",
        "plans that ended, with every record of them",
        400,
        400,
        "a plan is shown for 365 days after its end, and a record in the dead letters may be "
        "given back",
        locked="person",
    ),
    DataClass(
        "uploads",
        "files' answers; the last file of each authority stays",
        400,
        30,
        "an authority fetches its answers late",
    ),
    DataClass(
        "trace-results",
        "details and results of files that were traced; counts stay",
        30,
        1,
        "an authority fetches its result late, and answers to trace files take days",
    ),
    DataClass(
        "trace-batches",
        "what was traced for whom, without anybody in it",
        400,
        30,
        "how many of an authority's children were matched is asked before it goes live",
    ),
    DataClass(
        "worklist",
        "closed entries of worklists, with what was decided about them",
        400,
        30,
        "their ends are looked up",
    ),
    DataClass(
        "access-notices",
        "which look was told to which authority",
        30,
        2,
        "an authority is told once in 24 hours",
    ),
    DataClass(
        "inbox",
        "ids of events that a stage has taken",
        800,
        500,
        "they must outlive every topic and dead letter, or an event counts twice",
    ),
    DataClass("sessions", "log-ins that ended", 1, 1, "a browser may still show one"),
    DataClass(
        "used-tokens",
        "machines' tokens that were used and have expired",
        1,
        1,
        "clocks differ, and a token may be shown again until it expires",
    ),
    DataClass("journal", "the index of the bus: ids and times, no body", None, 400, "tracing"),
)
"""Classes that end by statements, in the order in which they are applied."""

MONTHS: Final = (
    DataClass(
        "accesses",
        "who looked at whose flags",
        2_922,
        366,
        "the last accesses are shown with a flag",
    ),
    DataClass(
        "audit",
        "entries of the audit chain; their seals stay, and the chain still verifies",
        2_922,
        366,
        "a child, or who speaks for it, may ask who saw what",
    ),
)
"""Classes that end by dropping a month's partition."""

KEPT: Final = (
    ("cases", "child deaths: messages, cases, their history; the NCMD store: as the panels decide"),
    ("audit seals", "hashes and signatures of the audit chain, without content"),
    ("directory", "configuration"),
)
"""What no class ends."""


@dataclass(frozen=True, slots=True)
class Due:
    """How much of a class is due, and since when the oldest of it stands."""

    count: int
    oldest: datetime | None


def before(data: DataClass, days: Mapping[str, int], now: datetime) -> datetime | None:
    """What is older than this is due; None: nothing is. `days` are the settings' own, by class."""
    kept = days.get(data.name, data.days)
    return None if kept is None else now - timedelta(days=kept)


async def due(connection: Connection, data: DataClass, limit: datetime | None) -> Due:
    """How much of a class is older than `limit`."""
    if limit is None:
        return Due(0, None)
    cursor = await connection.execute(_SQL[f"{data.query}_count"], {"before": limit})
    row = one(await cursor.fetchone())
    return Due(row["due"], row["oldest"])


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What `halyard doctor` looks at."""

    applied_at: datetime | None  # None: never
    database_since: datetime  # when it was first migrated


async def applied(connection: Connection, now: datetime) -> None:
    """What is due has been ended, as of `now`."""
    await connection.execute(_SQL["applied"], {"now": now})


async def upkeep(connection: Connection) -> Upkeep:
    """When that was last done."""
    return Upkeep(**one(await (await connection.execute(_SQL["upkeep"])).fetchone()))


async def drop(
    pool: Pool,
    data: DataClass,
    limit: datetime,
    *,
    batch: int = 500,
    record: Callable[[Connection, int], Awaitable[None]] | None = None,
) -> int:
    """End what is older than `limit`, `batch` keys a transaction; gives the rows ended. `record`
    says so, in each transaction: what is ended is never without its record.

    The keys' locks are taken first, so that a fold under way sees all of a child's rows or none.
    """
    total = 0
    while True:
        async with transaction(pool) as connection:
            cursor = await connection.execute(
                _SQL[f"{data.query}_due"], {"before": limit, "limit": batch}
            )
            rows = await cursor.fetchall()
            keys = sorted({row["key"] for row in rows})
            if not keys:
                return total
            locks = sorted({name for row in rows for name in row.get("locks", ())})
            if data.locked is not None:
                locks = [f"{data.locked}:{key}" for key in keys]
            await lock(connection, locks)
            gone = await connection.execute(
                _SQL[f"{data.query}_drop"], {"before": limit, "keys": keys, "locks": locks}
            )
            if record is not None and gone.rowcount:
                await record(connection, gone.rowcount)
        total += gone.rowcount
        if gone.rowcount == 0:
            return total  # what is left is held by what came meanwhile
