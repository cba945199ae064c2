"""`halyard deliveries list|redrive`: what did not reach its receiver, and sending it again."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import asdict
from typing import Annotated

import typer

from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.cli.stated import stated
from halyard.cli.who import account
from halyard.postgres import make_pool, transaction
from halyard.settings import Settings, load_settings
from stores import deliveries
from stores.deliveries import Redriven, Unsent

app = typer.Typer(help="Deliveries that are parked or wait.", no_args_is_help=True)

_COLUMNS = (
    "destination",
    "paused",
    "state",
    "delivery_id",
    "alert_id",
    "version",
    "kind",
    "attempts",
    "last_error",
    "due_at",
)


@app.command("list")
def list_(
    destination: Annotated[str | None, typer.Option(help="Only this endpoint's.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 200,
    json: Json = False,
) -> None:
    """Show what is parked and what waits, by destination; no bodies."""
    running_system(load_settings().data_dir)
    found = asyncio.run(_unsent(load_settings(), destination, limit))
    if json:
        print_json({"deliveries": [asdict(one) for one in found]})
    elif found:
        table(_COLUMNS, [asdict(one) for one in found])
    else:
        line("nothing is parked and nothing waits")


@app.command()
def redrive(
    reason: Annotated[
        str,
        typer.Option(help="Why; kept until the next attempt. No personal data.", callback=stated),
    ],
    delivery: Annotated[str | None, typer.Argument(help="Id of a parked delivery.")] = None,
    destination: Annotated[
        str | None, typer.Option(help="Instead of an id: all that this endpoint refused.")
    ] = None,
    json: Json = False,
) -> None:
    """Send parked deliveries again, now. What a newer version has overtaken is superseded."""
    if (delivery is None) == (destination is None):
        raise typer.BadParameter("give the id of a delivery, or --destination; not both")
    try:
        delivery_id = None if delivery is None else uuid.UUID(delivery)
    except ValueError:
        raise typer.BadParameter("give an id as `halyard deliveries list` shows it") from None
    running_system(load_settings().data_dir)
    done = asyncio.run(_redrive(load_settings(), delivery_id, destination, reason))
    if json:
        print_json(asdict(done))
    else:
        line(f"{len(done.opened)} to be sent again, {len(done.superseded)} superseded")
    if not done.opened and not done.superseded:
        raise typer.Exit(Exit.FAILED)


async def _unsent(settings: Settings, destination: str | None, limit: int) -> list[Unsent]:
    async with (
        make_pool(settings, name="deliveries", size=1) as pool,
        transaction(pool) as connection,
    ):
        return await deliveries.unsent(connection, destination=destination, limit=limit)


async def _redrive(
    settings: Settings, delivery_id: uuid.UUID | None, destination: str | None, reason: str
) -> Redriven:
    async with (
        make_pool(settings, name="deliveries", size=1) as pool,
        transaction(pool) as connection,
    ):
        return await deliveries.redrive(
            connection,
            reason=f"redriven by {account()}: {reason}",
            delivery_id=delivery_id,
            destination=destination,
        )
