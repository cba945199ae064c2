"""One input tried: what broke, how long it took; and the engine that needs nothing installed."""

from __future__ import annotations

import random
import resource
import signal
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Final

from tests.fuzz import corpus
from tests.fuzz.mutate import mutated
from tests.fuzz.targets import Target, crash_rule

SLOW_SECONDS: Final = 1.0  # of CPU time, for one input
_MEMORY_GROWTH: Final = 256 * 1024  # KiB over a whole run
_OFFERED: Final = 20_000  # inputs that the built-in engine changes further


class Hang(BaseException):
    """An input took too long; not an `Exception`, or a parser's own handler would swallow it."""


@dataclass(slots=True)
class Trial:
    """Tries inputs on one target and keeps the smallest that breaks each rule."""

    target: Target
    report: Callable[[str, bytes], None] = lambda rule, data: None
    findings: dict[str, bytes] = field(default_factory=dict)
    executions: int = 0

    def one(self, data: bytes) -> Hashable:
        """Try `data`; the shape of what came out, None if it broke something."""
        self.executions += 1
        started = time.thread_time()
        try:
            shape = self.target.run(data)
        except Hang:
            rule = "hang"
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            rule = crash_rule(error)
        else:
            if time.thread_time() - started <= SLOW_SECONDS:
                return shape
            rule = "slow"
        known = self.findings.get(rule)
        if known is None or len(data) < len(known):
            self.findings[rule] = data
            self.report(rule, data)
        return None


@contextmanager
def watched(trial: Trial) -> Iterator[Trial]:
    """Interrupts an input that takes ten times too long (of CPU time), so that a run goes on."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise Hang

    before = signal.signal(signal.SIGVTALRM, stop)
    try:
        yield trial
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@dataclass(frozen=True, slots=True)
class Result:
    """What a run over one target did. `kept` is the inputs that gave a new shape."""

    target: str
    engine: str
    executions: int
    seconds: float
    peak_mb: int
    kept: tuple[bytes, ...] = field(repr=False)
    findings: dict[str, bytes] = field(repr=False)


def built_in(target: Target, *, seconds: float, executions: int, seed: int = 1) -> Result:
    """Try every input that is kept, then changed ones, without guidance but their shapes."""
    inputs = corpus.load(target.name) or [b""]
    chance = random.Random(seed)
    started, memory = time.monotonic(), _memory()
    shapes: dict[Hashable, bytes] = {}
    with watched(Trial(target)) as trial:
        waiting = iter(tuple(inputs))
        while trial.executions < executions and time.monotonic() - started < seconds:
            data = next(waiting, None)
            if data is None:
                data = mutated(chance, inputs, target.tokens, target.max_bytes)
            signal.setitimer(signal.ITIMER_VIRTUAL, 10 * SLOW_SECONDS)
            shape = trial.one(data)
            if shape is not None and shape not in shapes:
                shapes[shape] = data
                if len(inputs) < _OFFERED:
                    inputs.append(data)
    peak = _memory()
    if peak - memory > _MEMORY_GROWTH:
        trial.findings["memory"] = b""
    return Result(
        target.name,
        "built-in",
        trial.executions,
        time.monotonic() - started,
        peak // 1024,
        tuple(shapes.values()),
        trial.findings,
    )


def _memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
