"""Report requests: who is asked, once, and what answers, ends and reopens a request."""

from __future__ import annotations

import itertools
import time
import uuid
from dataclasses import replace
from datetime import date, timedelta
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from halyard.ids import derive
from schemas.deaths import (
    CaseContent,
    CaseState,
    Fact,
    FlagAtDeath,
    FlagHistory,
    LastAttendance,
    ReportKind,
    ReportSubmitted,
    RequestState,
)
from schemas.events import NhsNumberStatus
from stores.directory import Authority, Directory, Hospital
from stores.panels import Agency
from streams.cases import requests
from streams.cases.content import assemble
from streams.cases.model import Assignment, Family, Known, Notification, Report, Request
from tests.support.case_facts import AT, CHILD, notification, panel

TODAY = date(2026, 3, 2)
PANELS = {"north": panel("north", "E06000001"), "south": panel("south", "E06000002")}
DIRECTORY = Directory(
    hospitals={"RXX01": Hospital(ods="RXX01", name="Northtown General")},
    feeds=(),
    authorities={"E06000001": Authority(gss="E06000001", name="Northtown")},
    endpoints={},
    credentials=(),
    agencies={
        "Y00001": Agency(
            code="Y00001",
            name="Ash Surgery",
            kind="general-practice",
            health_or_social_care=True,
        ),
        "POL01": Agency(code="POL01", name="Practice Police", kind="police"),
    },
    panels=PANELS,
)


def professional(row: int, role: str, code: str = "", organisation: str = "") -> tuple[Fact, ...]:
    """A professional that a notification names."""
    told = {"role": role, "organisation-code": code, "organisation": organisation}
    return tuple(Fact(f"professional.{name}", row, value) for name, value in told.items() if value)


def note(*rows: tuple[Fact, ...], reference: str = "n-1", **told: str) -> Notification:
    """A notification that names them."""
    facts = CHILD | {"child.family": "Jessop", "child.postcode": "ZZ4 1AB"}
    return notification(
        reference,
        told=facts
        | {name.replace("__", ".").replace("_", "-"): value for name, value in told.items()},
        rows=tuple(itertools.chain(*rows)),
        verified="9990000018",
    )


def report(
    organisation: str,
    kind: ReportKind = ReportKind.REPORT,
    *,
    request_id: uuid.UUID | None = None,
    reference: str = "r-1",
    facts: tuple[Fact, ...] = (),
) -> Report:
    """A report as it stands."""
    source = f"{organisation.lower()}-fhir"
    event = ReportSubmitted(
        event_id=derive("report", source, reference),
        source=source,
        organisation=organisation,
        message_id=reference,
        digest="d",
        received_at=AT,
        kind=kind,
        source_person="k",
        source_patient=reference,
        reference=reference,
        version=1,
        request_id=request_id,
        facts=facts,
    )
    return Report(
        source=source,
        reference=reference,
        report=event,
        indicator=NhsNumberStatus.NOT_PRESENT,
        identity_rule="",
    )


def said(family: Family) -> CaseContent:
    """What the case says."""
    return assemble(family, panels=PANELS, today=TODAY)


def wanted(family: Family, **more: Any) -> list[Request]:
    """The new requests."""
    return requests.wanted(family, said(family), DIRECTORY, now=AT, due_days=21, **more)


def asked(family: Family) -> Family:
    """The case once its requests are made."""
    return replace(family, requests=requests.after(family.requests, wanted(family)))


def answered(family: Family) -> dict[tuple[str, str], RequestState]:
    """State of each request once `answered` has looked, and that looking again changes nothing."""
    changed = requests.answered(family, said(family), DIRECTORY, now=AT)
    after = replace(family, requests=requests.after(family.requests, changed))
    assert requests.answered(after, said(after), DIRECTORY, now=AT) == []
    return {(one.agency, one.role): one.state for one in after.requests}


def of(*notes: Notification, **more: Any) -> Family:
    """A case made of these."""
    return Family(notes[0].case_id, notes, **more)


def test_who_is_named_and_whom_the_hub_knows_is_asked_once() -> None:
    """Professionals of the notification, the hospitals that saw the child, the authority with a
    plan: one request a body, in a role that follows from what it is.
    """
    family = of(
        note(
            professional(1, "consultant", "RXX01"),
            professional(2, "hospital", "rxx01"),
            professional(3, "general-practitioner", "Y00001"),
            professional(4, "school", organisation="Practice  Primary School"),
            professional(5, "health-visitor"),  # nobody to ask
        ),
        known=Known(
            flags=(
                FlagAtDeath("E06000001", "CPP", FlagHistory.CURRENT),
                FlagAtDeath("", "LAC", FlagHistory.PREVIOUSLY),
            ),
            attendances=(LastAttendance("RXX01", AT), LastAttendance("RXX09", AT)),
            as_at=AT,
        ),
    )
    made = {(one.agency, one.role): one for one in wanted(family)}
    assert {key: one.rule for key, one in made.items()} == {
        ("RXX01", "hospital"): "professional",
        ("RXX09", "hospital"): "attendance",
        ("Y00001", "general-practitioner"): "professional",
        ("E06000001", "childrens-social-care"): "flag",
        ("", "school"): "professional",
    }
    assert made[("", "school")].agency_name == "Practice Primary School"
    assert made[("RXX01", "hospital")].sections == ("child", "service-provision", "circumstances")
    assert wanted(asked(family)) == []


