"""Of whom the versions of one notification or report are, and how little each costs."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from connectors.pds.outcomes import Found, PdsRecord
from schemas.deaths import DeathNotified, Fact, ReportKind
from schemas.events import PersonClaim
from stores.claims import ClaimState
from streams.identity import answering, deaths, evidence, knowledge
from streams.identity.answers import TraceAnswer
from streams.identity.evidence import Death, Standing
from streams.identity.index import ClaimIndex
from streams.identity.ledger import Ledger
from tests.support import death_identity as say
from tests.support import identity as make
from tests.support.death_identity import UPDATED, VOIDED
from tests.support.identity import CHILD

NAMELESS = PersonClaim()
UNNAMED = replace(CHILD, given=("Baby",))
BROTHER = replace(CHILD, nhs_number=make.number(2), given=("Jamie",), gender="male")
OTHER = replace(CHILD, nhs_number=make.number(3))  # the number that was meant
PERSON, CORRECTED = make.known().person, make.known(OTHER).person
INDEX = (make.known(flagged=False), make.known(OTHER, flagged=False))


def take(book: Ledger, *events: Death) -> None:
    for event in events:
        deaths.take(book, event, make.TRACE)


def answer(book: Ledger, event: Death, record: PdsRecord) -> None:
    """PDS answers what the event's key waits for with this record."""
    parked = book.parked(event.source_patient)
    assert parked is not None
    keys = make.parked_behind(book, parked.trace_id)
    answering.answer(book, book.trace(parked.trace_id), keys, TraceAnswer(Found(record)))


def person_of(book: Ledger, event: Death) -> str | None:
    """Whom the last word on a message names."""
    identity = say.identity_of(book.changes.entries, event.event_id)
    return identity.person if identity else None


def test_the_living_twin_of_another_gender_is_not_declared_dead() -> None:
    """Number, birth date and family name are the sister's, the given name is a placeholder, and
    the dead child is a boy: a person of the sender is to look."""
    book = make.ledger()
    event = say.death(replace(UNNAMED, gender="male"))
    take(book, event)
    answer(book, event, make.record())
    assert person_of(book, event) is None
    (entry,) = book.changes.worklist.values()
    assert entry.rule == "pds.get.gender_differs_perhaps_a_twin"


@pytest.mark.parametrize(
    ("facts", "given", "verified"),
    [
        ((), ("Baby",), True),
        ((Fact("child.multiple-birth", value="false"),), ("Baby",), True),
        ((Fact("child.birth-order", value="1"),), (), True),
        ((Fact("child.multiple-birth", value="true"),), ("Baby",), False),
        ((Fact("child.multiple-birth", value="true"),), (), False),
        ((Fact("child.birth-order", value="2"),), ("Baby",), False),
        ((), ("Twin 1",), False),
        ((Fact("child.multiple-birth", value="true"),), CHILD.given, True),
    ],
)
def test_an_unnamed_child_of_a_multiple_birth_is_of_nobody(
    facts: tuple[Fact, ...], given: tuple[str, ...], verified: bool
) -> None:
    """Twins of one gender share all that is left without a given name; a single baby does not."""
    book = make.ledger()
    event = say.death(replace(CHILD, given=given), facts=facts)
    take(book, event)
    answer(book, event, make.record())
    assert (person_of(book, event) == PERSON) is verified
    rules = {one.rule for one in book.changes.worklist.values()}
    assert rules == (set() if verified else {"pds.get.given_unknown_perhaps_a_twin"})


def test_another_gender_is_not_of_the_same_notification() -> None:
    """A later version without number and names, of the other gender: not the first one's child,
    neither when it comes after nor when it waited."""
    book = make.ledger()
    first, boy = say.death(), say.death(PersonClaim(gender="male"), version=2, kind=UPDATED)
    girl = say.death(PersonClaim(gender="female"), version=3, kind=UPDATED)
    take(book, boy, first)
    answer(book, first, make.record())
    take(book, girl)
    assert [person_of(book, one) for one in (boy, first, girl)] == [None, PERSON, PERSON]


def test_a_report_to_another_request_is_of_another_child() -> None:
    """An agency that calls all its reports alike: what names nobody follows its request alone;
    what names the child itself is of that child."""
    book = make.ledger(INDEX)
    one, other = make.new_ids()(), uuid.UUID(int=9)
    first = say.report(request_id=one)
    second = say.report(NAMELESS, request_id=one, version=2)
    strange = say.report(NAMELESS, request_id=other, version=3)
    known = say.report(replace(CHILD, nhs_number=None), request_id=other, version=4)
    take(book, first, second, strange)
    assert [person_of(book, each) for each in (first, second, strange)] == [PERSON, PERSON, None]
    assert book.claim(strange.event_id).rule == "report-of-request"
    take(book, known)
    assert person_of(book, known) == PERSON
    assert not book.changes.worklist


