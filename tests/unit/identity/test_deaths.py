"""A death's message is told at once, and again when its person is known: the decisions."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from connectors.pds.outcomes import Bug, Found, NotFound, Superseded, TooMany
from schemas.deaths import ReportKind
from schemas.events import PersonClaim
from stores.claims import ClaimState
from stores.trace_requests import TraceRequest
from streams.identity import answering, attendances, deaths, flags
from streams.identity.answers import PdsAnswer, TraceAnswer
from streams.identity.death_ladder import RULES, Need, need_of
from streams.identity.evidence import Death
from streams.identity.ledger import Ledger
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.death_identity import UPDATED, VOIDED, Told
from tests.support.identity import CHILD, NOW

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "identity.md"
PERSON = make.known().person
UNNUMBERED = replace(CHILD, nhs_number=None)
TWIN = replace(CHILD, nhs_number=make.number(2), given=("Jamie",))
NAMELESS = PersonClaim()
ADULT = replace(CHILD, nhs_number=make.number(9), birth_date="1980-01-01")


def take(book: Ledger, *events: Death) -> None:
    for event in events:
        deaths.take(book, event, make.TRACE)


def answer(book: Ledger, event: Death, outcome: PdsAnswer) -> TraceRequest:
    """PDS answers the trace behind which the event's key waits."""
    parked = book.parked(event.source_patient)
    assert parked is not None
    trace = book.trace(parked.trace_id)
    query = "given_prefix_and_birth_date" if trace.kind == "search" else None
    keys = make.parked_behind(book, trace.trace_id)
    answering.answer(book, trace, keys, TraceAnswer(outcome, query))
    return trace


def said(book: Ledger) -> list[tuple[int, str | None, str, str]]:
    return [(one.revision, one.person, one.indicator, one.rule) for one in _told(book)]


def _told(book: Ledger) -> list[Told]:
    return say.told(book.changes.entries)


def test_the_page_lists_every_rule_in_order() -> None:
    """The table of docs/reference/identity.md is the deaths' ladder, row by row."""
    rows = [f"| `{rule.name}` | {rule.when} | {rule.outcome} |" for rule in RULES]
    assert "\n".join(rows) in PAGE.read_text()


def test_a_child_of_the_local_index_is_verified_at_once() -> None:
    """Number, names and birth date agree with a person whom PDS verified lately; also a deceased
    and a restricted one, whose restriction is told."""
    choices: tuple[dict[str, Any], ...] = ({}, {"deceased": True}, {"restricted": True})
    for changes in choices:
        book = make.ledger([make.known(flagged=False, **changes)])
        take(book, say.death())
        assert said(book) == [(1, PERSON, "VERIFIED", "local-index")]
        (told,) = say.statements(book.changes.entries)
        assert told.identity is not None
        assert told.identity.restricted is ("restricted" in changes)
        assert not book.changes.new_traces


def test_a_flagged_child_who_may_be_restricted_by_now_is_asked_about() -> None:
    """As for an arrival (ADR 0014): told at once without a number, never provisionally."""
    book = make.ledger([make.known(verified_at=NOW - timedelta(hours=25))])
    event = say.death()
    take(book, event)
    answer(book, event, Found(make.record(restricted=True)))
    assert said(book) == [
        (1, None, "IN_PROGRESS", "death-number"),
        (2, PERSON, "VERIFIED", "pds.get.number_birth_date_names"),
    ]
    assert say.identity_of(book.changes.entries, event.event_id).restricted  # type: ignore[union-attr]  # just asserted


@pytest.mark.parametrize(
    ("claim", "rule", "kind"),
    [(CHILD, "death-number", "get"), (UNNUMBERED, "death-search", "search")],
)
def test_a_death_is_told_at_once_and_again_when_pds_has_answered(
    claim: PersonClaim, rule: str, kind: str
) -> None:
    """Revision 1 without a number, the trace with the priority of deaths; then the number. The
    keys are of the source person and of the person; the sender's bytes stay where they came."""
    book = make.ledger()
    event = say.death(claim)
    take(book, event)
    assert said(book) == [(1, None, "IN_PROGRESS", rule)]
    trace = answer(book, event, Found(make.record(), score=1.0))
    assert (trace.kind, trace.priority) == (kind, 2)
    assert [person for _, person, _, _ in said(book)] == [None, PERSON]
    keys = [entry.record.key for entry in book.changes.entries]
    assert keys == [event.source_person, make.KEYS.bus_person(CHILD.nhs_number or "")]
    for told in say.statements(book.changes.entries):
        assert told.notified == replace(event, message=b"")  # type: ignore[union-attr]  # a death's


