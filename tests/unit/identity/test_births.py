"""Births, told of the mother; and what is told of a person alone, of no visit (A28, A31, A05)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from connectors.pds.outcomes import Found, NotFound
from schemas.events import AttendanceReported, FlagSubmitted, PersonClaim, VisitEventKind
from stores.claims import ClaimState
from streams.identity import answering, attendances, flags
from streams.identity.answers import PdsAnswer, TraceAnswer
from streams.identity.ledger import Ledger
from tests.support import identity as make
from tests.support.identity import CHILD

MOTHER = PersonClaim(
    nhs_number=make.number(4),
    family="Mother",
    given=("Mary",),
    birth_date="1990-01-01",
    gender="female",
    postcode="ZZ4 4DD",
)
CANCEL, DEMOGRAPHICS = VisitEventKind.CANCEL, VisitEventKind.DEMOGRAPHICS
PRE_ADMIT = VisitEventKind.PRE_ADMIT
PERSON = make.known(MOTHER).person


def take(book: Ledger, *events: AttendanceReported | FlagSubmitted) -> None:
    for event in events:
        if isinstance(event, AttendanceReported):
            attendances.take(book, event, make.TRACE)
        else:
            flags.take(book, event, make.TRACE, line_taken=False)


def answer(book: Ledger, event: AttendanceReported | FlagSubmitted, outcome: PdsAnswer) -> None:
    """PDS answers the trace behind which the event's key waits."""
    parked = book.parked(event.source_patient)
    assert parked is not None
    trace = book.trace(parked.trace_id)
    keys = make.parked_behind(book, trace.trace_id)
    answering.answer(book, trace, keys, TraceAnswer(outcome))


def state(book: Ledger, event: AttendanceReported) -> tuple[str, str]:
    row = book.claim(event.event_id)
    return row.state, row.rule


def test_a_birth_follows_the_mothers_verified_key() -> None:
    """She is known under her local id, restricted or not: the birth is verified as hers."""
    for restricted in (False, True):
        book = make.ledger([make.known(MOTHER, restricted=restricted)])
        birth = make.birth(local_id="M1")
        take(book, make.attendance(MOTHER, local_id="M1"), birth)
        assert state(book, birth) == ("verified", "mother-key")
        assert book.claim(birth.event_id).person == PERSON


def test_a_birth_that_comes_before_the_mother_follows_her_too() -> None:
    """Nothing is known of her yet; when her own message is verified, the birth goes along."""
    book = make.ledger([make.known(MOTHER)])
    birth = make.birth(local_id="M1")
    take(book, birth)
    assert state(book, birth) == ("not_traced", "adult")
    take(book, make.attendance(MOTHER, local_id="M1"))
    assert state(book, birth) == ("verified", "key-evidence")


def test_a_birth_waits_behind_the_mothers_trace() -> None:
    """Her key waits for PDS, and so does the birth; the answer releases both."""
    book = make.ledger([make.known(MOTHER, verified_at=make.NOW - timedelta(days=40))])
    mother = make.attendance(replace(MOTHER, family=None, given=(), birth_date=None), local_id="M1")
    birth = make.birth(local_id="M1")
    take(book, replace(mother, claim=replace(mother.claim, postcode=None)), birth)
    assert state(book, birth)[0] == "waiting"
    answer(book, birth, NotFound())
    assert state(book, birth) == ("not_traced", "key-not-traced")


@pytest.mark.parametrize("flagged", [True, False])
def test_the_mothers_number_alone_goes_provisionally_if_she_has_a_plan(flagged: bool) -> None:
    """Most mothers have no plan: of them nothing is asked, nothing is kept, nobody is told."""
    book = make.ledger([make.known(MOTHER, flagged=flagged)])
    birth = make.birth(MOTHER.nhs_number)
    take(book, birth)
    wanted = ("provisional", "mother-number") if flagged else ("not_traced", "adult")
    assert state(book, birth) == wanted
    assert bool(book.changes.new_traces) is flagged
    assert not book.changes.worklist


def test_a_number_that_pds_neither_proves_nor_contradicts_keeps_the_provisional_birth() -> None:
    """PDS has the number; nothing else was told of her: a person confirms, the alert stands."""
    book = make.ledger([make.known(MOTHER)])
    birth = make.birth(MOTHER.nhs_number)
    take(book, birth)
    answer(book, birth, Found(make.record(MOTHER)))
    row = book.claim(birth.event_id)
    assert (row.state, row.person) == (ClaimState.UNRESOLVED, PERSON)
    assert birth.event_id in book.changes.worklist


