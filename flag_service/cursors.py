"""Cursors of lists: opaque to clients. Inside, a place and an id: of a worklist the time at which
an entry was opened, of alerts the transaction that changed one.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from datetime import datetime

from halyard.http import HttpProblem
from stores.alerts import Cursor, Place

_MAX_XID = 2**64 - 1


def encode(at: datetime, row_id: uuid.UUID) -> str:
    """A cursor that stands after this row."""
    return _packed(f"{at.isoformat()}|{row_id}")


def decode(text: str | None) -> tuple[datetime, uuid.UUID] | None:
    """(time, id) of a cursor; None for none. Raises `HttpProblem` 422 for what is not one."""
    if text is None:
        return None
    at, _, row_id = _unpacked(text).partition("|")
    try:
        moment = datetime.fromisoformat(at)
        found = uuid.UUID(row_id)
    except ValueError:
        raise _not_one() from None
    if moment.tzinfo is None:
        raise _not_one()
    return moment, found


def encode_change(cursor: Cursor) -> str | None:
    """A cursor of alerts as clients hold it; None for the beginning."""
    if cursor.at is None:
        return None
    places = [cursor.at] if cursor.at == cursor.settled else [cursor.at, cursor.settled]
    return _packed("|".join("-" if one is None else f"{one[0]}|{one[1]}" for one in places))


def decode_change(text: str | None) -> Cursor | None:
    """A cursor of alerts; None for none. Raises `HttpProblem` 422 for what is not one."""
    if text is None:
        return None
    match _unpacked(text).split("|"):
        case [xid, row_id]:
            place = _place(xid, row_id)
            return Cursor(place, place)
        case [xid, row_id, "-"]:
            return Cursor(None, _place(xid, row_id))
        case [xid, row_id, settled_xid, settled_id]:
            return Cursor(_place(settled_xid, settled_id), _place(xid, row_id))
    raise _not_one()


def _place(xid: str, row_id: str) -> Place:
    if not (xid.isascii() and xid.isdigit() and len(xid) <= 20 and int(xid) <= _MAX_XID):
        raise _not_one()
    try:
        return int(xid), uuid.UUID(row_id)
    except ValueError:
        raise _not_one() from None


def _packed(plain: str) -> str:
    return base64.urlsafe_b64encode(plain.encode()).decode().rstrip("=")


def _unpacked(text: str) -> str:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
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
