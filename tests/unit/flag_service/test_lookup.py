"""The three answers of a look-up; "no flag held" is never said lightly."""

from __future__ import annotations

import json
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from flag_service.lookup import (
    FLAGGED,
    NONE_HELD,
    NOT_CHECKED,
    RESTRICTED_HELD,
    Covering,
    Held,
    Viewer,
    answer,
    names,
    personal,
)
from policies import fields
from schemas.events import PlanType
from stores.accesses import Access
from stores.coverage import Coverage
from stores.flags import UNKNOWN_START, Flag
from stores.holdings import Attendance
from tests.support.face import INFIRMARY, NORTH, ORDERED, SOUTH, directory

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


def plan(**changes: Any) -> Flag:
    """An active child protection plan of North."""
    values: dict[str, Any] = {
        "authority": NORTH,
        "person": "p",
        "plan_type": PlanType.CPP,
        "start": date(2025, 1, 6),
        "end": None,
        "sequence": 1,
        "line": 1,
        "active_since": NOW,
        "restricted": False,
        "nhs_number": "9990000018",
        "birth_date": "2017-03-04",
        "local_id": "C-1",
        "phone_office": "01632 960009",
    }
    return Flag(**{**values, **changes})


def ask(
    *flags: Flag, ages: dict[str, timedelta] | None = None, caller: str = INFIRMARY
) -> dict[str, Any]:
    """The answer for these plans, with files of these ages."""
    ages = {NORTH: timedelta(hours=3)} if ages is None else ages
    coverage = {gss: Coverage(gss, NOW - age, 2) for gss, age in ages.items()}
    return answer(Held(flags, coverage, True), directory(), caller=caller, now=NOW)


def test_a_plan_is_told_with_whom_to_ring() -> None:
    """Office number from the record, else the authority's own; never the NHS number."""
    found = ask(plan(), plan(authority=NORTH, plan_type=PlanType.LAC, phone_office=None))
    assert found["answer"] == FLAGGED
    assert [one["phone_office"] for one in found["flags"]] == ["01632 960009", "01632 960001"]
    assert found["flags"][0]["authority_name"] == "North"
    assert "9990000018" not in json.dumps(found)


def test_all_authorities_are_told() -> None:
    """A child who moves has plans of two."""
    found = ask(plan(), plan(authority=SOUTH))
    assert {one["authority"] for one in found["flags"]} == {NORTH, SOUTH}


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        (date(2026, 3, 10), True),
        (date(2026, 3, 9), False),
        (date(2025, 3, 10), False),
        (date(2025, 3, 9), None),
    ],
)
def test_an_ended_plan_is_shown_for_365_days(end: date, expected: bool | None) -> None:
    """The last day is active, then it is shown as ended, then not at all."""
    found = ask(plan(end=end))
    if expected is None:
        assert found["answer"] == NONE_HELD
    else:
        assert found["flags"][0]["active"] is expected


def test_an_unknown_start_is_null() -> None:
    """Never the placeholder that the store uses."""
    assert ask(plan(start=UNKNOWN_START))["flags"][0]["start"] is None


def test_a_plan_of_an_unknown_kind_is_shown() -> None:
    """A symbol not known yet needs a person, never a drop."""
    found = ask(plan(plan_type=PlanType.UNKNOWN))
    assert "ring" in found["flags"][0]["plan"]


def test_local_ids_are_for_their_own_authority() -> None:
    """Nobody else sees another authority's id of a child."""
    found = ask(plan(), plan(authority=SOUTH), caller=NORTH)
    assert [one.get("local_id") for one in found["flags"]] == ["C-1", None]


@pytest.mark.parametrize("caller", [INFIRMARY, SOUTH])
def test_others_learn_of_a_restricted_plan_only_that_there_is_one(caller: str) -> None:
    """No authority, name, telephone, type or date, which all tell where the child may live; of
    two the same as of one. All members are there, as for every plan.
    """
    other = plan(restricted=True, plan_type=PlanType.LAC, end=date(2026, 3, 1))
    found = ask(plan(restricted=True), other, caller=caller)
    (shown,) = found["flags"]
    assert shown == {
        **dict.fromkeys(set(ask(plan())["flags"][0])),
        "plan": RESTRICTED_HELD,
        "active": True,
        "restricted": True,
    }
    assert "own safeguarding lead" in shown["plan"]
    assert not ask(other, caller=caller)["flags"][0]["active"]


