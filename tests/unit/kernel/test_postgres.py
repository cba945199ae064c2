"""Named queries, translated errors and lock numbers, without a database."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from psycopg_pool import PoolTimeout

from halyard.errors import ContractError, DatabaseUnavailable, PermanentError
from halyard.postgres import load_queries, lock_id, one, translated
from stores.retention import ROWS

STORES = Path(__file__).parents[3] / "stores"
FILES = sorted(path.name for path in STORES.glob("*.sql"))
CANARY = "9990000018"


@pytest.mark.parametrize("file", FILES)
def test_every_query_of_a_file_is_used_by_its_module(file: str) -> None:
    """Names asked for are there, names that are there are asked for."""
    queries = load_queries("stores", file)
    assert queries
    code = "".join(
        path.read_text() for path in STORES.glob("*.py") if f'"{file}"' in path.read_text()
    )
    asked = set(re.findall(r'\[\s*"(\w+)"\s*\]', code)) | set(re.findall(r'"(\w+)"', code))
    if file == "retention.sql":  # three of each class of rows
        asked |= {f"{one.query}_{what}" for one in ROWS for what in ("count", "due", "drop")}
    assert queries.keys() <= asked, f"{file}: {sorted(queries.keys() - asked)} never used"
    direct = set(re.findall(r'_SQL\["(\w+)"\]', code))
    if code.count("load_queries(") == 1:
        assert direct <= queries.keys(), f"{file}: {sorted(direct - queries.keys())} missing"


@pytest.mark.parametrize("file", FILES)
def test_every_query_has_a_name_of_its_own(file: str) -> None:
    """A name used twice would hide the first query."""
    names = re.findall(r"^-- name: (\w+)", (STORES / file).read_text(), re.MULTILINE)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (errors.SerializationFailure, DatabaseUnavailable),
        (errors.DeadlockDetected, DatabaseUnavailable),
        (errors.LockNotAvailable, DatabaseUnavailable),
        (errors.QueryCanceled, DatabaseUnavailable),
        (errors.AdminShutdown, DatabaseUnavailable),
        (errors.TooManyConnections, DatabaseUnavailable),
        (errors.ConnectionFailure, DatabaseUnavailable),
        (errors.DiskFull, DatabaseUnavailable),
        (errors.IoError, DatabaseUnavailable),
        (psycopg.OperationalError, DatabaseUnavailable),
        (PoolTimeout, DatabaseUnavailable),
        (psycopg.InterfaceError, DatabaseUnavailable),
        (psycopg.DatabaseError, DatabaseUnavailable),  # a result cut off with the connection
        (psycopg.DataError, ContractError),  # psycopg's own: a NUL in a text
        (psycopg.ProgrammingError, ContractError),
        (psycopg.NotSupportedError, ContractError),
        (errors.StringDataRightTruncation, ContractError),
        (errors.NumericValueOutOfRange, ContractError),
        (errors.InvalidTextRepresentation, ContractError),
        (errors.UniqueViolation, PermanentError),
        (errors.CheckViolation, PermanentError),
        (errors.UndefinedTable, PermanentError),
        (errors.InsufficientPrivilege, PermanentError),
    ],
)
def test_an_error_is_translated_by_its_state(
    error: type[psycopg.Error], kind: type[Exception]
) -> None:
    """What passes by itself is transient, a value that does not fit is the record's fault, the
    rest must be mended; PostgreSQL's text is in none of them."""
    ours = translated(error(f"Key (nhs_number)=({CANARY}) already exists."))
    assert type(ours) is kind
    assert CANARY not in ours.message
    assert error.__name__ in ours.message


def test_a_lock_number_stays_as_it_was() -> None:
    """Two versions that run side by side must take the same lock: a golden value."""
    assert lock_id("visit:1") == 3684350919406976920
    assert -(2**63) <= lock_id("person:x") < 2**63


def test_a_row_that_must_be_there() -> None:
    """An aggregate without a row is a wrong schema, not a None."""
    assert one({"count": 1}) == {"count": 1}
    with pytest.raises(PermanentError, match="halyard migrate"):
        one(None)
