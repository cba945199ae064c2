"""`halyard audit reviews list|close`: accesses that a person looks at."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer

from halyard.actor import Actor
from halyard.cli.audit_access import an_id, running_settings, with_connection
from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.stated import By, For, both, decider, stated
from halyard.cli.who import me
from halyard.clock import system_clock
from halyard.postgres import Connection
from stores.audit import HUB
from stores.audit_reviews import OUTCOMES, Review, lock
from streams.audit.reading import Reader
from streams.audit.reviewing import close_review, read_reviews

app = typer.Typer(help="Accesses that a person looks at.", no_args_is_help=True)

Chain = Annotated[str | None, typer.Option(help="Only this organisation's (ODS or GSS code; hub).")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]

_REVIEWED = ("due_at", "chain", "rule", "actor", "outcome", "review_id")


@app.command("list")
def list_reviews(
    chain: Chain = None,
    closed: Annotated[bool, typer.Option("--closed", help="Those that are closed too.")] = False,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List accesses under review, the first due first. That you did is recorded."""
    found = with_connection(
        running_settings(),
        lambda each: read_reviews(
            each,
            Reader(subject=me(), organisation=HUB, chain=HUB),
            now=system_clock(),
            entry_id=uuid.uuid4(),
            chain=chain,
            closed_too=closed,
            limit=limit,
        ),
    )
    rows = [
        {
            name: getattr(one, name)
            for name in (
                *_REVIEWED,
                "entry_id",
                "recorded_at",
                "opened_at",
                "closed_at",
                "reviewer",
            )
        }
        for one in found
    ]
    if json:
        print_json({"reviews": rows})
    elif rows:
        table(_REVIEWED, rows)
    else:
        line("no reviews")


@app.command("close")
def close(
    review: Annotated[str, typer.Argument(help="Id of a review.")],
    outcome: Annotated[str, typer.Option(help=f"{', '.join(OUTCOMES)}.")],
    note: Annotated[str, typer.Option(help="Why; kept. No personal data.", callback=stated)],
    by: By = None,
    for_: For = None,
    json: Json = False,
) -> None:
    """Close a review. Nobody closes one of an access of their own."""
    if outcome not in OUTCOMES:
        raise typer.BadParameter(f"give --outcome as one of {', '.join(OUTCOMES)}")
    review_id = an_id(review)
    both(by, for_)
    done = with_connection(
        running_settings(), lambda each: _closed(each, review_id, outcome, note, by, for_)
    )
    if done is None:
        line("there is no such review")
        raise typer.Exit(Exit.FAILED)
    if json:
        print_json({"review_id": str(done.review_id), "outcome": done.outcome})
    else:
        line(f"closed: {done.outcome}")


async def _closed(
    connection: Connection,
    review_id: uuid.UUID,
    outcome: str,
    note: str,
    by: str | None,
    for_: str | None,
) -> Review | None:
    found = await lock(connection, review_id)
    if found is None:
        return None
    name = decider(
        found.chain,
        by,
        for_,
        people="an auditor or Caldicott guardian",
        route=f"/reviews/accesses/{review_id}",
    )
    return await close_review(
        connection,
        review_id,
        Actor(subject=me(), organisation=found.chain, name=name, entered=True),
        outcome=outcome,
        note=note,
        now=system_clock(),
        entry_id=uuid.uuid4(),
    )
