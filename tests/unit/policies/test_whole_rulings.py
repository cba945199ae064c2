"""Whole rulings: everything that one says, for each way in which it can come about."""

from __future__ import annotations

from typing import Any

import pytest

from policies.decision import as_released, decide
from policies.model import Policies
from policies.ruling import Decision, Disclosure, Flow
from stores.sectors import Sector
from tests.support.policies import NOON, ask, policy

FIELDS = frozenset({"next", "other"})
GRANTED: dict[str, Any] = {"recipients": [{"sector": "health", "fields": ["next"]}]}
HIDDEN: dict[str, Any] = {
    **GRANTED,
    "restricted": [{"organisation": "X0001", "fields": ["next"]}],
}


def asked(**more: Any) -> Disclosure:
    """A hospital asks for two fields."""
    return ask(Flow.WORKLIST, Sector.HEALTH, fields=FIELDS, **more)


def condition(**more: Any) -> list[dict[str, Any]]:
    """One condition of a file."""
    return [{"code": "why", "reason": "a test", **more}]


@pytest.mark.parametrize(
    ("said", "more", "decision", "rule"),
    [
        (GRANTED, {}, "permit", "permitted"),
        (GRANTED, {"restricted": True}, "deny", "restricted-not-covered"),
        (HIDDEN, {"restricted": True}, "permit", "permitted"),
        (HIDDEN, {"restricted": True, "recipient": "X0002"}, "deny", "restricted-not-covered"),
        ({**GRANTED, "deny": condition(always=True)}, {}, "deny", "why"),
        ({**GRANTED, "deny": condition(purposes=["child-protection"])}, {}, "deny", "why"),
        ({**GRANTED, "deny": condition(purposes=["audit"])}, {}, "permit", "permitted"),
        ({**GRANTED, "deny": condition(restricted=True)}, {}, "permit", "permitted"),
        ({**GRANTED, "deny": condition(sectors=["police"])}, {}, "permit", "permitted"),
        ({**GRANTED, "review": condition(always=True)}, {}, "review", "why"),
        (
            {"recipients": [{"sector": "health", "roles": ["clinician"], "fields": ["*"]}]},
            {},
            "deny",
            "role-not-permitted",
        ),
        (
            {"recipients": [{"sector": "health", "fields": ["third"]}]},
            {},
            "deny",
            "no-field-permitted",
        ),
    ],
)
def test_a_ruling_says_all(
    said: dict[str, Any], more: dict[str, Any], decision: str, rule: str
) -> None:
    """Decision, policy, version, rule, purpose, law; fields only where it is a PERMIT."""
    made = policy(**said)
    ruling = decide(Policies.of([made]), asked(**more))
    assert ruling.decision is Decision(decision)
    assert (ruling.policy, ruling.version, ruling.rule) == ("made-up", 1, rule)
    assert (ruling.purpose, ruling.legal_basis) == ("child-protection", made.law)
    permitted = ruling.decision is Decision.PERMIT
    assert ruling.fields == ({"next"} if permitted else frozenset())
    assert ruling.withheld == ({"other"} if permitted else frozenset())


def test_no_policy_rules_in_nobodys_name() -> None:
    """The denial names the purpose that was asked with, and no policy."""
    ruling = decide(Policies.of([]), asked(purpose="audit"))
    assert (ruling.decision, ruling.policy, ruling.version) == (Decision.DENY, "none", 0)
    assert (ruling.rule, ruling.purpose, ruling.legal_basis) == ("no-policy", "audit", "none")
    assert decide(Policies.of([]), asked()).purpose == "none"


def test_what_was_released_stands_under_the_policy_of_that_day() -> None:
    """In force or not; what the policy denies it denies still."""
    held = policy(**GRANTED, review=condition(always=True))
    late = asked(at=NOON.replace(year=2031))
    ruling = as_released(held, late)
    assert (ruling.decision, ruling.rule) == (Decision.PERMIT, "released")
    assert ruling.fields == {"next"}
    refused = policy(**GRANTED, deny=condition(always=True))
    assert as_released(refused, late).decision is Decision.DENY


def test_a_restricted_persons_places_are_withheld_whatever_a_policy_grants() -> None:
    """Each flow has places of its own: of an alert the count of earlier attendances tells none, of
    a look-up it is the authority that does.
    """
    places = {
        Flow.ALERT: {"hospital.ods", "visit.department"},
        Flow.FLAG_LOOKUP: {"hospital.ods", "visit.department", "flags.authority"},
    }
    fields = frozenset({"hospital.ods", "visit.department", "flags.authority", "visit.reason"})
    whole = [{"organisation": "X0001", "fields": ["*"]}]
    for flow, told in places.items():
        policies = Policies.of(
            [policy(flows=[flow.value], recipients=whole, restricted=whole, permitted_use=["x"])]
        )
        for restricted in (True, False):
            ruling = decide(
                policies, ask(flow, Sector.HEALTH, fields=fields, restricted=restricted)
            )
            assert ruling.decision is Decision.PERMIT
            assert ruling.withheld == (told if restricted else frozenset())


def test_nothing_is_released_that_nobody_released() -> None:
    """What a policy leaves to a person stays with a person until it is said to be released."""
    policies = Policies.of([policy(**GRANTED, review=condition(always=True))])
    assert decide(policies, asked()).rule == "why"
    assert decide(policies, asked(), released=True).rule == "released"
