"""`halyard hl7 check`: what the hub would make of the messages in a file, and what is wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.hl7v2.check import ANY_FEED, Report
from connectors.hl7v2.check import check as check_message
from connectors.hl7v2.conformance import Severity
from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.files import read_files
from halyard.cli.output import Exit, Json, line, print_json
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from sandbox.samples.render import render
from stores.arrival_rules import DEFAULT_RULE, ArrivalRule
from stores.directory import Directory, Feed, load_directory

app = typer.Typer(help="HL7 v2 messages, without a running hub.", no_args_is_help=True)


@app.callback()
def _hl7() -> None:
    """Keeps `check` a command of its own."""


@app.command()
def check(
    path: Annotated[
        Path, typer.Argument(help="A file of HL7 v2 messages, or a folder of such files.")
    ],
    directory: Annotated[
        Path | None,
        typer.Option(help="Directory file: MSH-3 and MSH-4 must then be a feed's that it has."),
    ] = None,
    feed: Annotated[
        str | None, typer.Option(help="Source of the feed that sends them; needs --directory.")
    ] = None,
    json: Json = False,
) -> None:
    """Report on each message: what the hub would do with it, and which rule it breaks where.

    No value of a message is printed. Times like {t-5m} are filled in. Exits 1 if anything is worse
    than a warning.
    """
    terms_of = _terms(directory, feed)
    now = system_clock()
    reports: list[tuple[str, int, Report]] = []
    for file, bodies in read_files(path):
        for number, body in enumerate(bodies, start=1):
            if b"{" in body:
                body = render(body.decode("latin-1"), now, "check").encode("latin-1")
            terms, rule, feeds = terms_of(body)
            report = check_message(body, feed=terms, rule=rule, received_at=now, feeds=feeds)
            reports.append((file.name, number, report))
            if not json:
                _print(f"{file.name}:{number}", report)
    if not reports:
        raise ConfigurationError(f"There is no message in {path}.")
    severities = Counter(one.severity for _, _, report in reports for one in report.findings)
    total = {
        "messages": len(reports),
        "refused": sum(report.answer != "AA" for _, _, report in reports),
        "errors": severities[Severity.ERROR],
        "warnings": severities[Severity.WARNING],
        "info": severities[Severity.INFO],
    }
    if json:
        print_json({"messages": [_document(*one) for one in reports], "total": total})
    else:
        line(", ".join(f"{count} {name}" for name, count in total.items()))
    if severities[Severity.ERROR]:
        raise typer.Exit(Exit.FAILED)


_Terms = tuple[Feed, ArrivalRule, tuple[Feed, ...] | None]


def _terms(directory: Path | None, feed: str | None) -> Callable[[bytes], _Terms]:
    """For a message the feed to check it for, its rule, and the feeds of which the sender must be
    one (None: any sender will do).
    """
    if directory is None:
        if feed is not None:
            raise ConfigurationError("--feed is a feed of a directory; name it with --directory.")
        return lambda _: (ANY_FEED, DEFAULT_RULE, None)
    registry = load_directory(directory)
    if feed is None:
        return lambda body: _by_sender(body, registry)
    for one in registry.feeds:
        if one.source == feed:
            terms = one, registry.arrival_rule(one), (one,)
            return lambda _: terms
    known = ", ".join(one.source for one in registry.feeds) or "none"
    raise ConfigurationError(f"The directory has no feed {feed}; it has: {known}.")


def _by_sender(body: bytes, registry: Directory) -> _Terms:
    """The feed that the message names as its sender: its rule, character set, zone and codes."""
    try:
        header = Message.parse(body).segment("MSH")
    except Er7Error:  # which the report says
        return ANY_FEED, DEFAULT_RULE, registry.feeds
    found = registry.feed_named(header.text(3, 1), header.text(4, 1))
    if found is None:
        return ANY_FEED, DEFAULT_RULE, registry.feeds
    return found, registry.arrival_rule(found), (found,)


def _document(file: str, number: int, report: Report) -> dict[str, Any]:
    return {"file": file, "number": number, "verdict": report.verdict, **asdict(report)}


def _print(place: str, report: Report) -> None:
    line(f"{place} {report.control_id} {report.trigger}: {report.verdict}")
    for one in report.findings:
        line(f"  {one.severity:7} {one.place:10} {one.rule}: {one.advice} ({one.source})")