@pytest.mark.parametrize(
    ("outcome", "indicator", "rule"),
    [
        (NotFound(), "NO_OR_MULTIPLE_MATCH", "pds.not_found"),
        (TooMany(), "NO_OR_MULTIPLE_MATCH", "pds.too_many_matches"),
        (Found(make.record(TWIN)), "NEEDS_RESOLUTION", "pds.get.number_differs"),
        (
            Found(make.record(TWIN, nhs_number=CHILD.nhs_number)),
            "NEEDS_RESOLUTION",
            "pds.get.given_differs_perhaps_a_twin",
        ),
    ],
)
def test_an_answer_that_verifies_nobody_is_told(
    outcome: PdsAnswer, indicator: str, rule: str
) -> None:
    """Also a twin's record is never the child's: a person of the sender is to look."""
    book = make.ledger()
    event = say.death()
    take(book, event)
    answer(book, event, outcome)
    assert said(book)[0] == (1, None, "IN_PROGRESS", "death-number")
    assert said(book)[1:] == [(2, None, indicator, rule)]
    (entry,) = book.changes.worklist.values()
    assert (entry.event_kind, entry.organisation, entry.rule) == ("death", make.HOSPITAL, rule)


def test_pds_that_cannot_be_read_ends_as_unresolved() -> None:
    """When the tracer gives up, that is told too."""
    book = make.ledger()
    event = say.death()
    take(book, event)
    answer(book, event, Bug("unreadable"))
    assert said(book)[-1][:3] == (2, None, "TRACE_REQUIRED")
    assert book.claim(event.event_id).state is ClaimState.UNRESOLVED


def test_a_superseded_number_is_told_as_its_successor() -> None:
    """The identity has the successor's number, and the rule says so."""
    successor = replace(CHILD, nhs_number=make.number(7))
    book = make.ledger()
    event = say.death()
    take(book, event)
    answer(book, event, Superseded(make.record(successor), CHILD.nhs_number or ""))
    identity = say.identity_of(book.changes.entries, event.event_id)
    assert identity is not None
    assert identity.nhs_number == successor.nhs_number
    assert identity.rule == "pds.get.number_birth_date_names.superseded"


def test_too_little_to_ask_goes_to_a_person_at_once() -> None:
    """A notification without usable number or names is told, and on its sender's worklist."""
    book = make.ledger()
    take(book, say.death(replace(NAMELESS, nhs_number="123")))
    assert said(book) == [(1, None, "TRACE_REQUIRED", "death-without-evidence")]
    assert [one.rule for one in book.changes.worklist.values()] == ["death-without-evidence"]
    assert not book.changes.new_traces


def test_a_number_that_comes_later_counts_for_the_whole_notification() -> None:
    """The update brings the number: what came before, and what comes after without any evidence,
    is of the same child; the worklist entry is closed."""
    book = make.ledger()
    first, second = say.death(NAMELESS), say.death(version=2, kind=UPDATED)
    third = say.death(NAMELESS, version=3, kind=UPDATED)
    take(book, first, second)
    answer(book, second, Found(make.record()))
    take(book, third)
    persons = {one.event: one.person for one in _told(book)}
    assert persons == dict.fromkeys((first.event_id, second.event_id, third.event_id), PERSON)
    assert book.claim(third.event_id).rule == "same-notification"
    assert book.changes.closed[first.event_id] == "key-evidence"
    assert not book.changes.worklist


