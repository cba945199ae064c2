"""`halyard cases …`: what a panel's office or an operator sees of child death cases, and decides.

Lists show no personal data. `show` shows a case whole, for a person at work on it; the NHS number
only with `--with-number`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import Annotated, TypeVar

import typer

from halyard.cli import case_view
from halyard.cli.output import Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.cli.stated import Name, stated
from halyard.cli.who import me
from halyard.clock import system_clock
from halyard.postgres import Connection, Pool, make_pool, transaction
from halyard.privacy import load_keys
from halyard.settings import Settings, load_settings
from schemas.deaths import CaseState
from stores import case_messages, cases, prompts, proposals
from stores.directory import load_directory
from streams.cases import commands, republishing
from streams.cases.commands import Decider, Done
from streams.cases.holdings import World, world_of

T = TypeVar("T")

app = typer.Typer(help="Cases of child deaths: see them, decide about them.", no_args_is_help=True)

Case = Annotated[str, typer.Argument(help="Id of a case, as `halyard cases list` shows it.")]
Reason = Annotated[str, typer.Option(help="Why; kept with the decision.", callback=stated)]
Version = Annotated[
    int | None,
    typer.Option("--version", min=1, help="The version you saw; a newer one refuses the decision."),
]

_LISTED = ("case_id", "version", "state", "eligibility", "panel", "needs", "opened_at")
_PROPOSED = ("one_id", "other_id", "score", "rule", "agreements", "differences", "proposed_at")
_PROMPTED = ("prompt_id", "state", "organisation", "indication", "rule", "opened_at", "case_id")

_WAITING = ("event_id", "organisation", "kind", "number_status", "request_id", "received_at")


@app.command("list")
def list_(
    needs: Annotated[
        str | None, typer.Option(help="Only with this need: number, eligibility, panel, …")
    ] = None,
    panel: Annotated[str | None, typer.Option(help="Only this panel's.")] = None,
    state: Annotated[
        str, typer.Option(help="OPEN, MERGED or VOIDED; `all` for every state.")
    ] = CaseState.OPEN.value,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 200,
    json: Json = False,
) -> None:
    """List cases, in the order in which they were opened. No personal data."""
    wanted = state.upper()
    if wanted not in {"ALL", *(one.value for one in CaseState)}:
        raise typer.BadParameter("give --state OPEN, MERGED, VOIDED or all")

    states = None if wanted == "ALL" else [wanted]
    listed, total = _page(
        lambda each: cases.page(each, limit=limit, states=states, needs=needs, panel=panel),
        lambda each: cases.count(each, states=states, needs=needs, panel=panel),
    )
    found = [asdict(one) for one in listed]
    if json:
        print_json({"cases": found, "total": total})
    elif found:
        table(_LISTED, [{**one, "needs": ", ".join(one["needs"])} for one in found])
        _say_cut(len(found), total)
    else:
        line("no cases")


@app.command()
def show(
    case: Case,
    with_number: Annotated[
        bool, typer.Option("--with-number", help="Show the NHS number too.")
    ] = False,
    json: Json = False,
) -> None:
    """Show a case: what is known and from whom, requests, decisions, who has not acknowledged."""
    case_id = _id(case)
    found = _read(lambda connection: case_view.whole(connection, case_id, with_number=with_number))
    if json:
        print_json(found)
    else:
        case_view.print_case(found)


@app.command()
def merge(
    case: Case,
    into: Annotated[str, typer.Argument(help="The case that it counts in from now on.")],
    reason: Reason,
    by: Name = "",
    version: Version = None,
    into_version: Annotated[
        int | None, typer.Option(min=1, help="The other case's version that you saw.")
    ] = None,
    two_numbers: Annotated[
        bool, typer.Option("--two-numbers", help="One child, though two numbers are verified.")
    ] = False,
    json: Json = False,
) -> None:
    """The two cases are one death. Nothing is lost: `unmerge` takes it back."""
    if (version is None) != (into_version is None):
        raise typer.BadParameter("give --version and --into-version, or neither")
    member, target = _id(case), _id(into)
    versions = None if version is None or into_version is None else (version, into_version)
    _decide(
        lambda pool, world, decider: commands.merge(
            pool, member, target, world, decider, versions=versions, two_numbers=two_numbers
        ),
        by,
        reason,
        json,
    )


@app.command()
def unmerge(
    case: Case, reason: Reason, by: Name = "", version: Version = None, json: Json = False
) -> None:
    """A case that was merged counts for itself again."""
    member = _id(case)
    _decide(
        lambda pool, world, decider: commands.unmerge(
            pool, member, world, decider, version=version
        ),
        by,
        reason,
        json,
    )


@app.command()
def reject(
    case: Case,
    other: Annotated[str, typer.Argument(help="The case that it was proposed as one with.")],
    reason: Reason,
    by: Name = "",
    json: Json = False,
) -> None:
    """Two cases that are proposed as one death are two."""
    one, two = _id(case), _id(other)
    _decide(
        lambda pool, world, decider: commands.reject(pool, one, two, world, decider),
        by,
        reason,
        json,
    )


@app.command()
def assign(
    case: Case,
    reason: Reason,
    panel: Annotated[str | None, typer.Option(help="Code of the panel that reviews it.")] = None,
    out_of_scope: Annotated[
        bool, typer.Option("--out-of-scope", help="Instead of a panel: not to be reviewed.")
    ] = False,
    by: Name = "",
    version: Version = None,
    json: Json = False,
) -> None:
    """Give a case to a panel, or rule that the death is not one to be reviewed."""
    if (panel is None) is not out_of_scope:
        raise typer.BadParameter("give --panel or --out-of-scope, one of them")
    case_id = _id(case)
    _decide(
        lambda pool, world, decider: commands.assign(
            pool, case_id, panel, world, decider, version=version
        ),
        by,
        reason,
        json,
    )


@app.command()
def attach(
    report: Annotated[str, typer.Argument(help="Event of a report: `halyard cases reports`.")],
    case: Case,
    reason: Reason,
    by: Name = "",
    json: Json = False,
) -> None:
    """A report is about a case, whatever the hub found: until the next decision about it."""
    event_id, case_id = _id(report), _id(case)
    _decide(
        lambda pool, world, decider: commands.attach(pool, event_id, case_id, world, decider),
        by,
        reason,
        json,
    )


@app.command()
def void(
    case: Case,
    reason: Reason,
    undo: Annotated[bool, typer.Option("--undo", help="Take a person's void back.")] = False,
    by: Name = "",
    version: Version = None,
    json: Json = False,
) -> None:
    """The case is none. Whoever got something of it is told, and must acknowledge."""
    case_id = _id(case)
    _decide(
        lambda pool, world, decider: commands.void(
            pool, case_id, world, decider, version=version, undo=undo
        ),
        by,
        reason,
        json,
    )


@app.command()
def duplicates(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 200,
    json: Json = False,
) -> None:
    """List pairs that may be one death, with what agrees and what differs; a person decides."""
    listed, total = _page(
        lambda each: proposals.open_proposals(each, limit=limit), proposals.count_open
    )
    found = [asdict(one) for one in listed]
    if json:
        print_json({"duplicates": found, "total": total})
    elif found:
        table(_PROPOSED, [case_view.proposal(one) for one in found])
        _say_cut(len(found), total)
    else:
        line("nothing is proposed")


@app.command("prompts")
def prompts_(
    every: Annotated[bool, typer.Option("--all", help="Also answered and cancelled ones.")] = False,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 200,
    json: Json = False,
) -> None:
    """List deaths that a record indicates and nobody has notified; who was asked to."""
    listed, total = _page(
        lambda each: prompts.page(each, all_states=every, limit=limit),
        lambda each: prompts.count(each, all_states=every),
    )
    found = [asdict(one) for one in listed]
    for one in found:
        del one["person"]
    if json:
        print_json({"prompts": found, "total": total})
    elif found:
        table(_PROMPTED, found)
        _say_cut(len(found), total)
    else:
        line("no prompts")


@app.command("reports")
def reports_(
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 200,
    json: Json = False,
) -> None:
    """List agencies' reports of which no case is known yet: a person finds out."""
    listed, total = _page(
        lambda each: case_messages.unattached(each, limit=limit), case_messages.count_unattached
    )
    found = [
        {
            "event_id": one.report.event_id,
            "organisation": one.report.organisation,
            "kind": one.report.kind.value,
            "request_id": one.report.request_id,
            "number_status": one.indicator.value,
            "received_at": one.report.received_at,
        }
        for one in listed
    ]
    if json:
        print_json({"reports": found, "total": total})
    elif found:
        table(_WAITING, found)
        _say_cut(len(found), total)
    else:
        line("every report has its case")


