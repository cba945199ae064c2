"""Two of a hospital's patients are one: whatever comes first, the end is the same."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.pds.outcomes import Found, NotFound
from schemas import codec
from schemas.events import AttendanceReported, AttendanceVerified, PersonClaim, VisitEventKind
from stores.claims import ClaimState
from stores.merges import MOST, Families
from streams.identity import answering, merge_words, merging
from streams.identity.aliases import Aliases
from streams.identity.answers import TraceAnswer
from streams.identity.ledger import Ledger
from tests.support import identity as make
from tests.support.identity import CHILD

OTHER = PersonClaim(
    nhs_number=make.number(2), family="Otherwise", given=("Ann",), birth_date="2016-06-06"
)
TWIN = replace(CHILD, nhs_number=make.number(3), given=("Jamie",))
PEOPLE = {one.nhs_number: one for one in (CHILD, OTHER, TWIN)}
BARE = PersonClaim()
UPDATE = VisitEventKind.UPDATE


def take(book: Ledger, *events: AttendanceReported) -> None:
    for event in events:
        merging.hear(book, event, make.TRACE)


def answer_all(book: Ledger) -> Ledger:
    """PDS knows everybody by number, and nobody else."""
    while live := sorted(book._live.values()):
        trace = book.trace(live[0])
        found = PEOPLE.get(trace.claim.nhs_number)
        outcome = Found(make.record(found)) if found is not None else NotFound()
        keys = make.parked_behind(book, trace.trace_id)
        answering.answer(book, trace, keys, TraceAnswer(outcome))
        merging.settle(book)
    return book


def played(events: Iterable[AttendanceReported], *persons: Any) -> Ledger:
    """All taken, and answered at the end."""
    book = make.ledger(persons)
    take(book, *events)
    return answer_all(book)


def patients(book: Ledger) -> dict[Any, str]:
    """The patient whom each event was last said to be of."""
    last: dict[Any, AttendanceVerified] = {}
    for entry in book.changes.entries:
        event = codec.decode(entry.record.value)
        if isinstance(event, AttendanceVerified):
            last[event.reported_event_id] = event
    return {one: event.source_patient for one, event in last.items()}


def end(book: Ledger, events: Iterable[AttendanceReported]) -> dict[Any, Any]:
    """What became of each event: state, person, patient."""
    of = patients(book)
    rows = [book.claim(event.event_id) for event in events]
    return {
        row.reported_event_id: (row.state, row.person, row.person and of[row.reported_event_id])
        for row in rows
    }


def patient(local_id: str) -> str:
    return make.KEYS.source_patient("feed", local_id, None, None)


def test_events_follow_the_retired_patient_to_the_surviving_one() -> None:
    """What was said of the retired id is said again of the survivor's, with the next revision; what
    comes later under it goes there at once.
    """
    first = make.attendance(local_id="R", visit="V1")
    later = make.attendance(local_id="R", visit="V2")
    book = make.ledger([make.known()])
    take(book, first)
    assert patients(book)[first.event_id] == patient("R")
    take(book, make.merge("R", "S"), later)
    assert [patients(book)[one.event_id] for one in (first, later)] == [patient("S")] * 2
    said = [one for one in make.said(book.changes.entries) if one.event == first.event_id]
    assert [(one.revision, one.assertion) for one in said] == [(1, "ASSERTED"), (2, "ASSERTED")]
    assert book.claim(first.event_id).key == make.KEYS.source_patient("feed", "S", None, None)


def test_a_repeated_merge_says_nothing_anew() -> None:
    """The same merge under another control id, and an older one, change nothing."""
    event = make.attendance(local_id="R")
    book = make.ledger([make.known()])
    take(book, event, make.merge("R", "S"))
    said = len(book.changes.entries)
    take(book, make.merge("R", "S", message_id="again"), make.merge("R", "T", minutes=1))
    assert len(book.changes.entries) == said


def test_what_waits_under_one_id_gets_the_person_of_the_other() -> None:
    """The retired id's arrival without a number is on the worklist; the survivor is verified."""
    lost = make.attendance(PersonClaim(family="Testchild"), local_id="R", visit="V1")
    sure = make.attendance(local_id="S", visit="V2")
    book = make.ledger([make.known()])
    take(book, lost, sure)
    assert book.claim(lost.event_id).state is ClaimState.UNRESOLVED
    take(book, make.merge("R", "S"))
    row = book.claim(lost.event_id)
    assert (row.state, row.rule, row.person) == (
        ClaimState.VERIFIED,
        "merged",
        make.known().person,
    )
    assert book.changes.closed[lost.event_id] == "merged"


