"""`halyard flags upload FILE`: an authority's flags, and the answer to each record."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from halyard.cli import practice
from halyard.cli.access import Organisation, Url, hub_client
from halyard.cli.output import Exit, Json, line, print_json
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from sandbox.samples.render import render

app = typer.Typer(help="Flags of a local authority.", no_args_is_help=True)

HELD = frozenset({"CPR05", "CPR06"})


@app.callback()
def _flags() -> None:
    """Keeps `upload` a command of its own."""


@app.command()
def upload(
    file: Annotated[
        Path, typer.Argument(help="JSON lines, one record a line (docs/reference/flag-file.md).")
    ],
    sequence: Annotated[
        int | None,
        typer.Option(help="The file's own number, where the authority's files have one."),
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for a further answer; 0 does not wait.")
    ] = 60.0,
    url: Url = None,
    organisation: Organisation = practice.AUTHORITY,
    json: Json = False,
) -> None:
    """Upload a file and print the answer to each record as it becomes known.

    Dates like {d-90} in the file are filled in. Exits 1 if a line was refused or a record is not
    held.
    """
    if not file.is_file():
        raise ConfigurationError(f"{file} is not a file.")
    result = asyncio.run(_upload(file, sequence, wait, url, organisation, quiet=json))
    if json:
        print_json(result)
    held = all(answer["code"] in HELD for answer in result["answers"])
    if result["refused_count"] or (wait and not held):
        raise typer.Exit(Exit.FAILED)


async def _upload(
    file: Path,
    sequence: int | None,
    wait: float,
    url: str | None,
    organisation: str,
    *,
    quiet: bool,
) -> dict[str, Any]:
    async with hub_client(url, organisation) as hub:
        receipt = await hub.upload(_filled_in(file), sequence=sequence)
        if not quiet:
            line(
                f"upload {receipt.upload_id}: {receipt.accepted} taken, "
                f"{receipt.refused_count} refused"
            )
            for one in receipt.refused:
                line(f"  line {one.line} {one.field}: {one.message} [{one.rule}]")
        answers: list[dict[str, Any]] = []
        with _progress(quiet) as bar:
            task = bar.add_task("answers", total=receipt.accepted)
            if wait:
                async for answer in hub.follow_answers(receipt.upload_id, seconds=wait):
                    answers.append(asdict(answer))
                    bar.advance(task)
                    if not quiet:
                        detail = f" ({answer.detail})" if answer.detail else ""
                        line(
                            f"  line {answer.line} {answer.local_id}: {answer.code} "
                            f"{answer.text}{detail}"
                        )
    return {**asdict(receipt), "answers": answers}


async def _filled_in(file: Path) -> AsyncIterator[bytes]:
    now = system_clock()
    with file.open("rb") as lines:
        for raw in lines:
            # only a line of ours has such dates; others pass untouched, whatever their bytes
            yield render(raw.decode(), now, "").encode() if b"{d" in raw else raw


def _progress(quiet: bool) -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=quiet or not console.is_terminal,
        transient=True,
    )
