"""`halyard audit …`: verify the chain, search it, report on a child, close reviews, keys.

Reading entries is itself recorded, in the chain ``hub``. An NHS number is read from standard input
or from HALYARD_NHS_NUMBER, never from an argument: arguments are seen by every user of the machine.
"""

from __future__ import annotations

import getpass
import os
import sys
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from connectors.fhir.audit_projection import audit_event
from halyard import nhs_number
from halyard.audit_keys import load_audit_keys, load_public_keys, new_seed
from halyard.cli import audit_reviews
from halyard.cli.audit_access import an_id, running_settings, with_connection, with_pool
from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.stated import stated
from halyard.cli.who import me
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.privacy import load_keys
from halyard.settings import Settings
from stores.audit import HUB
from stores.audit_search import Cursor, Filter, Found, chains
from streams.audit import reading
from streams.audit.export import checkpoint_dir
from streams.audit.reading import Reader
from streams.audit.verify import Verified, Wanted, export_of_chain
from streams.audit.verify import verify as verify_chain

app = typer.Typer(help="The audit chain: who was told what, and the proof.", no_args_is_help=True)
app.add_typer(audit_reviews.app, name="reviews")

Chain = Annotated[str | None, typer.Option(help="Only this organisation's (ODS or GSS code; hub).")]
Limit = Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")]
Reason = Annotated[str | None, typer.Option(help="Why you read this; recorded.", callback=stated)]
Since = Annotated[datetime | None, typer.Option(help="Recorded at this time (UTC) or later.")]
Until = Annotated[datetime | None, typer.Option(help="Recorded before this time (UTC).")]

_LISTED = ("recorded_at", "chain", "seq", "kind", "what", "decision", "actor", "rule", "entry_id")