def test_its_own_authority_sees_a_restricted_plan_whole() -> None:
    """It made the plan; of another authority's it learns no more than anybody."""
    found = ask(plan(restricted=True), plan(restricted=True, authority=SOUTH), caller=NORTH)
    assert [one["authority"] for one in found["flags"]] == [NORTH, None]
    assert found["flags"][0]["phone_office"] == "01632 960009"


@pytest.mark.parametrize(
    "held",
    [
        Held((plan(),), {}, True, restricted=True),
        Held((plan(), plan(restricted=True, authority=ORDERED)), {}, True),
    ],
)
@pytest.mark.parametrize("caller", [INFIRMARY, SOUTH])
def test_whoever_says_that_a_person_is_restricted_all_their_plans_are(
    held: Held, caller: str
) -> None:
    """PDS, a hospital or another authority: an ordinary plan would tell the place as well."""
    found = answer(held, directory(), caller=caller, now=NOW)
    (shown,) = found["flags"]
    assert (shown["plan"], shown["restricted"]) == (RESTRICTED_HELD, True)
    assert {shown[name] for name in ("authority", "phone_office", "start", "plan_type")} == {None}
    own = answer(held, directory(), caller=NORTH, now=NOW)["flags"][0]
    assert (own["authority"], own["restricted"]) == (NORTH, True)


def test_none_held_says_as_of_when_and_who_is_covered() -> None:
    """Each authority with the age of its last file, and those who have sent none."""
    found = ask(ages={NORTH: timedelta(hours=3), SOUTH: timedelta(hours=49)})
    assert found["answer"] == NONE_HELD
    assert "flags" not in found
    assert found["as_of"] == NOW.isoformat()
    assert [(one["authority"], one["age_seconds"], one["stale"]) for one in found["coverage"]] == [
        (NORTH, 10_800, False),
        (SOUTH, 176_400, True),
    ]
    assert found["coverage"][0]["unmatched_records"] == 2
    assert [one["authority"] for one in found["not_covered"]] == [ORDERED]
    assert found["number"] == "verified-here"


@pytest.mark.parametrize(
    ("ages", "reason"),
    [({}, "no-authority-has-sent-a-file"), ({NORTH: timedelta(hours=49)}, "every-file-is-stale")],
)
def test_without_a_fresh_file_nothing_can_be_checked(
    ages: dict[str, timedelta], reason: str
) -> None:
    """Silence of the authorities is not an answer about the child."""
    found = ask(ages=ages)
    assert (found["answer"], found["reason"]) == (NOT_CHECKED, reason)
    assert "flags" not in found


def test_a_flag_is_told_also_when_files_are_stale() -> None:
    """What is held is held."""
    assert ask(plan(), ages={NORTH: timedelta(days=30)})["answer"] == FLAGGED


def test_a_noted_death_stands_beside_plans_and_beside_none() -> None:
    """Also where nothing else could be checked: the death is known whatever authorities sent."""
    at = NOW - timedelta(days=2)
    for plans in ((plan(),), ()):
        coverage = {NORTH: Coverage(NORTH, NOW, 0)}
        held = Held(plans, coverage, True, death_noted=at)
        found = answer(held, directory(), caller=INFIRMARY, now=NOW)
        assert found["death_noted"] == at.isoformat()
    assert ask(plan())["death_noted"] is None
    unchecked = answer(Held((), {}, True, at), directory(), caller=INFIRMARY, now=NOW)
    assert (unchecked["answer"], unchecked["death_noted"]) == (NOT_CHECKED, at.isoformat())


@pytest.mark.parametrize("plans", [(), (plan(),), (plan(restricted=True),), (plan(), plan())])
@pytest.mark.parametrize("here", [True, False])
def test_the_names_are_those_that_policies_know(plans: tuple[Flag, ...], here: bool) -> None:
    """The quick way gives what the careful one gives, of whatever is held."""
    access = Access(
        uuid.UUID(int=1), NOW, INFIRMARY, "user:1", "N", True, None, (), "urgent-care", True, "x"
    )
    held = Held(
        plans,
        {},
        True,
        death_noted=NOW,
        accesses=(access,),
        attendances=(Attendance(INFIRMARY, None, NOW),),
        here=here,
    )
    covering = Covering(NOW, ({"stale": False},), ())
    viewer = Viewer(INFIRMARY, frozenset({"clinician"}))
    body = personal(held, covering, directory(), viewer, NOW)
    assert names(body) == fields.names(body)


