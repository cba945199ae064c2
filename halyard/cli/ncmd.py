"""`halyard ncmd status|as-of|redrive`: the NCMD store as it is and as it was.

They speak as the store's own role (``HALYARD_NCMD__DATABASE_URL``).
"""

from __future__ import annotations

import asyncio
import uuid
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from halyard import kafka_admin
from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.running import running_system
from halyard.cli.stated import stated
from halyard.cli.who import account
from halyard.clock import system_clock
from halyard.errors import BrokerUnavailable, ConfigurationError
from halyard.kafka import qualified
from halyard.postgres import make_pool, transaction
from halyard.settings import Settings, load_settings
from schemas.deaths import CaseChanged
from schemas.topics import CASE_CHANGED
from stores import ncmd, ncmd_submissions
from stores.ncmd_submissions import Redriven

app = typer.Typer(help="The NCMD store of child death cases.", no_args_is_help=True)

_VERSIONS = ("version", "changed_at", "change", "rule", "decided_by", "needs_person")
_OPEN = ("case_id", "version", "kind", "state", "attempts", "due_at", "last_reason")
_SHOWN = 50


@app.command()
def status(json: Json = False) -> None:
    """Show counts, how far the store is behind the log, gaps, dead letters and submissions."""
    running_system(load_settings().data_dir)
    settings = load_settings()
    found = asyncio.run(_status(settings))
    if json:
        print_json(found)
        return
    submissions = found.pop("unsettled_submissions")
    for name, value in found.items():
        line(f"{name.replace('_', ' ')}: {_told(value)}")
    if submissions:
        table(_OPEN, submissions)


def _told(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, dict):
        return ", ".join(f"{key} {number}" for key, number in sorted(value.items())) or "none"
    return str(value)


async def _status(settings: Settings) -> dict[str, Any]:
    async with (
        make_pool(settings, name="ncmd-status", size=1, schema="ncmd") as pool,
        transaction(pool) as connection,
    ):
        counts = await ncmd.status(connection)
        stands = await ncmd.offsets(connection, CASE_CHANGED)
        submissions = await ncmd_submissions.unsettled(connection, _SHOWN)
    behind = await asyncio.to_thread(_behind, settings, stands)
    return {**asdict(counts), "behind": behind, "unsettled_submissions": submissions}


def _behind(settings: Settings, stands: dict[int, ncmd.Offset]) -> int | None:
    """Records of the log that the store does not have; None if no broker says."""
    topic = qualified(settings, CASE_CHANGED)
    try:
        lags = kafka_admin.group_lag(
            settings.kafka.bootstrap_servers, qualified(settings, "ncmd"), [topic]
        )
    except (BrokerUnavailable, ConfigurationError):
        return None
    known = {number: offset.next_offset for number, offset in stands.items()}
    return sum(max(0, one.end - known.get(one.partition, 0)) for one in lags)


@app.command("as-of")
def as_of(
    case: Annotated[str, typer.Argument(help="Id of the case.")],
    at: Annotated[
        str | None, typer.Option(help="ISO 8601 time, UTC if it names no zone; default: now.")
    ] = None,
    json: Json = False,
) -> None:
    """Show a case as it stood at a time, and which versions there are; --json: all of it."""
    case_id, when = _case(case), _time(at)
    running_system(load_settings().data_dir)
    found, history = asyncio.run(_as_of(load_settings(), case_id, when))
    if json:
        event, needs_person = found or (None, False)
        print_json(
            {
                "at": when,
                "needs_person": needs_person,
                "case": None if event is None else asdict(event),
                "versions": history,
            }
        )
    elif found is None:
        line(f"the store has no version of this case at {when.isoformat()}")
    else:
        _show(*found)
    if not json and history:
        table(_VERSIONS, history)
    if found is None:
        raise typer.Exit(Exit.FAILED)


def _show(event: CaseChanged, needs_person: bool) -> None:
    content = event.content
    line(f"version {event.version} of {event.changed_at.isoformat()}: {event.change}")
    line(f"state {content.state}, {content.eligibility} ({content.eligibility_rule})")
    line(f"panel {content.panel or 'none'} ({content.panel_rule or 'no rule'})")
    line(
        f"{len(content.facts)} facts, {len(content.notifications)} notifications, "
        f"{len(content.reports)} reports, {len(content.requests)} requests"
    )
    if content.needs:
        line(f"needs: {', '.join(content.needs)}")
    if needs_person:
        line("names something that this version of Halyard does not know")


async def _as_of(
    settings: Settings, case_id: uuid.UUID, at: datetime
) -> tuple[tuple[CaseChanged, bool] | None, list[dict[str, Any]]]:
    async with (
        make_pool(settings, name="ncmd-as-of", size=1, schema="ncmd") as pool,
        transaction(pool) as connection,
    ):
        found = await ncmd.as_of(connection, case_id, at)
        return found, await ncmd.versions(connection, case_id)


@app.command()
def redrive(
    reason: Annotated[
        str, typer.Option(help="Why; kept with the row. No personal data.", callback=stated)
    ],
    case: Annotated[str | None, typer.Argument(help="Id of a case; default: all.")] = None,
    json: Json = False,
) -> None:
    """Send submissions that failed or were rejected again; overtaken ones are superseded."""
    case_id = None if case is None else _case(case)
    running_system(load_settings().data_dir)
    done = asyncio.run(_redrive(load_settings(), case_id, f"redriven by {account()}: {reason}"))
    if json:
        print_json(asdict(done))
    else:
        line(f"{len(done.opened)} to be sent again, {len(done.superseded)} superseded")
    if not done.opened and not done.superseded:
        raise typer.Exit(Exit.FAILED)


async def _redrive(settings: Settings, case_id: uuid.UUID | None, reason: str) -> Redriven:
    async with (
        make_pool(settings, name="ncmd-redrive", size=1, schema="ncmd") as pool,
        transaction(pool) as connection,
    ):
        return await ncmd_submissions.redrive(
            connection, case_id=case_id, reason=reason, now=system_clock()
        )


def _case(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise typer.BadParameter("give the id of a case") from None


def _time(text: str | None) -> datetime:
    if text is None:
        return system_clock()
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter("give a time as 2026-03-01T12:00+00:00") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)
