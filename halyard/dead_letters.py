"""What a dead letter says of its origin and its end: headers, without any value.

Key, value and headers of the record stay as they were; Kafka Connect's ``__connect.errors.*``
headers (ConnectorConfig, KIP-298) and two of our own are added. A message is written only for our
own errors, which carry no value; for any other the class alone.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime

from halyard.errors import HalyardError
from halyard.kafka import Headers

PREFIX = "__connect.errors."
ATTEMPTS = "hub-attempts"
FIRST_FAILED_AT = "hub-first-failed-at"


def described(error: Exception) -> str:
    """What may be told of `error`."""
    return error.message if isinstance(error, HalyardError) else type(error).__name__


def error_headers(
    error: Exception,
    *,
    topic: str,
    partition: int,
    offset: int,
    stage: str,
    taken_by: str,
    attempts: int,
    first_failed_at: datetime,
) -> Headers:
    """The headers; all values are text. `topic` is the source's name on the cluster, `taken_by`
    the package that could not take the record.
    """
    kind = type(error)
    told = {
        "topic": topic,
        "partition": str(partition),
        "offset": str(offset),
        "connector.name": stage,
        "task.id": str(os.getpid()),
        "stage": "TASK_PUT",
        "class.name": taken_by,
        "exception.class.name": f"{kind.__module__}.{kind.__qualname__}",
        "exception.message": described(error),
    }
    return (
        *((PREFIX + name, value.encode()) for name, value in told.items()),
        (ATTEMPTS, str(attempts).encode()),
        (FIRST_FAILED_AT, first_failed_at.isoformat().encode()),
    )


def kept_headers(headers: Iterable[tuple[str, bytes]]) -> Headers:
    """The record's own headers: those of an earlier dead letter (it was redriven) are left out."""
    return tuple(
        (name, value)
        for name, value in headers
        if not name.startswith(PREFIX) and name not in (ATTEMPTS, FIRST_FAILED_AT)
    )
