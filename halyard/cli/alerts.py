"""`halyard alerts follow|accept`: what a duty desk does, from a terminal."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any

import orjson
import typer

from halyard.cli import practice
from halyard.cli.access import Organisation, Url, hub_client
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.stated import stated

app = typer.Typer(help="Alerts of an organisation.", no_args_is_help=True)


@app.command()
def follow(
    once: Annotated[bool, typer.Option("--once", help="Print what is there and end.")] = False,
    url: Url = None,
    organisation: Organisation = practice.AUTHORITY,
    json: Json = False,
) -> None:
    """Print each alert as it changes, until Ctrl-C; with --json one document a line."""
    asyncio.run(_follow(url, organisation, once=once, json=json))


async def _follow(url: str | None, organisation: str, *, once: bool, json: bool) -> None:
    async with hub_client(url, organisation) as hub:
        if once:
            after: str | None = None
            while True:
                page = await hub.alerts(after=after)
                for alert in page.alerts:
                    _show(alert, json=json)
                after = page.next
                if not page.more:
                    return
        async for alert in hub.follow_alerts():
            _show(alert, json=json)


def _show(alert: dict[str, Any], *, json: bool) -> None:
    if json:
        line(orjson.dumps(alert).decode())
        return
    visit, plans = alert.get("visit") or {}, alert.get("flags") or []
    active = ", ".join(plan["plan_type"] for plan in plans if plan.get("active"))
    line(
        f"{alert['alert_id']} v{alert['version']} {alert['state']:9} {active}  "
        f"{visit.get('department') or '-'}  {visit.get('arrived_at') or '-'}"
    )


@app.command()
def accept(
    alert: Annotated[str, typer.Argument(help="The alert's id.")],
    answer: Annotated[str, typer.Option(help="What the hospital is told.", callback=stated)],
    by: Annotated[
        str, typer.Option(help="Who accepts: a role or work name.", callback=stated)
    ] = "Duty social worker",
    url: Url = None,
    organisation: Organisation = practice.AUTHORITY,
    json: Json = False,
) -> None:
    """Accept an alert; the hospital's safeguarding contact gets the answer."""
    try:
        alert_id = uuid.UUID(alert)
    except ValueError:
        raise typer.BadParameter(
            "give the alert's id as `halyard alerts follow` prints it"
        ) from None
    result = asyncio.run(_accept(alert_id, answer, by, url, organisation))
    if json:
        print_json(result)
    elif result["changed"]:
        line(f"accepted at {result['accepted_at']} by {result['accepted_by']}")
    else:
        line(
            f"accepted before, at {result['accepted_at']} by {result['accepted_by']}; your answer "
            "was not sent"
        )
    if not result["changed"]:
        raise typer.Exit(Exit.FAILED)


async def _accept(
    alert_id: uuid.UUID, answer: str, by: str, url: str | None, organisation: str
) -> dict[str, Any]:
    async with hub_client(url, organisation) as hub:
        return await hub.accept(alert_id, by=by, answer=answer)
