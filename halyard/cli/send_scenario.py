"""`halyard send --scenario`: what a practice hospital sends, and whether each answer was right.

Writes to the wire itself, since a feed that has gone mad does not keep to frames.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from connectors.hl7v2.framing import Deframer, Frame
from halyard.cli.output import line, print_json
from halyard.errors import TransientError
from sandbox.hospital.scenarios import Step

_MSA = re.compile(rb"\rMSA.([A-Z]{2})")


class NoReceiver(TransientError):
    """No MLLP receiver listens there; check --host and --port, and that the connector runs."""


@dataclass(slots=True)
class Played:
    """What came of a scenario. `surprises` is by step and what came instead."""

    steps: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    surprises: Counter[str] = field(default_factory=Counter)
    milliseconds: list[float] = field(default_factory=list, repr=False)


async def play(
    host: str,
    port: int,
    steps: Iterable[Step],
    *,
    rate: float | None = None,
    answer_seconds: float = 30.0,
    tls: ssl.SSLContext | None = None,
    on_step: Callable[[Step, list[str], float], None] = lambda step, codes, took: None,
) -> Played:
    """Send every step over one connection at a time, and hold the answers against it.

    Raises `NoReceiver` if nobody listens at the beginning.
    """
    played = Played()
    wire = _Wire(host, port, tls, answer_seconds)
    try:
        await wire.connect()
        for step in steps:
            started = time.perf_counter()
            codes = await wire.exchange(step)
            took = time.perf_counter() - started
            played.steps += 1
            played.kinds[step.name] += 1
            played.answers.update(codes or ["none"])
            if codes:
                played.milliseconds.append(took * 1000 / len(codes))
            if codes != [step.code] * step.answers:
                said = ", ".join(codes) or "no answer"
                played.surprises[f"{step.name}: {said}"] += 1
            on_step(step, codes, took)
            if rate:
                await asyncio.sleep(max(0.0, 1 / rate - took))
    finally:
        await wire.close()
    return played


class _Wire:
    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, seconds: float) -> None:
        self._where = (host, port)
        self._tls = tls
        self._seconds = seconds
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._streams is None:
            try:
                async with asyncio.timeout(self._seconds):
                    self._streams = await asyncio.open_connection(*self._where, ssl=self._tls)
            except (OSError, TimeoutError):
                raise NoReceiver from None
        return self._streams

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def exchange(self, step: Step) -> list[str]:
        """Write the step; the codes of the answers that came in time."""
        reader, writer = await self.connect()
        codes: list[str] = []
        writing = asyncio.create_task(_write(writer, step.data))
        try:
            async with asyncio.timeout(self._seconds):
                found = Deframer()
                while len(codes) < step.answers or step.closes:
                    chunk = await reader.read(65_536)
                    if not chunk:
                        await self.close()
                        break
                    items = found.feed(chunk)
                    codes += [_code(item.data) for item in items if isinstance(item, Frame)]
        except (OSError, TimeoutError):
            await self.close()
        finally:
            writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)
        return codes


async def _write(writer: asyncio.StreamWriter, data: bytes) -> None:
    with contextlib.suppress(OSError):  # closed meanwhile: what came back says what of it was taken
        writer.write(data)
        await writer.drain()


def _code(answer: bytes) -> str:
    found = _MSA.search(answer)
    return found[1].decode() if found else "?"


def report(scenario: str, seed: int, played: Played, *, json: bool) -> None:
    """Print what came of it."""
    times = sorted(played.milliseconds) or [0.0]
    summary = {
        "scenario": scenario,
        "seed": seed,
        "steps": played.steps,
        "answers": dict(sorted(played.answers.items())),
        "surprises": dict(sorted(played.surprises.items())),
        "milliseconds": {
            "median": round(times[len(times) // 2], 1),
            "p99": round(times[min(len(times) - 1, len(times) * 99 // 100)], 1),
        },
    }
    if json:
        print_json(summary)
        return
    said = ", ".join(f"{count} {code}" for code, count in sorted(played.answers.items()))
    line(f"{scenario}, seed {seed}: {played.steps} steps; answers: {said or 'none'}")
    line(f"an answer took {times[len(times) // 2]:.1f} ms (median)")
    for what, count in sorted(played.surprises.items()):
        line(f"not as expected: {what} ({count})")
