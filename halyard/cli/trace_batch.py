"""`halyard trace-batch …`: an authority's file of children, traced on its behalf."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.trace_files.layout import load_layout
from connectors.trace_files.request import write_request
from connectors.trace_files.response import MAX_FILE_BYTES
from connectors.trace_files.results import GO_LIVE, MATCHED
from flag_service import trace_batches as face
from flag_service import trace_files
from flag_service.trace_loading import load
from flag_service.tracing import Tracing, make_tracing, refused_lines
from halyard.caller import Caller
from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.cli.stated import Name, stated
from halyard.cli.who import me
from halyard.clock import system_clock
from halyard.errors import PermanentError
from halyard.http import HttpProblem
from halyard.postgres import Pool, make_pool, transaction
from halyard.privacy import load_keys
from halyard.settings import Settings, load_settings
from policies.desk import open_desk
from policies.model import load_policies
from stores import trace_batches as store
from stores.credentials import default_roles
from stores.directory import Directory, load_directory
from stores.trace_batches import Batch

app = typer.Typer(
    help="Files of children, traced with what is left of the ration.", no_args_is_help=True
)

_COLUMNS = (
    "batch_id",
    "organisation",
    "state",
    "made_at",
    "by",
    "lines",
    "refused",
    "answered",
    "matched",
    "seconds_left",
)
_PIECE = 64 * 1024

Id = Annotated[str, typer.Argument(help="Id of a batch, as `halyard trace-batch status` shows it.")]
Why = Annotated[
    str,
    typer.Option(
        "--reason",
        help="Needed. Why; kept in the audit chain. No personal data.",
        callback=stated,
        show_default=False,
    ),
]
Out = Annotated[Path, typer.Option(help="Needed. File to write (mode 0600); never an old one.")]


@app.command()
def start(
    file: Annotated[Path, typer.Argument(help="CSV of the children, with a first line of names.")],
    for_: Annotated[str, typer.Option("--for", help="Needed. GSS code of the authority.")],
    by: Name,
    reason: Why,
    purpose: Annotated[str, typer.Option(help="child-protection or direct-care.")] = (
        "child-protection"
    ),
    json: Json = False,
) -> None:
    """Take a file in and trace its lines; the same file again is the same batch."""
    if purpose not in ("child-protection", "direct-care"):
        raise typer.BadParameter("give child-protection or direct-care")

    async def work(mine: Tracing, directory: Directory, settings: Settings) -> dict[str, Any]:
        if for_ not in directory.authorities:
            raise PermanentError(f"{for_} is no authority of the directory.")
        loaded = await load(
            mine,
            caller(directory, for_, by),
            purpose=purpose,
            reason=reason,
            chunks=_pieces(file),
            request_id=None,
            max_line_bytes=settings.http.max_upload_line_bytes,
        )
        return {
            "batch_id": str(loaded.batch_id),
            "repeat_of": str(loaded.repeat_of) if loaded.repeat_of else None,
            "lines": loaded.lines,
            "refused_count": loaded.refused_count,
            "refused": loaded.refused,
        }

    _readable(file, load_settings().http.max_upload_bytes)
    told = run(work)
    if json:
        print_json(told)
        return
    if told["repeat_of"]:
        line("the same file is there already; this is its batch")
    line(f"batch {told['batch_id']}: {told['lines']} lines, {told['refused_count']} refused")
    for one in told["refused"]:
        place = f", {one['column']}" if one["column"] else ""
        line(f"line {one['line']}{place}: {one['rule']}: {one['message']}")


@app.command()
def status(
    batch: Annotated[str | None, typer.Argument(help="Id of a batch; default: all.")] = None,
    for_: Annotated[
        str | None, typer.Option("--for", help="Only of this authority.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """How far batches are; of one also why lines have no number, and the 95 % line of go-live."""
    batch_id = None if batch is None else identified(batch)

    async def work(mine: Tracing, _directory: Directory, _settings: Settings) -> list[Any]:
        async with transaction(mine.pool) as connection:
            if batch_id is None:
                found = await store.page(connection, for_, before=None, limit=200)
                return [_row(one, mine) for one in found]
            one = _there(await store.get(connection, batch_id))
            why = await store.reasons(connection, batch_id)
            unusable = await store.unusable_numbers(connection, batch_id)
            return [{**_row(one, mine), "reasons": why, "unusable_numbers": unusable}]

    rows = run(work)
    if json:
        if batch_id is None:
            print_json({"batches": rows})
        else:
            reasons = [
                {"outcome": one.outcome, "rule": one.rule, "lines": one.amount}
                for one in rows[0]["reasons"]
            ]
            print_json({**rows[0], "reasons": reasons})
        return
    table(_COLUMNS, rows)
    if batch_id is not None:
        for why in rows[0]["reasons"]:
            line(f"{why.amount:>8}  {why.outcome}  {why.rule or ''}")
        for rule, amount in rows[0]["unusable_numbers"].items():
            line(f"{amount:>8}  of these with a number that is none: {rule}")
        _rate(rows[0], line)


@app.command()
def result(batch: Id, out: Out, by: Name, reason: Why) -> None:
    """Write what became of each line as CSV. Numbers are told as the sharing policies say."""
    batch_id = identified(batch)

    async def work(mine: Tracing, directory: Directory, _settings: Settings) -> dict[str, Any]:
        async with transaction(mine.pool) as connection:
            one = _there(await store.get(connection, batch_id))
        asking = caller(directory, one.organisation, by)
        if (refused := refused_lines(mine, asking, one.purpose)) is not None:
            raise refused
        if one.state == "cancelled" or one.emptied_at is not None:
            raise PermanentError("The result is not kept any more; send the file again.")
        pieces = face.stream(mine, asking, one, after=0, request_id=None, reason=reason)
        with _new(out) as stream:
            async for piece in pieces:
                stream.write(piece)
        return _row(one, mine)

    told = run(work)
    line(f"{told['lines'] + told['refused']} lines in {out}")
    _rate(told, line)


@app.command()
def cancel(batch: Id, by: Name, reason: Why) -> None:
    """Ask nothing more for a batch, and forget its result."""
    batch_id = identified(batch)

    async def work(mine: Tracing, directory: Directory, _settings: Settings) -> bool:
        async with transaction(mine.pool) as connection:
            one = _there(await store.get(connection, batch_id))
        asking = caller(directory, one.organisation, by)
        return await face.cancel(mine, asking, one, request_id=None, reason=reason)

    line("cancelled" if run(work) else "it was cancelled before")


@app.command()
def export(batch: Id, out: Out, by: Name, reason: Why) -> None:
    """Write the lines without a number as a trace file, for another tracing service."""
    batch_id = identified(batch)

    async def work(mine: Tracing, directory: Directory, settings: Settings) -> int:
        layout = load_layout(settings.tracing.layout_file)
        async with transaction(mine.pool) as connection:
            one = _there(await store.get(connection, batch_id))
        asking = caller(directory, one.organisation, by)
        lines = await trace_files.untraced(mine, asking, one, reason=reason)
        if not lines:
            return 0
        with _new(out) as stream:
            for piece in write_request(layout, batch_id, lines):
                stream.write(piece)
        return len(lines)

    amount = run(work)
    line(f"{amount} lines in {out}" if amount else "every line has its answer; nothing is written")


@app.command("import")
def import_(
    batch: Id,
    file: Annotated[Path, typer.Argument(help="The response to a trace file of this batch.")],
    by: Name,
    reason: Why,
    json: Json = False,
) -> None:
    """Take the response to a trace file. Its numbers are asked of PDS before they are believed."""
    batch_id = identified(batch)
    _readable(file, MAX_FILE_BYTES)

    async def work(mine: Tracing, directory: Directory, settings: Settings) -> Any:
        layout = load_layout(settings.tracing.layout_file)
        async with transaction(mine.pool) as connection:
            one = _there(await store.get(connection, batch_id))
        asking = caller(directory, one.organisation, by)
        return await trace_files.take_response(
            mine, asking, one, layout, lambda: _bytes(file), reason=reason
        )

    done = run(work)
    if json:
        print_json(
            {
                "results": dict(done.results),
                "refused_count": done.refused_count,
                "refused": done.refused,
            }
        )
    else:
        for name, amount in sorted(done.results.items()):
            line(f"{amount:>8}  {'asked of PDS by the number' if name == 'asked' else name}")
        for one in done.refused:
            place = f", {one['column']}" if one["column"] else ""
            line(f"row {one['row']}{place}: {one['rule']}: {one['message']}")
    if done.refused_count:
        raise typer.Exit(Exit.FAILED)


def run(work: Callable[[Tracing, Directory, Settings], Awaitable[Any]]) -> Any:
    """Do `work` beside the running system; a refusal is a sentence."""
    running_system(load_settings().data_dir)
    settings = load_settings()
    keys = load_keys(settings.security)
    directory = load_directory(settings.directory_file)
    policies = load_policies(settings.policies.directory)

    async def all_of_it(pool: Pool) -> Any:
        desk = open_desk(policies, directory, keys, me())
        mine = make_tracing(settings, pool, desk, system_clock, keys)
        return await work(mine, directory, settings)

    async def opened() -> Any:
        async with make_pool(settings, name="trace", size=2) as pool:
            return await all_of_it(pool)

    try:
        return asyncio.run(opened())
    except HttpProblem as problem:
        details = [
            f"{one['place']}: {one['message']}"
            for one in problem.extras.get("errors", ())
            if isinstance(one, dict)
        ]
        raise PermanentError(" ".join([f"{problem.title}. {problem.detail}", *details])) from None


def caller(directory: Directory, organisation: str, by: str) -> Caller:
    """Who asks on behalf of an organisation: this account, and whose decision it was."""
    kinds = directory.kinds_of(organisation)
    if not {"hospital", "authority"}.intersection(kinds):
        raise PermanentError(f"{organisation} is neither hospital nor authority of the directory.")
    return Caller(
        organisation=organisation,
        subject=me(),
        name=by,
        roles=default_roles(kinds),
        person=True,
    )


def identified(text: str) -> uuid.UUID:
    """An id. Raises `typer.BadParameter`."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise typer.BadParameter("give an id as `halyard trace-batch status` shows it") from None


