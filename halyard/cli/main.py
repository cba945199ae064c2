"""`halyard`: the one command, and the only place that puts the rooms together."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from halyard.cli import lazy, running
from halyard.cli.output import Exit
from halyard.errors import ConfigurationError, HalyardError, TransientError

_COMMANDS: Final = {
    "topics": "halyard.cli.acls:app",
    "worker": "halyard.cli.processes:worker",
    "connector": "halyard.cli.processes:connector",
    "sandbox": "halyard.cli.processes:sandbox",
    "feed": "halyard.cli.feed:app",
    "flags": "halyard.cli.flags:app",
    "hl7": "halyard.cli.hl7:app",
    "alerts": "halyard.cli.alerts:app",
    "deliveries": "halyard.cli.deliveries:app",
    "messages": "halyard.cli.messages:app",
    "outbox": "halyard.cli.outbox:app",
    "deaths": "halyard.cli.deaths:app",
    "cases": "halyard.cli.cases:app",
    "ncmd": "halyard.cli.ncmd:app",
    "policy": "halyard.cli.policy:app",
    "register": "halyard.cli.register:app",
    "extract": "halyard.cli.extract:app",
    "retention": "halyard.cli.retention:app",
    "keys": "halyard.cli.keys:app",
    "reviews": "halyard.cli.reviews:app",
    "worklist": "halyard.cli.worklist:app",
    "identity": "halyard.cli.identity:app",
    "pds": "halyard.cli.pds:app",
    "token": "halyard.cli.token:app",
    "access": "halyard.cli.doors:app",
    "audit": "halyard.cli.audit:app",
    "containers": "halyard.cli.containers:app",
    "up": "halyard.cli.run:up",
    "demo": "halyard.cli.run:demo",
    "migrate": "halyard.cli.run:migrate",
    "health": "halyard.cli.containers:health",
    "doctor": "halyard.cli.doctor:doctor",
    "openapi": "halyard.cli.documents:openapi",
    "asyncapi": "halyard.cli.documents:asyncapi",
    "tracer": "halyard.cli.processes:tracer",
    "dispatcher": "halyard.cli.processes:dispatcher",
    "journal": "halyard.cli.processes:journal",
    "sealer": "halyard.cli.processes:sealer",
    "serve": "halyard.cli.processes:serve",
    "send": "halyard.cli.send:send",
    "trace": "halyard.cli.trace:trace",
    "trace-batch": "halyard.cli.trace_batch:app",
    "trace-person": "halyard.cli.trace_person:trace_person",
    "pause": "halyard.cli.pauses:pause",
    "resume": "halyard.cli.pauses:resume",
}

app = typer.Typer(
    cls=lazy.group_of(_COMMANDS),
    name="halyard",
    help="Message-bus hub for children's safeguarding. Settings: HALYARD_* variables or a TOML "
    "file (HALYARD_CONFIG). Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 a service "
    "is away.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # tracebacks with locals would print messages
    add_completion=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("halyard"))
        raise typer.Exit


@app.callback()
def _main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command; an error is a sentence on standard error and an exit code."""
    running.quiet_driver()
    try:
        app()
    except HalyardError as error:
        _fail(running.explained(error))
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: HalyardError) -> None:
    code = Exit.FAILED
    if isinstance(error, ConfigurationError):
        code = Exit.CONFIGURATION
    elif isinstance(error, TransientError):
        code = Exit.UNAVAILABLE
    sys.stderr.write(f"halyard: {error.message}\n")
    sys.exit(int(code))


if __name__ == "__main__":
    main()
