"""`halyard flags upload FILE`, `flags answers UPLOAD`, `flags look`: a local authority's flags, and
what is held of somebody.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from connectors.local_authority.client import AnswerPage, FileAnswer, RecordAnswer
from halyard.cli import practice
from halyard.cli.access import Organisation, Url, hub_client
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.stated import stated
from halyard.clock import system_clock
from halyard.errors import ConfigurationError, TransientError
from sandbox.local_authority.files import filled_in, format_of

app = typer.Typer(help="Flags of a local authority.", no_args_is_help=True)

HELD = frozenset({"CPR05", "CPR06"})


@app.command()
def upload(
    file: Annotated[
        Path, typer.Argument(help="JSON lines, or CSV by its name (docs/reference/flag-file.md).")
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
        receipt = await hub.upload(
            filled_in(file, system_clock()), sequence=sequence, file_format=format_of(file)
        )
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
                        _show(answer)
        page = await hub.answers(receipt.upload_id, limit=1) if wait else None
        if page is not None and not quiet:
            _show_file(page.file)
    told = asdict(page.file) if page is not None else None
    return {**asdict(receipt), "answers": answers, "file": told}


@app.command()
def answers(
    upload: Annotated[str, typer.Argument(help="The upload's id, as `upload` printed it.")],
    everything: Annotated[bool, typer.Option("--all", help="Records that are held, too.")] = False,
    url: Url = None,
    organisation: Organisation = practice.AUTHORITY,
    json: Json = False,
) -> None:
    """Show what became of an upload: the file as a whole, and each record that is not held.

    Exits 1 if something is not held, or not known yet.
    """
    try:
        upload_id = uuid.UUID(upload)
    except ValueError:
        raise ConfigurationError(
            "An upload's id is a UUID, as `flags upload` printed it."
        ) from None
    result, file = asyncio.run(_answers(upload_id, everything, url, organisation, quiet=json))
    if json:
        print_json(result)
    if file.code != "CPF02":
        raise typer.Exit(Exit.FAILED)


async def _answers(
    upload_id: uuid.UUID, everything: bool, url: str | None, organisation: str, *, quiet: bool
) -> tuple[dict[str, Any], FileAnswer]:
    shown: list[dict[str, Any]] = []
    last: AnswerPage | None = None
    async with hub_client(url, organisation) as hub:
        async for page in hub.answer_pages(upload_id):
            last = page
            for answer in page.records:
                if not everything and answer.code in HELD:
                    continue
                shown.append(asdict(answer))
                if not quiet:
                    _show(answer)
    if last is None:
        raise NotKnown
    if not quiet:
        _show_file(last.file)
    head = {"upload_id": upload_id, "expected": last.expected, "answered": last.answered}
    return {**head, "file": asdict(last.file), "answers": shown}, last.file


@app.command()
def look(
    purpose: Annotated[
        str,
        typer.Option(help="urgent-care, direct-care, child-protection or break-glass."),
    ] = "urgent-care",
    reason: Annotated[
        str | None,
        typer.Option(help="Why, in your words; break-glass needs it.", callback=stated),
    ] = None,
    silent: Annotated[
        bool, typer.Option("--silent", help="A scheduled look: no authority is told of it.")
    ] = False,
    url: Url = None,
    organisation: Organisation = practice.HOSPITAL,
    json: Json = False,
) -> None:
    """Ask whether a child (or mother) is protected. The NHS number is asked for, or read from
    standard input: arguments are seen by others. Exits 1 if it could not be checked.
    """
    found = asyncio.run(_look(_one_number(), purpose, reason, silent, url, organisation))
    if json:
        print_json(found)
    else:
        show_answer(found)
    if found["answer"] == "could-not-be-checked":
        raise typer.Exit(Exit.FAILED)


def _one_number() -> str:
    """The number asked about. Raises `typer.BadParameter` (exit code 2) unless it is one."""
    if sys.stdin.isatty():
        return str(typer.prompt("NHS number", err=True))
    given = [text.strip() for text in sys.stdin.read().splitlines() if text.strip()]
    if len(given) != 1:
        raise typer.BadParameter(
            "standard input has one NHS number, on a line of its own: ask about one at a time"
        )
    return given[0]


async def _look(
    number: str,
    purpose: str,
    reason: str | None,
    silent: bool,
    url: str | None,
    organisation: str,
) -> dict[str, Any]:
    async with hub_client(url, organisation) as hub:
        return await hub.query_flags(number, purpose=purpose, reason=reason, unscheduled=not silent)


def show_answer(found: Mapping[str, Any]) -> None:
    """The answer of a look-up in a few lines, without the number."""
    line(f"{found['answer']} as of {found['as_of']}")
    if found["answer"] == "could-not-be-checked":
        line("  This says nothing about the child: follow your procedure as if this were down.")
        return
    if found.get("advice"):
        line(f"  {found['advice']}")
    if found["death_noted"]:
        line(f"  a death is noted since {found['death_noted']}")
    for flag in found.get("flags", ()):
        state = {True: "active", False: f"ended {flag['end']}"}.get(flag["active"], "withheld")
        whose = f", {flag['authority_name']}" if flag["authority_name"] else ""
        phones = ", ".join(one for one in (flag["phone_office"], flag["phone_emergency"]) if one)
        line(f"  {flag['plan']}, {state}{whose}{f': ring {phones}' if phones else ''}")
    for one in found.get("accesses") or ():
        nobody = "a system" if one["system"] else "withheld"
        who = ", ".join(part for part in (one["name"], one["job_role"]) if part) or nobody
        line(f"  looked at {one['at']}: {who}, {one['organisation_name'] or 'withheld'}")
    if found.get("accesses_rule", "shown") != "shown":
        line("  who has looked is withheld")
    for one in found["earlier_attendances"] or ():
        line(f"  attended {one['arrived_at']}: {one['hospital_name']}")
    fresh = sum(not one["stale"] for one in found["coverage"])
    line(
        f"  files of {fresh} of {len(found['coverage']) + len(found['not_covered'])} authorities "
        f"are fresh; policy {found['policy']['id']} version {found['policy']['version']}"
    )


class NotKnown(TransientError):
    """No such upload is known yet; if it was taken a moment ago, ask again, else check the id."""


def _show(answer: RecordAnswer) -> None:
    detail = f" ({answer.detail})" if answer.detail else ""
    line(f"  line {answer.line} {answer.local_id}: {answer.code} {answer.text}{detail}")


def _show_file(file: FileAnswer) -> None:
    counts = ", ".join(f"{amount} {code}" for code, amount in file.counts.items())
    refused = f", {file.refused} refused" if file.refused else ""
    if not counts:
        # a file without records is held, too
        counts = "no record was in it" if file.code == "CPF02" else "no answer"
    answer = f"{file.code} {file.text}" if file.code else "not complete"
    line(f"{answer}: {counts}{refused}")
    if file.repeat_of:
        line(f"  the same file as upload {file.repeat_of}")
    if file.sequence_note:
        line(f"  sequence: {file.sequence_note}")


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
