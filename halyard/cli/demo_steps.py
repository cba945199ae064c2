"""What the steps of a demo have in common: a title, a check, a wait that ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from halyard.errors import HalyardError

Report = Callable[[str], None]

STEP_SECONDS = 60.0


class StepFailed(HalyardError):
    """A step of the demo did not hold."""

    def __init__(self, step: str, why: str) -> None:
        super().__init__(f"the step '{step}' failed: {why}")


class Steps:
    """The steps so far: what each showed (`results`, for ``--json``), and which one is in hand."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self.results: dict[str, Any] = {}
        self.name = "start"

    def begin(self, name: str, text: str) -> None:
        """The next step; its result is to be put in `results` under its name."""
        self.name = name
        self.report("")
        self.report(f"{len(self.results) + 1}. {text}")

    def check(self, holds: bool, why: str) -> None:
        """Raises `StepFailed` unless it holds."""
        if not holds:
            raise StepFailed(self.name, why)

    async def pause(self, deadline: float, why: str) -> None:
        """Wait a moment; `why` is the failure once `deadline` (monotonic) is over."""
        self.check(time.monotonic() < deadline, f"{why} after {STEP_SECONDS:.0f} s")
        await asyncio.sleep(0.1)

    @staticmethod
    def deadline() -> float:
        """When a step that begins now must have held."""
        return time.monotonic() + STEP_SECONDS
