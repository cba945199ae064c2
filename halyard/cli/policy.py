"""`halyard policy list|show|test|diff`: what sharing policies say, and what a change would do."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer

from halyard.cli.output import Exit, Json, line, print_json, table
from halyard.cli.policy_samples import SAMPLES
from halyard.cli.running import running_system
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.postgres import make_pool, transaction
from halyard.settings import Settings, load_settings
from policies import fields as field_names
from policies.decision import decide, local_day
from policies.model import Policies, Policy, load_policies
from policies.replay import Difference, Replay, replay
from policies.ruling import Decision, Disclosure, Flow, Ruling
from stores import releases
from stores.directory import load_directory
from stores.sectors import Sector, sector_of

app = typer.Typer(help="Sharing policies: see, try and change them.", no_args_is_help=True)

MAX_BODY = 2_000_000
SOON = timedelta(days=60)

Folder = Annotated[
    Path | None,
    typer.Option(help="Folder of policy files; default: HALYARD_POLICIES__DIRECTORY."),
]


def policies_of(settings: Settings, directory: Path | None) -> Policies:
    """The policies that a command is about. Raises `ConfigurationError`."""
    return load_policies(directory or settings.policies.directory)


@app.command("list")
def list_(directory: Folder = None, json: Json = False) -> None:
    """List every version of every policy, and flows that none covers."""
    given = policies_of(_settings(), directory)
    today = local_day(system_clock())
    rows = [
        {
            "policy": one.id,
            "version": one.version,
            "state": _state(one, today),
            "start": one.start.isoformat(),
            "end": one.end.isoformat() if one.end else None,
            "flows": ", ".join(one.flows),
            "recipients": ", ".join(r.organisation or str(r.sector) for r in one.recipients),
            "opt_outs": "applied" if one.opt_out.applies else "not applied",
        }
        for one in sorted(given.all, key=lambda policy: (policy.id, policy.version))
    ]
    uncovered = [flow.value for flow in given.uncovered(today)]
    if json:
        print_json({"policies": rows, "uncovered": uncovered})
        return
    table(("policy", "version", "state", "start", "end", "flows", "recipients", "opt_outs"), rows)
    for flow in uncovered:
        line(f"no policy covers {flow} today: nothing of it is disclosed")


@app.command()
def show(
    policy: Annotated[str, typer.Argument(help="Id of a policy.")],
    version: Annotated[int | None, typer.Option(min=1, help="Default: the newest.")] = None,
    directory: Folder = None,
    json: Json = False,
) -> None:
    """Print one policy whole."""
    found = policies_of(_settings(), directory).named(policy, version)
    if found is None:
        raise typer.BadParameter("there is no such policy; `halyard policy list` shows them")
    members = found.model_dump(mode="json", by_alias=True)
    if json:
        print_json(members)
    else:
        _print(members)


@app.command("test")
def try_(
    flow: Annotated[Flow, typer.Argument(help="What kind of disclosure.")],
    recipient: Annotated[str, typer.Option(help="ODS or GSS code of who would be told.")],
    event: Annotated[
        Path | None,
        typer.Option(help="JSON of what would leave (`-`: standard input); default: a sample."),
    ] = None,
    sector: Annotated[
        Sector | None, typer.Option(help="Default: what the directory says of the recipient.")
    ] = None,
    purpose: Annotated[str | None, typer.Option(help="Default: the flow's own.")] = None,
    role: Annotated[list[str] | None, typer.Option(help="Of who asks; as often as needed.")] = None,
    restricted: Annotated[
        bool, typer.Option("--restricted", help="The person is restricted (sensitive).")
    ] = False,
    released: Annotated[
        bool, typer.Option("--released", help="As if a person had released it from review.")
    ] = False,
    at: Annotated[datetime | None, typer.Option(help="As if it were then; default: now.")] = None,
    directory: Folder = None,
    json: Json = False,
) -> None:
    """Show what a recipient would see of a body, what not, why, and under which policy version.

    Nothing is disclosed, recorded or changed. Exits 1 unless it is PERMIT.
    """
    settings = _settings()
    given = policies_of(settings, directory)
    body, fields = _body(flow, event)
    disclosure = Disclosure(
        flow=flow,
        recipient=recipient,
        sector=sector or _sector(settings, recipient),
        purpose=purpose,
        at=_utc(at) if at else system_clock(),
        fields=fields,
        restricted=restricted,
        roles=frozenset(role or ()),
    )
    ruling = decide(given, disclosure, released=released)
    members = _explained(given, disclosure, ruling, body)
    if json:
        print_json(members)
    else:
        _print(members)
    if ruling.decision is not Decision.PERMIT:
        raise typer.Exit(Exit.FAILED)


@app.command()
def diff(
    directory: Annotated[Path, typer.Option(help="Folder of the changed policies.")],
    since: Annotated[
        datetime | None, typer.Option(help="Replay from then on; default: the last 30 days.")
    ] = None,
    until: Annotated[datetime | None, typer.Option(help="Up to then; default: now.")] = None,
    at: Annotated[
        datetime | None,
        typer.Option(help="Ask as if it were then (a version that begins later); default: as was."),
    ] = None,
    json: Json = False,
) -> None:
    """Ask changed policies what was asked before, and show what would have differed.

    Nothing is changed: the transaction is read-only. Exits 1 if anything would have differed.
    """
    settings = _settings()
    changed = load_policies(directory)
    now = system_clock()
    begin = _utc(since) if since else now - timedelta(days=30)
    end = _utc(until) if until else now
    done = asyncio.run(_replayed(settings, changed, begin, end, _utc(at) if at else None))
    rows = [_difference(one) for one in done.differences]
    if json:
        print_json(
            {
                "since": begin,
                "until": end,
                "asked": done.asked,
                "same": done.same,
                "not_replayed": done.unreadable,
                "differences": rows,
            }
        )
    else:
        line(f"{done.asked} recorded disclosures since {begin.isoformat()}: {done.same} the same")
        if done.unreadable:
            line(f"{done.unreadable} do not say what was asked, and are not replayed")
        if rows:
            table(
                ("flow", "recipient", "times", "was", "would_be", "rule", "no_longer", "newly"),
                rows,
            )
    if rows:
        raise typer.Exit(Exit.FAILED)


async def _replayed(
    settings: Settings, changed: Policies, since: datetime, until: datetime, at: datetime | None
) -> Replay:
    async with (
        make_pool(settings, name="policy-diff", size=1) as pool,
        transaction(pool) as connection,
    ):
        await connection.execute("set transaction isolation level repeatable read, read only")
        rows = [row async for row in releases.recorded(connection, since=since, until=until)]
    return replay(changed, rows, at=at)


def _difference(one: Difference) -> dict[str, Any]:
    was, asked = one.recorded, one.recorded.disclosure
    return {
        "flow": asked.flow.value,
        "recipient": asked.recipient,
        "times": one.amount,
        "was": f"{was.decision.value} ({was.policy} {was.version})",
        "would_be": f"{one.ruling.decision.value} ({one.ruling.policy} {one.ruling.version})",
        "rule": one.ruling.rule,
        "no_longer": ", ".join(sorted(one.less)),
        "newly": ", ".join(sorted(one.more)),
    }


def _explained(
    given: Policies, disclosure: Disclosure, ruling: Ruling, body: Mapping[str, Any]
) -> dict[str, Any]:
    policy = given.named(ruling.policy, ruling.version)
    conditions = (*policy.deny, *policy.review) if policy else ()
    return {
        "decision": ruling.decision.value,
        "policy": ruling.policy,
        "version": ruling.version,
        "rule": ruling.rule,
        "reason": next((one.reason for one in conditions if one.code == ruling.rule), None),
        "purpose": ruling.purpose,
        "legal_basis": ruling.legal_basis,
        "sector": disclosure.sector.value,
        "seen": field_names.mask(body, ruling) if ruling.decision is Decision.PERMIT else None,
        "fields": sorted(ruling.fields),
        "withheld": {
            name: _why(disclosure, name) for name in sorted(disclosure.fields - ruling.fields)
        },
    }


def _why(disclosure: Disclosure, name: str) -> str:
    flow, sector = disclosure.flow, disclosure.sector
    if not field_names.may_leave(flow, sector, name, restricted=False):
        return "an NHS number never leaves health and social care"
    if not field_names.may_leave(flow, sector, name, restricted=disclosure.restricted):
        return "it may tell where a restricted person is"
    return "the policy does not grant it"


def _body(flow: Flow, event: Path | None) -> tuple[dict[str, Any], frozenset[str]]:
    if event is None:
        body = SAMPLES[flow]
        return body, field_names.names(body)
    try:
        if str(event) == "-":
            raw = sys.stdin.buffer.read(MAX_BODY + 1)
        else:
            with event.open("rb") as stream:
                raw = stream.read(MAX_BODY + 1)
        if len(raw) > MAX_BODY:
            raise typer.BadParameter(f"a body has at most {MAX_BODY} bytes")
        body = orjson.loads(raw)
    except OSError as error:
        raise typer.BadParameter(f"cannot be read ({type(error).__name__})") from None
    except orjson.JSONDecodeError:
        raise typer.BadParameter("is not JSON") from None
    if not isinstance(body, dict):
        raise typer.BadParameter("give one JSON object")
    return body, field_names.names(body)


def _sector(settings: Settings, recipient: str) -> Sector:
    try:
        return sector_of(load_directory(settings.directory_file), recipient)
    except ConfigurationError:
        raise typer.BadParameter("there is no directory that can be read: give --sector") from None


def _settings() -> Settings:
    running_system(load_settings().data_dir)
    return load_settings()


def _state(policy: Policy, today: date) -> str:
    if today < policy.start:
        return "later"
    if not policy.in_force(today):
        return "ended"
    if policy.end is not None and policy.end - today <= SOON:
        return "ends soon"
    return "in force"


def _utc(at: datetime) -> datetime:
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _print(members: Mapping[str, Any], indent: str = "") -> None:
    for name, value in members.items():
        if isinstance(value, Mapping) and value:
            line(f"{indent}{name}:")
            _print(value, f"{indent}  ")
        elif isinstance(value, list) and any(isinstance(one, Mapping) for one in value):
            for one in value:
                line(f"{indent}{name}:")
                _print(one, f"{indent}  ")
        elif isinstance(value, list):
            line(f"{indent}{name}: {', '.join(map(str, value))}")
        elif value is not None and value != {}:
            line(f"{indent}{name}: {value}")
