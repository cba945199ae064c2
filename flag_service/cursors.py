"""Cursors of lists: opaque to clients. Inside, a place and an id: of a worklist the time at which
an entry was opened, of alerts the transaction that changed one.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import datetime

from halyard.http import HttpProblem
from stores.alerts import Cursor

_MAX_XID = 2**64 - 1


def encode(at: datetime, row_id: uuid.UUID) -> str:
    """A cursor that stands after this row."""
    return _encode(at.isoformat(), row_id)


def decode(text: str | None) -> tuple[datetime, uuid.UUID] | None:
    """(time, id) of a cursor; None for none. Raises `HttpProblem` 422 for what is not one."""
    if text is None:
        return None
    place, row_id = _decode(text)
    try:
        moment = datetime.fromisoformat(place)
    except ValueError:
        raise _not_one() from None
    if moment.tzinfo is None:
        raise _not_one()
    return moment, row_id


def encode_change(cursor: Cursor | None) -> str | None:
    """A cursor of alerts as clients hold it."""
    return _encode(str(cursor.changed_xid), cursor.alert_id) if cursor else None


def decode_change(text: str | None) -> Cursor | None:
    """A cursor of alerts; None for none. Raises `HttpProblem` 422 for what is not one."""
    if text is None:
        return None
    place, row_id = _decode(text)
    if not (place.isascii() and place.isdigit() and len(place) <= 20 and int(place) <= _MAX_XID):
        raise _not_one()
    return Cursor(int(place), row_id)


def _encode(place: str, row_id: uuid.UUID) -> str:
    return base64.urlsafe_b64encode(f"{place}|{row_id}".encode()).decode().rstrip("=")


def _decode(text: str) -> tuple[str, uuid.UUID]:
    try:
        plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        place, _, row_id = plain.partition("|")
        return place, uuid.UUID(row_id)
    except (ValueError, binascii.Error):
        raise _not_one() from None


def _not_one() -> HttpProblem:
    return HttpProblem(
        422,
        "Not a cursor of this list",
        "Send `after` as the last page gave it in `next`, or leave it out.",
        rule="list.cursor",
        place="query.after",
    )
