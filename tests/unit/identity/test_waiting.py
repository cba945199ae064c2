"""Keys wait, are released and are taken back as the answers come (correctness 6 to 10)."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from connectors.pds.outcomes import Bug, Found, Invalidated, NotFound, Superseded, TooMany
from schemas.events import PersonClaim, VisitEventKind
from stores.claims import ClaimState
from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.waiting_keys import answer, states, take, trace_of

UNNUMBERED = replace(CHILD, nhs_number=None)
NAMELESS = PersonClaim()
OTHER = PersonClaim(
    nhs_number=make.number(2), family="Otherwise", given=("Ann",), birth_date="2016-06-06"
)
CANCEL, UPDATE = VisitEventKind.CANCEL, VisitEventKind.UPDATE


def test_events_of_a_waiting_key_are_released_in_order() -> None:
    """What waited behind the arrival follows it on the bus, in the order taken."""
    book = make.ledger()
    events = (
        make.attendance(UNNUMBERED),
        make.attendance(NAMELESS, kind=UPDATE),
        make.attendance(NAMELESS, kind=CANCEL),
    )
    take(book, *events)
    assert {state for state, _ in states(book, *events)} == {"waiting"}
    answer(book, events[0], Found(make.record(), score=1.0))
    assert [one.event for one in make.said(book.changes.entries)] == [e.event_id for e in events]
    assert states(book, *events[1:]) == [("verified", "key-evidence")] * 2
    assert book.parked(events[0].source_patient) is None


def test_a_number_asks_better_than_names() -> None:
    """An update with a number replaces the key's search by a GET of the same urgency."""
    book = make.ledger()
    first, second = make.attendance(UNNUMBERED), make.attendance(kind=UPDATE)
    take(book, first)
    search = trace_of(book, first)
    take(book, second)
    trace = trace_of(book, first)
    assert (search.kind, trace.kind, trace.priority) == ("search", "get", 4)
    assert book.changes.left_traces == {search.trace_id}
    answer(book, first, Found(make.record()))
    assert states(book, first, second) == [
        ("verified", "key-evidence"),
        ("verified", "pds.get.number_birth_date_names"),
    ]


def test_a_number_that_fails_leaves_the_search() -> None:
    """The number is nobody's: the arrival without one is then searched for by itself."""
    book = make.ledger()
    first, second = make.attendance(UNNUMBERED), make.attendance(kind=UPDATE)
    take(book, first, second)
    answer(book, first, NotFound())
    assert states(book, first, second) == [
        ("waiting", "child-search"),
        ("unresolved", "pds.not_found"),
    ]
    assert trace_of(book, first).kind == "search"
    answer(book, first, Found(make.record(), score=1.0))
    assert [state for state, _ in states(book, first, second)] == ["verified", "verified"]
    assert set(book.changes.closed) >= {second.event_id}


def test_an_unresolved_arrival_goes_with_the_number_that_comes_later() -> None:
    """A worklist entry holds up nobody: the update's number releases arrival and update."""
    book = make.ledger()
    first, second = make.attendance(UNNUMBERED), make.attendance(kind=UPDATE)
    take(book, first)
    answer(book, first, TooMany())
    assert states(book, first) == [("unresolved", "pds.too_many_matches")]
    assert set(book.changes.worklist) == {first.event_id}
    take(book, second)
    answer(book, second, Found(make.record()))
    assert [state for state, _ in states(book, first, second)] == ["verified", "verified"]
    assert not book.changes.worklist
    assert first.event_id in book.changes.closed


def test_evidence_that_decides_releases_the_whole_key() -> None:
    """A local-index match releases what waited, and leaves who is somebody else."""
    book = make.ledger()
    first = make.attendance(UNNUMBERED)
    stranger = make.attendance(OTHER, kind=UPDATE)
    last = make.attendance(kind=UPDATE)
    take(book, first, stranger)
    book.keep(make.known(), make.NOW)
    take(book, last)
    assert states(book, first, stranger, last) == [
        ("verified", "key-evidence"),
        ("waiting", "behind-with-number"),
        ("verified", "local-index"),
    ]
    assert trace_of(book, stranger).claim.nhs_number == OTHER.nhs_number


def test_followers_of_a_refused_arrival_end() -> None:
    """What only waited ends with the arrival: not traced, and no worklist entry of its own."""
    book = make.ledger()
    first, second = make.attendance(UNNUMBERED), make.attendance(NAMELESS, kind=CANCEL)
    take(book, first, second)
    answer(book, first, NotFound())
    assert states(book, first, second) == [
        ("unresolved", "pds.not_found"),
        ("not_traced", "key-not-traced"),
    ]
    assert book.parked(first.source_patient) is None