def test_a_message_is_never_held_behind_a_trace_in_flight() -> None:
    """While the key's trace is in flight, an update without evidence is told at once too, and
    again with the number that the trace brings."""
    book = make.ledger()
    first = say.death(replace(CHILD, local_id="UNKNOWN"))
    second = say.death(replace(NAMELESS, local_id="UNKNOWN"), version=2, kind=UPDATED)
    take(book, first, second)
    assert [(one.event, one.revision, one.rule) for one in _told(book)] == [
        (first.event_id, 1, "death-number"),
        (second.event_id, 1, "behind-trace"),
    ]
    answer(book, first, Found(make.record()))
    assert [(one.event, one.person) for one in _told(book)[2:]] == [
        (first.event_id, PERSON),
        (second.event_id, PERSON),
    ]


def test_what_contradicts_is_not_of_the_same_child() -> None:
    """The second version names the twin, with the twin's number: each has its own person, and a
    third without evidence is of whom the second says: the sender's last word."""
    book = make.ledger()
    first, second = say.death(), say.death(TWIN, version=2, kind=UPDATED)
    third = say.death(NAMELESS, version=3, kind=UPDATED)
    take(book, first, second)
    answer(book, first, Found(make.record()))
    answer(book, second, Found(make.record(TWIN)))
    take(book, third)
    twin = make.known(TWIN).person
    last = {one.event: one.person for one in _told(book)}
    assert last == {first.event_id: PERSON, second.event_id: twin, third.event_id: twin}


def test_a_twins_notification_with_the_siblings_number_is_of_nobody() -> None:
    """The sibling is known well; the given name contradicts: a person decides."""
    book = make.ledger([make.known(flagged=False)])
    event = say.death(replace(TWIN, nhs_number=CHILD.nhs_number))
    take(book, event)
    answer(book, event, Found(make.record()))
    assert {one.person for one in _told(book)} == {None}
    assert book.claim(event.event_id).state is ClaimState.UNRESOLVED


def test_a_void_is_told_without_being_traced() -> None:
    """With or without a number nobody is asked, and nothing lands on the worklist; what waits of
    the notification ends without a worklist entry, too."""
    book = make.ledger()
    first, void = say.death(), say.death(NAMELESS, version=2, kind=VOIDED)
    alone = say.death(reference="N2", kind=VOIDED)
    take(book, first, void, alone)
    assert said(book)[1:] == [
        (1, None, "NOT_PRESENT", "death-voided"),
        (1, None, "NOT_TRACED", "death-voided"),
    ]
    answer(book, first, NotFound())
    assert said(book)[-1] == (2, None, "NO_OR_MULTIPLE_MATCH", "pds.not_found")
    assert not book.changes.worklist
    assert len(book.changes.new_traces) == 1


def test_a_void_closes_what_was_on_the_worklist() -> None:
    """Nobody need find the number of a notification that was taken back; a later version that is
    without a number is an entry again."""
    book = make.ledger()
    first, void = say.death(NAMELESS), say.death(NAMELESS, version=2, kind=VOIDED)
    again = say.death(NAMELESS, version=3, kind=UPDATED)
    take(book, first, void)
    assert not book.changes.worklist
    assert book.changes.closed == {first.event_id: "death-voided"}
    take(book, again)
    assert set(book.changes.worklist) == {again.event_id}


def test_an_indicated_death_of_a_child_is_traced_and_on_no_worklist() -> None:
    """A hospital's record, or PDS, says that a child has died: the hospital is asked to notify,
    with or without a number."""
    book = make.ledger()
    known, unknown = say.indicated(), say.indicated(TWIN, local_id="L2", message_id="I2")
    nameless = say.indicated(NAMELESS, local_id="L3", message_id="I3")
    take(book, known, unknown, nameless)
    answer(book, known, Found(make.record()))
    answer(book, unknown, NotFound())
    last = {one.event: (one.person, one.rule) for one in _told(book)}
    assert last == {
        known.event_id: (PERSON, "pds.get.number_birth_date_names"),
        unknown.event_id: (None, "pds.not_found"),
        nameless.event_id: (None, "indicated-without-evidence"),
    }
    assert not book.changes.worklist


def test_an_indicated_death_of_an_adult_leaves_nothing() -> None:
    """Nothing is said, asked or kept of an adult, not even the event."""
    book = make.ledger([make.known(ADULT)])
    event = say.indicated(ADULT)
    take(book, event)
    row = book.claim(event.event_id)
    assert (row.state, row.event, row.number_token) == (ClaimState.NOT_USED, None, None)
    assert not book.changes.entries
    assert not book.changes.new_traces


