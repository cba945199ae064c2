"""`halyard pds changes send`: hands notifications of PDS to the hub, as a relay does."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import httpx
import typer

from connectors.mns.client import RelayClient
from halyard.cli import practice
from halyard.cli.access import Url, hub_access
from halyard.cli.output import Exit, Json, line, print_json
from halyard.errors import ConfigurationError, TransientError
from halyard.settings import Profile, load_settings

TIMEOUT_SECONDS: Final = 10.0

app = typer.Typer(help="What PDS tells by itself.", no_args_is_help=True)
changes = typer.Typer(help="Notifications of changed records.", no_args_is_help=True)
app.add_typer(changes, name="changes")


class PracticePdsAway(TransientError):
    """The practice PDS did not answer; start it with `halyard up`."""


@app.callback()
def _group() -> None:
    """What PDS tells by itself."""


@changes.callback()
def _changes() -> None:
    """Notifications of changed records."""


@changes.command()
def send(
    file: Annotated[
        Path | None,
        typer.Argument(
            help="A CloudEvent, a FHIR Bundle, an array of them, or what the practice PDS "
            "answered to a change; - is standard input."
        ),
    ] = None,
    practised: Annotated[
        bool,
        typer.Option("--practice", help="Instead of a file: every event of the practice PDS."),
    ] = False,
    url: Url = None,
    as_json: Json = False,
) -> None:
    """Post notifications to the hub (`POST /mns/events`) with the relay's token, one by one.

    The token is HALYARD_TOKEN's, else the practice relay's. Sent again they do no harm. Exits 1 if
    the hub refused one.
    """
    if (file is None) is not practised:
        raise typer.BadParameter("give a file, or --practice")
    address, token = hub_access(url, practice.RELAY)
    found = _practised() if file is None else notifications(_text(file), _name(file))
    answers = []
    with RelayClient(address, token) as client:
        for number, one in enumerate(found, start=1):
            answer = client.send(one)
            answers.append(answer)
            if not as_json:
                said = ", ".join(answer.ignored) or f"{answer.taken} taken"
                if not answer.accepted:
                    place = f" at {answer.place}" if answer.place else ""
                    said = f"refused ({answer.rule}{place}): {answer.advice}"
                line(f"{number}: {answer.status} {said}")
    if as_json:
        print_json({"answers": [asdict(one) for one in answers]})
    if not all(one.accepted for one in answers):
        raise typer.Exit(Exit.FAILED)


def notifications(text: str, name: str) -> list[Mapping[str, Any]]:
    """The notifications of a file: one, an array of them, or the practice PDS's answer, which has
    each in both shapes (the CloudEvent is taken).

    Raises `ConfigurationError` that names the file, never what stands in it.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise ConfigurationError(
            f"{name} is not JSON; it must hold a CloudEvent or a FHIR Bundle."
        ) from None
    found = list(_each(document, name))
    if not found:
        raise ConfigurationError(f"There is no notification in {name}.")
    return found


def _each(document: Any, name: str) -> Iterator[Mapping[str, Any]]:
    if isinstance(document, list):
        for one in document:
            yield from _each(one, name)
    elif not isinstance(document, dict):
        raise ConfigurationError(f"{name} holds something that is no CloudEvent and no Bundle.")
    elif isinstance(document.get("event"), dict) and "bundle" in document:
        yield document["event"]
    elif isinstance(document.get("events"), list) and "bundles" in document:
        yield from _each(document["events"], name)
    else:
        yield document


def _practised() -> list[Mapping[str, Any]]:
    """What the practice PDS has told since it started."""
    settings = load_settings()
    if settings.profile is Profile.PRODUCTION:
        raise ConfigurationError("--practice is for a practice PDS; give the notifications' file.")
    parts = urlsplit(str(settings.pds.base_url))
    try:
        answer = httpx.get(
            f"{parts.scheme}://{parts.netloc}/sandbox/events",
            timeout=TIMEOUT_SECONDS,
            trust_env=False,
        )
        answer.raise_for_status()
    except httpx.HTTPError as error:
        raise PracticePdsAway(
            f"The practice PDS did not answer ({type(error).__name__}); start it with `halyard up`."
        ) from None
    return notifications(answer.text, "what the practice PDS told")


def _text(file: Path) -> str:
    if str(file) == "-":
        return sys.stdin.read()
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"{file} cannot be read ({type(error).__name__}).") from None


def _name(file: Path) -> str:
    return "Standard input" if str(file) == "-" else str(file)
