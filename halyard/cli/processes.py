"""The commands that are processes: workers, connectors, serve, sandbox and the rest.

Each runs until SIGTERM or SIGINT and exits non-zero if it dies of itself, so that `halyard up` or
an orchestrator starts it again.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer

from halyard import service
from halyard.cli.lazy import importing
from halyard.errors import ConfigurationError
from halyard.service import Service
from halyard.settings import Settings, load_settings

Run = Callable[[Service, Settings], Awaitable[None]]

worker = typer.Typer(help="Stream processors: one process a stage.", no_args_is_help=True)
connector = typer.Typer(help="Connectors that are processes.", no_args_is_help=True)
sandbox = typer.Typer(help="Practice services, never for production.", no_args_is_help=True)

Port = Annotated[
    int, typer.Option(envvar="HALYARD_SANDBOX_PORT", help="Loopback port; 0 takes any free one.")
]


def run_process(name: str, run: Run) -> None:
    """Run one process to its end and exit with its code."""
    settings = load_settings()
    raise typer.Exit(service.run(name, settings, lambda running: run(running, settings)))


@worker.command()
def identity() -> None:
    """Set a verified NHS number on each event, or file a trace."""
    with importing():
        from streams.identity.process import run

    run_process("identity", run)


@worker.command()
def matching() -> None:
    """Fold visits and flags, raise and withdraw alerts."""
    with importing():
        from streams.matching.process import run

    run_process("matching", run)


@worker.command()
def cases() -> None:
    """Make one case of each child's death: notifications, reports, requests."""
    with importing():
        from streams.cases.process import run

    run_process("cases", run)


def tracer() -> None:
    """Spend the PDS ration on waiting traces, by priority."""
    with importing():
        from streams.tracer.process import run

    run_process("tracer", run)


def dispatcher() -> None:
    """Deliver alerts and notices; retry what failed."""
    with importing():
        from streams.delivery.process import run

    run_process("dispatcher", run)


def sealer() -> None:
    """Seal the audit chain, sign and export its checkpoints, put accesses up for review."""
    with importing():
        from streams.audit.process import run

    run_process("sealer", run)


def journal() -> None:
    """Index every topic for `halyard trace`."""
    with importing():
        from connectors.journal.process import run

    run_process("journal", run)


def serve() -> None:
    """The HTTP API: flags, uploads, alerts, worklist."""
    with importing():
        from flag_service.process import run

    run_process("serve", run)


@connector.command()
def hl7v2() -> None:
    """Take HL7 v2 messages in over MLLP."""
    with importing():
        from connectors.hl7v2.process import run

    run_process("connector-hl7v2", run)


@connector.command()
def ncmd() -> None:
    """Fill the NCMD store with every version of every case."""
    with importing():
        from connectors.ncmd.process import run

    run_process("connector-ncmd", run)


def _practice_only(settings: Settings) -> None:
    if settings.profile == "production":
        raise ConfigurationError("The sandbox is for practice; it does not run in production.")


