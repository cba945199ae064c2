"""`halyard send`: a file's messages, HL7 v2 over MLLP or FHIR over HTTP, and each answer."""

from __future__ import annotations

import asyncio
import re
import ssl
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from connectors.hl7v2.client import MllpClient, MllpError
from connectors.hl7v2.tls import client_context
from halyard.cli import practice
from halyard.cli.access import Url
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.running import running_system
from halyard.cli.send_fhir import FhirResult, bundles, hospital_token, send_bundles
from halyard.cli.send_scenario import play, report
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.settings import load_settings
from sandbox.hospital.adt import Sender
from sandbox.hospital.scenarios import play as play_of
from sandbox.samples.render import messages, render

_MSA = re.compile(rb"\rMSA\|([A-Z]{2})\|([^|\r]*)(?:\|([^|\r]*))?")
_ACCEPTED = 202
_APPLICATION = "EDIS"


class Scenario(StrEnum):
    """What a practice hospital can send (`sandbox.hospital.scenarios`)."""

    NIGHT = "night-in-ae"
    MATERNITY = "maternity-ward"
    MAD = "feed-gone-mad"


_WELL = frozenset({"AA", "CA", "silent"})


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said to one message. `code` is its last MSA-1 (AA, AE, AR; CA, CE, CR), none,
    or silent where the message asks for no answer (MSH-15, MSH-16).
    """

    number: int
    trigger: str
    message_id: str
    code: str
    text: str
    milliseconds: float


async def send_all(
    host: str,
    port: int,
    bodies: Sequence[bytes],
    *,
    rate: float | None = None,
    answer_seconds: float = 30.0,
    tls: ssl.SSLContext | None = None,
    on_answer: Callable[[Answer], None] = lambda answer: None,
) -> list[Answer]:
    """Send `bodies` one after the other over one connection (`rate` a second at most)."""
    answers: list[Answer] = []
    client = MllpClient(host, port, timeout=answer_seconds, tls=tls)
    try:
        for number, body in enumerate(bodies, start=1):
            started = time.perf_counter()
            code, text = "none", ""
            try:
                if not client.connected:
                    await client.connect()
                reply = await client.send(body)
                if not reply:
                    code = "silent"
                elif found := _MSA.search(reply):
                    code, text = found[1].decode(), (found[3] or b"").decode("utf-8", "replace")
            except MllpError as error:
                text = error.message
            took = time.perf_counter() - started
            answers.append(Answer(number, *_identity(body), code, text, round(took * 1000, 1)))
            on_answer(answers[-1])
            if rate:
                await asyncio.sleep(max(0.0, 1 / rate - took))
    finally:
        await client.close()
    return answers


def _identity(body: bytes) -> tuple[str, str]:
    """Trigger and control id, which hold nothing personal."""
    fields = body.split(b"\r", 1)[0].split(b"|")
    trigger = fields[8].split(b"^")[1] if len(fields) > 8 and b"^" in fields[8] else b"?"
    return trigger.decode("ascii", "replace"), (fields[9] if len(fields) > 9 else b"?").decode(
        "ascii", "replace"
    )


def send(
    file: Annotated[
        Path | None,
        typer.Argument(help="HL7 v2: a segment a line, an empty line between. FHIR: JSON."),
    ] = None,
    host: Annotated[str, typer.Option(help="MLLP host.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="MLLP port; default: the running system's.")
    ] = None,
    fhir: Annotated[
        bool, typer.Option("--fhir", help="Send FHIR messages, with the token of HALYARD_TOKEN.")
    ] = False,
    url: Url = None,
    scenario: Annotated[
        Scenario | None, typer.Option(help="Instead of a file: what a practice hospital sends.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, help="Steps of the scenario.")] = 60,
    seed: Annotated[
        int, typer.Option(help="Of the scenario: the same seed, the same people and faults.")
    ] = 1,
    rate: Annotated[float | None, typer.Option(help="At most so many messages a second.")] = None,
    run: Annotated[
        str | None, typer.Option(help="Text for {run} in the file; default: a new one.")
    ] = None,
    tls: Annotated[
        bool, typer.Option("--tls", help="Speak TLS; --tls-ca and --tls-certificate imply it.")
    ] = False,
    tls_ca: Annotated[
        Path | None,
        typer.Option(help="PEM: who signed the receiver's certificate; default: the system's."),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="PEM: the certificate to show to the receiver.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM: its key.")] = None,
    json: Json = False,
) -> None:
    """Send messages and print each answer with its milliseconds.

    Times like {t-5m} (in FHIR {i-5m}) are filled in. With --scenario, tells how many answers were
    what the scenario expects; any other makes the exit code 1.
    """
    if (file is None) == (scenario is None):
        raise typer.BadParameter("give either a file or --scenario")
    wanted = tls or any((tls_ca, tls_certificate, tls_key))
    context = client_context(tls_ca, tls_certificate, tls_key) if wanted else None
    running_system(load_settings().data_dir)
    settings = load_settings()
    if file is None:
        assert scenario is not None
        sender = Sender(_APPLICATION, practice.FACILITY, run or uuid.uuid4().hex[:8])
        steps = play_of(scenario.value, sender, system_clock(), count=count, seed=seed)
        where = (host, port or settings.hl7v2.port)
        played = asyncio.run(play(*where, steps, rate=rate, tls=context))
        report(scenario.value, seed, played, json=json)
        if played.surprises:
            raise typer.Exit(Exit.FAILED)
        return
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read ({type(error).__name__}).") from None
    text = render(text, system_clock(), run or uuid.uuid4().hex[:8])
    if fhir:
        _send_fhir(text, file, url or f"http://127.0.0.1:{settings.http.port}", rate, json=json)
        return
    bodies = messages(text)
    if not bodies:
        raise ConfigurationError(f"There is no message in {file}.")
    answers = asyncio.run(
        send_all(
            host,
            port or settings.hl7v2.port,
            bodies,
            rate=rate,
            tls=context,
            on_answer=(lambda answer: None) if json else _print,
        )
    )
    if json:
        print_json({"answers": [asdict(answer) for answer in answers]})
    if any(answer.code not in _WELL for answer in answers):
        raise typer.Exit(Exit.FAILED)


def _send_fhir(text: str, file: Path, url: str, rate: float | None, *, json: bool) -> None:
    results = asyncio.run(
        send_bundles(
            url,
            hospital_token(load_settings()),
            bundles(text, file),
            rate=rate,
            on_answer=(lambda answer: None) if json else _print_fhir,
        )
    )
    if json:
        print_json({"answers": [asdict(answer) for answer in results]})
    if any(answer.status != _ACCEPTED for answer in results):
        raise typer.Exit(Exit.FAILED)


def _print_fhir(answer: FhirResult) -> None:
    line(
        f"{answer.number:4} {answer.event:18} {answer.status:4} {answer.milliseconds:8.1f} ms "
        f"{answer.receipt or '-'} {'; '.join(answer.issues)}"
    )


def _print(answer: Answer) -> None:
    line(
        f"{answer.number:4} {answer.trigger} {answer.message_id:24} {answer.code:4} "
        f"{answer.milliseconds:8.1f} ms {answer.text}"
    )
