"""A number that an event brings is asked for itself, where what it waited behind named nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from connectors.pds.outcomes import NotFound
from schemas.events import AttendanceReported, PersonClaim, VisitEventKind
from stores.trace_requests import TraceRequest
from streams.identity import answering, attendances
from streams.identity.answers import TraceAnswer
from streams.identity.ledger import Ledger
from tests.support import identity as make
from tests.support.identity import CHILD

UNNUMBERED = replace(CHILD, nhs_number=None)
OWN = make.number(77)
UPDATE = VisitEventKind.UPDATE


def trace_of(book: Ledger, event: AttendanceReported) -> TraceRequest | None:
    parked = book.parked(book.claim(event.event_id).key)
    return None if parked is None else book.trace(parked.trace_id)


def answered(book: Ledger, event: AttendanceReported, said: TraceAnswer) -> None:
    trace = trace_of(book, event)
    assert trace is not None
    answering.answer(book, trace, make.parked_behind(book, trace.trace_id), said)


@pytest.mark.parametrize("provisional", [True, False])
@pytest.mark.parametrize("born", ["2017-03-14", None], ids=["child", "age-not-known"])
def test_an_update_that_followed_its_visit_asks_for_its_own_number(
    provisional: bool, born: str | None
) -> None:
    """The arrival is of nobody, and a person's to decide: the number that the same visit brought
    under another local id may say who it is."""
    book = make.ledger([make.known()] if provisional else [])
    arrival = make.attendance(UNNUMBERED)
    update = make.attendance(
        PersonClaim(nhs_number=OWN, birth_date=born), local_id="L2", kind=UPDATE
    )
    for event in (arrival, update):
        attendances.take(book, event, make.TRACE)
    answered(book, arrival, TraceAnswer(NotFound(), query="names_and_birth_date"))
    assert book.claim(arrival.event_id).state == "unresolved"
    row, trace = book.claim(update.event_id), trace_of(book, update)
    assert row.state == "waiting"
    assert trace is not None
    assert (trace.kind, trace.claim.nhs_number) == ("get", OWN)
    answered(book, update, TraceAnswer(NotFound()))
    assert book.claim(update.event_id).state == "unresolved"
    assert trace_of(book, update) is None