def test_the_priority_of_a_key_is_the_highest_in_it() -> None:
    """Partial agreement later in the key raises the queued request to 1."""
    book = make.ledger()
    first = make.attendance(UNNUMBERED, visit="V1")
    take(book, first)
    assert trace_of(book, first).priority == 4
    take(book, make.flag())
    answer(book, make.flag(), Found(make.record()))
    assert trace_of(book, first).priority == 1


def test_confirmed_provisional_needs_no_retraction() -> None:
    """The same person verified: one more assertion, revision 2, status VERIFIED."""
    book = make.ledger([make.known()])
    event = make.attendance(UNNUMBERED)
    take(book, event)
    answer(book, event, Found(make.record(), score=1.0))
    assert [
        (one.revision, one.assertion, one.status) for one in make.said(book.changes.entries)
    ] == [(1, "ASSERTED", "PROVISIONAL"), (2, "ASSERTED", "VERIFIED")]


def test_refuted_provisional_is_taken_back_with_all_that_followed() -> None:
    """Nobody matches: retractions for the arrival and for what went on behind it."""
    book = make.ledger([make.known()])
    events = (make.attendance(UNNUMBERED), make.attendance(NAMELESS, kind=CANCEL))
    take(book, *events)
    assert {state for state, _ in states(book, *events)} == {"provisional"}
    answer(book, events[0], NotFound())
    assert make.holding(book.changes.entries) == {event.event_id: None for event in events}
    assert states(book, *events) == [
        ("unresolved", "pds.not_found"),
        ("not_traced", "key-not-traced"),
    ]


def test_a_changed_person_is_retracted_then_asserted() -> None:
    """The trace names another child: retraction 2, assertion 3, at once and in this order."""
    book = make.ledger([make.known()])
    event = make.attendance(UNNUMBERED)
    take(book, event)
    truth = replace(UNNUMBERED, nhs_number=make.number(5))
    answer(book, event, Found(make.record(truth), score=1.0))
    other = make.known(truth)
    found = make.said(book.changes.entries)
    assert [(one.revision, one.assertion) for one in found] == [
        (1, "ASSERTED"),
        (2, "RETRACTED"),
        (3, "ASSERTED"),
    ]
    assert found[1].person == make.known().person
    assert found[2].person == other.person
    assert len({entry.event_id for entry in book.changes.entries}) == 3


def test_a_later_event_of_a_provisional_key_goes_on_at_once() -> None:
    """A cancel does not wait out PDS's outage; it goes to the same candidate."""
    book = make.ledger([make.known()])
    take(book, make.attendance(UNNUMBERED))
    cancel = make.attendance(NAMELESS, kind=CANCEL)
    take(book, cancel)
    row = book.claim(cancel.event_id)
    assert (row.state, row.person) == (ClaimState.PROVISIONAL, make.known().person)


def test_an_update_that_agrees_in_part_takes_its_arrival_along() -> None:
    """The unresolved arrival of the visit goes on provisionally with the update."""
    book = make.ledger([make.known()])
    arrival = make.attendance(PersonClaim(family="Testchild"))
    take(book, arrival)
    assert states(book, arrival) == [("unresolved", "child-without-evidence")]
    update = make.attendance(UNNUMBERED, kind=UPDATE)
    take(book, update)
    assert [state for state, _ in states(book, arrival, update)] == ["provisional"] * 2


def test_an_invalidated_number_is_linked_to_nobody() -> None:
    """Invalidated: the arrival is unresolved, and nothing is searched by what came along."""
    book = make.ledger()
    event = make.attendance()
    take(book, event)
    answer(book, event, Invalidated())
    assert states(book, event) == [("unresolved", "pds.invalidated")]
    assert book.parked(event.source_patient) is None
    assert not book.changes.persons


def test_a_superseded_number_is_the_successors() -> None:
    """Demographics agree with the successor: verified under the new number."""
    book = make.ledger()
    event = make.attendance()
    take(book, event)
    successor = replace(CHILD, nhs_number=make.number(7))
    answer(book, event, Superseded(make.record(successor), CHILD.nhs_number or ""))
    assert book.claim(event.event_id).person == make.known(successor).person