@app.command()
def verify(
    chain: Chain = None,
    checkpoints: Annotated[
        Path | None, typer.Option(help="Exported checkpoints; default: where the sealer exports.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="Public keys that were kept elsewhere; default: the secrets file's."),
    ] = None,
    json: Json = False,
) -> None:
    """Read the whole chain and say what is wrong with it; exit code 1 if anything is, or if more
    stands under no exported checkpoint than may.
    """
    settings = running_settings()
    directory = checkpoints or checkpoint_dir(settings)
    if checkpoints is not None and not checkpoints.is_dir():
        raise ConfigurationError(f"{checkpoints} is not a directory of exported checkpoints.")
    public = load_public_keys(keys) if keys is not None else load_audit_keys(settings)
    _is_chain(settings, chain, directory)
    wanted = Wanted(public.public, directory, chain, live=checkpoints is None)
    found = with_pool(
        settings, lambda pool: verify_chain(pool, wanted, settings.audit, system_clock())
    )
    if json:
        print_json(found.document())
    else:
        _print_verified(found, directory)
    if not found.ok:
        raise typer.Exit(Exit.FAILED)


def _print_verified(found: Verified, directory: Path) -> None:
    line(
        f"{found.links} entries in {found.chains} chains; checkpoints: {found.stored} stored, "
        f"{found.exported} exported"
    )
    if found.dropped:
        line(f"{found.dropped} entries were dropped by retention, as signed checkpoints state")
    if found.stated:
        line(
            f"WARNING: {found.stated} entries are stated to go and still there: finish "
            "`halyard retention apply`; until then nobody sees who takes them"
        )
    if not found.exported:
        line(
            f"WARNING: {directory} has no checkpoints: a cut tail or a chain built anew is not seen"
        )
    window = found.window
    age = "" if window.oldest_seconds is None else f", the oldest {window.oldest_seconds:.0f} s old"
    line(
        f"open window: {window.entries} entries under no exported checkpoint "
        f"({window.unsealed} not sealed){age}"
    )
    if not window.within:
        line("WARNING: the open window is larger than it may be: see that `halyard sealer` runs")
    for one in found.findings:
        place = f"{one.chain or 'checkpoints'}" + (f" {one.seq}" if one.seq is not None else "")
        more = f" (and {one.more} more)" if one.more else ""
        line(f"FOUND {one.kind} at {place}: {one.what}{more}")
    if found.findings:
        line("the chain is not as it was written")
    elif found.ok:
        line("nothing is wrong")


@app.command()
def search(
    chain: Chain = None,
    actor: Annotated[str | None, typer.Option(help="Who acted: user:…, client:…, cli:…")] = None,
    flow: Annotated[str | None, typer.Option(help="Of this flow: alert, flag-lookup, …")] = None,
    kind: Annotated[str | None, typer.Option(help="access, disclosure, refusal, review, …")] = None,
    decision: Annotated[str | None, typer.Option(help="permit, deny or review.")] = None,
    case: Annotated[str | None, typer.Option(help="About this case (id).")] = None,
    subject: Annotated[str | None, typer.Option(help="About this: alert:ID, letter:ID, …")] = None,
    since: Since = None,
    until: Until = None,
    person: Annotated[
        bool, typer.Option("--person", help="About the child whose NHS number is read from input.")
    ] = False,
    reason: Reason = None,
    after: Annotated[str | None, typer.Option(help="Go on after this: `next` of the page.")] = None,
    limit: Limit = 100,
    json: Json = False,
) -> None:
    """List entries, the newest first. That you did is recorded."""
    settings = running_settings()
    _is_chain(settings, chain)
    wanted = Filter(
        chain=chain,
        actor=actor,
        flow=flow,
        kind=kind,
        decision=decision,
        case_id=None if case is None else an_id(case),
        subject=subject,
        since=_utc(since),
        until=_utc(until),
        persons=_persons(settings) if person else None,
    )
    found = _read(settings, wanted, "audit", reason, after=_cursor(after), limit=limit)
    following = _cursor_text(found[-1]) if len(found) == limit else None
    if json:
        entries = [{**one.body, "seq": one.seq, "hash": _hex(one.hash)} for one in found]
        print_json({"entries": entries, "next": following})
    elif found:
        rows = [{**one.body, "seq": one.seq, "what": one.body.get("flow")} for one in found]
        table(_LISTED, rows)
        if following:
            line(f"there is more: --after {following}")
    else:
        line("no entries")


@app.command()
def show(
    entry: Annotated[str, typer.Argument(help="Id of an entry.")],
    fhir: Annotated[bool, typer.Option("--fhir", help="As a FHIR AuditEvent.")] = False,
    reason: Reason = None,
) -> None:
    """Show one entry whole, with its place in the chain, as JSON. That you did is recorded."""
    found = _read(running_settings(), Filter(entry_id=an_id(entry)), "audit", reason, limit=1)
    if not found:
        line("there is no such entry")
        raise typer.Exit(Exit.FAILED)
    one = found[0]
    if fhir:
        print_json(audit_event(one.body, seq=one.seq, link=one.hash))
    else:
        print_json({**one.body, "seq": one.seq, "hash": _hex(one.hash)})


@app.command()
def report(
    reason: Annotated[
        str,
        typer.Option(help="Why; recorded: the request that you answer.", callback=stated),
    ],
    chain: Chain = None,
    form: Annotated[
        Literal["page", "json", "csv"], typer.Option("--format", help="How to print it.")
    ] = "csv",
) -> None:
    """A subject-access report: everyone who was told of a child, when, why, under which policy.

    The NHS number is read from input (several, one a line: a child may have had more than one).
    """
    settings = running_settings()
    _is_chain(settings, chain)
    wanted = Filter(chain=chain, persons=_persons(settings))
    rows: list[dict[str, Any]] = []
    after: Cursor | None = None
    while True:
        # what is read now does not list its own reading
        page = _read(settings, wanted, "subject-access", reason, after=after, limit=5_000)
        rows += [reading.report_row(one) for one in page]
        if len(page) < 5_000:
            break
        after = page[-1].cursor
    restricted = any(row["restricted"] for row in rows)
    if restricted:
        typer.echo(f"NOTE: {reading.RESTRICTED}", err=True)
    if form == "json":
        head = reading.head(restricted=restricted)
        print_json({"as_of": system_clock().isoformat(), **head, "disclosures": rows})
    elif form == "csv":
        sys.stdout.write(reading.as_csv(rows))
    else:
        sys.stdout.write(reading.as_page(rows, at=system_clock()))


@app.command()
def keys(
    new: Annotated[
        str | None, typer.Option(help="Print a new private key of this name instead.")
    ] = None,
    json: Json = False,
) -> None:
    """List the public keys of checkpoints: what another organisation needs to check them."""
    if new is not None:
        line(f'# under [audit] of the secrets file; set current = "{new}" to sign with it')
        line(f'"{new}" = "{new_seed()}"')
        return
    found = load_audit_keys(running_settings())
    current = found.signer.key_id if found.signer else None
    if json:
        print_json({"current": current, "keys": found.listed()})
    else:
        for name, text in found.listed().items():
            line(f"{name} {text}{' (signs)' if name == current else ''}")


@app.command()
def checkpoints(
    chain: Annotated[str, typer.Argument(help="Organisation (ODS or GSS code; hub).")],
) -> None:
    """Print the exported checkpoints of one chain, for the organisation to keep."""
    settings = running_settings()
    directory = checkpoint_dir(settings)
    _is_chain(settings, chain, directory)
    for text in export_of_chain(directory, chain):
        line(text)


def _is_chain(settings: Settings, chain: str | None, directory: Path | None = None) -> None:
    """Raises `typer.BadParameter` for a chain that has nothing, here or in the export: a slip of
    the pen would read as "nothing is wrong". The hub's own is always one.
    """
    if chain is None or chain == HUB:
        return
    if directory is not None and any(True for _ in export_of_chain(directory, chain)):
        return
    known = with_connection(settings, chains)
    if chain not in known:
        raise typer.BadParameter(f"no chain {chain}; chains: {', '.join(known) or 'none yet'}")


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else (at.replace(tzinfo=UTC) if at.tzinfo is None else at)


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _cursor_text(found: Found) -> str:
    return f"{found.recorded_at.isoformat()}/{found.entry_id}"


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    at, _, entry = text.partition("/")
    try:
        return datetime.fromisoformat(at), uuid.UUID(entry)
    except ValueError:
        raise typer.BadParameter("give --after as the last page showed it") from None


def _persons(settings: Settings) -> tuple[str, ...]:
    """Pseudonyms of the numbers of HALYARD_NHS_NUMBER, else of standard input; no echo at a
    terminal.
    """
    text = os.environ.get("HALYARD_NHS_NUMBER")
    if text is None:
        text = getpass.getpass("NHS number: ") if sys.stdin.isatty() else sys.stdin.read()
    profile = nhs_number.profile_for(settings.profile)
    store = load_keys(settings.security)
    found = []
    for one in text.splitlines():
        if not one.strip():
            continue
        parsed = nhs_number.parse(one, profile=profile)
        if parsed.number is None:
            raise typer.BadParameter(f"a line of the input is no NHS number ({parsed.rule})")
        found.append(store.person(parsed.number))
    if not found:
        raise typer.BadParameter("the input has no NHS number")
    return tuple(found)


def _read(
    settings: Settings,
    wanted: Filter,
    purpose: str,
    reason: str | None,
    *,
    after: Cursor | None = None,
    limit: int,
) -> list[Found]:
    reader = Reader(subject=me(), organisation=HUB, chain=HUB)
    return with_connection(
        settings,
        lambda connection: reading.read(
            connection,
            wanted,
            reader,
            purpose=purpose,
            reason=reason,
            now=system_clock(),
            entry_id=uuid.uuid4(),
            after=after,
            limit=limit,
        ),
    )
