"""`halyard deaths send FILE…`: notifications, reports and PDS events of a file, and each answer."""

from __future__ import annotations

import asyncio
import os
import uuid
from dataclasses import asdict
from json import dumps, loads
from pathlib import Path
from typing import Annotated, Any

import typer

from connectors.fhir.view import obj, objs, text
from halyard.cli import practice
from halyard.cli.access import Organisation, Url
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.running import running_system
from halyard.cli.send_fhir import FhirResult, bundles, send_bundles
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.settings import Settings, load_settings
from sandbox.samples.render import render

app = typer.Typer(help="Deaths of children: notifications and reports.", no_args_is_help=True)

_ACCEPTED = 202


@app.command()
def send(
    files: Annotated[
        list[Path], typer.Argument(help="FHIR message Bundles, one or an array of them a file.")
    ],
    request: Annotated[
        uuid.UUID | None,
        typer.Option(help="Of a report: the report request that it answers."),
    ] = None,
    url: Url = None,
    organisation: Organisation = practice.HOSPITAL,
    run: Annotated[
        str | None, typer.Option(help="Text for {run} in the files; default: a new one.")
    ] = None,
    json: Json = False,
) -> None:
    """Send messages about deaths and print each answer: status, receipt, rules.

    Dates like {d-1} and times like {i-5m} are filled in. Exits 1 if a message was not taken.
    """
    running_system(load_settings().data_dir)
    settings = load_settings()
    label = run or uuid.uuid4().hex[:8]
    messages = [one for file in files for one in _messages(file, label, request)]
    results = asyncio.run(
        send_bundles(
            url or f"http://127.0.0.1:{settings.http.port}",
            _token(settings, organisation),
            messages,
            on_answer=(lambda answer: None) if json else _print,
        )
    )
    if json:
        print_json({"answers": [asdict(answer) for answer in results]})
    if any(answer.status != _ACCEPTED for answer in results):
        raise typer.Exit(Exit.FAILED)


def _messages(file: Path, run: str, request: uuid.UUID | None) -> list[bytes]:
    try:
        content = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read ({type(error).__name__}).") from None
    found = bundles(render(content, system_clock(), run), file)
    return found if request is None else [answering(one, request) for one in found]


def answering(message: bytes, request: uuid.UUID) -> bytes:
    """`message` as the answer to a report request; it is not changed if it has no Parameters."""
    bundle: Any = loads(message)
    for entry in objs(bundle, "entry"):
        parameters = obj(entry, "resource")
        if text(parameters, "resourceType") == "Parameters":
            others = [
                one for one in objs(parameters, "parameter") if text(one, "name") != "request"
            ]
            said = {"name": "request", "valueUuid": f"urn:uuid:{request}"}
            parameters["parameter"] = [*others, said]
    return dumps(bundle).encode()


def _token(settings: Settings, organisation: str) -> str:
    """The token of ``HALYARD_TOKEN``, else a practice token of the running system."""
    token = os.environ.get("HALYARD_TOKEN")
    if token is not None:
        return token
    tokens = practice.read_tokens(settings.data_dir.expanduser() / "tokens.toml")
    if organisation not in tokens:
        raise ConfigurationError(
            f"There is no practice token of {organisation}; name one of {', '.join(sorted(tokens))}"
            ", or set HALYARD_TOKEN."
        )
    return tokens[organisation]


def _print(answer: FhirResult) -> None:
    line(
        f"{answer.number:4} {answer.event:25} {answer.status:4} {answer.milliseconds:8.1f} ms "
        f"{answer.receipt or '-'} {'; '.join(answer.issues)}"
    )
