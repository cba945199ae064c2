"""Cursors of lists: opaque to clients, a time and an id inside."""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import datetime

from halyard.http import HttpProblem


def encode(at: datetime, row_id: uuid.UUID) -> str:
    """A cursor that stands after this row."""
    return base64.urlsafe_b64encode(f"{at.isoformat()}|{row_id}".encode()).decode().rstrip("=")


def decode(text: str | None) -> tuple[datetime, uuid.UUID] | None:
    """(time, id) of a cursor; None for none. Raises `HttpProblem` 422 for what is not one."""
    if text is None:
        return None
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        at, _, row_id = plain.partition("|")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None:
            raise ValueError
        return moment, uuid.UUID(row_id)
    except (ValueError, binascii.Error):
        raise HttpProblem(
            422,
            "Not a cursor of this list",
            "Send `after` as the last page gave it in `next`, or leave it out.",
            rule="list.cursor",
            place="query.after",
        ) from None