def test_a_report_to_another_request_is_not_released_with_it() -> None:
    """The same while the first is being traced."""
    book = make.ledger()
    first = say.report(request_id=uuid.UUID(int=8))
    strange = say.report(
        NAMELESS, request_id=uuid.UUID(int=9), version=2, kind=ReportKind.NOTHING_KNOWN
    )
    take(book, first, strange)
    answer(book, first, make.record())
    assert [person_of(book, each) for each in (first, strange)] == [PERSON, None]
    assert not book.changes.worklist


def test_a_corrected_number_counts_for_what_comes_after_it() -> None:
    """Version 2 corrects the number: version 4 without one is of the corrected child, a late
    version 1 without one too (it is nobody's else), and version 3 of whom version 2 is."""
    book = make.ledger(INDEX)
    first, second = say.death(), say.death(OTHER, version=2, kind=UPDATED)
    later = [say.death(NAMELESS, version=version, kind=UPDATED) for version in (4, 3)]
    take(book, first, second, *later)
    assert [person_of(book, each) for each in (first, second, *later)] == [
        PERSON,
        CORRECTED,
        CORRECTED,
        CORRECTED,
    ]


def test_an_old_number_that_comes_late_takes_no_newer_version() -> None:
    """Version 3 waits without a number, version 2 was verified; the first version's number comes
    last and is its own alone."""
    book = make.ledger(INDEX)
    second = say.death(OTHER, version=2, kind=UPDATED)
    third = say.death(PersonClaim(gender="male"), version=3, kind=UPDATED)
    first = say.death()
    again = say.death(NAMELESS, version=1, message_id="again")
    take(book, second, third, first, again)
    assert [person_of(book, each) for each in (first, second, third, again)] == [
        PERSON,
        CORRECTED,
        None,
        PERSON,
    ]
    assert set(book.changes.worklist) == {third.event_id}


def test_a_version_that_comes_after_its_void_is_nobodys_work() -> None:
    """The void of version 2 first, then the first version, which says too little: told, and on no
    worklist; what comes after the void is on it."""
    book = make.ledger()
    void = say.death(NAMELESS, version=2, kind=VOIDED)
    first, third = say.death(NAMELESS), say.death(NAMELESS, version=3, kind=UPDATED)
    take(book, void, first, third)
    assert book.claim(first.event_id).state is ClaimState.NOT_TRACED
    assert set(book.changes.worklist) == {third.event_id}
    last = [one for one in say.told(book.changes.entries) if one.event == first.event_id]
    assert [(one.indicator, one.rule) for one in last] == [
        ("TRACE_REQUIRED", "death-without-evidence")
    ]


def test_an_old_message_closes_nothing_newer() -> None:
    """What is closed of the messages that are too old to be here: of lower versions alone."""
    book = make.ledger(INDEX)
    first, second = say.death(), say.death(OTHER, version=5, kind=UPDATED)
    take(book, first)
    assert book.changes.settled == {(first.source_patient, None): (1, "local-index")}
    take(book, second, say.death(version=2, kind=UPDATED))
    assert book.changes.settled == {(first.source_patient, None): (5, "local-index")}


@pytest.fixture
def work(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many claims were looked at, how many compared with a person."""
    counted = {"claims": 0, "comparisons": 0}
    in_order, of_key = ClaimIndex._in_order, ClaimIndex.of_key
    real = evidence.standing

    def looking(self: ClaimIndex, ids: set[uuid.UUID]) -> list[object]:
        found = in_order(self, ids)
        counted["claims"] += len(found)
        return list(found)

    def whole(self: ClaimIndex, key: str) -> list[object]:
        found = of_key(self, key)
        counted["claims"] += len(found)
        return list(found)

    def comparing(*given: object) -> Standing:
        counted["comparisons"] += 1
        return real(*given)  # type: ignore[arg-type]  # passed on as they came

    monkeypatch.setattr(ClaimIndex, "_in_order", looking)
    monkeypatch.setattr(ClaimIndex, "of_key", whole)
    for module in (knowledge, deaths):
        monkeypatch.setattr(module, "standing", comparing)
    return counted


def _versions(claim: PersonClaim, numbers: range) -> list[DeathNotified]:
    return [say.death(claim, version=one, kind=UPDATED) for one in numbers]


@pytest.mark.parametrize("claim", [CHILD, NAMELESS, UNNAMED, replace(CHILD, nhs_number=None)])
@pytest.mark.parametrize("known", [True, False])
def test_the_300th_version_costs_no_more_than_the_tenth(
    claim: PersonClaim, known: bool, work: dict[str, int]
) -> None:
    """A sender who repeats one notification for ever: verified, unresolved or waiting, each of its
    messages looks at a handful of the others."""
    book = make.ledger(INDEX if known else ())
    take(book, *_versions(CHILD if known else claim, range(1, 300)))
    work.update(claims=0, comparisons=0)
    take(book, *_versions(claim, range(300, 320)))
    assert work["claims"] <= 20 * 10
    assert work["comparisons"] <= 20 * 4
