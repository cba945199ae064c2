"""`halyard trace ID`: one message's way through every hop."""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import asdict
from typing import Annotated

import typer

from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.running import running_system
from halyard.postgres import make_pool, transaction
from halyard.settings import Settings, load_settings
from stores import timeline
from stores.timeline import Hop


async def find_hops(settings: Settings, some_id: uuid.UUID) -> list[Hop]:
    """The hops of the trace that an event, alert or delivery belongs to; empty if unknown."""
    async with make_pool(settings, name="trace", size=1) as pool, transaction(pool) as connection:
        trace_id = await timeline.trace_of(connection, some_id)
        return [] if trace_id is None else await timeline.hops(connection, trace_id)


def trace(
    event: Annotated[str, typer.Argument(help="Id of an event, an alert or a delivery.")],
    json: Json = False,
) -> None:
    """Show what happened to a message: topics with offsets, decisions with rules, deliveries."""
    running_system(load_settings().data_dir)
    try:
        some_id = uuid.UUID(event)
    except ValueError:
        raise typer.BadParameter(
            "give an id as `halyard alerts follow` or a log line shows it"
        ) from None
    found = asyncio.run(find_hops(load_settings(), some_id))
    if json:
        print_json({"hops": [asdict(hop) for hop in found]})
    else:
        for hop in found:
            line(hop.text())
    if not found:
        line("nothing is known of this id; the journal may be behind (`halyard doctor`)")
        raise typer.Exit(Exit.FAILED)
