"""`halyard access sessions list|end`: who is logged in by browser, and ending that."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta
from typing import Annotated, Any

import typer

from halyard.cli.audit_access import running_settings, with_connection
from halyard.cli.output import Json, line, print_json, table
from halyard.cli.who import me
from halyard.clock import system_clock
from halyard.postgres import Connection
from stores import audit, sessions
from stores.audit import HUB, AuditEntry
from stores.sessions import Session

app = typer.Typer(help="Who is logged in by browser.", no_args_is_help=True)

Organisation = Annotated[
    str | None, typer.Option(help="Only people of this organisation (ODS or GSS code).")
]
Subject = Annotated[
    str | None, typer.Option(help="Only this person, as the list and the audit chain name them.")
]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]

_SHOWN = ("organisation", "subject", "roles", "created_at", "ends_at")


@app.command("list")
def listed(
    organisation: Organisation = None,
    subject: Subject = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List sessions that are not over: whose, in which roles, since when, until when."""
    settings = running_settings()
    found = with_connection(
        settings,
        lambda each: sessions.standing(
            each,
            organisation=organisation,
            subject=subject,
            now=system_clock(),
            idle=timedelta(minutes=settings.sessions.idle_minutes),
            limit=limit,
        ),
    )
    _tell([_row(one) for one in found], json)


@app.command("end")
def end(organisation: Organisation = None, subject: Subject = None, json: Json = False) -> None:
    """End the sessions of an organisation, of a person, or of a person there: the next request is
    refused, live lists end within a minute. Each is told in the audit chain of its organisation.
    """
    if organisation is None and subject is None:
        raise typer.BadParameter("give --organisation, --subject, or both")

    async def work(connection: Connection) -> list[Session]:
        ended = await sessions.end_of(connection, organisation=organisation, subject=subject)
        now = system_clock()
        await audit.append(connection, [_entry(one, me(), now) for one in ended])
        return ended

    _tell([_row(one) for one in with_connection(running_settings(), work)], json)


def _entry(session: Session, actor: str, now: datetime) -> AuditEntry:
    return AuditEntry(
        entry_id=uuid.uuid4(),
        recorded_at=now,
        kind="administration",
        chain=session.organisation,
        actor=actor,
        organisation=HUB,
        decision="permit",
        rule="session.ended-by-operator",
        subject=f"session:{session.subject}",
        token_id=session.session_hash[-32:],
    )


def _row(session: Session) -> dict[str, Any]:
    """A session without its digest, and without the person's name."""
    return {
        "organisation": session.organisation,
        "subject": session.subject,
        "roles": " ".join(sorted(session.roles)),
        "created_at": session.created_at,
        "ends_at": session.ends_at,
    }


def _tell(rows: list[dict[str, Any]], json: bool) -> None:
    if json:
        print_json({"sessions": rows})
    elif rows:
        table(_SHOWN, rows)
    else:
        line("no sessions")
