"""What a sender's clock may say, the same for HL7 v2 and FHIR: times that cannot be are left out.

Days late is usual, and a backlog of years is told as what it was. Pure.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from schemas.events import Moment

CLOCK_AHEAD: Final = timedelta(days=1)
"""A clock that is hours ahead still tells the order of what it recorded."""

_EARLIEST: Final = datetime(2000, 1, 1, tzinfo=UTC)  # before it: a reset clock, or a birth date
_OCCURRED_AHEAD: Final = timedelta(hours=1)  # after receipt
_OCCURRED_BEHIND: Final = timedelta(days=366)  # before it was recorded, else sent, else received


def plausible(
    *,
    recorded: Moment | None,
    occurred: Moment | None,
    sent: Moment | None,
    received_at: datetime,
    marks: list[str],
) -> tuple[Moment | None, Moment | None, Moment | None]:
    """(recorded, occurred, sent) without what cannot be; `marks` gets a rule for each left out."""
    if recorded and not _EARLIEST <= recorded.utc <= received_at + CLOCK_AHEAD:
        recorded = None
        marks.append("recorded-implausible")
    if sent and not _EARLIEST <= sent.utc <= received_at + CLOCK_AHEAD:
        sent = None
        marks.append("message-time-implausible")
    if occurred:
        stated = recorded or sent
        earliest = max(_EARLIEST, (stated.utc if stated else received_at) - _OCCURRED_BEHIND)
        if not earliest <= occurred.utc <= received_at + _OCCURRED_AHEAD:
            occurred = None
            marks.append("occurred-implausible")
    return recorded, occurred, sent
