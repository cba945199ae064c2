"""`halyard outbox list|redrive`: records that could never be sent, and giving them back."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import typer

from halyard.cli.output import Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.postgres import make_pool
from halyard.settings import Settings, load_settings
from stores import outbox
from stores.outbox import Parked

app = typer.Typer(help="Records that could never be sent.", no_args_is_help=True)

_COLUMNS = ("id", "topic", "key", "event_id", "size", "reason", "created_at", "parked_at")


@app.command("list")
def list_(json: Json = False) -> None:
    """Show the records that were set aside because they can never be sent; no content."""
    running_system(load_settings().data_dir)
    found = [asdict(one) for one in asyncio.run(_parked(load_settings()))]
    if json:
        print_json({"records": found})
    elif found:
        table(_COLUMNS, found)
    else:
        line("nothing is parked")


@app.command()
def redrive(json: Json = False) -> None:
    """Try every such record once more, after what stopped it was mended."""
    running_system(load_settings().data_dir)
    amount = asyncio.run(_redrive(load_settings()))
    if json:
        print_json({"redriven": amount})
    else:
        line(f"{amount} to be tried again")


async def _parked(settings: Settings) -> list[Parked]:
    async with make_pool(settings, name="outbox", size=1) as pool:
        return await outbox.parked(pool)


async def _redrive(settings: Settings) -> int:
    async with make_pool(settings, name="outbox", size=1) as pool:
        return await outbox.redrive(pool)
