"""Every flag record is answered, by the code that its outcome has."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.pds.outcomes import (
    Bug,
    Found,
    Invalidated,
    InvalidNumber,
    NotFound,
    Superseded,
    TooMany,
)
from schemas.events import FlagRecord, PersonClaim, PlanType
from stores.claims import ClaimState
from streams.identity import answering, flags
from streams.identity.answers import PdsAnswer, TraceAnswer
from streams.identity.ledger import FOR_EVER, Ledger
from tests.support import identity as make
from tests.support.identity import CHILD, LONELY_AUTHORITY, NOW

STRANGER = replace(CHILD, family="Else", given=("Sam",))
SUCCESSOR = replace(CHILD, nhs_number=make.number(7))
OLD = CHILD.nhs_number or ""


def flagged(book: Ledger, outcome: PdsAnswer, claim: PersonClaim = CHILD, **fields: str) -> None:
    """Submit a flag and let PDS answer its trace."""
    event = make.flag(claim, **fields)  # type: ignore[arg-type]  # names of the builder
    flags.take(book, event, make.TRACE, line_taken=False)
    parked = book.parked(event.source_patient)
    assert parked is not None
    trace = book.trace(parked.trace_id)
    query = "given_prefix_and_birth_date" if trace.kind == "search" else None
    answering.answer(book, trace, [event.source_patient], TraceAnswer(outcome, query))


@pytest.mark.parametrize(
    ("outcome", "code", "state"),
    [
        (Found(make.record()), "CPR06", ClaimState.VERIFIED),
        (NotFound(), "CPR01", ClaimState.UNRESOLVED),
        (Found(make.record(STRANGER)), "CPR03", ClaimState.UNRESOLVED),
        (InvalidNumber(), "CPR04", ClaimState.UNRESOLVED),
        (Superseded(make.record(SUCCESSOR), OLD), "CPR05", ClaimState.VERIFIED),
        (Found(make.record(restricted=True)), "CPR02", ClaimState.VERIFIED),
        (Invalidated(), "CPR07", ClaimState.UNRESOLVED),
        (Bug("pds.bug"), "CPR07", ClaimState.UNRESOLVED),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_answer_of_a_numbered_flag(outcome: PdsAnswer, code: str, state: ClaimState) -> None:
    """The GET's outcome gives the code; what is not held is on the worklist."""
    book = make.ledger()
    flagged(book, outcome)
    row = book.claim(make.flag().event_id)
    assert (book.changes.answers[row.reported_event_id].code, row.state) == (code, state)
    assert (row.reported_event_id in book.changes.worklist) == (state is ClaimState.UNRESOLVED)


def test_superseded_is_held_on_the_successor() -> None:
    """CPR05: the assertion names the successor, who is flagged from now on."""
    book = make.ledger()
    flagged(book, Superseded(make.record(SUCCESSOR), OLD))
    person = make.known(SUCCESSOR).person
    assert [one.person for one in make.said(book.changes.entries)] == [person]
    held = book.person(person)
    assert held is not None
    assert held.flagged


def test_restricted_without_a_contact_is_not_held() -> None:
    """CPR02 tells to register a contact; nothing is asserted, nobody is known as flagged."""
    book = make.ledger()
    flagged(book, Found(make.record(restricted=True)), authority=LONELY_AUTHORITY)
    row = book.claim(make.flag(authority=LONELY_AUTHORITY).event_id)
    said = book.changes.answers[row.reported_event_id]
    assert (row.state, row.rule) == (ClaimState.UNRESOLVED, "flag-restricted-without-contact")
    assert said.code == "CPR02"
    assert "register a contact" in (said.detail or "")
    assert not make.said(book.changes.entries)
    assert not book.changes.persons


def test_restricted_with_a_contact_is_held_without_a_postcode() -> None:
    """CPR02, held on the restricted path; the index keeps no postcode."""
    book = make.ledger()
    flagged(book, Found(make.record(restricted=True)))
    row = book.claim(make.flag().event_id)
    held = book.person(row.person)
    assert (row.restricted, book.changes.answers[row.reported_event_id].detail) == (
        True,
        "held on the restricted path",
    )
    assert held is not None
    assert (held.restricted, held.postcode) == (True, None)