def test_the_panel_gives_the_days_else_the_hub_does() -> None:
    """Due after the panel's own number of days."""
    family = of(note(professional(1, "police", "POL01")))
    (made,) = wanted(family)
    assert made.due_at == AT + timedelta(days=21)
    own = replace(DIRECTORY, panels={"north": PANELS["north"].model_copy(update={"due_days": 5})})
    (made,) = requests.wanted(family, said(family), own, now=AT, due_days=21)
    assert made.due_at == AT + timedelta(days=5)
    assert made.panel == "north"


def test_nobody_is_asked_before_a_panel_stands_or_of_a_death_out_of_scope() -> None:
    """A request has somebody who asks; an adult's death has none."""
    nowhere = note(professional(1, "police", "POL01"))
    told = tuple(one for one in nowhere.notified.facts if one.name != "child.residence-authority")
    nowhere = replace(nowhere, notified=replace(nowhere.notified, facts=told))
    assert wanted(of(nowhere)) == []
    by_person = Assignment("south", "known to the panel", "by", AT)
    assert len(wanted(of(nowhere, assignment=by_person))) == 1
    adult = note(professional(1, "police", "POL01"))
    assert wanted(of(adult, assignment=Assignment("", "an adult", "by", AT))) == []


def test_a_restricted_childs_hospitals_are_not_asked_of_the_hubs_own_accord() -> None:
    """It would tell where the child lived; whom the notifier named is asked, without places."""
    held = note(professional(1, "general-practitioner", "Y00001"))
    assert held.identity is not None
    held = replace(held, identity=replace(held.identity, restricted=True))
    family = of(
        held,
        known=Known(attendances=(LastAttendance("RXX01", AT),), as_at=AT),
        assignment=Assignment("north", "x", "by", AT),
    )
    (made,) = wanted(family)
    assert made.agency == "Y00001"
    event = requests.event_of(made, said(family), DIRECTORY, now=AT)
    assert "ZZ4 1AB" not in [one.fact.value for one in event.known]


def test_what_is_known_goes_with_the_request_and_places_only_to_health_and_care() -> None:
    """Pre-filled with whom it is about, from whom; never an opinion, never a narrative."""
    family = of(
        note(
            professional(1, "police", "POL01"),
            professional(2, "general-practitioner", "Y00001"),
            death__circumstances="Found at home.",
            child__looked_after="true",
        )
    )
    by_agency = {one.agency: one for one in wanted(family)}
    police, practice = (
        requests.event_of(by_agency[code], said(family), DIRECTORY, now=AT)
        for code in ("POL01", "Y00001")
    )
    assert {one.fact.name for one in police.known} == {
        "child.birth-date",
        "child.family",
        "death.date",
    }
    assert {one.fact.name for one in practice.known} - {one.fact.name for one in police.known} == {
        "child.looked-after",
        "child.postcode",
        "child.residence-authority",
    }
    assert {one.organisation for one in practice.known} == {"RZ9"}
    assert police.basis == "Children Act 2004, section 16N"


def test_reports_answer_requests_named_or_not() -> None:
    """By the request's id, or as the only thing asked of the sender; another's id counts not."""
    family = asked(
        of(note(professional(1, "police", "POL01"), professional(2, "consultant", "RXX01")))
    )
    ids = {one.agency: one.request_id for one in family.requests}
    named = report("POL01", ReportKind.NOTHING_KNOWN, request_id=ids["POL01"])
    unasked = report("RXX01", ReportKind.PARTIAL)
    stolen = report("RXX01", ReportKind.DECLINED, request_id=ids["POL01"], reference="r-2")
    assert answered(replace(family, reports=(named, unasked, stolen))) == {
        ("POL01", "police"): RequestState.NOTHING_KNOWN,
        ("RXX01", "hospital"): RequestState.PARTIAL,
    }


@given(st.permutations([ReportKind.REPORT, ReportKind.PARTIAL, ReportKind.DECLINED]))
def test_of_several_answers_the_one_that_says_most_counts(kinds: list[ReportKind]) -> None:
    """Whatever order they come in."""
    family = asked(of(note(professional(1, "consultant", "RXX01"))))
    reports = tuple(
        report("RXX01", kind, reference=f"r-{number}") for number, kind in enumerate(kinds)
    )
    assert answered(replace(family, reports=reports)) == {
        ("RXX01", "hospital"): RequestState.SUBMITTED
    }


