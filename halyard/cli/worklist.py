"""`halyard worklist`: records that match nobody, and what an organisation's people decide of them.

It works on the machine of the hub: what one of an organisation's people has decided is entered in
their name (`--for`, `--by`), as with `halyard reviews`. They themselves use `/worklist`.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated, Any, Final, TypeVar

import typer

from flag_service import worklist_actions, worklist_views
from flag_service.worklist_actions import FIELDS, QUESTIONS, REJECTIONS, Done, Wanted, codes
from flag_service.worklist_words import words
from halyard.actor import Actor
from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.cli.stated import By, For, Why, both, decider
from halyard.cli.who import in_directory, me
from halyard.clock import system_clock
from halyard.errors import PermanentError
from halyard.nhs_number import profile_for
from halyard.postgres import Connection, make_pool, transaction
from halyard.privacy import load_keys
from halyard.problems import HttpProblem
from halyard.settings import Settings, load_settings
from policies.desk import Desk
from policies.model import load_policies
from stores import resolutions
from stores import worklist as store
from stores.audit import HUB
from stores.directory import load_directory
from stores.resolutions import Resolution

app = typer.Typer(help="Records that match nobody yet.", no_args_is_help=True)

T = TypeVar("T")

_PLACES: Final = {"body.nhs_number": "NHS number", "body.despite": "--despite"}
"""What the face's places are called here."""

WAIT_SECONDS: Final = 20.0
_COLUMNS: Final = (
    "entry_id",
    "kind",
    "local_id",
    "line",
    "rule",
    "age",
    "in hand",
    "question",
    "next try",
)

Entry = Annotated[str, typer.Argument(help="Id, as `halyard worklist list` shows it.")]


@app.command("list")
def list_(
    organisation: Annotated[str, typer.Option(help="Whose entries: ODS or GSS code.")],
    limit: Annotated[int, typer.Option(min=1, max=1_000, help="At most so many.")] = 100,
    json: Json = False,
) -> None:
    """Show an organisation's open entries, the oldest first; nothing of a person but its own id."""
    settings = _settings()
    in_directory(settings, organisation)

    async def read(connection: Connection) -> list[dict[str, Any]]:
        now = system_clock()
        found = await store.entries(connection, organisation, limit=limit)
        return [worklist_views.row(one, settings.identity, now) for one in found]

    rows = asyncio.run(_with(settings, read))
    if json:
        print_json({"entries": rows})
    elif rows:
        table(_COLUMNS, [_listed(one) for one in rows])
    else:
        line("nothing is open")


@app.command()
def show(entry: Entry, json: Json = False) -> None:
    """Show one entry: why it is there, which fields agree, what was decided. Not what was sent."""
    settings, entry_id = _settings(), _id(entry)

    async def read(connection: Connection) -> dict[str, Any] | None:
        found = await store.entry(connection, entry_id)
        if found is None:
            return None
        decisions = await resolutions.of_entry(connection, entry_id)
        shown = worklist_views.item(found, decisions, settings.identity, system_clock())
        return {**shown, "organisation": found.organisation, "claim": None}

    shown = asyncio.run(_with(settings, read))
    if shown is None:
        raise PermanentError(f"There is no entry {entry_id}; `halyard worklist list` shows them.")
    if json:
        print_json(shown)
        return
    line(f"{shown['kind']} of {shown['organisation']}, local id {shown['local_id'] or '-'}")
    line(f"{shown['rule']}: {shown['words']}")
    for one in shown["candidates"]:
        fields = ", ".join(f"{name} {how}" for name, how in one["fields"].items())
        line(f"candidate (by {one['found_by']}): {fields}")
    if not shown["candidates"]:
        line("no candidate can be shown")
    for one in shown["decisions"]:
        line(f"{one['at']} {one['action']} by {one['by']}: {one['state']}, {one['words'] or '-'}")
    if shown["closed_at"]:
        line(f"ended {shown['closed_at']}: {shown['closed_words']}")


