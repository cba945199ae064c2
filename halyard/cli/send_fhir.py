"""`halyard send --fhir`: FHIR messages of a file over HTTP, with each answer."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from connectors.fhir.client import FhirClient
from connectors.fhir.death_events import death_event
from connectors.fhir.events import visit_event
from connectors.fhir.view import coding, codings, obj, objs, text
from halyard.cli import practice
from halyard.errors import ConfigurationError, TransientError
from halyard.settings import Settings


@dataclass(frozen=True, slots=True)
class FhirResult:
    """What the hub said to one message; `status` 0 if it gave no answer."""

    number: int
    event: str
    status: int
    receipt: str | None
    issues: tuple[str, ...]
    milliseconds: float


def bundles(content: str, file: Path) -> list[bytes]:
    """The messages of a file: one JSON object, sent as it stands, or an array of them.

    Raises `ConfigurationError` that names the file, never what stands in it.
    """
    try:
        # not orjson: the hub takes a lone surrogate (`\ud83d`), so it must reach the hub
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise ConfigurationError(
            f"{file} is not JSON; it must hold one Bundle or several."
        ) from None
    if not isinstance(found, list):
        return [content.encode()]
    if not found:
        raise ConfigurationError(f"There is no message in {file}.")
    return [json.dumps(one).encode() for one in found]


def hospital_token(settings: Settings) -> str:
    """The token of ``HALYARD_TOKEN``, else the practice hospital's of the running system."""
    token = os.environ.get("HALYARD_TOKEN")
    if token is not None:
        return token
    return practice.read_tokens(settings.data_dir.expanduser() / "tokens.toml")[practice.HOSPITAL]


async def send_bundles(
    url: str,
    token: str,
    messages: Sequence[bytes],
    *,
    rate: float | None = None,
    on_answer: Callable[[FhirResult], None] = lambda answer: None,
) -> list[FhirResult]:
    """Post `messages` one after the other (`rate` a second at most)."""
    results: list[FhirResult] = []
    async with FhirClient(url, token) as client:
        for number, message in enumerate(messages, start=1):
            started = time.perf_counter()
            try:
                answer = await client.send(message)
                said = answer.status, answer.receipt, answer.issues
            except TransientError as error:
                said = 0, None, (error.message,)
            took = time.perf_counter() - started
            event = _event(json.loads(message))
            results.append(FhirResult(number, event, *said, round(took * 1000, 1)))
            on_answer(results[-1])
            if rate:
                await asyncio.sleep(max(0.0, 1 / rate - took))
    return results


def _event(bundle: Any) -> str:
    """The event's code, if it is one that is known (another could hold anything)."""
    for entry in objs(bundle, "entry"):
        header = obj(entry, "resource")
        if text(header, "resourceType") == "MessageHeader":
            said = coding(obj(header, "eventCoding"))
            if death := death_event(said):
                return death.value
            event = visit_event(said, tuple(codings(obj(header, "reason"))))
            return event.code if event else "?"
    return "?"