@sandbox.command()
def pds(
    port: Port = 0,
    people: Annotated[
        Path | None, typer.Option(help="JSON lines of people; default: the demo's cast.")
    ] = None,
    generate: Annotated[
        int, typer.Option(min=0, metavar="N", help="And N invented people more, in families.")
    ] = 0,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same people.")] = 1,
    calls_per_second: Annotated[
        int | None, typer.Option(min=1, help="The ration: 429 beyond it. The real default is 5.")
    ] = None,
    latency_ms: Annotated[int, typer.Option(min=0, help="Each answer waits so long.")] = 0,
    latency_jitter_ms: Annotated[int, typer.Option(min=0, help="Give or take, evenly spread.")] = 0,
    error_rate: Annotated[
        float, typer.Option(min=0, max=1, help="This share of requests gets 503.")
    ] = 0.0,
    no_auth: Annotated[bool, typer.Option("--no-auth", help="Ask nobody for a token.")] = False,
    static_token: Annotated[
        str | None,
        typer.Option(envvar="HALYARD_PDS__TOKEN", help="A bearer token that is always taken."),
    ] = None,
    apps: Annotated[
        Path | None,
        typer.Option(
            envvar="HALYARD_SANDBOX_PDS_APPS",
            help="JSON file of applications that may get tokens: {api_key: JWKS}.",
        ),
    ] = None,
    app_key: Annotated[
        Path | None,
        typer.Option(
            envvar="HALYARD_SANDBOX_PDS_APP_KEY",
            help="RSA key of one application (PEM or JWK); made if there is none.",
        ),
    ] = None,
    api_key: Annotated[
        str | None, typer.Option(envvar="HALYARD_PDS__API_KEY", help="Its API key.")
    ] = None,
    key_id: Annotated[
        str | None, typer.Option(envvar="HALYARD_PDS__KEY_ID", help="Its key's id (kid).")
    ] = None,
    token_seconds: Annotated[
        int, typer.Option(min=1, max=86_400, help="How long an issued token is good.")
    ] = 599,
    organisation_required: Annotated[
        bool,
        typer.Option(
            "--organisation-required", help="Refuse calls without NHSD-End-User-Organisation-ODS."
        ),
    ] = False,
    forget: Annotated[
        bool,
        typer.Option("--forget", help="Forget who was posted or changed in earlier runs."),
    ] = False,
) -> None:
    """A practice Personal Demographics Service with invented people.

    Needs no hub, database or Kafka. Keeps who is posted to it, and changes, in the data directory.
    Prints one JSON line with base_url and token_url when it answers. Without credentials among its
    options and the hub's own settings it takes the token "practice-token".
    """
    with importing():
        from sandbox.pds.faults import Faults
        from sandbox.pds.process import Options
        from sandbox.pds.process import run as run_pds

    options = Options(
        people=people,
        generate=generate,
        seed=seed,
        calls_per_second=calls_per_second,
        no_auth=no_auth,
        static_token=static_token or None,
        apps=apps,
        app_key=app_key,
        api_key=api_key,
        key_id=key_id,
        token_seconds=token_seconds,
        organisation_required=organisation_required,
        forget=forget,
        faults=Faults(
            latency_ms=latency_ms, latency_jitter_ms=latency_jitter_ms, error_rate=error_rate
        ),
    )

    async def run(running: Service, settings: Settings) -> None:
        _practice_only(settings)
        await run_pds(running, settings, port=port, options=options, announce=True)

    run_process("sandbox-pds", run)


@sandbox.command()
def authority(port: Port = 0) -> None:
    """A practice local authority that receives alerts."""
    _receiver("authority", port)


@sandbox.command()
def contact(port: Port = 0) -> None:
    """A practice safeguarding contact of a hospital."""
    _receiver("contact", port)


@sandbox.command()
def hospital(
    port: Port = 0,
    control_port: Annotated[
        int, typer.Option(help="Loopback port of GET /received and POST /sandbox/faults.")
    ] = 0,
) -> None:
    """A practice hospital system that takes matches and answers as HL7 v2 over MLLP."""
    with importing():
        from sandbox.hospital_system.app import run as run_hospital

    async def run(running: Service, settings: Settings) -> None:
        _practice_only(settings)
        await run_hospital(
            running,
            settings,
            port=port,
            control_port=control_port,
            journal_path=_journal_path("hospital"),
        )

    run_process("sandbox-hospital", run)


@sandbox.command("ncmd")
def practice_ncmd(port: Port = 0) -> None:
    """A practice receiver of case submissions; no interface of NCMD's, which is not public."""
    with importing():
        from sandbox.ncmd.app import run as run_ncmd

    async def run(running: Service, settings: Settings) -> None:
        _practice_only(settings)
        await run_ncmd(running, settings, port=port, journal_path=_journal_path("ncmd"))

    run_process("sandbox-ncmd", run)


@sandbox.command()
def issuer(
    port: Port = 0,
    public_url: Annotated[
        str,
        typer.Option(
            envvar="HALYARD_SANDBOX_PUBLIC_URL",
            help="Where browsers reach it, if not at HALYARD_ACCESS__ISSUER.",
        ),
    ] = "",
) -> None:
    """A practice OpenID Connect issuer: tokens for invented people and for registered machines."""
    with importing():
        from sandbox.issuer.process import run as run_issuer

    async def run(running: Service, settings: Settings) -> None:
        _practice_only(settings)
        await run_issuer(running, settings, port=port, public_url=public_url)

    run_process("sandbox-issuer", run)


def _receiver(name: str, port: int) -> None:
    with importing():
        from halyard.privacy import load_keys
        from sandbox.hospital_contact.app import run as run_contact
        from sandbox.local_authority.app import run as run_authority

    run_one = run_authority if name == "authority" else run_contact

    async def run(running: Service, settings: Settings) -> None:
        _practice_only(settings)
        keys = load_keys(settings.security)
        await run_one(
            running,
            settings,
            name=name,
            port=port,
            secret=keys.webhook[name],
            journal_path=_journal_path(name),
        )

    run_process(f"sandbox-{name}", run)


def _journal_path(name: str) -> Path | None:
    """Where a receiver journals what it got, if somebody wants to check it later."""
    folder = os.environ.get("HALYARD_SANDBOX_JOURNALS")
    return Path(folder) / f"{name}.jsonl" if folder else None