@app.command()
def claim(
    entry: Entry,
    let_go: Annotated[bool, typer.Option("--let-go", help="Let it go instead.")] = False,
    by: By = None,
    for_: For = None,
    json: Json = False,
) -> None:
    """Take an entry in hand for somebody, so that nobody else decides it meanwhile."""
    settings, entry_id = _settings(), _id(entry)

    async def take(connection: Connection, actor: Actor, desk: Desk) -> Done:
        return await worklist_actions.take_in_hand(
            connection,
            entry_id,
            actor,
            desk,
            system_clock(),
            minutes=settings.identity.worklist_claim_minutes,
            let_go=let_go,
        )

    done = _permitted(asyncio.run(_acting(settings, entry_id, by, for_, take)))
    until = done.entry.claimed_until
    if json:
        print_json({"entry_id": entry_id, "claimed_until": until, "changed": done.changed})
    else:
        line("let go" if let_go else f"in hand until {until:%Y-%m-%d %H:%M} UTC")


@app.command()
def resolve(
    entry: Entry,
    reason: Why,
    despite: Annotated[
        list[str] | None,
        typer.Option(help=f"A field that was sent wrong: {', '.join(codes(FIELDS))}. Repeatable."),
    ] = None,
    by: By = None,
    for_: For = None,
    json: Json = False,
) -> None:
    """Say whose record it is. The NHS number is asked for, or read from standard input."""
    wrong = tuple(_code(one, FIELDS, "--despite") for one in despite or ())
    _decide(entry, Wanted("resolve", reason, number=_number(), despite=wrong), by, for_, json)


@app.command()
def reject(
    entry: Entry,
    reason: Why,
    because: Annotated[str, typer.Option(help=f"One of: {', '.join(codes(REJECTIONS))}.")],
    by: By = None,
    for_: For = None,
    json: Json = False,
) -> None:
    """Close an entry of which nobody is to be found."""
    code = _code(because, REJECTIONS, "--because")
    _decide(entry, Wanted("reject", reason, code=code), by, for_, json)


@app.command()
def ask(
    entry: Entry,
    reason: Why,
    question: Annotated[str, typer.Option(help=f"One of: {', '.join(codes(QUESTIONS))}.")],
    by: By = None,
    for_: For = None,
    json: Json = False,
) -> None:
    """Ask whoever sent the record."""
    code = _code(question, QUESTIONS, "--question")
    _decide(entry, Wanted("ask", reason, code=code), by, for_, json)


@app.command()
def retry(entry: Entry, reason: Why, by: By = None, for_: For = None, json: Json = False) -> None:
    """Have PDS asked again now."""
    _decide(entry, Wanted("retry", reason), by, for_, json)


@app.command()
def undo(entry: Entry, reason: Why, by: By = None, for_: For = None, json: Json = False) -> None:
    """Take back a resolution that was wrong, within 48 hours of it."""
    _decide(entry, Wanted("undo", reason), by, for_, json)


def _decide(entry: str, wanted: Wanted, by: str | None, for_: str | None, json: bool) -> None:
    settings, entry_id = _settings(), _id(entry)

    async def take(connection: Connection, actor: Actor, desk: Desk) -> Done:
        return await worklist_actions.decide(
            connection,
            entry_id,
            wanted,
            actor,
            desk,
            system_clock(),
            profile=profile_for(settings.profile),
        )

    done = _permitted(asyncio.run(_acting(settings, entry_id, by, for_, take)))
    assert done.decision is not None
    ended = asyncio.run(_ended(settings, done.decision.resolution_id))
    if json:
        print_json(
            {
                "entry_id": entry_id,
                "decision_id": done.decision.resolution_id,
                "state": ended.state,
                "outcome": ended.outcome,
                "words": words(ended.outcome),
                "changed": done.changed,
            }
        )
    elif ended.live:
        line("taken; the tracer has not carried it out yet: `halyard worklist show` will say")
    else:
        line(f"{ended.state}: {words(ended.outcome)}")
    if ended.state == "refused":
        raise typer.Exit(Exit.FAILED)