@app.command()
def republish(
    case: Annotated[list[str] | None, typer.Argument(help="Ids of cases.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Instead of ids: all cases.")] = False,
    json: Json = False,
) -> None:
    """Send the last event of cases again, for a store that was restored from a backup."""
    if bool(case) is every:
        raise typer.BadParameter("give ids of cases, or --all")
    wanted = None if every else [_id(one) for one in case or []]

    async def work(settings: Settings) -> int:
        async with make_pool(settings, name="cases", size=1) as pool:
            return await republishing.republish(pool, wanted)

    running_system(load_settings().data_dir)
    amount = asyncio.run(work(load_settings()))
    if json:
        print_json({"republished": amount})
    else:
        line(f"{amount} to be sent again by the outbox")


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise typer.BadParameter("give an id as `halyard cases list` shows it") from None


def _read(read: Callable[[Connection], Awaitable[T]]) -> T:
    running_system(load_settings().data_dir)

    async def work(settings: Settings) -> T:
        async with (
            make_pool(settings, name="cases", size=1) as pool,
            transaction(pool) as connection,
        ):
            return await read(connection)

    return asyncio.run(work(load_settings()))


def _page(
    read: Callable[[Connection], Awaitable[Sequence[T]]],
    count: Callable[[Connection], Awaitable[int]],
) -> tuple[Sequence[T], int]:
    """A list as far as its limit goes, and how many there are."""

    async def both(connection: Connection) -> tuple[Sequence[T], int]:
        found = await read(connection)
        return found, max(len(found), await count(connection))

    return _read(both)


def _say_cut(shown: int, total: int) -> None:
    if shown < total:
        line(f"{shown} of {total} shown; use --limit")


def _decide(
    decide: Callable[[Pool, World, Decider], Awaitable[Done]], by: str, reason: str, json: bool
) -> None:
    running_system(load_settings().data_dir)

    async def work(settings: Settings) -> Done:
        world = world_of(
            settings,
            load_keys(settings.security),
            load_directory(settings.directory_file),
            actor=me(),
        )
        decider = Decider(by, reason, system_clock(), uuid.uuid4())
        async with make_pool(settings, name="cases", size=1) as pool:
            return await decide(pool, world, decider)

    done = asyncio.run(work(load_settings()))
    versions = {str(case_id): version for case_id, version in sorted(done.versions.items())}
    if json:
        print_json({"decision": done.command_id, "already": done.already, "versions": versions})
    elif done.already:
        line("it was so already; nothing changed")
    else:
        for case_id, version in versions.items():
            line(f"{case_id} has version {version} now")
        if not versions:
            line("kept; no case says anything new")
