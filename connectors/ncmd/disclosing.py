"""What the National Child Mortality Database is told of a version of a case: what the policy says.

The connector's role has no right on the hub's schema and keeps no audit chain: the decision is
recorded where the version is written (`streams.cases.outputs`), and taken here again, under the
policies of the time, for what is stored and submitted. A version that a policy denies, or leaves to
a person, waits in the log until one permits it; one of which nothing is granted is kept without a
fact, a number or a place, and is not submitted. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from policies.decision import decide
from policies.desk import Asked
from policies.model import Policies
from policies.ruling import Disclosure, Flow
from schemas.deaths import CaseChanged, CaseContent
from stores.sectors import NCMD, Sector

NUMBER: Final = "nhs_number"
_PARTS: Final = (
    "tracking",
    "flags",
    "attendances",
    "notifications",
    "reports",
    "requests",
    "conflicts",
)
"""Members of a case's content that are told or withheld whole."""


def asked(policies: Policies, event: CaseChanged, at: datetime) -> Asked:
    """What the policies say to this version, as it is to be stored."""
    fields = frozenset(_names(event.content))
    return _asked(policies, at, fields, restricted=event.content.restricted)


def may_submit(policies: Policies, at: datetime) -> Asked:
    """Whether anything may be submitted at all now: a policy may have ended since."""
    return _asked(policies, at, frozenset(), restricted=False)


def _asked(policies: Policies, at: datetime, fields: frozenset[str], *, restricted: bool) -> Asked:
    disclosure = Disclosure(
        flow=Flow.NCMD_SUBMISSION,
        recipient=NCMD,
        sector=Sector.CHILD_DEATH_REVIEW,
        purpose=None,
        at=at,
        fields=fields,
        restricted=restricted,
    )
    return Asked(disclosure, decide(policies, disclosure))


def permitted(event: CaseChanged, said: Asked) -> CaseChanged:
    """`event` with what may leave alone; the same object if that is everything."""
    if said.permitted and not said.ruling.withheld:
        return event
    content = event.content
    parts: dict[str, Any] = {
        name: getattr(content, name) if said.may(name) else () for name in _PARTS
    }
    facts = tuple(one for one in content.facts if said.may(one.fact.name))
    number = content.nhs_number if said.may(NUMBER) else None
    return replace(event, content=replace(content, nhs_number=number, facts=facts, **parts))


def _names(content: CaseContent) -> Iterator[str]:
    if content.nhs_number:
        yield NUMBER
    for one in content.facts:
        yield one.fact.name
    for name in _PARTS:
        if getattr(content, name):
            yield name