def test_what_waits_for_a_trace_goes_on_waiting_under_the_surviving_id() -> None:
    """A contradicting arrival keeps its own question, whose answer still finds it."""
    waits = make.attendance(OTHER, local_id="R", visit="V1")
    book = make.ledger([make.known()])
    take(book, waits, make.attendance(local_id="S", visit="V2"))
    take(book, make.merge("R", "S"))
    assert book.parked(make.KEYS.source_patient("feed", "R", None, None)) is None
    assert book.parked(make.KEYS.source_patient("feed", "S", None, None)) is not None
    answer_all(book)
    assert book.claim(waits.event_id).person == make.known(OTHER).person


def test_a_twin_is_never_taken_for_the_other_by_a_merge() -> None:
    """The hospital merged two children: both stay as verified, and the merge is on the worklist."""
    one = make.attendance(local_id="R", visit="V1")
    two = make.attendance(TWIN, local_id="S", visit="V2")
    merge = make.merge("R", "S")
    book = played([one, two, merge], make.known(), make.known(TWIN))
    assert book.claim(one.event_id).person == make.known().person
    assert book.claim(two.event_id).person == make.known(TWIN).person
    row = book.claim(merge.event_id)
    assert (row.state, row.rule) == (ClaimState.UNRESOLVED, "merge-conflict")
    assert book.changes.worklist[merge.event_id].rule == "merge-conflict"
    assert not [said for said in make.said(book.changes.entries) if said.assertion == "RETRACTED"]


def test_a_person_found_without_a_number_gives_way_to_the_survivors() -> None:
    """Verified by a search alone, and nothing contradicts the number under the other id: that
    person's; unless it would take a flagged person's event to one who is not.
    """
    twofold = replace(CHILD, nhs_number=make.number(7))
    for first_flagged, moved in ((False, True), (True, False)):
        found = make.attendance(replace(CHILD, nhs_number=None), local_id="R", visit="V1")
        sure = make.attendance(twofold, local_id="S", visit="V2")
        second = make.known(twofold, flagged=False)
        book = make.ledger([second])
        take(book, found)
        (trace_id,) = book._live.values()
        trace = book.trace(trace_id)
        keys = make.parked_behind(book, trace_id)
        outcome = Found(make.record(), score=1.0)
        answering.answer(book, trace, keys, TraceAnswer(outcome, "given_prefix_and_birth_date"))
        assert book.claim(found.event_id).person == make.known().person
        if first_flagged:
            book.keep(make.known(), make.NOW + timedelta(days=9), flagged=True)
        take(book, sure, make.merge("R", "S"))
        person = second.person if moved else make.known().person
        assert book.claim(found.event_id).person == person
        merge = book.claim(make.merge("R", "S").event_id)
        assert (merge.state is ClaimState.UNRESOLVED) is not moved


def test_a_placeholder_is_merged_into_nobody() -> None:
    """UNKNOWN was merged into a patient: the next UNKNOWN is not that patient."""
    next_one = make.attendance(OTHER, local_id="UNKNOWN", visit="V9")
    book = make.ledger([make.known(), make.known(OTHER)])
    take(book, make.merge("UNKNOWN", "S"), next_one, make.merge("R", "UNKNOWN"))
    assert patients(book)[next_one.event_id] == patient("UNKNOWN")
    rule = book.claim(make.merge("R", "UNKNOWN").event_id).rule
    assert rule == "merge-incomplete"


def test_a_merge_without_two_patients_is_not_used() -> None:
    """MRG names nobody, or the patient itself."""
    nobody = replace(make.merge("R", "S"), merged_person=None, merged_patient=None)
    itself = make.merge("S", "S")
    book = make.ledger()
    take(book, nobody, itself)
    assert {book.claim(one.event_id).rule for one in (nobody, itself)} == {"merge-incomplete"}
    assert not book.aliases


