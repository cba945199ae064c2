"""Each rule of the ladder for attendances decides what it says it decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest

from halyard.names import is_placeholder_given
from halyard.nhs_number import check_digit
from schemas.events import AttendanceReported, Moment, PersonClaim, VisitEventKind
from stores.claims import ClaimState
from streams.identity import attendances
from streams.identity.evidence import occurred, perhaps_child
from streams.identity.ladder import RULES
from streams.identity.ledger import Ledger
from tests.support import identity as make
from tests.support.identity import CHILD, NOW

STALE = NOW - timedelta(days=31)
TWIN = replace(CHILD, given=("Jamie",), nhs_number=None)
SIBLING = replace(CHILD, given=("Alex",), birth_date="2019-08-01")
ADULT = PersonClaim(make.number(9), family="Elder", given=("Pat",), birth_date="1980-01-01")
SCOTTISH = f"010115701{check_digit('010115701')}"
NOBODY = PersonClaim(make.number(8), family="Else", given=("Sam",), birth_date="2015-05-05")


def no_number(claim: PersonClaim) -> PersonClaim:
    return replace(claim, nhs_number=None)


def take(book: Ledger, *events: AttendanceReported) -> None:
    for event in events:
        attendances.take(book, event, make.TRACE)


@dataclass(frozen=True)
class Case:
    """An event against what is known, and the decision it must come to."""

    rule: str
    state: ClaimState
    event: AttendanceReported
    book: Callable[[], Ledger]
    priority: int | None = None
    kind: str | None = None


def empty() -> Ledger:
    return make.ledger()


def knows_child() -> Ledger:
    return make.ledger([make.known()])


def knows_stale_child() -> Ledger:
    return make.ledger([make.known(verified_at=STALE)])


def knows_restricted_child() -> Ledger:
    return make.ledger([make.known(verified_at=STALE, restricted=True)])


def visit_of_child() -> Ledger:
    book = knows_child()
    take(book, make.attendance(message_id="first"))
    return book


def provisional_visit() -> Ledger:
    book = knows_stale_child()
    take(book, make.attendance(message_id="first"))
    return book


def waiting_key() -> Ledger:
    book = make.ledger()
    take(book, make.attendance(no_number(NOBODY), message_id="first"))
    return book


def unresolved_visit() -> Ledger:
    book = make.ledger()
    take(book, make.attendance(PersonClaim(birth_date="2015-05-05"), message_id="first"))
    return book


A08 = VisitEventKind.UPDATE
CASES = [
    Case(
        "not-used",
        ClaimState.NOT_USED,
        make.attendance(kind=VisitEventKind.NOT_USED),
        knows_child,
    ),
    Case("local-index", ClaimState.VERIFIED, make.attendance(), knows_child),
    Case(
        "same-visit",
        ClaimState.VERIFIED,
        make.attendance(PersonClaim(), kind=VisitEventKind.CANCEL),
        visit_of_child,
    ),
    Case("mother-key", ClaimState.VERIFIED, make.birth(local_id="L1"), visit_of_child),
    Case(
        "same-visit-provisional",
        ClaimState.PROVISIONAL,
        make.attendance(PersonClaim(), kind=VisitEventKind.CANCEL),
        provisional_visit,
    ),
    Case(
        "key-provisional",
        ClaimState.PROVISIONAL,
        make.attendance(PersonClaim(), kind=VisitEventKind.CANCEL, visit="V2"),
        provisional_visit,
    ),
    Case(
        "restricted-waits",
        ClaimState.WAITING,
        make.attendance(),
        knows_restricted_child,
        1,
        "get",
    ),
    Case("partial-number", ClaimState.PROVISIONAL, make.attendance(), knows_stale_child, 1, "get"),
    Case(
        "partial-demographics",
        ClaimState.PROVISIONAL,
        make.attendance(no_number(CHILD)),
        knows_child,
        1,
        "search",
    ),
    Case(
        "mother-number",
        ClaimState.PROVISIONAL,
        make.birth(CHILD.nhs_number),
        knows_child,
        1,
        "get",
    ),
    Case("number-alone", ClaimState.WAITING, make.attendance(SIBLING), knows_child, 1, "get"),
    Case(
        "names-and-birth-date",
        ClaimState.WAITING,
        make.attendance(replace(CHILD, nhs_number=None, postcode=None)),
        knows_child,
        1,
        "search",
    ),
    Case("child-number", ClaimState.WAITING, make.attendance(NOBODY), knows_child, 5, "get"),
    Case(
        "child-out-of-jurisdiction",
        ClaimState.WAITING,
        make.attendance(replace(NOBODY, nhs_number=SCOTTISH)),
        knows_child,
        4,
        "search",
    ),
    Case(
        "child-search",
        ClaimState.WAITING,
        make.attendance(replace(NOBODY, nhs_number="1234567890")),
        empty,
        4,
        "search",
    ),
    Case(
        "unresolved-visit",
        ClaimState.WAITING,
        make.attendance(NOBODY, kind=A08),
        unresolved_visit,
        5,
        "get",
    ),
    Case(
        "behind-with-number",
        ClaimState.WAITING,
        make.attendance(NOBODY, kind=A08),
        waiting_key,
        4,
        "get",
    ),
    Case(
        "behind-trace",
        ClaimState.WAITING,
        make.attendance(PersonClaim(), kind=VisitEventKind.DISCHARGE),
        waiting_key,
        4,
        "search",
    ),
    Case(
        "contradicts-visit",
        ClaimState.WAITING,
        make.attendance(NOBODY, kind=A08),
        visit_of_child,
        5,
        "get",
    ),
    Case(
        "child-without-evidence",
        ClaimState.UNRESOLVED,
        make.attendance(PersonClaim(family="Else")),
        empty,
    ),
    Case("adult", ClaimState.NOT_TRACED, make.attendance(ADULT), knows_child),
    Case("no-arrival", ClaimState.NOT_TRACED, make.attendance(NOBODY, kind=A08), knows_child),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule(case: Case) -> None:
    """The event comes to this rule's outcome; a trace is asked as the rule says."""
    book = case.book()
    take(book, case.event)
    row = book.claim(case.event.event_id)
    assert (row.state, row.rule) == (case.state, case.rule)
    parked = book.parked(row.key)
    if case.priority is not None:
        assert parked is not None
        trace = book.trace(parked.trace_id)
        assert (trace.priority, trace.kind) == (case.priority, case.kind)


