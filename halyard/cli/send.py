"""`halyard send`: HL7 v2 messages of a file over MLLP, with each answer and its milliseconds."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from connectors.hl7v2.client import MllpClient, MllpError
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.running import running_system
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.settings import load_settings
from sandbox.samples.render import messages, render

_MSA = re.compile(rb"\rMSA\|([A-Z]{2})\|([^|\r]*)(?:\|([^|\r]*))?")


@dataclass(frozen=True, slots=True)
class Answer:
    """What a receiver said to one message. `code` is AA, AE, AR, or none."""

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
    on_answer: Callable[[Answer], None] = lambda answer: None,
) -> list[Answer]:
    """Send `bodies` one after the other over one connection (`rate` a second at most)."""
    answers: list[Answer] = []
    client = MllpClient(host, port, timeout=answer_seconds)
    try:
        for number, body in enumerate(bodies, start=1):
            started = time.perf_counter()
            code, text = "none", ""
            try:
                if not client.connected:
                    await client.connect()
                reply = await client.send(body)
                if found := _MSA.search(reply):
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
        Path, typer.Argument(help="Messages: a segment a line, an empty line between.")
    ],
    host: Annotated[str, typer.Option(help="MLLP host.")] = "127.0.0.1",
    port: Annotated[
        int | None, typer.Option(help="MLLP port; default: the running system's.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="At most so many messages a second.")] = None,
    run: Annotated[
        str | None, typer.Option(help="Text for {run} in the file; default: a new one.")
    ] = None,
    json: Json = False,
) -> None:
    """Send messages and print each ACK with its milliseconds. Times like {t-5m} are filled in."""
    running_system(load_settings().data_dir)
    settings = load_settings()
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} cannot be read ({type(error).__name__}).") from None
    bodies = messages(render(text, system_clock(), run or uuid.uuid4().hex[:8]))
    if not bodies:
        raise ConfigurationError(f"There is no message in {file}.")
    answers = asyncio.run(
        send_all(
            host,
            port or settings.hl7v2.port,
            bodies,
            rate=rate,
            on_answer=(lambda answer: None) if json else _print,
        )
    )
    if json:
        print_json({"answers": [asdict(answer) for answer in answers]})
    if any(answer.code != "AA" for answer in answers):
        raise typer.Exit(Exit.FAILED)


def _print(answer: Answer) -> None:
    line(
        f"{answer.number:4} {answer.trigger} {answer.message_id:24} {answer.code:4} "
        f"{answer.milliseconds:8.1f} ms {answer.text}"
    )