def test_a_chain_ends_at_the_last_and_a_circle_at_whom_was_named_last() -> None:
    """R into S into T: T. Then T into R: R, and later S into T again: T."""
    book = make.ledger()
    take(book, make.merge("S", "T", minutes=2), make.merge("R", "S", minutes=3))
    key = {name: make.KEYS.source_patient("feed", name, None, None) for name in "RST"}
    assert {book.aliases.survivor(one) for one in key.values()} == {key["T"]}
    take(book, make.merge("T", "R", minutes=4))
    assert {book.aliases.survivor(one) for one in key.values()} == {key["R"]}
    take(book, make.merge("S", "T", minutes=5))
    assert {book.aliases.survivor(one) for one in key.values()} == {key["T"]}


def test_a_bin_of_merges_is_not_followed() -> None:
    """More ids than can be one patient's: each stands for itself, and the merge is on the worklist,
    while other families are followed.
    """
    book = make.ledger([make.known()])
    merges = [make.merge(f"J{one}", "BIN", minutes=one) for one in range(MOST)]
    take(book, *merges, make.merge("R", "S"))
    assert book.claim(merges[-2].event_id).rule == "merged"
    last = book.claim(merges[-1].event_id)
    assert (last.state, last.rule) == (ClaimState.UNRESOLVED, "merge-too-many")
    binned = make.attendance(local_id="J3", visit="V1")
    other = make.attendance(local_id="R", visit="V2")
    take(book, binned, other)
    assert patients(book)[binned.event_id] == patient("J3")
    assert patients(book)[other.event_id] == patient("S")


def test_families_of_thousands_are_found_in_no_time() -> None:
    """What is linked is found by one pass, however many merges there are."""
    made = [merge_words.merge_of(make.merge(f"J{one}", "BIN")) for one in range(3_000)]
    merges = [one for one in made if one is not None]
    started = time.process_time()
    families = Families(merges)
    assert families.of(merges, [merges[5].retired_key]) == []
    assert families.crowded(merges[7].retired_key)
    assert time.process_time() - started < 1


names = st.sampled_from("ABCDE")


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(names, names), max_size=7), st.randoms(use_true_random=False))
def test_aliases_are_one_whatever_the_order(pairs: list[tuple[str, str]], order: Any) -> None:
    """Any merges in any order: every walk ends, at one who stands for itself."""
    events = [make.merge(one, two, minutes=at) for at, (one, two) in enumerate(pairs)]
    merges = [one for one in (merge_words.merge_of(event) for event in events) if one is not None]
    shuffled = list(merges)
    order.shuffle(shuffled)
    keys = [make.KEYS.source_patient("feed", name, None, None) for name in "ABCDE"]
    first, second = Aliases(merges), Aliases([*shuffled, *merges])
    assert [first.survivor(key) for key in keys] == [second.survivor(key) for key in keys]
    assert all(first.survivor(first.survivor(key)) == first.survivor(key) for key in keys)


def story(twins: bool) -> list[AttendanceReported]:
    """Two ids of one child (or of two), then a third; merged in a chain, with a bare update (of one
    child: of two, it goes with whoever is verified first).
    """
    second, update = (TWIN, CHILD) if twins else (CHILD, BARE)
    return [
        make.attendance(CHILD, local_id="R", visit="V1", message_id="1"),
        make.attendance(update, local_id="R", visit="V1", kind=UPDATE, message_id="2"),
        make.attendance(second, local_id="S", visit="V2", message_id="3"),
        make.attendance(replace(CHILD, given=()), local_id="T", visit="V3", message_id="4"),
        make.merge("R", "S", minutes=1),
        make.merge("S", "T", minutes=2),
        make.merge("S", "R", minutes=0),
    ]


@settings(max_examples=120, deadline=None)
@given(st.permutations(range(7)), st.booleans(), st.booleans())
def test_c05_a_merge_before_or_after_the_events_comes_to_the_same_end(
    order: list[int], twins: bool, flagged: bool
) -> None:
    """Every permutation: the same person and patient for each event, the same worklist."""
    events = story(twins)
    persons = [make.known(one, flagged=flagged) for one in ((CHILD, TWIN) if twins else (CHILD,))]
    wanted = end(played(events, *persons), events)
    book = played([events[one] for one in order], *persons)
    assert end(book, events) == wanted
    assert not book._parked
