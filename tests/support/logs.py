"""Log lines of code under test, as pytest shows them when a test fails."""

from __future__ import annotations

import structlog


def plain() -> None:
    """As structlog by default, but tracebacks without locals: to draw a pool, an application and a
    directory at each frame takes minutes, and a busy machine times out in it.
    """
    processors = list(structlog.get_config()["processors"])
    processors[-1] = structlog.dev.ConsoleRenderer(
        exception_formatter=structlog.dev.plain_traceback
    )
    structlog.configure(processors=processors)
