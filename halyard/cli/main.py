"""`halyard`: the one command, and the only place that puts the rooms together."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from halyard.cli import (
    acls,
    alerts,
    audit,
    cases,
    containers,
    deaths,
    deliveries,
    doctor,
    documents,
    doors,
    extract,
    feed,
    flags,
    hl7,
    keys,
    messages,
    ncmd,
    outbox,
    pauses,
    policy,
    processes,
    register,
    retention,
    reviews,
    run,
    send,
    token,
    topics,
    trace,
)
from halyard.cli.output import Exit
from halyard.errors import ConfigurationError, HalyardError, PermanentError, TransientError

app = typer.Typer(
    name="halyard",
    help="Message-bus hub for children's safeguarding. Settings: HALYARD_* variables or a TOML "
    "file (HALYARD_CONFIG). Exit codes: 0 done, 1 failed, 2 usage, 3 configuration, 4 a service "
    "is away.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # tracebacks with locals would print messages
    add_completion=False,
)
app.add_typer(topics.app, name="topics")
topics.app.command()(acls.acls)
app.add_typer(processes.worker, name="worker")
app.add_typer(processes.connector, name="connector")
app.add_typer(processes.sandbox, name="sandbox")
app.add_typer(feed.app, name="feed")
app.add_typer(flags.app, name="flags")
app.add_typer(hl7.app, name="hl7")
app.add_typer(alerts.app, name="alerts")
app.add_typer(deliveries.app, name="deliveries")
app.add_typer(messages.app, name="messages")
app.add_typer(outbox.app, name="outbox")
app.add_typer(deaths.app, name="deaths")
app.add_typer(cases.app, name="cases")
app.add_typer(ncmd.app, name="ncmd")
app.add_typer(policy.app, name="policy")
app.add_typer(register.app, name="register")
app.add_typer(extract.app, name="extract")
app.add_typer(retention.app, name="retention")
app.add_typer(keys.app, name="keys")
app.add_typer(reviews.app, name="reviews")
app.add_typer(token.app, name="token")
app.add_typer(doors.app, name="access")
app.add_typer(audit.app, name="audit")
app.add_typer(containers.app, name="containers")
app.command()(run.up)
app.command()(run.demo)
app.command()(run.migrate)
app.command()(containers.health)
app.command()(doctor.doctor)
app.command()(documents.openapi)
app.command()(documents.asyncapi)
app.command()(processes.tracer)
app.command()(processes.dispatcher)
app.command()(processes.journal)
app.command()(processes.sealer)
app.command()(processes.serve)
app.command()(send.send)
app.command()(trace.trace)
app.command()(pauses.pause)
app.command()(pauses.resume)


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
    try:
        app()
    except ConfigurationError as error:
        _fail(error, Exit.CONFIGURATION)
    except TransientError as error:
        _fail(error, Exit.UNAVAILABLE)
    except (PermanentError, HalyardError) as error:
        _fail(error, Exit.FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(error: HalyardError, code: Exit) -> None:
    sys.stderr.write(f"halyard: {error.message}\n")
    sys.exit(int(code))


if __name__ == "__main__":
    main()