def test_every_rule_has_its_case() -> None:
    """No rule of the table is without a test named after it."""
    assert [case.rule for case in CASES] == [rule.name for rule in RULES]


def test_twins_do_not_agree() -> None:
    """Same family name, birth date and postcode with another given name is nobody we know."""
    book = knows_child()
    event = make.attendance(TWIN)
    take(book, event)
    row = book.claim(event.event_id)
    assert (row.state, row.rule, row.person) == (ClaimState.WAITING, "child-search", None)


@pytest.mark.parametrize("given", ["Baby", "Twin 1", "Infant", "Unknown"])
def test_a_placeholder_is_never_agreement(given: str) -> None:
    """Family name, birth date and a placeholder agree with nobody, even with the postcode."""
    assert is_placeholder_given(given)
    book = knows_child()
    event = make.attendance(replace(CHILD, nhs_number=None, given=(given,)))
    take(book, event)
    assert book.claim(event.event_id).rule == "child-search"


def test_a_placeholder_with_the_number_goes_provisionally() -> None:
    """The number and birth date of a flagged child, given name "Baby": provisional, traced."""
    book = knows_child()
    event = make.attendance(replace(CHILD, given=("Baby",)))
    take(book, event)
    row = book.claim(event.event_id)
    assert (row.state, row.rule) == (ClaimState.PROVISIONAL, "partial-number")


def test_a_restricted_child_is_never_provisional() -> None:
    """No partial agreement, by number or demographics, names a restricted child."""
    for claim in (CHILD, no_number(CHILD), SIBLING, replace(CHILD, given=("Baby",))):
        book = make.ledger([make.known(restricted=True, verified_at=STALE)])
        event = make.attendance(claim)
        take(book, event)
        assert book.claim(event.event_id).state is ClaimState.WAITING
        assert not book.changes.entries


def test_the_local_index_carries_the_restriction() -> None:
    """A restricted child verified by the index is asserted as restricted."""
    book = make.ledger([make.known(restricted=True)])
    event = make.attendance()
    take(book, event)
    row = book.claim(event.event_id)
    assert (row.state, row.restricted) == (ClaimState.VERIFIED, True)


def test_an_adult_who_agrees_with_a_flagged_person_is_traced() -> None:
    """A mother with a plan for her unborn child is found by names and birth date."""
    book = make.ledger([make.known(ADULT)])
    event = make.attendance(no_number(ADULT))
    take(book, event)
    assert book.claim(event.event_id).rule == "names-and-birth-date"


def test_who_is_not_flagged_is_no_candidate() -> None:
    """A known person without a plan gives no provisional alert."""
    book = make.ledger([make.known(flagged=False, verified_at=STALE)])
    event = make.attendance()
    take(book, event)
    assert book.claim(event.event_id).rule == "child-number"


def test_the_right_twin_is_chosen() -> None:
    """Two flagged twins: the event's names say which one goes provisionally."""
    other = replace(CHILD, nhs_number=make.number(2), given=("Jamie",))
    book = make.ledger([make.known(), make.known(other)])
    event = make.attendance(TWIN)
    take(book, event)
    assert book.claim(event.event_id).person == make.known(other).person


@pytest.mark.parametrize(("hours", "child"), [(0.9, False), (1.1, True)])
def test_a_time_after_receipt_does_not_make_a_child_of_age(hours: float, child: bool) -> None:
    """A time more than an hour after receipt is passed over: age is that of the receipt."""
    received = datetime(2026, 3, 13, 23, 30, tzinfo=UTC)
    event = replace(
        make.attendance(received_at=received),
        occurred_at=Moment(utc=received + timedelta(hours=hours), offset_minutes=0),
    )
    assert perhaps_child("2008-03-14", occurred(event), adult_age=18) is child
