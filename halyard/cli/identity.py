"""`halyard identity shared-numbers`: records of one organisation that have one NHS number."""

from __future__ import annotations

import asyncio
import csv
import sys
import uuid
from typing import Annotated, Any

import typer

from halyard.cli.output import Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.cli.who import in_directory, me
from halyard.clock import system_clock
from halyard.postgres import make_pool, transaction
from halyard.settings import Settings, load_settings
from policies.ruling import Decision
from stores import audit, shared_numbers
from stores.audit import HUB, AuditEntry
from stores.shared_numbers import SharedNumber, WithoutNumber

app = typer.Typer(help="Who records are about, as far as the hub knows.", no_args_is_help=True)

_COLUMNS = ("group", "organisation", "local_id", "standing", "rule", "since")


@app.callback()
def _group() -> None:
    """Keep `halyard identity` a group of commands."""


@app.command("shared-numbers")
def shared_numbers_(
    organisation: Annotated[
        str | None, typer.Option(help="Only this one's records (ODS or GSS code).")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many numbers.")] = 200,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV for a spreadsheet.")] = False,
    json: Json = False,
) -> None:
    """List records of one organisation that have one NHS number and are not one patient, and count
    open records without a verified number. Local ids, no numbers; that you did is recorded.
    """
    if as_csv and json:
        raise typer.BadParameter("give --csv or --json, not both")
    running_system(load_settings().data_dir)
    if organisation is not None:
        in_directory(load_settings(), organisation)
    found, lacking = asyncio.run(_read(load_settings(), organisation, limit))
    rows = [
        {
            "group": group,
            "organisation": one.organisation,
            "local_id": record.local_id,
            "standing": record.standing,
            "rule": record.rule,
            "since": record.since.isoformat(),
        }
        for group, one in enumerate(found[:limit], start=1)
        for record in one.records
    ]
    counts = [
        {"organisation": one.organisation, "kind": one.kind, "records": one.records}
        for one in lacking
    ]
    if json:
        print_json({"records": rows, "without_number": counts, "more": len(found) > limit})
    elif as_csv:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows([_cell(row[name]) for name in _COLUMNS] for row in rows)
    else:
        _say(rows, counts, more=len(found) > limit)


def _say(rows: list[dict[str, Any]], counts: list[dict[str, Any]], *, more: bool) -> None:
    if rows:
        table(_COLUMNS, rows)
    else:
        line("no number is on more than one record")
    if more:
        line("there are more: raise --limit")
    for one in counts:
        line(f"{one['organisation']}: {one['records']} {one['kind']} without a verified number")


def _cell(value: Any) -> Any:
    """What a spreadsheet would take for a formula is text."""
    text = "" if value is None else value
    return f"'{text}" if isinstance(text, str) and text[:1] in "=+-@\t\r" and text else text


async def _read(
    settings: Settings, organisation: str | None, limit: int
) -> tuple[list[SharedNumber], list[WithoutNumber]]:
    async with (
        make_pool(settings, name="identity", size=1) as pool,
        transaction(pool) as connection,
    ):
        found = await shared_numbers.shared(connection, organisation, limit=limit + 1)
        lacking = await shared_numbers.without(connection, organisation)
        entry = AuditEntry(
            entry_id=uuid.uuid4(),
            recorded_at=system_clock(),
            kind="administration",
            chain=organisation or HUB,
            actor=me(),
            organisation=HUB,
            decision=Decision.PERMIT.value,
            rule="shared-numbers.read",
            subject="shared-numbers",
            detail=(("count", str(min(len(found), limit))),),
        )
        await audit.append(connection, [entry])
    return found, lacking
