"""What a case says: state, scope, panel, needs; tombstones and restricted children."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from schemas.deaths import (
    CaseState,
    DeathIndication,
    Eligibility,
    Fact,
    FlagAtDeath,
    FlagHistory,
    LastAttendance,
)
from schemas.events import NhsNumberStatus
from streams.cases.content import assemble, last_day_of, same
from streams.cases.model import Assignment, Family, Indication, Known, Notification
from tests.support.case_facts import AT, CHILD, notification, panel

TODAY = date(2026, 3, 2)
PANELS = {"north": panel("north", "E06000001"), "south": panel("south", "E06000002")}
NUMBER, OTHER_NUMBER = "9990000018", "9990000026"


def first(**more: Any) -> Notification:
    """A notification of a child of the northern area."""
    return notification("n-1", told=CHILD | {"child.family": "Jessop"}, verified=NUMBER, **more)


def of(*notes: Notification, **more: Any) -> Family:
    """A case that is made of these."""
    return Family(notes[0].case_id, notes, **more)


def test_a_plain_notification_needs_nobody() -> None:
    """In scope, with a panel, a number and everything said once."""
    said = assemble(of(first()), panels=PANELS, today=TODAY)
    assert said.state is CaseState.OPEN
    assert said.eligibility is Eligibility.IN_SCOPE
    assert (said.panel, said.panels_informed) == ("north", ("north",))
    assert said.nhs_number == NUMBER
    assert said.indicator is NhsNumberStatus.VERIFIED
    assert said.needs == ()
    assert said.flag_history is FlagHistory.UNKNOWN  # nobody has looked


def test_a_missing_number_is_a_need_and_holds_nothing_up() -> None:
    """Everything else is decided without it; a child from elsewhere will never have one."""
    told = CHILD | {"death.place": "home"}
    said = assemble(of(notification(told=told)), panels=PANELS, today=TODAY)
    assert said.needs == ("number",)
    assert said.panel == "north"
    away = notification(told=told | {"child.nhs-number-absent": "non-resident"})
    assert "number" not in assemble(of(away), panels=PANELS, today=TODAY).needs


def test_a_number_verified_for_a_later_notification_counts() -> None:
    """The number is of whichever live notification has it."""
    unverified = notification("n-0", told=CHILD)
    said = assemble(of(unverified, first()), panels=PANELS, today=TODAY)
    assert said.nhs_number == NUMBER
    assert "number" not in said.needs


def test_two_verified_numbers_are_a_conflict() -> None:
    """Of a wrong merge: two children."""
    other = notification("n-2", "RZ8", told=CHILD, verified=OTHER_NUMBER)
    said = assemble(of(first(), other), panels=PANELS, today=TODAY)
    assert "child.nhs-number" in said.conflicts
    assert "conflict" in said.needs


def test_notifiers_that_differ_about_what_decides_go_to_a_person() -> None:
    """Whoever leads: if one says a child of six and the other an adult, no rule chooses."""
    adult = notification(
        "n-2", "RZ8", told=CHILD | {"child.birth-date": "1999-05-04"}, verified=NUMBER
    )
    for family in (of(first(), adult), of(adult, first())):
        said = assemble(family, panels=PANELS, today=TODAY)
        assert said.eligibility is Eligibility.NEEDS_HUMAN
        assert said.eligibility_rule == "messages-differ"
        assert said.needs == ("eligibility", "conflict")


def test_a_vaguer_date_of_a_second_notifier_puts_nothing_in_doubt() -> None:
    """A month that the day lies in is no dispute, though by itself it would not tell the age."""
    close = CHILD | {"child.birth-date": "2008-02-20"}
    exact = notification("n-1", told=close, verified=NUMBER)
    vague = notification("n-2", "RZ8", told=close | {"death.date": "2026-02"}, verified=NUMBER)
    alone = assemble(of(vague), panels=PANELS, today=TODAY)
    assert alone.eligibility is Eligibility.NEEDS_HUMAN
    later = replace(vague, first_received_at=AT + timedelta(hours=1))
    said = assemble(of(exact, later), panels=PANELS, today=TODAY)
    assert said.eligibility is Eligibility.IN_SCOPE
    assert said.conflicts == ()


def test_a_persons_word_stands_over_the_rules() -> None:
    """An assignment gives panel and scope; the proposed panel is told all the same."""
    given = Assignment("south", "moved last week", "designated doctor", AT)
    said = assemble(of(first(), assignment=given), panels=PANELS, today=TODAY)
    assert (said.panel, said.panel_rule) == ("south", "person")
    assert said.panels_informed == ("south", "north")
    ruled = replace(given, panel="")
    out = assemble(of(first(), assignment=ruled), panels=PANELS, today=TODAY)
    assert (out.eligibility, out.eligibility_rule) == (Eligibility.OUT_OF_SCOPE, "person")
    assert out.needs == ()


def test_two_addresses_propose_a_panel_that_a_person_confirms() -> None:
    """The panel of the usual address is there, and so is the need."""
    told = {"child.alternative-residence-authority": "E06000002"}
    moved = notification(told=CHILD | told, verified=NUMBER)
    said = assemble(of(moved), panels=PANELS, today=TODAY)
    assert said.panel == "north"
    assert said.panels_informed == ("north", "south")
    assert said.needs == ("panel",)


def test_a_voided_case_is_a_tombstone() -> None:
    """Links and reasons stay, and where it went; no clinical fact, no number."""
    gone = replace(first(), voided=True, void_reason="wrong-child")
    said = assemble(of(gone), panels=PANELS, today=TODAY)
    assert said.state is CaseState.VOIDED
    assert [(one.voided, one.reason) for one in said.notifications] == [(True, "wrong-child")]
    assert (said.facts, said.nhs_number, said.tracking, said.needs) == ((), None, (), ())
    assert said.panel == "north"
    by_person = assemble(of(first(), voided_by_person=True), panels=PANELS, today=TODAY)
    assert by_person.state is CaseState.VOIDED
    assert by_person.facts == ()


def test_one_voided_notification_of_two_takes_its_facts_along() -> None:
    """The case stands on what is left."""
    gone = replace(
        notification("n-2", "RZ8", told={"child.given": "Rose"}), voided=True, void_reason="x"
    )
    said = assemble(of(first(), gone), panels=PANELS, today=TODAY)
    assert said.state is CaseState.OPEN
    assert {one.organisation for one in said.facts} == {"RZ9"}
    assert len(said.notifications) == 2


def test_a_merged_case_says_where_it_went_and_nothing_else() -> None:
    """Its facts count there."""
    into = uuid.uuid4()
    said = assemble(of(first(), merged_into=into), panels=PANELS, today=TODAY)
    assert (said.state, said.merged_into) == (CaseState.MERGED, into)
    assert (said.facts, said.needs, said.nhs_number) == ((), (), None)


def test_a_restricted_child_is_nowhere() -> None:
    """No place, no hospital, no authority, no proposed panel, in the case or its tombstone."""
    note = notification(
        told=CHILD | {"child.family": "Jessop", "child.postcode": "ZZ4 1AB"}, verified=NUMBER
    )
    assert note.identity is not None
    note = replace(note, identity=replace(note.identity, restricted=True))
    known = Known(
        flags=(FlagAtDeath("E06000002", "CPP", FlagHistory.CURRENT, "2025-01-01"),),
        attendances=(LastAttendance("RXX01", AT),),
        as_at=AT,
    )
    said = assemble(of(note, known=known), panels=PANELS, today=TODAY)
    shown = repr(said) + repr([one.fact.value for one in said.facts])
    for place in ("E06000001", "E06000002", "RXX01", "ZZ4 1AB"):
        assert place not in shown
    assert said.restricted
    assert said.flag_history is FlagHistory.CURRENT
    assert said.needs == ("panel",)
    assert said.panels_informed == ()
    gone = assemble(of(replace(note, voided=True)), panels=PANELS, today=TODAY)
    assert (gone.panel, gone.panels_informed) == (None, ())


def test_one_sender_who_restricts_hides_the_places_of_all() -> None:
    """Of a merged case too: what another sender told of the address is told no more."""
    open_one = notification(told=CHILD | {"child.postcode": "ZZ4 1AB"})
    shielded = notification("n-2", "RXX02", told={"child.family": "Jessop"})
    shielded = replace(shielded, notified=replace(shielded.notified, marks=("location-shielded",)))
    said = assemble(of(open_one, shielded), panels=PANELS, today=TODAY)
    assert said.restricted
    assert "ZZ4 1AB" not in [one.fact.value for one in said.facts]
    assert said.panel is None


@pytest.mark.parametrize(
    ("indications", "expected"),
    [
        ([], False),
        ([(DeathIndication.PDS_REMOVED, 2)], True),
        ([(DeathIndication.PDS_REMOVED, -2)], False),  # notified since
        ([(DeathIndication.PDS_REMOVED, 2), (DeathIndication.PDS_FORMAL, 3)], False),
        ([(DeathIndication.PDS_REMOVED, 3), (DeathIndication.PDS_FORMAL, 2)], True),
        ([(DeathIndication.PDS_REMOVED, 2), (DeathIndication.HOSPITAL, 3)], True),
        ([(DeathIndication.PDS_INFORMAL, 2)], False),
    ],
)
def test_a_death_that_pds_takes_back_is_questioned(
    indications: list[tuple[DeathIndication, int]], expected: bool
) -> None:
    """The latest word of PDS counts, if it came after the notification; never a void by itself."""
    told = tuple(
        Indication(kind, "pds", AT + timedelta(hours=hours)) for kind, hours in indications
    )
    said = assemble(of(first(), indications=told), panels=PANELS, today=TODAY)
    assert said.state is CaseState.OPEN
    assert ("death-questioned" in said.needs) is expected


def test_a_person_who_has_looked_answers_the_question() -> None:
    """An assignment after PDS took the death back stands."""
    removed = (Indication(DeathIndication.PDS_REMOVED, "pds", AT + timedelta(hours=2)),)
    looked = Assignment("north", "checked", "by", AT + timedelta(hours=3))
    said = assemble(of(first(), indications=removed, assignment=looked), panels=PANELS, today=TODAY)
    assert said.needs == ()


def test_looking_again_and_finding_the_same_is_no_new_version() -> None:
    """`known_as_at` alone does not count."""
    one = assemble(of(first(), known=Known(as_at=AT)), panels=PANELS, today=TODAY)
    later = Known(as_at=AT + timedelta(days=1))
    other = assemble(of(first(), known=later), panels=PANELS, today=TODAY)
    assert one.flag_history is FlagHistory.NEVER
    assert one != other
    assert same(one, other)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024", date(2024, 12, 31)),
        ("2024-02", date(2024, 2, 29)),
        ("2024-02-10", date(2024, 2, 10)),
        ("2024-02-10T04:10:00Z", date(2024, 2, 10)),
        ("2024-02-31", None),
        ("soon", None),
        (None, None),
    ],
)
def test_the_last_day_that_a_date_may_mean(text: str | None, expected: date | None) -> None:
    """Of a partial date the end; of nonsense nothing."""
    assert last_day_of(text) == expected


def test_reported_facts_are_in_the_case_after_the_notified_ones() -> None:
    """A report adds; it does not lead."""
    from tests.unit.cases.test_requests import report

    told = report("RXX01", facts=(Fact("child.family", value="Jessup"),))
    said = assemble(of(first(), reports=(told,)), panels=PANELS, today=TODAY)
    families = [one.fact.value for one in said.facts if one.fact.name == "child.family"]
    assert families == ["Jessop", "Jessup"]
    assert said.conflicts == ("child.family",)
    assert [one.organisation for one in said.reports] == ["RXX01"]


def test_an_area_of_two_panels_is_shown_to_a_person_and_told_to_neither() -> None:
    """The rule says which panels there are; one of them may have nothing to do with the child."""
    both = {code: panel(code, "E06000001") for code in ("one", "two")}
    said = assemble(of(first()), panels=both, today=TODAY)
    assert (said.panel, said.panel_rule) == (None, "panels-overlap:one,two")
    assert said.panels_informed == ()
    assert "panel" in said.needs


def test_the_day_of_receipt_is_that_of_england() -> None:
    """An area changes hands at England's midnight: what came after it is the new panel's."""
    day = date(2026, 4, 1)
    panels = {
        "old": panel("old", "E06000001", last=day - timedelta(days=1)),
        "new": panel("new", "E06000001", first=day),
    }
    told = CHILD | {"death.date": "2026"}
    at = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
    note = replace(notification(told=told), first_received_at=at)
    assert assemble(of(note), panels=panels, today=day).panel == "new"
