"""Whatever comes in whatever order, identity keeps its promises (generated histories)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.pds.outcomes import Found, Invalidated, NotFound, PdsRecord, TooMany
from halyard.names import normalise_name
from schemas.events import AttendanceReported, FlagSubmitted, PersonClaim, VisitEventKind
from stores.claims import ClaimState
from stores.trace_requests import TraceRequest
from streams.identity import answering, attendances, flags, merging
from streams.identity.answers import PdsAnswer, TraceAnswer
from streams.identity.ledger import Ledger
from tests.support import identity as make
from tests.support.identity import CHILD

TWIN = replace(CHILD, nhs_number=make.number(2), given=("Jamie",))
HIDDEN = replace(
    CHILD, nhs_number=make.number(3), family="Hideaway", given=("Willow",), postcode="ZZ3 3CC"
)
MOTHER = PersonClaim(
    nhs_number=make.number(4),
    family="Mother",
    given=("Mary",),
    birth_date="1990-01-01",
    gender="female",
    postcode="ZZ4 4DD",
)
GONE = replace(CHILD, nhs_number=make.number(5), family="Gone")
PEOPLE = (CHILD, TWIN, HIDDEN, MOTHER)
HIDDEN_PERSON = make.known(HIDDEN).person
Step = AttendanceReported | FlagSubmitted | int


def records() -> list[PdsRecord]:
    return [make.record(one, restricted=one is HIDDEN) for one in PEOPLE]


def pds(trace: TraceRequest) -> PdsAnswer:
    """A PDS that answers by exact number, or by exact names and birth date."""
    claim = trace.claim
    if trace.kind == "get":
        if claim.nhs_number == GONE.nhs_number:
            return Invalidated()
        found = [one for one in records() if one.nhs_number == claim.nhs_number]
    else:
        found = [
            one
            for one in records()
            if normalise_name(one.family) == normalise_name(claim.family)
            and one.birth_date == claim.birth_date
            and (not claim.given or one.given == claim.given)
        ]
    if len(found) > 1:
        return TooMany()
    return Found(found[0], score=1.0) if found else NotFound()


def answer(book: Ledger, trace: TraceRequest) -> None:
    query = "given_prefix_and_birth_date" if trace.kind == "search" else None
    keys = make.parked_behind(book, trace.trace_id)
    answering.answer(book, trace, keys, TraceAnswer(pds(trace), query))


def live(book: Ledger) -> list[TraceRequest]:
    return [
        trace
        for trace in sorted(book._traces.values(), key=lambda one: one.trace_id)
        if make.parked_behind(book, trace.trace_id) and trace.trace_id not in book.changes.finished
    ]


def reloaded(book: Ledger) -> Ledger:
    """What the next transaction would find in PostgreSQL."""
    fresh = Ledger(
        book.limits,
        now=book.now,
        new_id=book._new_id,
        claims=book._claims,
        persons=book._persons.values(),
        parked=book._parked.values(),
        traces=[book.trace(trace_id) for trace_id in book._live.values()],
        merges=book.aliases.merges(),
    )
    for name in ("finished", "entries", "answers", "worklist", "closed"):
        setattr(fresh.changes, name, getattr(book.changes, name))
    return fresh


def play(steps: list[Step], *, batch: int = 1000) -> Ledger:
    """Events are taken, numbers answer one of the traces in flight; at the end all are answered.

    After every `batch` steps another transaction goes on with what is in the rows.
    """
    book = make.ledger()
    for count, step in enumerate(steps, start=1):
        if count % batch == 0:
            book = reloaded(book)
        if isinstance(step, AttendanceReported) and step.kind is VisitEventKind.MERGE:
            merging.take(book, step, make.TRACE)
        elif isinstance(step, AttendanceReported):
            attendances.take(book, step, make.TRACE)
        elif isinstance(step, FlagSubmitted):
            flags.take(book, step, make.TRACE, line_taken=False)
        elif waiting := live(book):
            answer(book, waiting[step % len(waiting)])
        merging.settle(book)
    for _ in range(200):
        waiting = live(book)
        if not waiting:
            return book
        answer(book, waiting[0])
        merging.settle(book)
    raise AssertionError("traces beget traces without end")


@st.composite
def claims(draw: st.DrawFn) -> PersonClaim:
    """Somebody, as a busy clerk states them."""
    base = draw(st.sampled_from([*PEOPLE, GONE]))
    changes: dict[str, object] = {}
    if draw(st.booleans()):
        numbers = [None, "123", *(one.nhs_number for one in PEOPLE)]
        changes["nhs_number"] = draw(st.sampled_from(numbers))
    if draw(st.booleans()):
        changes["given"] = draw(st.sampled_from([(), ("Baby",), ("Robin",), ("Jamie",)]))
    if draw(st.integers(0, 5)) == 0:
        changes["other_numbers"] = (draw(st.sampled_from(PEOPLE)).nhs_number,)
    for name in ("family", "birth_date", "postcode"):
        if draw(st.integers(0, 5)) == 0:
            changes[name] = None
    return replace(base, **changes)  # type: ignore[arg-type]  # names of its fields


@st.composite
def merges(draw: st.DrawFn, index: int) -> AttendanceReported:
    """One local id is another's; perhaps its own."""
    one, other = (draw(st.sampled_from(["L1", "L2", "L3"])) for _ in range(2))
    return make.merge(one, other, minutes=draw(st.integers(1, 3)), message_id=f"m{index}")