def test_a_void_cancels_what_is_open_and_its_end_opens_it_again() -> None:
    """What was answered stays answered; asked again, a body has as much time as it had."""
    live = note(professional(1, "police", "POL01"), professional(2, "consultant", "RXX01"))
    family = asked(of(live))
    family = replace(family, reports=(report("RXX01"),))
    gone = replace(family, notifications=(replace(live, voided=True),))
    assert answered(gone) == {
        ("POL01", "police"): RequestState.CANCELLED,
        ("RXX01", "hospital"): RequestState.SUBMITTED,
    }
    changed = requests.answered(gone, said(gone), DIRECTORY, now=AT)
    back = replace(family, requests=requests.after(family.requests, changed))
    later = AT + timedelta(days=30)
    (police,) = requests.answered(back, said(back), DIRECTORY, now=later)
    assert (police.state, police.version) == (RequestState.REQUESTED, 3)
    assert police.due_at == later + timedelta(days=21)


def test_a_merge_makes_double_requests_one() -> None:
    """The one that was made first stays, also where the answer names the other; a case that was
    merged leaves its requests to the case that it counts in.
    """
    one = asked(of(note(professional(1, "consultant", "RXX01"))))
    two = asked(of(note(professional(1, "consultant", "RXX01"), reference="n-2")))
    later = tuple(replace(each, requested_at=AT + timedelta(days=1)) for each in two.requests)
    merged = replace(
        one,
        notifications=(*one.notifications, *two.notifications),
        absorbed=(two.case_id,),
        requests=(*later, *one.requests),
    )
    assert wanted(merged) == []
    changed = requests.answered(merged, said(merged), DIRECTORY, now=AT)
    assert [(each.request_id, each.state) for each in changed] == [
        (later[0].request_id, RequestState.CANCELLED)
    ]
    merged = replace(
        merged,
        requests=requests.after(merged.requests, changed),
        reports=(report("RXX01", request_id=later[0].request_id),),
    )
    answers = requests.answered(merged, said(merged), DIRECTORY, now=AT)
    settled = requests.after(merged.requests, answers)
    assert [each.state for each in settled] == [RequestState.CANCELLED, RequestState.SUBMITTED]
    member = replace(two, merged_into=one.case_id)
    assert said(member).state is CaseState.MERGED
    assert requests.answered(member, said(member), DIRECTORY, now=AT) == []
    assert wanted(member) == []


def test_an_open_request_follows_the_panel_that_asks() -> None:
    """A person gives the case to another panel: the request says who asks now."""
    family = asked(of(note(professional(1, "police", "POL01"))))
    given = replace(family, assignment=Assignment("south", "x", "by", AT))
    (changed,) = requests.answered(given, said(given), DIRECTORY, now=AT)
    assert (changed.panel, changed.version) == ("south", 2)
    assert changed.state is RequestState.REQUESTED


@given(st.permutations([0, 1, 2]))
def test_whom_to_ask_does_not_depend_on_the_order(order: list[int]) -> None:
    """Ids follow from the case and the body."""
    rows = [
        professional(1, "police", "POL01"),
        professional(1, "consultant", "RXX01"),
        professional(1, "school", organisation="Practice School"),
    ]
    notes = [note(rows[each], reference=f"n-{each}") for each in range(3)]
    case_id = notes[0].case_id
    expected = wanted(Family(case_id, tuple(notes)))
    assert wanted(Family(case_id, tuple(notes[each] for each in order))) == expected


def test_answers_are_looked_for_once_a_case_and_not_once_a_request() -> None:
    """Thousands of reports to a case with many requests are decided at once: a shared reference,
    or a sender that repeats itself, does not hold up the others.
    """
    rows = tuple(
        professional(number, "school", organisation=f"School {number}") for number in range(1, 201)
    )
    family = asked(of(note(*rows)))
    ids = [one.request_id for one in family.requests]
    sent = tuple(
        report("POL01", request_id=ids[number % 100], reference=f"r-{number}")
        for number in range(1_000)
    )
    family = replace(family, reports=sent)
    content = said(family)
    started = time.process_time()
    changed = requests.answered(family, content, DIRECTORY, now=AT)
    assert time.process_time() - started < 2
    assert {one.request_id for one in changed} == set(ids[:100])


def test_whose_number_a_request_tells() -> None:
    """The verified child's; nobody's while one is looked up, which takes nothing back."""
    held = note(professional(1, "police", "POL01"))
    assert held.identity is not None
    family = asked(of(held))
    assert requests.persons_of(family) == frozenset({held.identity.person})
    assert [one.person for one in family.requests] == [held.identity.person]
    traced = replace(held, identity=None, indicator=NhsNumberStatus.IN_PROGRESS)
    assert requests.persons_of(of(traced)) is None
    assert answered(replace(family, notifications=(traced,))) == {
        ("POL01", "police"): RequestState.REQUESTED
    }
    nobody = replace(traced, indicator=NhsNumberStatus.NOT_PRESENT)
    assert requests.persons_of(of(nobody)) == frozenset()
    gone = replace(family, notifications=(nobody,))
    (again,) = requests.answered(gone, said(gone), DIRECTORY, now=AT)
    assert (again.state, again.person, again.version) == (RequestState.REQUESTED, None, 2)
