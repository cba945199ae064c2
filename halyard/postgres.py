"""PostgreSQL: pools, transactions, named queries, advisory locks, migrations.

Everything that changes state runs in one READ COMMITTED transaction with time-outs. Database
errors are translated by SQLSTATE and never carry PostgreSQL's own text: its DETAIL quotes values.
"""

from __future__ import annotations

import hashlib
import re
import select
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import Any, Literal, LiteralString, cast

import psycopg
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool, PoolTimeout

from halyard.errors import (
    ConfigurationError,
    ContractError,
    DatabaseUnavailable,
    HalyardError,
    PermanentError,
)
from halyard.settings import Settings

Connection = psycopg.AsyncConnection[DictRow]
Pool = AsyncConnectionPool[Connection]
Queries = Mapping[str, LiteralString]

NCMD_ROLE = "halyard_ncmd"
"""The NCMD store's own role: rights on the schema ``ncmd`` and on nothing else."""

MAX_LOCKS = 4_096
"""Advisory locks that one transaction may ask for at a time. PostgreSQL has one table of locks for
everybody: max_locks_per_transaction (64) for each connection allowed (100), if nothing is set."""

MANY_LOCKS = 256
"""Whoever asks for more shares the blame for a full table."""

FACE_ROLE = "halyard_face"
"""The role of `halyard serve`: row-level security lets it see what `scoped` names, and no more."""

SEALER_ROLE = "halyard_sealer"
"""The role of `halyard sealer`: the only one that adds seals and checkpoints to the audit chain."""

_OUT_OF_LOCKS = "53200"
_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)
# Classes whose failures pass by themselves: connection, resources, operator intervention, system
_TRANSIENT_CLASSES = ("08", "40", "53", "57", "58", "55")
# psycopg's own, before PostgreSQL sees the statement: a NUL in a text, a value without a type. Not
# the bare DatabaseError, which is a result cut off with its connection
_CLIENT_SIDE = (
    psycopg.DataError,
    psycopg.ProgrammingError,
    psycopg.NotSupportedError,
    psycopg.IntegrityError,
)


def load_queries(package: str, file: str) -> Queries:
    """Queries of `file`, each after its ``-- name: …`` line."""
    parts = _NAME.split((resources.files(package) / file).read_text())
    # trusted: files of this package, never input
    return {
        name: cast("LiteralString", text.strip())
        for name, text in zip(parts[1::2], parts[2::2], strict=True)
    }


def make_pool(
    settings: Settings,
    *,
    name: str,
    size: int | None = None,
    check: bool = True,
    schema: Literal["halyard", "face", "ncmd", "sealer"] = "halyard",
    publishes: bool = False,
) -> Pool:
    """A pool of connections (not opened: ``await pool.open()``): the app role's; for ``face`` the
    role's of `halyard serve`, for ``sealer`` that of the sealer, both in the same schema; for
    ``ncmd`` those of the NCMD store's own role.

    `publishes` is of the face: its connections see what waits in the outbox, and nothing else.

    Without `check`, whoever takes a connection that died while it was idle gets
    `DatabaseUnavailable`. For stages, which try again anyway.
    """
    size = size or settings.database.pool_size
    statement_ms = int(settings.database.statement_timeout_seconds * 1000)
    lock_ms = int(settings.database.lock_timeout_seconds * 1000)
    url = {
        "halyard": settings.database.url,
        "face": settings.http.database_url,
        "ncmd": settings.ncmd.database_url,
        "sealer": settings.audit.database_url,
    }[schema]
    path = "ncmd" if schema == "ncmd" else "halyard"
    return AsyncConnectionPool(
        url.get_secret_value(),
        connection_class=cast("type[Connection]", psycopg.AsyncConnection),
        kwargs={
            "row_factory": dict_row,
            "application_name": f"halyard-{name}",
            "options": f"-c statement_timeout={statement_ms} -c lock_timeout={lock_ms} "
            "-c idle_in_transaction_session_timeout=120000 -c timezone=UTC "
            f"-c search_path={path}" + (" -c halyard.publishes=on" if publishes else ""),
            "autocommit": True,
            "connect_timeout": 5,
        },
        min_size=1,
        max_size=size,
        timeout=settings.database.pool_timeout_seconds,
        reconnect_timeout=5,
        check=_check if check else None,
        open=False,
        name=name,
    )


async def _check(connection: Connection) -> None:
    """Ask PostgreSQL whether the connection lives, if there is a sign that it may not. An idle one
    is sent nothing but the reason of its end; to ask always would cost each transaction a round
    trip.
    """
    signs = select.poll()
    signs.register(connection.pgconn.socket, select.POLLIN)
    if signs.poll(0):
        await AsyncConnectionPool.check_connection(connection)


class TooManyLocks(PermanentError):
    """One transaction asks for more locks than there are for it; take less at a time, or raise
    PostgreSQL's max_locks_per_transaction.
    """