@pytest.mark.parametrize(
    ("birth_date", "died_at", "need"),
    [
        ("2008-03-02", "2026-03-01", Need.TRACE),  # the day before the eighteenth birthday
        ("2008-03-01", "2026-03-01", Need.NOBODY),
        ("2008-03-01", "2026-02", Need.TRACE),
        ("2005-06-01", "2022", Need.TRACE),  # long ago
        ("2007-01-01", "2031-01-01", Need.NOBODY),  # nobody dies after receipt
        ("2007-01-01", "2026-13", Need.NOBODY),
        ("2007-01-01", None, Need.NOBODY),
        ("2008", "2026-03-01", Need.TRACE),
        (None, "2026-03-01", Need.TRACE),
    ],
)
def test_who_may_have_been_a_child(birth_date: str | None, died_at: str | None, need: Need) -> None:
    """Judged on the day of death, by the reading under which it was a child."""
    event = say.indicated(replace(CHILD, birth_date=birth_date), died_at=died_at)
    assert need_of(event, adult_age=18) is need


def test_placeholder_patients_of_a_hospital_are_not_one() -> None:
    """Two indicated deaths under UNKNOWN: what says nothing of itself is of nobody."""
    book = make.ledger([make.known(flagged=False)])
    one = say.indicated(local_id="UNKNOWN")
    other = say.indicated(NAMELESS, local_id="UNKNOWN", message_id="I2")
    take(book, one, other)
    assert [one.person for one in _told(book)] == [PERSON, None]


def test_a_report_that_answers_a_request_needs_no_number() -> None:
    """Nothing known, about the child whom we asked about: no worklist entry. The same unasked is
    one, and a report with details is traced as a death is."""
    book = make.ledger()
    asked = say.report(
        NAMELESS, kind=ReportKind.NOTHING_KNOWN, request_id=make.new_ids()(), reference="R1"
    )
    unasked = say.report(NAMELESS, reference="R2")
    detailed = say.report(reference="R3")
    take(book, asked, unasked, detailed)
    answer(book, detailed, Found(make.record()))
    assert [(one.event, one.person, one.rule) for one in _told(book)] == [
        (asked.event_id, None, "report-of-request"),
        (unasked.event_id, None, "death-without-evidence"),
        (detailed.event_id, None, "death-number"),
        (detailed.event_id, PERSON, "pds.get.number_birth_date_names"),
    ]
    assert [one.event_kind for one in book.changes.worklist.values()] == ["report"]


def test_of_several_numbers_the_known_childs_is_chosen() -> None:
    """As for an arrival: number, names and birth date agree with the index."""
    book = make.ledger([make.known(flagged=False)])
    numbers = replace(CHILD, nhs_number=make.number(5), other_numbers=(CHILD.nhs_number or "",))
    take(book, say.death(numbers))
    assert [one.person for one in _told(book)] == [PERSON]


def test_deaths_are_no_candidates_of_a_flag() -> None:
    """A plan that comes after a death says nothing of the death; one question serves both, at
    the death's urgency."""
    book = make.ledger()
    event, arrival = say.death(UNNUMBERED), make.attendance(UNNUMBERED)
    take(book, event)
    attendances.take(book, arrival, make.TRACE)
    assert [trace.priority for trace in book.changes.new_traces] == [2]
    flags.take(book, make.flag(), make.TRACE, line_taken=False)
    flag = book.parked(make.flag().source_patient)
    assert flag is not None
    answering.answer(
        book,
        book.trace(flag.trace_id),
        make.parked_behind(book, flag.trace_id),
        TraceAnswer(Found(make.record())),
    )
    assert book.claim(arrival.event_id).state is ClaimState.PROVISIONAL
    assert [one.person for one in _told(book)] == [None]
    answer(book, event, Found(make.record(), score=1.0))
    assert book.claim(arrival.event_id).state is ClaimState.VERIFIED
    assert [one.person for one in _told(book)] == [None, PERSON]