def _there(batch: Batch | None) -> Batch:
    if batch is None or batch.kind != "file":
        raise PermanentError("There is no such batch; `halyard trace-batch status` lists them.")
    return batch


def _row(batch: Batch, mine: Tracing) -> dict[str, Any]:
    return {
        **face.view(batch, mine),
        "organisation": batch.organisation,
        "by": batch.made_by_name or batch.made_by,
        "matched": sum(batch.counts.get(name, 0) for name in MATCHED),
    }


def _rate(row: dict[str, Any], say: Callable[[str], None]) -> None:
    rate = row["match_rate"]
    if rate is None:
        say("the match rate is told when every line has its answer")
        return
    needed = f"{GO_LIVE:.0%} are needed to go live with CP-IS"
    say(
        f"match rate {rate:.1%} of all lines: {'enough' if row['go_live'] else 'too few'}; {needed}"
    )


def _readable(file: Path, most: int) -> None:
    try:
        size = file.stat().st_size
    except OSError as error:
        raise typer.BadParameter(f"the file cannot be read ({type(error).__name__})") from None
    if size > most:
        raise typer.BadParameter(f"the file is larger than {most} bytes; send it in parts")


async def _pieces(file: Path) -> AsyncIterator[bytes]:
    for piece in _bytes(file):
        yield piece


def _bytes(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as stream:
            while piece := stream.read(_PIECE):
                yield piece
    except OSError as error:
        raise PermanentError(f"The file cannot be read ({type(error).__name__}).") from None


def _new(path: Path) -> Any:
    """A new file that nobody else may read: it has people's numbers."""
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:
        raise PermanentError(
            f"{path} cannot be written ({type(error).__name__}); give a file that is not there."
        ) from None