@st.composite
def histories(draw: st.DrawFn) -> list[Step]:
    """Attendances and flags of a few local ids and visits, answers of PDS in between."""
    steps: list[Step] = []
    for index in range(draw(st.integers(1, 10))):
        what = draw(st.sampled_from(["attendance"] * 3 + ["flag", "answer"]))
        if what == "answer":
            steps.append(draw(st.integers(0, 3)))
        elif what == "flag":
            steps.append(
                make.flag(draw(claims()), line=index + 1, local_id=draw(st.sampled_from("CD")))
            )
        else:
            kind = draw(st.sampled_from(list(VisitEventKind)))
            if kind is VisitEventKind.MERGE:
                steps.append(draw(merges(index)))
                continue
            steps.append(
                make.attendance(
                    draw(claims()),
                    local_id=draw(st.sampled_from(["L1", "L2"])),
                    visit=draw(st.sampled_from(["V1", "V2", "V3"])),
                    kind=kind,
                    message_id=f"m{index}",
                )
            )
    return steps


@settings(max_examples=80, deadline=None)
@given(histories())
def test_every_event_comes_to_one_end(steps: list[Step]) -> None:
    """When PDS has answered all, nothing is open or parked, and every event has its end."""
    book = play(steps)
    events = [step for step in steps if not isinstance(step, int)]
    rows = [book.claim(event.event_id) for event in events]
    assert not [row for row in rows if row.state.open or row.rule == "new"]
    assert not [row for row in rows if book.parked(row.key)]


@settings(max_examples=80, deadline=None)
@given(histories())
def test_the_bus_says_what_the_claims_say(steps: list[Step]) -> None:
    """Revisions grow; a retraction takes back the last assertion; the last word is the
    claim's; what is verified is no open worklist entry."""
    book = play(steps)
    by_event = defaultdict(list)
    for one in make.said(book.changes.entries):
        by_event[one.event].append(one)
    for event, said in by_event.items():
        revisions = [one.revision for one in said]
        assert revisions == sorted(set(revisions))
        named = None
        for one in said:
            assert one.assertion != "RETRACTED" or one.person == named
            named = one.person if one.assertion == "ASSERTED" else None
        row = book.claim(event)
        assert row.person == named
        assert row.revision >= revisions[-1]
        doubtful = row.state is ClaimState.UNRESOLVED and event in book.changes.worklist
        assert row.state is ClaimState.VERIFIED or doubtful or named is None
    ids = [entry.event_id for entry in book.changes.entries]
    assert len(ids) == len(set(ids))
    for event in book.changes.worklist:
        assert book.claim(event).state is ClaimState.UNRESOLVED


@settings(max_examples=80, deadline=None)
@given(histories())
def test_nobody_restricted_is_ever_provisional(steps: list[Step]) -> None:
    """No history names the restricted child provisionally."""
    for one in make.said(play(steps).changes.entries):
        assert (one.person, one.status) != (HIDDEN_PERSON, "PROVISIONAL")


@settings(max_examples=60, deadline=None)
@given(histories())
def test_decisions_are_deterministic(steps: list[Step]) -> None:
    """The same history gives the same rows and the same bytes."""
    one, two = play(steps), play(steps)
    assert one.changes.entries == two.changes.entries
    assert one.changes.answers == two.changes.answers


@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(1, 4))
def test_batches_make_no_difference(steps: list[Step], batch: int) -> None:
    """Wherever the batches end, the same is said, in the same order."""
    assert play(steps).changes.entries == play(steps, batch=batch).changes.entries


@settings(max_examples=60, deadline=None)
@given(histories())
def test_every_flag_is_answered(steps: list[Step]) -> None:
    """An authority hears of every record, and CPR06 only of what is held."""
    book = play(steps)
    for step in steps:
        if isinstance(step, FlagSubmitted):
            said = book.changes.answers[step.event_id]
            held = book.claim(step.event_id).state is ClaimState.VERIFIED
            assert held == (
                said.code in ("CPR05", "CPR06") or said.detail == "held on the restricted path"
            )
