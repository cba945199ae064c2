"""`halyard retention plan|apply`: what is kept no longer, and its end."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from functools import partial
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row

from halyard.audit_keys import load_audit_keys
from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.cli.stated import stated
from halyard.cli.who import me
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.postgres import Connection, Pool, make_pool, transaction, translated
from halyard.settings import Settings, load_settings
from schemas.topics import registry
from stores import audit, months, retention
from stores.audit import HUB, AuditEntry
from stores.months import Month
from stores.retention import KEPT, MONTHS, ROWS, DataClass
from streams.audit import retention as audit_retention
from streams.audit.export import Exporter, checkpoint_dir
from streams.audit.process import signer_of
from streams.audit.sealer import Sealer

app = typer.Typer(help="What is kept for how long, and the end of the rest.", no_args_is_help=True)

_COLUMNS = ("class", "kept_days", "due", "oldest", "what")


@dataclass(frozen=True, slots=True)
class Step:
    """What is due of one class: rows, or whole months."""

    data: DataClass
    kept_days: int | None
    before: datetime | None
    due: int
    oldest: datetime | date | None
    months: tuple[Month, ...] = ()

    def row(self) -> dict[str, Any]:
        """As it is printed."""
        return {
            "class": self.data.name,
            "kept_days": self.kept_days,
            "due": self.due,
            "oldest": None if self.oldest is None else self.oldest.isoformat(),
            "partitions": [one.partition for one in self.months],
            "what": self.data.what,
        }


@dataclass(slots=True)
class Applied:
    """What was done: rows ended, by class; partitions of months, in the order of the work."""

    ended: dict[str, int] = field(default_factory=dict)
    made: list[str] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


@app.command()
def plan(json: Json = False) -> None:
    """Show what `apply` would end; changes nothing."""
    running_system(load_settings().data_dir)
    settings = load_settings()
    steps, missing = asyncio.run(_plan(settings))
    topics = {one.name: one.retention_days for one in registry()}
    kept = [{"class": name, "what": what} for name, what in KEPT]
    if json:
        print_json(
            {
                "classes": [step.row() for step in steps],
                "months_to_make": missing,
                "kept": kept,
                "topics": topics,
            }
        )
        return
    table(_COLUMNS, [step.row() for step in steps])
    line("")
    line(f"months to make: {', '.join(missing) or 'none'}")
    for name, what in KEPT:
        line(f"kept: {name} ({what})")
    shortest, longest = min(topics.values()), max(topics.values())
    line(f"bus: {len(topics)} topics keep {shortest} to {longest} days (`halyard topics plan`)")


@app.command()
def apply(
    reason: Annotated[
        str, typer.Option(help="Why now; stands in the audit chain.", callback=stated)
    ],
    only: Annotated[
        list[str] | None, typer.Option("--class", help="This class alone; may be repeated.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask after showing the plan.")] = False,
    json: Json = False,
) -> None:
    """End what is due, as the tables' owner (HALYARD_DATABASE__OWNER_URL): rows in small
    transactions, months by dropping their partitions. What is gone cannot be brought back.
    """
    running_system(load_settings().data_dir)
    settings = load_settings()
    known = {one.name for one in (*ROWS, *MONTHS)}
    if unknown := sorted(set(only or ()) - known):
        raise ConfigurationError(
            f"There is no class {unknown[0]}; `halyard retention plan` lists them."
        )
    if not yes:
        plan(json=False)
        if not typer.confirm("End what is due?"):
            raise typer.Exit(Exit.FAILED)
    done = asyncio.run(_apply(settings, reason, frozenset(only or known)))
    if json:
        print_json({"ended": done.ended, "months_made": done.made, "months_dropped": done.dropped})
        return
    for name, count in done.ended.items():
        line(f"{name}: {count} ended")
    if not done.ended:
        line("nothing was due")
    line(f"months made: {', '.join(done.made) or 'none'}")
    line(f"months dropped: {', '.join(done.dropped) or 'none'}")


async def _plan(settings: Settings) -> tuple[list[Step], list[str]]:
    now = system_clock()
    days = _days(settings)
    async with make_pool(settings, name="retention", size=1) as pool, transaction(pool) as one:
        steps = [await _rows(one, data, days, now) for data in ROWS]
        there = await months.there(one, sorted(months.TABLES.values()))
    steps += [_whole_months(data, days, now, there) for data in MONTHS]
    return steps, [months.name(*one) for one in _missing(settings, now, there)]


async def _rows(
    connection: Connection, data: DataClass, days: dict[str, int], now: datetime
) -> Step:
    before = retention.before(data, days, now)
    found = await retention.due(connection, data, before)
    return Step(data, days.get(data.name, data.days), before, found.count, found.oldest)


def _whole_months(data: DataClass, days: dict[str, int], now: datetime, there: list[Month]) -> Step:
    before = retention.before(data, days, now)
    old = tuple(
        one
        for one in there
        if one.table == months.TABLES[data.name] and before is not None and one.end <= before.date()
    )
    return Step(
        data,
        days.get(data.name, data.days),
        before,
        sum(one.about for one in old),
        old[0].first if old else None,
        old,
    )


def _missing(settings: Settings, now: datetime, there: list[Month]) -> list[tuple[str, date]]:
    have = {(one.table, one.first) for one in there}
    ahead = months.wanted(now.date(), settings.retention.months_ahead)
    return [
        (name, first)
        for name in sorted(months.TABLES.values())
        for first in ahead
        if (name, first) not in have
    ]


def _days(settings: Settings) -> dict[str, int]:
    """The settings' own days. Raises `ConfigurationError` for an unknown class, or fewer days than
    what the hub promises needs.
    """
    known = {one.name: one for one in (*ROWS, *MONTHS)}
    for name, days in settings.retention.days.items():
        if name not in known:
            raise ConfigurationError(
                f"HALYARD_RETENTION__DAYS names {name}, which is no class of data; `halyard "
                "retention plan` lists them."
            )
        if days < known[name].least:
            raise ConfigurationError(
                f"HALYARD_RETENTION__DAYS keeps {name} for {days} days; at least "
                f"{known[name].least}: {known[name].why}."
            )
    return dict(settings.retention.days)


async def _apply(settings: Settings, reason: str, only: frozenset[str]) -> Applied:
    done = Applied()
    now = system_clock()
    days = _days(settings)
    async with (
        make_pool(settings, name="retention", size=2) as pool,
        _owner(settings) as owner,
    ):
        done.made = await _make_months(owner, settings, now)
        there = await months.there(owner, sorted(months.TABLES.values()))
        for data in ROWS:
            before = retention.before(data, days, now)
            if data.name not in only or before is None:
                continue
            record = partial(_record, data=data, before=before, reason=reason)
            if count := await retention.drop(pool, data, before, record=record):
                done.ended[data.name] = count
        for data in MONTHS:
            if data.name not in only:
                continue
            step = _whole_months(data, days, now, there)
            if data.name == "audit" and step.months:
                await _state_audit(settings, step.months[-1], now)
            for month in step.months:
                count = await _drop(owner, data, month, reason)
                done.ended[data.name] = done.ended.get(data.name, 0) + count
                done.dropped.append(month.partition)
        async with transaction(pool) as connection:
            await retention.applied(connection, now)
    return done


async def _drop(owner: Connection, data: DataClass, month: Month, reason: str) -> int:
    count = await months.count(owner, month)
    end = datetime.combine(month.end, time(), UTC)

    async def work() -> None:
        await _record(owner, count, data=data, before=end, reason=reason)
        await months.drop(owner, month)

    await months.patiently(owner, work)
    return count


async def _make_months(owner: Connection, settings: Settings, now: datetime) -> list[str]:
    """Those ahead, and those of what came before anybody made its month: it could not end else.
    Gives their partitions.
    """
    there = await months.there(owner, sorted(months.TABLES.values()))
    wanted = set(_missing(settings, now, there))
    for name in sorted(months.TABLES.values()):
        wanted |= {(name, first) for first in await months.unmade(owner, name)}
    for name, first in sorted(wanted):
        await months.patiently(owner, partial(months.make, owner, name, first))
    return [months.name(*one) for one in sorted(wanted)]


async def _state_audit(settings: Settings, last: Month, now: datetime) -> None:
    async with make_pool(settings, name="retention", size=1, schema="sealer") as pool:
        await _stated(pool, settings, last, now)


async def _stated(pool: Pool, settings: Settings, last: Month, now: datetime) -> None:
    """Sign what of the audit chain is to go and export it, first: verifying takes what goes without
    that for a deletion.
    """
    exporter = Exporter(checkpoint_dir(settings))
    keys = load_audit_keys(settings).public
    sealer = Sealer(pool, signer_of(settings), exporter, settings, system_clock, keys)
    try:
        above = await asyncio.to_thread(exporter.last_number)  # changes nothing there
        await audit_retention.state(
            pool,
            sealer.signer,
            before=datetime.combine(last.end, time(), UTC),
            now=now,
            actor=me(),
            entry_id=uuid.uuid4(),
            above=above,
        )
        await audit_retention.export(sealer)
    except OSError as error:
        raise ConfigurationError(
            f"Checkpoints cannot be exported here ({type(error).__name__}), so no month of the "
            "audit chain was dropped; run this where HALYARD_AUDIT__CHECKPOINT_DIR is."
        ) from None


async def _record(
    connection: Connection, count: int, *, data: DataClass, before: datetime, reason: str
) -> None:
    """In the transaction that ends it."""
    entry = AuditEntry(
        entry_id=uuid.uuid4(),
        recorded_at=system_clock(),
        kind="administration",
        chain=HUB,
        actor=me(),
        organisation=HUB,
        decision="permit",
        rule="retention",
        purpose="administration",
        reason=reason,
        subject=f"class:{data.name}",
        detail=(("count", str(count)), ("before", before.isoformat())),
    )
    await audit.append(connection, [entry])


@asynccontextmanager
async def _owner(settings: Settings) -> AsyncIterator[Connection]:
    url = settings.database.owner_url
    if url is None:
        raise ConfigurationError(
            "Partitions are made and dropped by their owner; set HALYARD_DATABASE__OWNER_URL."
        )
    connection = await psycopg.AsyncConnection.connect(
        url.get_secret_value(),
        autocommit=True,
        connect_timeout=5,
        row_factory=dict_row,
        options="-c search_path=halyard -c timezone=UTC -c lock_timeout=10000",
    )
    try:
        yield connection
    except psycopg.Error as error:
        raise translated(error) from None
    finally:
        await connection.close()
