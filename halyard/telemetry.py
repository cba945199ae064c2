"""Logs: JSON lines with a fixed `action`, and nothing personal.

Only what our own code passes reaches a line: library loggers are held at WARNING (httpx and
httpcore write URLs at INFO, uvicorn an access log, aiokafka record contents at DEBUG), their
messages are cut to the logger's name, and exceptions are shown by class and by our own code's
places (never by text: psycopg's DETAIL, pydantic's input and Avro errors quote values). That holds
for warnings, for threads that die and for errors that nobody can catch, too.
"""

from __future__ import annotations

import logging
import math
import os
import sys
import threading
import time
import traceback
from collections.abc import MutableMapping
from typing import Any, cast

import structlog

from halyard.errors import HalyardError

_QUIET = (
    "httpx",
    "httpcore",
    "uvicorn",
    "uvicorn.access",
    "uvicorn.error",
    "aiokafka",
    "kafka",
    "faust",
    "mode",
    "asyncio",
    "psycopg",
    "psycopg.pool",
)

_ONCE_IN_SECONDS = 1.0


def configure(process: str, level: str = "INFO") -> None:
    """Set up logging for this process: JSON lines on standard error."""
    logging.basicConfig(level=logging.WARNING, handlers=[_LibraryHandler()], force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").disabled = True
    logging.captureWarnings(True)
    threading.excepthook = _thread_died
    sys.unraisablehook = _unraisable
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _without_exception_text,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(process=process)


def get_logger() -> structlog.stdlib.BoundLogger:
    """The hub's logger: ``log.info("batch_done", stage="identity", count=3)``."""
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger())


def new_traceparent() -> str:
    """A W3C trace context header (version 00, sampled), made once at ingress."""
    made = os.urandom(24).hex()
    return f"00-{made[:32]}-{made[32:]}-01"


def describe(error: BaseException) -> str:
    """An error for a log line: our own errors' advice, any other's class alone."""
    if isinstance(error, HalyardError):
        return f"{type(error).__name__}: {error.message}"
    return type(error).__name__


def _places(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)
    return [
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}" for frame in frames[-12:]
    ]


def _without_exception_text(
    _logger: Any, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["error"] = describe(error)
        event["places"] = _places(error)
    return event


def _thread_died(died: threading.ExceptHookArgs) -> None:
    get_logger().error("thread_died", exc_info=died.exc_value)


def _unraisable(what: sys.UnraisableHookArgs) -> None:
    get_logger().error("error_not_raised", exc_info=what.exc_value)


class _LibraryHandler(logging.Handler):
    """What libraries say, without their text: it may quote a record or a URL.

    One line a second of each place (and class of error); the next one tells how many were not
    told: without its broker a client warns hundreds of times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self.clock = time.monotonic
        self._told: dict[tuple[str, str, int, type | None], tuple[float, int]] = {}

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        key = (record.name, record.module, record.lineno, type(error) if error else None)
        now = self.clock()
        last, suppressed = self._told.get(key, (-math.inf, 0))
        if now - last < _ONCE_IN_SECONDS:
            self._told[key] = last, suppressed + 1
            return
        self._told[key] = now, 0
        get_logger().log(
            record.levelno,
            "library_warning",
            library=record.name,
            place=f"{record.module}:{record.lineno}",
            **({"suppressed": suppressed} if suppressed else {}),
            **({"exc_info": error} if error else {}),
        )
