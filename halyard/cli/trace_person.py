"""`halyard trace-person`: one NHS number, verified or found on an organisation's behalf."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any, Final

import orjson
import typer

from connectors.trace_files.lines import Wanted
from flag_service.traces import PersonBody, person_of
from flag_service.tracing import Tracing, denied, take_person, tell_person
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.stated import Name
from halyard.cli.trace_batch import Why, caller, run
from halyard.cli.who import me
from halyard.errors import PermanentError
from halyard.postgres import scoped
from halyard.settings import Settings
from policies.desk import Asked
from stores import trace_batches
from stores.directory import Directory
from stores.trace_batches import NewBatch
from streams.tracer.batch_outcomes import OUTCOMES

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
    json: Json = False,
) -> None:
    """Ask PDS whether somebody's details and NHS number belong together, or find the number.

    The details come on standard input as one JSON object (nhs_number, family, given, birth_date,
    gender, postcode), or are asked for at a terminal: anybody on the machine could see arguments.
    """
    if purpose not in ("child-protection", "direct-care", "urgent-care"):
        raise typer.BadParameter("give child-protection, direct-care or urgent-care")
    said = _said()

    async def work(mine: Tracing, directory: Directory, _settings: Settings) -> Any:
        return await _traced(mine, directory, for_, by, reason, purpose, said, seconds)

    told = run(work)
    if json:
        print_json(told)
    else:
        line(f"{told['outcome']}: {told['text']}")
        line(f"rule {told['rule']}")
        if told["nhs_number"]:
            line(f"NHS number {told['nhs_number']}")
        for name, how in (told["fields"] or {}).items():
            line(f"{name}: {how}")
    if told["nhs_number"] is None and told["outcome"] != "restricted":
        raise typer.Exit(Exit.FAILED)


async def _traced(
    mine: Tracing,
    directory: Directory,
    organisation: str,
    by: str,
    reason: str,
    purpose: str,
    said: PersonBody,
    seconds: float,
) -> dict[str, Any]:
    asking = caller(directory, organisation, by)
    person: Wanted = person_of(said, mine)
    batch = NewBatch(mine.new_id(), organisation, "person", purpose, reason, asking.subject)
    async with scoped(mine.pool, organisation) as connection:
        refused = await take_person(connection, mine, asking, batch, person, request_id=None)
    if refused is not None:
        raise refused
    until = asyncio.get_running_loop().time() + seconds
    while True:
        async with scoped(mine.pool, organisation) as connection:
            standing = await trace_batches.get(connection, batch.batch_id)
            if standing is not None and standing.state == "done":
                (one,) = await trace_batches.results(connection, batch.batch_id, after=0, limit=1)
                asked: Asked
                asked, body = await tell_person(
                    connection, mine, asking, batch.batch_id, purpose, one, request_id=None
                )
                break
        if asyncio.get_running_loop().time() >= until:
            raise PermanentError(
                "PDS has not answered yet (`halyard doctor` says why); ask again later."
            )
        await asyncio.sleep(POLL_SECONDS)
    if not asked.permitted:
        raise denied(asked)
    return {
        "trace_id": str(batch.batch_id),
        "asked_by": me(),
        "text": OUTCOMES.get(str(body["outcome"])),
        **body,
    }


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
