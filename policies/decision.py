"""What a disclosure may be: PERMIT, DENY or REVIEW, and which of its fields. Pure.

Of the policies in force that cover flow, recipient and purpose, the most specific decides alone:
one that names the organisation before one that names its sector. Within it deny wins over review,
and review over permit. The hard rules of `policies.fields.may_leave` hold whatever it grants.
"""

from __future__ import annotations

from datetime import date, datetime
from typing import Final
from zoneinfo import ZoneInfo

from policies.fields import may_leave, patterns
from policies.model import Condition, Policies, Policy, find
from policies.ruling import Decision, Disclosure, Ruling

NO_POLICY: Final = "no-policy"
NOT_IN_FORCE: Final = "not-in-force"
PURPOSE: Final = "purpose-not-permitted"
PURPOSE_NEEDED: Final = "purpose-needed"
ROLE: Final = "role-not-permitted"
RESTRICTED: Final = "restricted-not-covered"
NOTHING: Final = "no-field-permitted"
PERMITTED: Final = "permitted"
RELEASED: Final = "released"  # by a person, from review

_ENGLAND: Final = ZoneInfo("Europe/London")


def decide(policies: Policies, disclosure: Disclosure, *, released: bool = False) -> Ruling:
    """The ruling on `disclosure`. Its rule is one of this module's codes, or a condition's own.
    `released`: a person has decided for it what a policy leaves to one; what a policy denies and
    the hard rules stand.
    """
    near = [
        policy
        for policy in policies.by_flow[disclosure.flow]
        if policy.recipient(disclosure.recipient, disclosure.sector) is not None
    ]
    if not near:
        return _none(disclosure, NO_POLICY)
    day = local_day(disclosure.at)
    near = [policy for policy in near if policy.in_force(day)]
    if not near:
        return _none(disclosure, NOT_IN_FORCE)
    if disclosure.purpose is not None:
        near = [policy for policy in near if disclosure.purpose in policy.purposes]
        if not near:
            return _none(disclosure, PURPOSE)
    own = [
        policy
        for policy in near
        if any(one.organisation == disclosure.recipient for one in policy.recipients)
    ]
    near = own or near
    if len(near) > 1:
        return _none(disclosure, PURPOSE_NEEDED)
    return _under(near[0], disclosure, released=released)


def as_released(policy: Policy, disclosure: Disclosure) -> Ruling:
    """What `policy`, under which a person released it, rules on `disclosure`, in force or not."""
    return _under(policy, disclosure, released=True)


def local_day(at: datetime) -> date:
    """The day in England, on which a policy's dates are."""
    return at.astimezone(_ENGLAND).date()


def _under(policy: Policy, disclosure: Disclosure, *, released: bool) -> Ruling:
    found = policy.recipient(disclosure.recipient, disclosure.sector)
    if found is not None and disclosure.restricted:
        found = find(policy.restricted, disclosure.recipient, disclosure.sector)
    if found is None:
        return _ruling(policy, disclosure, Decision.DENY, RESTRICTED)
    purpose = disclosure.purpose or policy.purposes[0].value
    for condition in policy.deny:
        if _holds(condition, disclosure, purpose):
            return _ruling(policy, disclosure, Decision.DENY, condition.code)
    if found.roles and disclosure.roles.isdisjoint(found.roles):
        return _ruling(policy, disclosure, Decision.DENY, ROLE)
    granted = frozenset(
        name
        for name in patterns(found.fields).select(disclosure.fields)
        if may_leave(disclosure.flow, disclosure.sector, name, restricted=disclosure.restricted)
    )
    if disclosure.fields and not granted:
        return _ruling(policy, disclosure, Decision.DENY, NOTHING)
    rule = PERMITTED
    for condition in policy.review:
        if _holds(condition, disclosure, purpose):
            if not released:
                return _ruling(policy, disclosure, Decision.REVIEW, condition.code)
            rule = RELEASED
    return _ruling(policy, disclosure, Decision.PERMIT, rule, granted)


def _holds(condition: Condition, asked: Disclosure, purpose: str) -> bool:
    if condition.restricted is not None and condition.restricted is not asked.restricted:
        return False
    if condition.sectors and asked.sector not in condition.sectors:
        return False
    if condition.organisations and asked.recipient not in condition.organisations:
        return False
    if condition.purposes and purpose not in condition.purposes:
        return False
    if condition.roles and asked.roles.isdisjoint(condition.roles):
        return False
    if condition.without_roles and not asked.roles.isdisjoint(condition.without_roles):
        return False
    return not condition.fields or bool(patterns(condition.fields).select(asked.fields))


def _ruling(
    policy: Policy,
    disclosure: Disclosure,
    decision: Decision,
    rule: str,
    granted: frozenset[str] = frozenset(),
) -> Ruling:
    permitted = decision is Decision.PERMIT
    return Ruling(
        decision=decision,
        policy=policy.id,
        version=policy.version,
        rule=rule,
        purpose=disclosure.purpose or policy.purposes[0].value,
        legal_basis=policy.law,
        fields=granted if permitted else frozenset(),
        withheld=disclosure.fields - granted if permitted else frozenset(),
    )


def _none(disclosure: Disclosure, rule: str) -> Ruling:
    return Ruling(Decision.DENY, "none", 0, rule, disclosure.purpose or "none", "none")