def test_a_restricted_mother_is_never_named_provisionally() -> None:
    """Her number waits for PDS, whose answer proves nothing: nobody is told but the worklist."""
    for known_before in (True, False):
        book = make.ledger([make.known(MOTHER, restricted=known_before)])
        birth = make.birth(MOTHER.nhs_number)
        take(book, birth)
        answer(book, birth, Found(make.record(MOTHER, restricted=True)))
        assert state(book, birth)[0] == "unresolved"
        assert book.claim(birth.event_id).person is None
        said = make.said(book.changes.entries)
        assert not known_before or not said


def test_a_later_plan_finds_the_birth() -> None:
    """The mother's plan comes after the baby's message: it goes provisionally."""
    book = make.ledger()
    birth = make.birth(MOTHER.nhs_number)
    plan = make.flag(MOTHER)
    take(book, birth, plan)
    answer(book, plan, Found(make.record(MOTHER)))
    assert state(book, birth) == ("provisional", "flag-backmatch-provisional")


def test_another_number_than_the_keys_person_is_not_followed() -> None:
    """The baby's message names a number that is not the one verified under that local id."""
    book = make.ledger([make.known(MOTHER)])
    birth = make.birth(make.number(9), local_id="M1")
    take(book, make.attendance(MOTHER, local_id="M1"), birth)
    assert state(book, birth) == ("not_traced", "adult")


def test_a_placeholder_is_no_mother() -> None:
    """UNKNOWN's last bearer is not the mother of the next newborn."""
    book = make.ledger([make.known(MOTHER)])
    birth = make.birth(local_id="UNKNOWN")
    take(book, make.attendance(MOTHER, local_id="UNKNOWN"), birth)
    assert state(book, birth) == ("not_traced", "adult")


def test_a_cancelled_birth_follows_its_visit() -> None:
    """The baby's visit is cancelled: the cancel is of whom the birth was."""
    book = make.ledger([make.known(MOTHER)])
    cancel = make.birth(local_id="M1", kind=CANCEL, message_id="cancel")
    take(book, make.attendance(MOTHER, local_id="M1"), make.birth(local_id="M1"), cancel)
    assert state(book, cancel) == ("verified", "same-visit")


def test_a_booking_is_used_for_nothing() -> None:
    """A05: no arrival, no trace, nothing kept of it; the child's own arrival is decided as ever."""
    book = make.ledger([make.known()])
    booking = make.attendance(kind=PRE_ADMIT, message_id="booking")
    take(book, booking)
    assert state(book, booking) == ("not_used", "not-used")
    assert book.claim(booking.event_id).event is None
    assert not book.changes.entries


def test_demographics_ask_nothing_where_nothing_is_open() -> None:
    """A31 of somebody who is not here, or is verified: not used, no trace, nothing on the bus."""
    book = make.ledger([make.known()])
    alone = make.attendance(kind=DEMOGRAPHICS, local_id="L9", visit="P9")
    take(book, make.attendance())
    said = len(book.changes.entries)
    after = make.attendance(kind=DEMOGRAPHICS, visit="P1")
    take(book, alone, after)
    assert {state(book, one) for one in (alone, after)} == {("not_used", "not-used")}
    assert len(book.changes.entries) == said
    assert not book.changes.new_traces


def test_demographics_help_what_is_unresolved() -> None:
    """The A04 without a number is on the worklist; the A31 brings it: the arrival is verified."""
    book = make.ledger([make.known()])
    arrival = make.attendance(PersonClaim(family="Testchild"))
    told = make.attendance(kind=DEMOGRAPHICS, visit="P1")
    take(book, arrival, told)
    assert state(book, arrival) == ("verified", "key-evidence")
    assert book.claim(arrival.event_id).person == make.known().person


def test_demographics_that_agree_in_part_alert_provisionally() -> None:
    """Number and birth date of a flagged child: the arrival goes out at once, and PDS is asked."""
    book = make.ledger([make.known()])
    arrival = make.attendance(PersonClaim())
    told = make.attendance(
        replace(CHILD, family=None, given=()), kind=DEMOGRAPHICS, visit="P1", message_id="A31"
    )
    take(book, arrival, told)
    assert state(book, arrival) == ("provisional", "key-provisional")
    answer(book, arrival, NotFound())
    assert state(book, told) == ("not_used", "demographics")
    assert state(book, arrival)[0] == "unresolved"
    assert set(book.changes.worklist) == {arrival.event_id}
