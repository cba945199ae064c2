"""What the NCMD is told of a case: what the policy grants, and never what it denies."""

from __future__ import annotations

from dataclasses import replace

from connectors.ncmd.disclosing import asked, may_submit, permitted
from policies.desk import packaged
from policies.model import Policies
from policies.ruling import Flow
from schemas.deaths import CaseChanged, Fact
from tests.support import ncmd_cases
from tests.support.disclosing import DENY, ENDED, changed, now


def event() -> CaseChanged:
    """A version with facts and a number."""
    return ncmd_cases.changed(1)


def told(policies: Policies) -> CaseChanged:
    """The version as it may be kept."""
    one = event()
    return permitted(one, asked(policies, one, now()))


def test_the_products_policy_tells_a_case_whole() -> None:
    """The same object: the bytes that are kept are those of the bus."""
    one = event()
    assert permitted(one, asked(packaged(), one, now())) is one


def test_facts_that_the_policy_does_not_grant_are_not_kept() -> None:
    """Nor the number, nor what is told whole, as plans and attendances."""
    name = event().content.facts[0].fact.name
    granted = {"recipients": [{"organisation": "NCMD", "fields": [name]}]}
    content = told(changed(Flow.NCMD_SUBMISSION, **granted)).content
    assert {one.fact.name for one in content.facts} == {name}
    assert (content.nhs_number, content.flags, content.attendances) == (None, (), ())


def test_a_policy_of_the_time_at_which_a_version_is_stored_decides() -> None:
    """A gap in the policies holds up what comes in it, and nothing for ever."""
    assert not asked(changed(Flow.NCMD_SUBMISSION, **DENY), event(), now()).permitted
    assert not asked(changed(Flow.NCMD_SUBMISSION, **ENDED), event(), now()).permitted
    assert asked(packaged(), event(), now()).permitted


def test_of_a_restricted_child_no_place_is_told_whatever_is_granted() -> None:
    """The hard rule holds beneath a policy that grants everything."""
    said = event().content.facts
    home = replace(said[0], fact=Fact("child.postcode", value="ZZ99 3CZ"))
    hidden = ncmd_cases.changed(1, restricted=True, facts=(*said, home))
    left = permitted(hidden, asked(packaged(), hidden, now()))
    assert [one.fact.name for one in left.content.facts] == [one.fact.name for one in said]


def test_nothing_is_submitted_under_a_policy_that_has_ended() -> None:
    """What was filed waits until there is one again."""
    assert may_submit(packaged(), now()).permitted
    assert not may_submit(changed(Flow.NCMD_SUBMISSION, **ENDED), now()).permitted
