"""`halyard trace-person`: one NHS number, verified or found on an organisation's behalf.

What PDS has not answered in time goes on: `--answer` fetches it later, by the id that was told.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from typing import Annotated, Any, Final

import orjson
import typer

from connectors.trace_files.lines import Wanted
from flag_service.traces import PersonBody, person_of, told
from flag_service.tracing import Tracing, take_person
from halyard.caller import Caller
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.stated import Name
from halyard.cli.trace_batch import Why, caller, identified, run
from halyard.cli.who import me
from halyard.errors import TransientError
from halyard.postgres import scoped
from halyard.settings import Settings
from stores.directory import Directory
from stores.trace_batches import NewBatch

POLL_SECONDS: Final = 0.2
MAX_INPUT: Final = 10_000
_ASKED: Final = ("nhs_number", "family", "given", "birth_date", "gender", "postcode")


def trace_person(
    for_: Annotated[str, typer.Option("--for", help="Needed. ODS or GSS code of who asks.")],
    by: Name,
    reason: Why,
    purpose: Annotated[
        str, typer.Option(help="child-protection, direct-care or urgent-care.")
    ] = "child-protection",
    seconds: Annotated[
        float, typer.Option(min=0, max=600, help="How long to wait for PDS.")
    ] = 30.0,
    earlier: Annotated[
        str | None,
        typer.Option(
            "--answer",
            metavar="ID",
            help="Ask nothing: fetch the answer to an earlier trace of yours, within 24 hours.",
            show_default=False,
        ),
    ] = None,
    json: Json = False,
) -> None:
    """Ask PDS whether somebody's details and NHS number belong together, or find the number.

    The details come on standard input as one JSON object (nhs_number, family, given, birth_date,
    gender, postcode), or are asked for at a terminal: anybody on the machine could see arguments.
    What PDS has not answered in time is fetched with --answer.
    """
    if purpose not in ("child-protection", "direct-care", "urgent-care"):
        raise typer.BadParameter("give child-protection, direct-care or urgent-care")
    asked_before = None if earlier is None else identified(earlier)
    said = PersonBody() if asked_before is not None else _said()

    async def work(mine: Tracing, directory: Directory, _settings: Settings) -> Any:
        asking = caller(directory, for_, by)
        if asked_before is not None:
            return await _answered(mine, asking, asked_before, seconds, reason=reason)
        asked = await _asked(mine, asking, reason, purpose, said)
        return await _answered(mine, asking, asked, seconds)

    found = run(work)
    if found["state"] == "waiting":
        if json:
            print_json(found)
        raise NoAnswerYet(found["trace_id"], for_)
    if json:
        print_json(found)
    else:
        line(f"{found['outcome']}: {found['text']}")
        line(f"rule {found['rule']}")
        if found["nhs_number"]:
            line(f"NHS number {found['nhs_number']}")
        if found["number_rule"]:
            line(f"the number that was sent: {found['number_rule']}")
        for name, how in (found["fields"] or {}).items():
            line(f"{name}: {how}")
    if found["nhs_number"] is None and found["outcome"] != "restricted":
        raise typer.Exit(Exit.FAILED)


class NoAnswerYet(TransientError):
    """PDS has not answered a trace in time; the trace goes on, and its answer is fetched later."""

    def __init__(self, trace_id: str, organisation: str) -> None:
        super().__init__(
            "PDS has not answered yet (`halyard doctor` says why), and is asked further. Fetch the "
            f"answer within 24 hours: halyard trace-person --answer {trace_id} --for "
            f"{organisation} --by NAME --reason WHY"
        )


async def _asked(
    mine: Tracing, asking: Caller, reason: str, purpose: str, said: PersonBody
) -> uuid.UUID:
    """Have the person traced; gives the trace's id. Raises `HttpProblem`."""
    person: Wanted = person_of(said, mine)
    batch = NewBatch(
        mine.new_id(), asking.organisation, "person", purpose, reason, asking.subject, asking.name
    )
    async with scoped(mine.pool, asking.organisation) as connection:
        refused = await take_person(connection, mine, asking, batch, person, request_id=None)
    if refused is not None:
        raise refused
    return batch.batch_id


async def _answered(
    mine: Tracing, asking: Caller, trace_id: uuid.UUID, seconds: float, *, reason: str | None = None
) -> dict[str, Any]:
    """The answer as soon as it is there, at most so many seconds from now. Raises `HttpProblem`."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while True:
        body = await told(mine, asking, trace_id, request_id=None, reason=reason)
        if body is not None:
            return {**body, "asked_by": me()}
        if loop.time() >= until:
            return {"trace_id": str(trace_id), "state": "waiting", "asked_by": me()}
        await asyncio.sleep(POLL_SECONDS)


def _said() -> PersonBody:
    if sys.stdin.isatty():
        given = {name: typer.prompt(name, default="", show_default=False) for name in _ASKED}
        members: Any = {name: text for name, text in given.items() if text}
    else:
        try:
            members = orjson.loads(sys.stdin.buffer.read(MAX_INPUT))
        except orjson.JSONDecodeError:
            raise typer.BadParameter("standard input is not one JSON object") from None
    try:
        return PersonBody.model_validate(members)
    except ValueError:
        raise typer.BadParameter(
            f"give an object of texts with the members {', '.join(_ASKED)}"
        ) from None