@pytest.mark.parametrize(
    ("number", "code", "rule"),
    [
        ("123", "CPR04", "flag-number-malformed"),
        ("9990000000", "CPR04", "flag-number-malformed"),
        ("9999999999", "CPR04", "flag-number-malformed"),
    ],
)
def test_a_number_that_cannot_be_one_is_not_traced(number: str, code: str, rule: str) -> None:
    """CPR04 at once, without a trace."""
    book = make.ledger()
    event = make.flag(replace(CHILD, nhs_number=number))
    flags.take(book, event, make.TRACE, line_taken=False)
    row = book.claim(event.event_id)
    assert (row.state, row.rule) == (ClaimState.REJECTED, rule)
    assert book.changes.answers[event.event_id].code == code
    assert not book.changes.new_traces


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Found(make.record(), score=1.0), "CPR06"),
        (TooMany(), "CPR01"),
        (NotFound(), "CPR01"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else value,
)
def test_a_flag_without_a_number_is_searched(outcome: PdsAnswer, code: str) -> None:
    """A search at priority 3; its outcome gives the code."""
    book = make.ledger()
    flagged(book, outcome, replace(CHILD, nhs_number=None))
    assert [(one.kind, one.priority) for one in book.changes.new_traces] == [("search", 3)]
    assert [one.code for one in book.changes.answers.values()] == [code]


def test_a_flag_that_says_nothing_is_answered_at_once() -> None:
    """Neither number nor names and birth date: CPR01, on the worklist."""
    book = make.ledger()
    event = make.flag(PersonClaim())
    flags.take(book, event, make.TRACE, line_taken=False)
    assert book.changes.answers[event.event_id].code == "CPR01"
    assert event.event_id in book.changes.worklist


def test_a_line_with_two_contents_is_refused() -> None:
    """The second body under one upload and line goes to the worklist, and is not asserted."""
    book = make.ledger([make.known()])
    event = make.flag(body="other")
    flags.take(book, event, make.TRACE, line_taken=True)
    row = book.claim(event.event_id)
    assert (row.state, row.rule) == (ClaimState.UNRESOLVED, "flag-line-reused")
    assert not book.changes.answers


def test_two_lines_of_one_child_share_a_trace() -> None:
    """A child protection plan and a looked-after plan: one call, two answers, two assertions."""
    book = make.ledger()
    one, two = make.flag(), make.flag(line=2, plan_type=PlanType.LAC)
    for event in (one, two):
        flags.take(book, event, make.TRACE, line_taken=False)
    (trace,) = book.changes.new_traces
    answering.answer(book, trace, [one.source_patient], TraceAnswer(Found(make.record())))
    assert {said.code for said in book.changes.answers.values()} == {"CPR06"}
    assert len(make.said(book.changes.entries)) == 2


def test_a_line_without_a_number_goes_with_its_local_id() -> None:
    """The authority's same child, once with and once without the number: both are held."""
    book = make.ledger()
    one = make.flag(replace(CHILD, nhs_number=None))
    two = make.flag(line=2)
    for event in (one, two):
        flags.take(book, event, make.TRACE, line_taken=False)
    trace = book.changes.new_traces[-1]
    assert trace.kind == "get"
    answering.answer(book, trace, [one.source_patient], TraceAnswer(Found(make.record())))
    assert [book.claim(event.event_id).rule for event in (one, two)] == [
        "key-evidence",
        "pds.get.number_birth_date_names",
    ]


@pytest.mark.parametrize(
    ("record", "until"),
    [
        (FlagRecord(PlanType.CPP), FOR_EVER),
        (FlagRecord(PlanType.CPP, end="2026-06-01"), None),
        (FlagRecord(PlanType.CPP, delete="2026-01-01"), NOW + timedelta(days=365)),
        (FlagRecord(PlanType.CPP, end="2020-01-01"), NOW + timedelta(days=365)),
        (FlagRecord(PlanType.CPP, end="odd"), FOR_EVER),
    ],
)
def test_a_plan_keeps_its_person_a_year_beyond_its_end(record: FlagRecord, until: object) -> None:
    """Open plans keep their person; ended and deleted ones for 365 days more."""
    found = flags.shown_until(record, NOW)
    if until is None:
        assert found.date().isoformat() == "2027-06-01"
    else:
        assert found == until