def _permitted(done: Done) -> Done:
    if not done.asked.permitted:
        ruling = done.asked.ruling
        raise PermanentError(
            f"The policies in force do not permit it ({ruling.policy} version {ruling.version}, "
            f"rule {ruling.rule})."
        )
    return done


async def _ended(settings: Settings, resolution_id: uuid.UUID) -> Resolution:
    """The decision when it has ended, or after a while as it stands."""
    loop = asyncio.get_running_loop()
    until = loop.time() + WAIT_SECONDS
    async with make_pool(settings, name="worklist", size=1) as pool:
        while True:
            async with transaction(pool) as connection:
                found = await resolutions.get(connection, resolution_id)
            if found is None:
                raise PermanentError("The decision is gone with its entry.")
            if not found.live or loop.time() > until:
                return found
            await asyncio.sleep(0.25)


async def _acting(
    settings: Settings,
    entry_id: uuid.UUID,
    by: str | None,
    for_: str | None,
    act: Callable[[Connection, Actor, Desk], Awaitable[Done]],
) -> Done:
    both(by, for_)
    desk = Desk(
        load_policies(settings.policies.directory),
        load_directory(settings.directory_file),
        load_keys(settings.security),
        me(),
    )

    async def acting(connection: Connection) -> Done:
        entry = await store.entry(connection, entry_id)
        if entry is None:
            raise worklist_actions.not_known()
        name = decider(
            entry.organisation,
            by,
            for_,
            people="a records officer, social worker, safeguarding nurse or panel coordinator",
            route=f"/worklist/{entry_id}/...",
        )
        actor = Actor(
            # two people who decide by way of the operator are two
            subject=f"{desk.actor}/{name}",
            organisation=entry.organisation,
            name=name,
            detail=(("decided_at", "command-line"), ("entered_by", HUB)),
            entered=True,
        )
        return await act(connection, actor, desk)

    try:
        return await _with(settings, acting)
    except HttpProblem as problem:
        raise _said(problem) from None


def _said(problem: HttpProblem) -> Exception:
    """What the face answers with members of their own, as one sentence: rule, place, who and when;
    what was said wrongly is wrong usage.
    """
    beside = [f"{name}: {value}" for name, value in problem.extras.items() if value is not None]
    text = f"{problem.message} ({'; '.join([f'rule {problem.rule}', *beside])})"
    if problem.status_code == HTTPStatus.UNPROCESSABLE_ENTITY:
        return typer.BadParameter(f"{_PLACES.get(problem.place, problem.place)}: {text}")
    return PermanentError(text)


async def _with(settings: Settings, act: Callable[[Connection], Awaitable[T]]) -> T:
    async with (
        make_pool(settings, name="worklist", size=1) as pool,
        transaction(pool) as connection,
    ):
        return await act(connection)


def _settings() -> Settings:
    running_system(load_settings().data_dir)
    return load_settings()


def _id(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise typer.BadParameter("give an id as `halyard worklist list` shows it") from None


def _code(given: str, kind: Any, option: str) -> str:
    if given not in codes(kind):
        raise typer.BadParameter(f"{option} is one of: {', '.join(codes(kind))}")
    return given


def _number() -> str:
    """The NHS number, never an argument: those are visible to every user of the machine."""
    if sys.stdin.isatty():
        return str(typer.prompt("NHS number", err=True))
    said = sys.stdin.read(200).split("\n")
    given = [one.strip() for one in said if one.strip()]
    if len(given) != 1:
        raise typer.BadParameter("standard input has one NHS number, on a line of its own")
    return given[0]


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    hours = row["age_seconds"] // 3600
    return {
        **row,
        "age": f"{hours // 24} d" if hours >= 48 else f"{hours} h",
        "in hand": row["claimed_by"],
        "next try": row["next_try_at"],
    }