@asynccontextmanager
async def transaction(pool: Pool) -> AsyncIterator[Connection]:
    """One transaction. Raises `DatabaseUnavailable` for what passes by itself (connection lost,
    serialisation, deadlock, lock or statement time-out), `ContractError` for a value that does not
    fit (also one that psycopg itself refuses), `PermanentError` for the rest.
    """
    try:
        async with pool.connection() as connection, connection.transaction():
            yield connection
    except (psycopg.Error, PoolTimeout) as error:
        raise translated(error) from None


@asynccontextmanager
async def scoped(
    pool: Pool, organisation: str, persons: Iterable[str] = (), *, pipelined: bool = False
) -> AsyncIterator[Connection]:
    """As `transaction`, for what an organisation asks: row-level security lets the face's role see
    its rows alone, and of flags and accesses those of `persons` (pseudonyms, store key).

    `pipelined`: statements wait for their results only where these are fetched, and errors of
    others come at the end: a round trip for what is fetched, and one for all the rest. They are
    planned once for a connection, not for each call: planning costs several times as much as
    looking somebody up, and one plan does the same work whoever is asked about.
    """
    begun = _pipelined(pool) if pipelined else transaction(pool)
    async with begun as connection:
        await connection.execute(
            "select set_config('halyard.organisation', %s, true), "
            "set_config('halyard.persons', %s, true), set_config('plan_cache_mode', %s, true)",
            (
                organisation,
                ",".join(persons),
                "force_generic_plan" if pipelined else "auto",
            ),
        )
        yield connection


async def scope(connection: Connection, persons: Iterable[str]) -> None:
    """These persons, of a transaction that is `scoped` already."""
    await connection.execute("select set_config('halyard.persons', %s, true)", (",".join(persons),))


@asynccontextmanager
async def _pipelined(pool: Pool) -> AsyncIterator[Connection]:
    # psycopg's transaction() would wait for its "begin" and "commit", and twice more. What breaks
    # off is rolled back where the connection goes back to the pool
    try:
        async with pool.connection() as connection:
            async with connection.pipeline():
                await connection.execute("begin")
                yield connection
                done = await connection.execute("commit")
            if done.statusmessage != "COMMIT":  # PostgreSQL rolls a failed one back instead
                raise DatabaseUnavailable("PostgreSQL did not commit; the operation is retried.")
    except (psycopg.Error, PoolTimeout) as error:
        raise translated(error) from None


def translated(error: psycopg.Error | PoolTimeout) -> HalyardError:
    """`error` as one of ours, by SQLSTATE, without PostgreSQL's text."""
    state = getattr(error, "sqlstate", None)
    if state is None and isinstance(error, _CLIENT_SIDE):
        return ContractError(
            f"A value cannot be sent to PostgreSQL ({type(error).__name__}, no state)."
        )
    # a row on its way to a partition whose bounds have just changed (retention); a table's own
    # check has a name
    moved = (
        isinstance(error, psycopg.errors.CheckViolation)
        and error.diag.table_name is not None
        and error.diag.constraint_name is None
    )
    if state is None or state[:2] in _TRANSIENT_CLASSES or moved:
        return DatabaseUnavailable(
            f"PostgreSQL did not complete ({type(error).__name__}, {state or 'no connection'}); "
            "check that it runs (`halyard doctor`); the operation is retried."
        )
    if state[:2] == "22":
        return ContractError(f"A value does not fit its column ({type(error).__name__}, {state}).")
    return PermanentError(
        f"PostgreSQL refused a statement ({type(error).__name__}, {state}); run `halyard migrate` "
        "and `halyard doctor`."
    )


def lock_id(name: str) -> int:
    """64-bit advisory lock number of a named thing (``visit:…``, ``person:…``)."""
    return int.from_bytes(
        hashlib.blake2b(name.encode(), digest_size=8).digest(), "big", signed=True
    )


async def lock(connection: Connection, names: Iterable[str]) -> None:
    """Take the advisory locks of `names` until the transaction ends, in one global order.

    Call it in a statement of its own, before loading what the locks guard (READ COMMITTED takes
    a new snapshot for the next statement).

    Raises `TooManyLocks` for more than `MAX_LOCKS`, and where PostgreSQL's table of locks is full
    for more than `MANY_LOCKS`: a batch is split then (`streams.resolution`), where trying the same
    again might never end. With fewer a full table is somebody else's doing, and passes.
    """
    ids = sorted({lock_id(name) for name in names})
    if not ids:
        return
    if len(ids) > MAX_LOCKS:
        raise TooManyLocks
    try:
        await connection.execute(
            "select pg_advisory_xact_lock(k) from (select unnest(%s::bigint[]) as k order by k) s",
            (ids,),
        )
    except psycopg.Error as error:
        if error.sqlstate == _OUT_OF_LOCKS and len(ids) > MANY_LOCKS:
            raise TooManyLocks from None
        raise


def _migration_files() -> list[tuple[str, str]]:
    return sorted(
        (item.name, item.read_text())
        for item in (resources.files("stores") / "migrations").iterdir()
        if item.name.endswith(".sql")
    )