def test_a_late_flag_finds_who_waits() -> None:
    """The child waits at priority 5 when the flag is verified: verified at once."""
    book = make.ledger()
    arrival = make.attendance()
    take(book, arrival)
    submitted = make.flag(replace(CHILD, nhs_number=make.number(1)))
    book.keep(make.known(flagged=False), make.NOW)
    take(book, submitted)
    assert states(book, submitted, arrival) == [
        ("verified", "local-index"),
        ("verified", "flag-backmatch"),
    ]
    assert book.parked(arrival.source_patient) is None


def test_a_late_flag_finds_the_untraced_mother() -> None:
    """An adult without a number was not traced: provisional, and traced at priority 1."""
    mother = PersonClaim(
        nhs_number=make.number(3),
        family="Mother",
        given=("Mary",),
        birth_date="1990-01-01",
        postcode="ZZ3 3CC",
    )
    book = make.ledger()
    arrival = make.attendance(replace(mother, nhs_number=None))
    take(book, arrival)
    assert states(book, arrival) == [("not_traced", "adult")]
    submitted = make.flag(mother)
    take(book, submitted)
    answer(book, submitted, Found(make.record(mother)))
    assert states(book, arrival) == [("provisional", "flag-backmatch-provisional")]
    assert trace_of(book, arrival).priority == 1


def test_a_late_flag_of_a_restricted_child_only_raises_the_trace() -> None:
    """No provisional alert for a restricted child; the trace becomes urgent."""
    book = make.ledger()
    arrival = make.attendance(UNNUMBERED)
    take(book, arrival)
    submitted = make.flag()
    take(book, submitted)
    answer(book, submitted, Found(make.record(restricted=True, postcode=None)))
    assert states(book, arrival) == [("waiting", "flag-backmatch-waits")]
    assert trace_of(book, arrival).priority == 1


def test_one_visit_under_two_keys_waits_for_one_trace() -> None:
    """A cancel under another local id, with all names, waits behind the visit's trace."""
    book = make.ledger()
    arrival = make.attendance(UNNUMBERED, local_id="L1")
    named = replace(UNNUMBERED, postcode=None)
    cancel = make.attendance(named, local_id="L2", kind=CANCEL)
    take(book, arrival, cancel)
    assert trace_of(book, cancel) == trace_of(book, arrival)
    answer(book, arrival, Found(make.record(), score=1.0))
    assert states(book, cancel) == [("verified", "key-evidence")]
    assert book.parked(cancel.source_patient) is None


def test_two_keys_share_one_question() -> None:
    """Single-flight: the same number under two local ids is asked for once."""
    book = make.ledger()
    one = make.attendance(local_id="L1", visit="V1")
    two = make.attendance(local_id="L2", visit="V2")
    take(book, one, two)
    assert trace_of(book, one) == trace_of(book, two)
    assert len(book.changes.new_traces) == 1


def test_no_readable_answer_takes_no_provisional_assertion_back() -> None:
    """The tracer gave up: the provisional assertion stands, and a new request is filed for it."""
    book = make.ledger([make.known()])
    event = make.attendance(UNNUMBERED)
    take(book, event)
    first = trace_of(book, event)
    answer(book, event, Bug("pds.bug.unreadable_answer"))
    assert make.holding(book.changes.entries) == {
        event.event_id: (make.known().person, "PROVISIONAL")
    }
    again = trace_of(book, event)
    assert again.trace_id != first.trace_id
    assert (again.fingerprint, again.priority) == (first.fingerprint, 1)


def test_a_flagged_child_is_asked_about_again_after_a_day() -> None:
    """Verified 25 hours ago: provisional at once, traced first; the answer carries restriction."""
    book = make.ledger([make.known(verified_at=make.NOW - timedelta(hours=25))])
    event = make.attendance()
    take(book, event)
    assert states(book, event) == [("provisional", "partial-number")]
    assert trace_of(book, event).priority == 1
    answer(book, event, Found(make.record(restricted=True, postcode=None)))
    assert states(book, event) == [("verified", "pds.get.number_birth_date_names")]
    assert book.claim(event.event_id).restricted
    held = book.person(make.known().person)
    assert held is not None
    assert (held.restricted, held.verified_at, held.flagged) == (True, make.NOW, True)


def test_a_restricted_child_does_not_wait_for_pds_each_day() -> None:
    """Restricted already, verified 25 hours ago: verified by the index, as restricted."""
    stale = make.NOW - timedelta(hours=25)
    book = make.ledger([make.known(verified_at=stale, restricted=True)])
    event = make.attendance()
    take(book, event)
    assert states(book, event) == [("verified", "local-index")]
