"""`halyard extract opt-outs …`: who has opted out of other uses of what is held of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from halyard import nhs_number
from halyard.cli.output import Json, line, print_json
from halyard.cli.running import running_system
from halyard.cli.stated import Name
from halyard.clock import system_clock
from halyard.postgres import make_pool, transaction
from halyard.privacy import Keys, load_keys
from halyard.settings import Settings, load_settings
from stores import opt_outs as store

app = typer.Typer(help="Who has opted out of other uses.", no_args_is_help=True)

MAX_LIST_BYTES = 200_000_000


@app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="NHS numbers of all who opted out, one a line.")],
    by: Name = "",
    amount: Annotated[
        int | None,
        typer.Option(min=0, help="How many they are; needed if the list is empty or much shorter."),
    ] = None,
    json: Json = False,
) -> None:
    """Replace the known national data opt-outs by a file's. Kept as pseudonyms alone.

    A list that is empty, or shorter than the last by more than a tenth, is refused unless
    `--amount` states how many people it names.
    """
    running_system(load_settings().data_dir)
    settings = load_settings()
    keys = load_keys(settings.security)
    persons = _persons(file, keys, settings)

    async def work() -> int:
        async with (
            make_pool(settings, name="extract", size=1) as pool,
            transaction(pool) as connection,
        ):
            return await store.replace(connection, persons, at=system_clock(), by=by, stated=amount)

    known = asyncio.run(work())
    if json:
        print_json({"opt_outs": known})
    else:
        line(f"{known} opt-outs are known now; those of before are forgotten")


@app.command()
def status(json: Json = False) -> None:
    """When opt-outs were last imported, and how many."""
    running_system(load_settings().data_dir)

    async def work(settings: Settings) -> store.Import | None:
        async with (
            make_pool(settings, name="extract", size=1) as pool,
            transaction(pool) as connection,
        ):
            return await store.latest(connection)

    found = asyncio.run(work(load_settings()))
    if json:
        print_json(
            {
                "imported_at": found.imported_at if found else None,
                "opt_outs": found.amount if found else 0,
            }
        )
    elif found is None:
        line("no opt-outs were ever imported: extracts to which they apply are refused")
    else:
        line(f"{found.amount} opt-outs, imported {found.imported_at.isoformat()} by {found.by}")


def _persons(file: Path, keys: Keys, settings: Settings) -> set[str]:
    """Pseudonyms of the numbers in a file; a line that is none stops the import."""
    profile = nhs_number.profile_for(settings.profile)
    try:
        if file.stat().st_size > MAX_LIST_BYTES:
            raise typer.BadParameter(f"the file is larger than {MAX_LIST_BYTES} bytes")
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"the file cannot be read ({type(error).__name__})") from None
    persons = set()
    for number, one in enumerate(text.splitlines(), 1):
        # the list of opt-outs as it is exchanged ends its lines with a comma
        if not (cell := one.strip().rstrip(",").strip()):
            continue
        parsed = nhs_number.parse(cell, profile=profile)
        if parsed.number is None:
            raise typer.BadParameter(f"line {number} is no NHS number; nothing was imported")
        persons.add(keys.person(parsed.number))
    return persons