HIDDEN = Held(
    (),
    {},
    True,
    restricted=True,
    attendances=(Attendance(INFIRMARY, None, NOW),),
)
FRESH = Covering(NOW, ({"stale": False},), ())


@pytest.mark.parametrize("roles", [{"clinician"}, {"hospital-system"}])
@pytest.mark.parametrize("broken", [True, False])
@pytest.mark.parametrize("covering", [FRESH, Covering(NOW, (), ())])
@pytest.mark.parametrize(
    "hidden",
    [
        HIDDEN,
        replace(HIDDEN, flags=(plan(restricted=True, end=date(2024, 1, 1)),)),  # long over
    ],
)
def test_a_restricted_person_without_a_plan_is_as_one_whom_nobody_knows(
    roles: set[str], broken: bool, covering: Covering, hidden: Held
) -> None:
    """Whoever asks, from where the person is not; through broken glass too. Else a number at a time
    would tell who is hidden, and when they came to the region.
    """
    viewer = Viewer(INFIRMARY, frozenset(roles), break_glass=broken)
    nobody = Held((), {}, False)
    assert personal(hidden, covering, directory(), viewer, NOW) == personal(
        nobody, covering, directory(), viewer, NOW
    )


def test_where_a_restricted_person_is_the_rule_is_told_and_no_place() -> None:
    """Their own hospital knows them; nor does broken glass there show more."""
    viewer = Viewer(INFIRMARY, frozenset({"clinician"}), break_glass=True)
    body = personal(replace(HIDDEN, here=True), FRESH, directory(), viewer, NOW)
    assert (body["earlier_attendances"], body["earlier_attendances_rule"]) == (None, "withheld")
    assert body["number"] == "verified-here"


def test_a_restricted_person_who_died_is_as_any_other_who_died() -> None:
    """A death is told; the number must not say that nobody is known."""
    viewer = Viewer(INFIRMARY, frozenset({"clinician"}))
    died = replace(HIDDEN, death_noted=NOW)
    ordinary = replace(died, restricted=False)
    assert personal(died, FRESH, directory(), viewer, NOW) == personal(
        ordinary, FRESH, directory(), viewer, NOW
    )


def test_through_broken_glass_none_is_not_told_from_withheld() -> None:
    """An ordinary child without attendances gets what a restricted one with some gets."""
    viewer = Viewer(INFIRMARY, frozenset({"clinician"}), break_glass=True)
    body = personal(Held((plan(),), {}, True), FRESH, directory(), viewer, NOW)
    assert body["earlier_attendances"] is None
    assert body["earlier_attendances_rule"] == "none-or-withheld"
    here = personal(Held((plan(),), {}, True, here=True), FRESH, directory(), viewer, NOW)
    assert (here["earlier_attendances"], here["earlier_attendances_rule"]) == ([], "shown")


@pytest.mark.parametrize(
    ("caller", "restricted", "rule"),
    [
        (INFIRMARY, False, "shown"),
        (INFIRMARY, True, "withheld"),
        (SOUTH, True, "withheld"),
        (NORTH, True, "shown"),
    ],
)
def test_accesses_that_are_withheld_say_so(caller: str, restricted: bool, rule: str) -> None:
    """Null with the rule, never an empty list: that would be "nobody looked"."""
    found = ask(plan(restricted=restricted), caller=caller)
    assert found["accesses_rule"] == rule
    assert found["accesses"] == ([] if rule == "shown" else None)


def test_an_authority_whose_plan_is_long_over_is_not_told_when_somebody_looked() -> None:
    """It is anybody else by then: the child moved away, perhaps from there."""
    over = plan(restricted=True, end=date(2024, 1, 1))
    found = ask(over, plan(authority=SOUTH, restricted=True), caller=NORTH)
    assert (found["accesses"], found["accesses_rule"]) == (None, "withheld")
