"""`halyard feed replay FILE`: which messages of a file would be arrivals, and why. A dry run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final

import typer

from connectors.hl7v2.ack import PROBLEMS
from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.files import read_files
from connectors.hl7v2.mapping import to_attendances
from halyard.cli.output import Exit, Json, line, print_json
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.privacy import Keys
from halyard.settings import load_settings
from sandbox.samples.render import render
from schemas.events import VisitEventKind
from stores.arrival_rules import DEFAULT_RULE, ArrivalRule
from stores.directory import Directory, Feed, load_directory

app = typer.Typer(help="Feeds of a hospital.", no_args_is_help=True)

# Nothing of a dry run leaves it, keys neither; a feed that stands for none in the directory
_KEYS: Final = Keys(bus=b"dry run: bus key of no one here.", store=b"dry run: store key of no one")
_ANY_FEED: Final = Feed(source="replay", organisation="REPLAY", facility="REPLAY")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the hub would make of one message, or of the mother in a newborn's (`kind` BIRTH).

    Nothing in it is personal. A message that would be refused has the kind REFUSED, and as `rule`
    the answer and the rule of the refusal.
    """

    file: str
    number: int
    control_id: str
    trigger: str
    kind: str
    arrival: bool
    rule: str
    marks: tuple[str, ...]


def replay_messages(
    bodies: list[bytes], *, file: str, feed: Feed, rule: ArrivalRule, received_at: datetime
) -> Iterator[Verdict]:
    """Verdicts on `bodies` as if they came from `feed` under `rule`, in order."""
    for number, body in enumerate(bodies, start=1):
        try:
            events = to_attendances(
                Message.parse(body), feed=feed, rule=rule, keys=_KEYS, received_at=received_at
            )
        except Er7Error as refusal:
            code, _ = PROBLEMS[refusal.rule]
            answer = f"{code} {refusal.rule}"
            yield Verdict(file, number, "", "", "REFUSED", False, answer, ())
            continue
        for event in events:
            yield Verdict(
                file,
                number,
                event.message_id,
                event.trigger,
                event.kind,
                event.arrival,
                event.arrival_rule,
                event.marks,
            )


@app.callback()
def _feed() -> None:
    """Keeps `replay` a command of its own."""


@app.command()
def replay(
    path: Annotated[
        Path, typer.Argument(help="A file of HL7 v2 messages, or a folder of such files.")
    ],
    feed: Annotated[
        str | None, typer.Option(help="Source of a feed in the directory: its rule, its terms.")
    ] = None,
    rule: Annotated[
        str | None,
        typer.Option(help="Arrival rule to try instead of the feed's: a name in the directory."),
    ] = None,
    directory: Annotated[
        Path | None, typer.Option(help="Directory file; default: HALYARD_DIRECTORY_FILE.")
    ] = None,
    json: Json = False,
) -> None:
    """Print which messages of a file would be arrivals, and which rule and clause decides.

    Nothing is sent or stored, and nothing personal printed. Times like {t-5m} are filled in. Exits
    1 if a message would be refused.
    """
    terms, decided = _terms(feed, rule, directory)
    now = system_clock()
    verdicts: list[Verdict] = []
    if not json:
        line(f"feed {feed or 'any'}, arrival rule {decided.name}")
    for file, bodies in read_files(path):
        rendered = [_filled_in(body, now) for body in bodies]
        for verdict in replay_messages(
            rendered, file=file.name, feed=terms, rule=decided, received_at=now
        ):
            verdicts.append(verdict)
            if not json:
                line(_shown(verdict, with_file=path.is_dir()))
    if not verdicts:
        raise ConfigurationError(f"There is no message in {path}.")
    total = _total(verdicts)
    if json:
        print_json(
            {
                "feed": feed,
                "rule": decided.name,
                "messages": [asdict(one) for one in verdicts],
                "total": total,
            }
        )
    else:
        line(", ".join(f"{count} {name.replace('_', ' ')}" for name, count in total.items()))
    if total["refused"]:
        raise typer.Exit(Exit.FAILED)


def _terms(feed: str | None, rule: str | None, directory: Path | None) -> tuple[Feed, ArrivalRule]:
    """The feed and the rule to try; without either, any feed under the default rule."""
    if feed is None and directory is None and rule in (None, DEFAULT_RULE.name):
        return _ANY_FEED, DEFAULT_RULE
    registry = load_directory(directory or load_settings().directory_file)
    terms = _ANY_FEED if feed is None else _feed_of(registry, feed)
    name = rule or terms.arrival_rule
    if name not in registry.arrival_rules:
        known = ", ".join(sorted(registry.arrival_rules))
        raise ConfigurationError(f"The directory has no arrival rule {name}; it has: {known}.")
    return terms, registry.arrival_rules[name]


def _feed_of(registry: Directory, source: str) -> Feed:
    for one in registry.feeds:
        if one.source == source:
            return one
    known = ", ".join(one.source for one in registry.feeds) or "none"
    raise ConfigurationError(f"The directory has no feed {source}; it has: {known}.")


def _filled_in(body: bytes, now: datetime) -> bytes:
    """A sample's relative times; every other byte stays as it is."""
    if b"{" not in body:
        return body
    return render(body.decode("latin-1"), now, "replay").encode("latin-1")


def _shown(verdict: Verdict, *, with_file: bool) -> str:
    arrival = "arrival" if verdict.arrival else "-"
    marks = f" [{', '.join(verdict.marks)}]" if verdict.marks else ""
    file = f"{verdict.file}:" if with_file else ""
    return (
        f"{file}{verdict.number:4} {verdict.control_id[:24]:24} {verdict.trigger[:4]:4} "
        f"{verdict.kind:16} {arrival:7} {verdict.rule}{marks}"
    )


def _total(verdicts: list[Verdict]) -> dict[str, int]:
    kinds = Counter(one.kind for one in verdicts)
    return {
        "messages": len({(one.file, one.number) for one in verdicts}),
        "arrivals": sum(one.arrival for one in verdicts),
        "births": kinds[VisitEventKind.BIRTH],
        "not_used": kinds[VisitEventKind.NOT_USED],
        "refused": kinds["REFUSED"],
    }
