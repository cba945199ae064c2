"""What policies answer, over any policy that a file can hold and any disclosure."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policies import decision
from policies.decision import decide
from policies.fields import holds_number, tells_place
from policies.model import Policies
from policies.ruling import Decision, Disclosure, Flow
from stores.sectors import MAY_HOLD_NUMBER, Sector
from tests.support.policies import ask, disclosures, only, policy, policy_members


def asked(**more: Any) -> Disclosure:
    """Somebody of health asks about a worklist."""
    return ask(Flow.WORKLIST, more.pop("sector", Sector.HEALTH), **more)


@given(policy_members(), disclosures, st.booleans())
def test_no_policy_lets_a_number_leave_health_and_social_care(
    said: dict[str, Any], disclosure: Disclosure, released: bool
) -> None:
    """Whatever a file grants, and whoever released it, outside health and social care no field that
    holds a number is permitted."""
    ruling = decide(only(**said), disclosure, released=released)
    if disclosure.sector not in MAY_HOLD_NUMBER:
        assert not any(holds_number(name) for name in ruling.fields)


@given(policy_members(), disclosures, st.booleans())
def test_no_policy_tells_where_a_restricted_person_is(
    said: dict[str, Any], disclosure: Disclosure, released: bool
) -> None:
    """Of a restricted person no address and no place is permitted, whatever a file grants."""
    ruling = decide(only(**said), replace(disclosure, restricted=True), released=released)
    assert not any(tells_place(disclosure.flow, disclosure.sector, name) for name in ruling.fields)


@settings(max_examples=50)
@given(policy_members(), disclosures)
def test_only_a_permit_has_fields_and_every_field_asked_is_accounted_for(
    said: dict[str, Any], disclosure: Disclosure
) -> None:
    """DENY and REVIEW permit nothing; of a PERMIT permitted and withheld are what was asked."""
    ruling = decide(only(**said), disclosure)
    if ruling.decision is Decision.PERMIT:
        assert ruling.fields | ruling.withheld == disclosure.fields
        assert not ruling.fields & ruling.withheld
    else:
        assert not ruling.fields
        assert not ruling.withheld


@settings(max_examples=50)
@given(policy_members(), disclosures, st.integers(0, 7))
def test_a_field_taken_out_of_a_policy_never_adds_one(
    said: dict[str, Any], disclosure: Disclosure, place: int
) -> None:
    """Granting less never permits more."""
    before = decide(only(**said), disclosure)
    less = [
        {**one, "fields": [f for n, f in enumerate(one["fields"]) if n != place] or ["nothing"]}
        for one in said["recipients"]
    ]
    after = decide(only(**{**said, "recipients": less}), disclosure)
    assert after.fields <= before.fields


@settings(max_examples=50)
@given(policy_members(), disclosures)
def test_outside_its_dates_a_policy_permits_nothing(
    said: dict[str, Any], disclosure: Disclosure
) -> None:
    """Before its first day and after its last nothing is permitted."""
    for at in (datetime(2025, 12, 31, 23, 59, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)):
        assert decide(only(**said), replace(disclosure, at=at)).decision is Decision.DENY


@settings(max_examples=50)
@given(policy_members(), disclosures)
def test_deny_wins_over_review_and_review_over_permit(
    said: dict[str, Any], disclosure: Disclosure
) -> None:
    """A condition that always holds turns a PERMIT into REVIEW, and anything into DENY."""
    always = {"code": "always", "reason": "a test", "always": True}
    before = decide(only(**said), disclosure).decision
    reviewed = decide(only(**{**said, "review": [always, *said["review"]]}), disclosure).decision
    denied = decide(
        only(**{**said, "deny": [always], "review": [{**always, "code": "b"}]}), disclosure
    )
    assert reviewed is (Decision.DENY if before is Decision.DENY else Decision.REVIEW)
    assert denied.decision is Decision.DENY


@settings(max_examples=50)
@given(policy_members(), disclosures)
def test_releasing_turns_a_review_alone_into_a_permit(
    said: dict[str, Any], disclosure: Disclosure
) -> None:
    """What a person releases is permitted; what a policy denies stays denied."""
    policies = only(**said)
    before, after = decide(policies, disclosure), decide(policies, disclosure, released=True)
    if before.decision is Decision.REVIEW:
        assert (after.decision, after.rule) == (Decision.PERMIT, decision.RELEASED)
    else:
        assert after == before


@pytest.mark.parametrize(
    ("more", "rule"),
    [
        ({}, decision.PERMITTED),
        ({"sector": Sector.POLICE}, decision.NO_POLICY),
        ({"at": datetime(2024, 1, 1, tzinfo=UTC)}, decision.NOT_IN_FORCE),
        ({"purpose": "research"}, decision.PURPOSE),
        ({"purpose": "child-protection"}, decision.PERMITTED),
        ({"restricted": True}, decision.RESTRICTED),
    ],
)
def test_each_answer_has_a_rule_of_its_own(more: dict[str, Any], rule: str) -> None:
    """The rule says why."""
    assert decide(only(), asked(**more)).rule == rule


def test_nothing_to_be_seen_is_a_denial() -> None:
    """A policy that grants none of the fields denies, and says so."""
    policies = only(recipients=[{"sector": "health", "fields": ["other"]}])
    assert decide(policies, asked()).rule == decision.NOTHING


def test_a_role_is_needed_where_a_policy_names_roles() -> None:
    """Without one of the roles it is a denial, also for who shows none."""
    policies = only(recipients=[{"sector": "health", "roles": ["clinician"], "fields": ["*"]}])
    assert decide(policies, asked()).rule == decision.ROLE
    assert decide(policies, asked(roles=frozenset({"auditor"}))).rule == decision.ROLE
    permitted = decide(policies, asked(roles=frozenset({"clinician", "auditor"})))
    assert permitted.decision is Decision.PERMIT


def test_the_most_specific_policy_decides_alone() -> None:
    """The policy that names the organisation goes before the one of its sector."""
    own = policy(id="own", recipients=[{"organisation": "X0001", "fields": ["next"]}])
    policies = Policies.of([policy(), own])
    assert decide(policies, asked()).policy == "own"
    assert decide(policies, asked()).fields == {"next"}
    assert decide(policies, asked(recipient="X0002")).policy == "made-up"


def test_without_a_purpose_two_policies_of_different_purposes_permit_nothing() -> None:
    """Which of two policies decides is never a matter of luck."""
    policies = Policies.of([policy(), policy(id="other", purposes=["audit"])])
    assert decide(policies, asked()).rule == decision.PURPOSE_NEEDED
    assert decide(policies, asked(purpose="audit")).policy == "other"


def test_a_policys_days_are_days_in_england() -> None:
    """In summer the day begins an hour before midnight UTC; first and last day count."""
    policies = only(start=date(2026, 7, 1), end=date(2026, 7, 1))

    def rule(day: int, hour: int, minute: int) -> str:
        at = datetime(2026, 7 if day == 1 else 6, day, hour, minute, tzinfo=UTC)
        return decide(policies, asked(at=at)).rule

    assert rule(30, 22, 59) == "not-in-force"
    assert rule(30, 23, 1) == "permitted"
    assert rule(1, 22, 59) == "permitted"
    assert rule(1, 23, 1) == "not-in-force"


def test_a_newer_version_takes_over_on_its_first_day() -> None:
    """Two versions of one policy follow each other without a gap."""
    old, new = policy(end=date(2026, 2, 28)), policy(version=2, start=date(2026, 3, 1))
    policies = Policies.of([old, new])
    assert decide(policies, asked(at=datetime(2026, 2, 28, 23, tzinfo=UTC))).version == 1
    assert decide(policies, asked(at=datetime(2026, 3, 1, 1, tzinfo=UTC))).version == 2


@pytest.mark.parametrize(
    ("condition", "more", "holds"),
    [
        ({"roles": ["clinician"]}, {"roles": frozenset({"clinician"})}, True),
        ({"roles": ["clinician"]}, {}, False),
        ({"without_roles": ["clinician"]}, {}, True),
        ({"without_roles": ["clinician"]}, {"roles": frozenset({"clinician"})}, False),
        ({"organisations": ["X0001"]}, {}, True),
        ({"organisations": ["X0001"]}, {"recipient": "X0002"}, False),
        ({"purposes": ["child-protection"]}, {}, True),  # the flow's own
        ({"purposes": ["audit"]}, {}, False),
        ({"sectors": ["health"], "organisations": ["X0002"]}, {}, False),  # all must hold
        ({"fields": ["entries.*"]}, {}, True),
        ({"fields": ["visit.*"]}, {}, False),
        ({"restricted": False}, {}, True),
    ],
)
def test_a_condition_holds_when_all_it_names_does(
    condition: dict[str, Any], more: dict[str, Any], holds: bool
) -> None:
    """Of a list one member is enough; of several members each must hold."""
    policies = only(review=[{"code": "look", "reason": "a test", **condition}])
    expected = Decision.REVIEW if holds else Decision.PERMIT
    assert decide(policies, asked(**more)).decision is expected
