"""`halyard register flows|releases`: what is disclosed to whom, as a register that is published."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from halyard.cli.output import Json, line, print_json
from halyard.cli.policy import Folder, policies_of
from halyard.cli.running import running_system
from halyard.clock import system_clock
from halyard.postgres import Connection, make_pool, transaction
from halyard.settings import Settings, load_settings
from policies import register
from policies.decision import local_day
from stores import releases as store
from stores.directory import load_directory
from stores.sectors import sector_of

T = TypeVar("T")

app = typer.Typer(help="The register of flows and releases.", no_args_is_help=True)


class Form(StrEnum):
    """How a register is written."""

    MARKDOWN = "markdown"
    HTML = "html"
    CSV = "csv"


Written = Annotated[Form, typer.Option("--format", help="Or --json.")]
Out = Annotated[Path | None, typer.Option(help="Write there; default: print.")]


@app.command()
def flows(
    form: Written = Form.MARKDOWN, out: Out = None, directory: Folder = None, json: Json = False
) -> None:
    """Register every flow: what each policy lets leave, to whom, and how often it did."""
    settings = _settings()
    given = policies_of(settings, directory)
    known = load_directory(settings.directory_file)
    totals = [
        {**one, "sector": sector_of(known, one["recipient"])}
        for one in _read(settings, store.flow_totals)
    ]
    rows = register.flows(given, totals, local_day(system_clock()))
    _write("Register of flows", register.FLOWS, rows, form, out, json)


@app.command()
def releases(
    form: Written = Form.MARKDOWN, out: Out = None, directory: Folder = None, json: Json = False
) -> None:
    """Register every release of an extract: a line for each file, with its Five Safes record."""
    settings = _settings()
    rows = register.releases(policies_of(settings, directory), _read(settings, store.every))
    _write("Register of releases", register.RELEASES, rows, form, out, json)


def _write(
    title: str,
    columns: Sequence[str],
    rows: Sequence[Mapping[str, Any]],
    form: Form,
    out: Path | None,
    json: bool,
) -> None:
    if json:
        print_json({"made_at": system_clock(), "entries": rows})
        return
    if form is Form.CSV:
        text = register.as_csv(columns, rows)
    else:
        write = register.as_html if form is Form.HTML else register.as_markdown
        text = write(title, columns, rows, system_clock())
    if out is None:
        typer.echo(text, nl=False)
    else:
        try:
            out.write_text(text, "utf-8")
        except OSError as error:
            raise typer.BadParameter(f"--out cannot be written ({type(error).__name__})") from None
        line(f"{len(rows)} entries in {out}")


def _read(settings: Settings, read: Callable[[Connection], Awaitable[T]]) -> T:
    async def work() -> T:
        async with (
            make_pool(settings, name="register", size=1) as pool,
            transaction(pool) as connection,
        ):
            return await read(connection)

    return asyncio.run(work())


def _settings() -> Settings:
    running_system(load_settings().data_dir)
    return load_settings()
