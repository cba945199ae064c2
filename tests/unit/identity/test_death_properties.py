"""Whatever is said of deaths in whatever order: told at once, and only ever more surely."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.pds.outcomes import Found, NotFound, PdsRecord, TooMany
from halyard import ids
from schemas.deaths import DeathMessageKind, DeathNotified
from schemas.events import PersonClaim
from stores.claims import ClaimState
from stores.trace_requests import TraceRequest
from streams.identity import answering, deaths
from streams.identity.answers import PdsAnswer, TraceAnswer
from streams.identity.death_ladder import Need, need_of
from streams.identity.evidence import Death
from streams.identity.ledger import Ledger
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.death_identity import INDICATED
from tests.support.identity import CHILD
from tests.unit.identity.test_properties import reloaded

PERSON = make.known().person
TWIN = replace(CHILD, nhs_number=make.number(2), given=("Jamie",))
NAMELESS = PersonClaim()
ADULT = replace(CHILD, nhs_number=make.number(9), birth_date="1980-01-01")


def _pds(trace: TraceRequest) -> PdsAnswer:
    records = [make.record(), make.record(TWIN, restricted=True)]
    if trace.kind == "get":
        found = [one for one in records if one.nhs_number == trace.claim.nhs_number]
    else:
        found = [one for one in records if one.given == trace.claim.given]
    return _only(found)


def _only(found: list[PdsRecord]) -> PdsAnswer:
    if len(found) > 1:
        return TooMany()
    return Found(found[0], score=1.0) if found else NotFound()


@st.composite
def messages(draw: st.DrawFn) -> list[Death | int]:
    """Messages of a few notifications and reports, of twins, answers of PDS in between."""
    steps: list[Death | int] = []
    for index in range(draw(st.integers(1, 9))):
        if draw(st.integers(0, 3)) == 0:
            steps.append(draw(st.integers(0, 3)))
            continue
        claim = draw(st.sampled_from([CHILD, TWIN, ADULT, NAMELESS]))
        if draw(st.booleans()):
            wrong = st.sampled_from([None, "123", CHILD.nhs_number, TWIN.nhs_number])
            claim = replace(claim, nhs_number=draw(wrong))
        kind = draw(st.sampled_from(list(DeathMessageKind)))
        if kind is INDICATED:
            local_id = draw(st.sampled_from(["L1", "UNKNOWN"]))
            steps.append(say.indicated(claim, local_id=local_id, message_id=f"i{index}"))
        elif draw(st.integers(0, 4)) == 0:
            steps.append(say.report(claim, reference="R", version=index))
        else:
            reference = draw(st.sampled_from(["N1", "N2"]))
            version = draw(st.integers(1, 4))
            made = say.death(claim, reference=reference, version=version, kind=kind)
            steps.append(replace(made, event_id=ids.derive("death", index)))
    return steps


def _play(steps: list[Death | int], *, batch: int = 1000) -> Ledger:
    """Messages are taken, numbers answer one of the traces in flight, in the end all of them; after
    every `batch` steps another transaction goes on with what is in the rows.
    """
    book = make.ledger()
    for count, step in enumerate([*steps, *range(200)], start=1):
        if count % batch == 0:
            book = reloaded(book)
        if isinstance(step, int):
            live = sorted({one.trace_id for one in book._parked.values()})
            if live:
                trace = book.trace(live[step % len(live)])
                query = "given_prefix_and_birth_date" if trace.kind == "search" else None
                keys = make.parked_behind(book, trace.trace_id)
                answering.answer(book, trace, keys, TraceAnswer(_pds(trace), query))
            continue
        before = len(book.changes.entries)
        deaths.take(book, step, make.TRACE)
        mine = [
            one for one in say.told(book.changes.entries[before:]) if one.event == step.event_id
        ]
        silent = isinstance(step, DeathNotified) and (need_of(step, adult_age=18) is Need.NOBODY)
        assert bool(mine) is not silent, "told in the step that took it"
    return book


@settings(max_examples=150, deadline=None)
@given(messages())
def test_every_death_is_told_at_once_and_revisions_only_grow(steps: list[Death | int]) -> None:
    """Each message has a statement in its own step, the first without or with a number, never a
    provisional one; the last word is the claim's; nobody is given a twin's number."""
    book = _play(steps)
    events = {step.event_id: step for step in steps if not isinstance(step, int)}
    by_event = defaultdict(list)
    for one in say.statements(book.changes.entries):
        by_event[one.reported_event_id].append(one)
        if one.identity is not None:
            assert one.identity.status == "VERIFIED"
            claim = events[one.reported_event_id].claim
            given = {PERSON: CHILD.given, make.known(TWIN).person: TWIN.given}
            assert claim.given in ((), given[one.identity.person])
    for event_id, told in by_event.items():
        revisions = [one.revision for one in told]
        assert revisions == sorted(set(revisions))
        row = book.claim(event_id)
        named = told[-1].identity.person if told[-1].identity else None
        assert (named, told[-1].indicator, told[-1].rule) == (row.person, row.indicator, row.rule)
        assert row.revision >= revisions[-1]
    for event_id in events:
        row = book.claim(event_id)
        assert not row.state.open
        if event_id in book.changes.worklist:
            assert row.state is ClaimState.UNRESOLVED
    ids = [entry.event_id for entry in book.changes.entries]
    assert len(ids) == len(set(ids))
    assert not book._parked


@settings(max_examples=80, deadline=None)
@given(messages(), st.integers(1, 4))
def test_batches_of_deaths_make_no_difference(steps: list[Death | int], batch: int) -> None:
    """Wherever the batches end, the same is told and is on the worklist."""
    one, two = _play(steps), _play(steps, batch=batch)
    assert one.changes.entries == two.changes.entries
    assert one.changes.worklist == two.changes.worklist