def pending_migrations(connection: psycopg.Connection[Any]) -> list[str]:
    """Names of the migrations that this database lacks (all of them, before the first)."""
    names = [name for name, _ in _migration_files()]
    there = connection.execute("select to_regclass('halyard.migration')").fetchone()
    if there is None or there[0] is None:
        return names
    done = {row[0] for row in connection.execute("select name from halyard.migration")}
    return [name for name in names if name not in done]


_GRANTS: tuple[LiteralString, ...] = (
    "grant usage on schema halyard to {app}",
    "grant select, insert, update, delete on all tables in schema halyard to {app}",
    "grant usage, select on all sequences in schema halyard to {app}",
    "revoke insert, update, delete on halyard.migration from {app}",
    "revoke update, delete on halyard.policy_versions from {app}",  # what was said stays
    # who has logged in is the face's to write; workers remove what is over (retention)
    "revoke all on halyard.sessions, halyard.used_tokens from {app}",
    "grant select, delete on halyard.sessions, halyard.used_tokens to {app}",
    "grant usage on schema halyard to {face}",  # its tables: in the migrations, with their policies
    "grant usage on schema ncmd to {ncmd}",
    "grant select, insert, update, delete on all tables in schema ncmd to {ncmd}",
    # what was written of a case stays as it was written
    "revoke update, delete on ncmd.history from {ncmd}",
    # what the audit chain holds is only ever added to
    "select halyard.audit_fence('{app}'::regrole)",
)

_MONTHS: LiteralString = """
    select halyard.make_month(parent, month::date)
    from unnest('{halyard.audit_entries, halyard.accesses}'::regclass[]) as parent,
        generate_series(
            date_trunc('month', now() at time zone 'UTC'),
            date_trunc('month', now() at time zone 'UTC') + interval '2 months',
            interval '1 month') as month
"""
"""Makes this month's partitions and the next two's, where they are missing: rows that stand in a
default partition are costly to move (`halyard retention apply` makes more ahead)."""
_MONTHS_TRIES = 40


def migrate(
    owner_url: str, *, app_role: str = "halyard_app", ncmd_role: str = NCMD_ROLE
) -> list[str]:
    """Apply the numbered migrations of ``stores/migrations`` that are missing, in one transaction
    each, and then, in one more, grant each role its own schema: the app role ``halyard``, the NCMD
    store's ``ncmd``. What the face's role may do stands in the migrations. Gives the names applied.

    Raises `ConfigurationError` if the database cannot be reached, lacks a role, or was changed by
    a newer version.
    """
    files = _migration_files()
    try:
        with psycopg.connect(owner_url, autocommit=True, connect_timeout=5) as connection:
            for name in (app_role, ncmd_role, FACE_ROLE, SEALER_ROLE):
                if not connection.execute(
                    "select 1 from pg_roles where rolname = %s", (name,)
                ).fetchone():
                    raise ConfigurationError(
                        f"The database has no role {name}; create it (login, no superuser) first."
                    )
            connection.execute("select pg_advisory_lock(%s)", (lock_id("migrate"),))
            connection.execute("create schema if not exists halyard")
            connection.execute(
                "create table if not exists halyard.migration "
                "(name text primary key, applied_at timestamptz not null default now())"
            )
            done = {row[0] for row in connection.execute("select name from halyard.migration")}
            if unknown := done - {name for name, _ in files}:
                raise ConfigurationError(
                    f"The database was migrated by a newer version ({max(unknown)}); "
                    "upgrade Halyard."
                )
            applied = [name for name, _ in files if name not in done]
            for name, text in files:
                if name in done:
                    continue
                with connection.transaction():
                    connection.execute("set local search_path = halyard")
                    connection.execute(text)
                    connection.execute("insert into halyard.migration (name) values (%s)", (name,))
            with connection.transaction():  # nobody has what one grants and a later one revokes
                for statement in _GRANTS:
                    connection.execute(
                        sql.SQL(statement).format(
                            app=sql.Identifier(app_role),
                            ncmd=sql.Identifier(ncmd_role),
                            face=sql.Identifier(FACE_ROLE),
                        )
                    )
            _make_months(connection)
            return applied
    except psycopg.OperationalError as error:
        raise ConfigurationError(
            f"The owner's database address does not answer ({type(error).__name__}); check "
            "HALYARD_DATABASE__OWNER_URL and that PostgreSQL runs."
        ) from None


def _make_months(connection: psycopg.Connection[Any]) -> None:
    """By short attempts: whoever appends to these tables waits behind one that waits."""
    for left in reversed(range(_MONTHS_TRIES)):
        try:
            with connection.transaction():
                connection.execute("set local lock_timeout = '200ms'")
                connection.execute(_MONTHS)
            return
        except (psycopg.errors.LockNotAvailable, psycopg.errors.DeadlockDetected):
            if not left:
                raise ConfigurationError(
                    "Somebody reads the audit chain (`halyard audit verify`), so this month's "
                    "partition could not be made; run `halyard migrate` again."
                ) from None
            time.sleep(0.25)


def one(row: Any) -> dict[str, Any]:
    """`row`, which must be there (an aggregate, an insert … returning)."""
    if row is None:
        raise PermanentError("A query that always gives a row gave none; run `halyard migrate`.")
    return cast("dict[str, Any]", row)
