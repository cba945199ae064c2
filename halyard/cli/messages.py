"""`halyard messages list|show|acknowledge`: what the hub has for an organisation about deaths."""

from __future__ import annotations

import asyncio
import uuid
from typing import Annotated, Any

import typer

from connectors.fhir.mailbox_client import MailboxClient, ReceivedLetter
from halyard.cli import practice
from halyard.cli.access import Organisation, Url, hub_access
from halyard.cli.output import Json, line, print_json, table

app = typer.Typer(help="Messages to an organisation: answers, requests.", no_args_is_help=True)

LetterId = Annotated[str, typer.Argument(help="Its id, as `halyard messages list` shows it.")]

_COLUMNS = ("letter_id", "kind", "at", "answers", "needs_acknowledgement", "acknowledged_at")


@app.command("list")
def list_(
    unacknowledged: Annotated[
        bool, typer.Option("--unacknowledged", help="Only what was not acknowledged.")
    ] = False,
    answers_to: Annotated[
        str | None,
        typer.Option(help="Instead: what answers the message of this id, or its receipt."),
    ] = None,
    url: Url = None,
    organisation: Organisation = practice.HOSPITAL,
    json: Json = False,
) -> None:
    """List an organisation's messages, the oldest first. Reading changes nothing."""
    if answers_to is not None and unacknowledged:
        raise typer.BadParameter("give --answers-to or --unacknowledged, not both")
    found = asyncio.run(_list(url, organisation, answers_to, unacknowledged=unacknowledged))
    rows = [_row(one) for one in found]
    if json:
        print_json({"messages": rows})
    elif rows:
        table(_COLUMNS, rows)
    else:
        line("no messages")


@app.command()
def show(letter: LetterId, url: Url = None, organisation: Organisation = practice.HOSPITAL) -> None:
    """Print one message whole, as FHIR JSON; it may name a child."""
    print_json(asyncio.run(_show(_id(letter), url, organisation)))


@app.command()
def acknowledge(
    letter: LetterId,
    url: Url = None,
    organisation: Organisation = practice.HOSPITAL,
    json: Json = False,
) -> None:
    """Tell the hub that the organisation has this message; as often as you like."""
    asyncio.run(_acknowledge(_id(letter), url, organisation))
    if json:
        print_json({"letter_id": letter, "acknowledged": True})
    else:
        line("acknowledged")


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise typer.BadParameter("give an id as `halyard messages list` shows it") from None


def _row(letter: ReceivedLetter) -> dict[str, Any]:
    return {name: getattr(letter, name) for name in _COLUMNS}


async def _list(
    url: str | None, organisation: str, answers_to: str | None, *, unacknowledged: bool
) -> list[ReceivedLetter]:
    async with MailboxClient(*hub_access(url, organisation)) as box:
        if answers_to is not None:
            return list(await box.answers(answers_to))
        return [one async for one in box.letters(unacknowledged=unacknowledged)]


async def _show(letter_id: uuid.UUID, url: str | None, organisation: str) -> dict[str, Any]:
    async with MailboxClient(*hub_access(url, organisation)) as box:
        return await box.show(letter_id)


async def _acknowledge(letter_id: uuid.UUID, url: str | None, organisation: str) -> None:
    async with MailboxClient(*hub_access(url, organisation)) as box:
        await box.acknowledge(letter_id)
