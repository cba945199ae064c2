"""Keys that wait for PDS: events taken into a ledger, and the answers to their traces."""

from __future__ import annotations

from schemas.events import AttendanceReported, FlagSubmitted
from stores.trace_requests import TraceRequest
from streams.identity import answering, attendances, flags
from streams.identity.answers import PdsAnswer, TraceAnswer
from streams.identity.ledger import Ledger
from tests.support import identity as make

EXACT = "given_prefix_and_birth_date"


def take(book: Ledger, *events: AttendanceReported | FlagSubmitted) -> None:
    """The identity stage takes the events, in this order."""
    for event in events:
        if isinstance(event, AttendanceReported):
            attendances.take(book, event, make.TRACE)
        else:
            flags.take(book, event, make.TRACE, line_taken=False)


def trace_of(book: Ledger, event: AttendanceReported | FlagSubmitted) -> TraceRequest:
    """The trace behind which the event's key waits."""
    parked = book.parked(event.source_patient)
    assert parked is not None
    return book.trace(parked.trace_id)


def answer(book: Ledger, event: AttendanceReported | FlagSubmitted, outcome: PdsAnswer) -> None:
    """PDS answers the trace behind which the event's key waits."""
    trace = trace_of(book, event)
    query = EXACT if trace.kind == "search" else None
    keys = make.parked_behind(book, trace.trace_id)
    answering.answer(book, trace, keys, TraceAnswer(outcome, query))


def states(book: Ledger, *events: AttendanceReported | FlagSubmitted) -> list[tuple[str, str]]:
    """State and rule of each event's claim."""
    rows = [book.claim(event.event_id) for event in events]
    return [(row.state, row.rule) for row in rows]
