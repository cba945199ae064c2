"""Whom the policies in force keep from being told what the hub is for.

That a policy covers a flow says little: it may name another sector, leave out restricted people, or
deny under a condition that always holds. So this asks, as processes ask, for everybody who is to be
told: each authority of alerts, also about restricted people, and each hospital of matches and
answers. It asks with the fields that every body has; a condition on others may still hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from halyard.telemetry import get_logger
from policies.decision import decide
from policies.model import REQUIRED, Policies
from policies.purposes import Purpose
from policies.ruling import Decision, Disclosure, Flow, Ruling
from stores.directory import Directory
from stores.sectors import sector_of

log = get_logger()

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Unreached:
    """Somebody who is not told by the hub itself: nobody may tell (deny), or a person must."""

    flow: Flow
    organisation: str
    restricted: bool
    ruling: Ruling

    @property
    def denied(self) -> bool:
        """Whether nothing goes at all."""
        return self.ruling.decision is Decision.DENY

    def __str__(self) -> str:
        people = " of restricted people" if self.restricted else ""
        return (
            f"{self.organisation} (flow {self.flow}{people}; policy {self.ruling.policy}, "
            f"rule {self.ruling.rule})"
        )


def unreached(policies: Policies, directory: Directory, at: datetime) -> list[Unreached]:
    """All of them, by organisation. Of an authority without a contact for restricted people such
    alerts wait anyway, and it is asked about all the same.
    """
    asked = [
        *((Flow.ALERT, gss, hidden) for gss in directory.authorities for hidden in (False, True)),
        *((flow, ods, False) for ods in directory.hospitals for flow in (Flow.MATCH, Flow.RECEIPT)),
    ]
    found = []
    for flow, organisation, restricted in sorted(asked):
        disclosure = Disclosure(
            flow=flow,
            recipient=organisation,
            sector=sector_of(directory, organisation),
            purpose=None,
            at=at,
            fields=REQUIRED[flow],
            restricted=restricted,
        )
        ruling = decide(policies, disclosure)
        if ruling.decision is not Decision.PERMIT:
            found.append(Unreached(flow, organisation, restricted, ruling))
    return found


def unnoticed(policies: Policies, directory: Directory, at: datetime) -> list[str]:
    """Codes of hospitals and authorities in which a code of the issuer's gives somebody a role that
    may break the glass, and whose Caldicott guardian could not be told.
    """
    told = directory.caldicott_endpoints()
    asking = {*directory.hospitals, *directory.authorities} - set(told)
    held = {
        (code, one.role)
        for one in directory.role_maps
        for code in asking.intersection(one.organisations or asking)
    }
    return sorted({code for code, role in held if _may_break(policies, directory, code, role, at)})


def _may_break(
    policies: Policies, directory: Directory, organisation: str, role: str, at: datetime
) -> bool:
    disclosure = Disclosure(
        flow=Flow.FLAG_LOOKUP,
        recipient=organisation,
        sector=sector_of(directory, organisation),
        purpose=Purpose.BREAK_GLASS.value,
        at=at,
        fields=REQUIRED[Flow.FLAG_LOOKUP],
        roles=frozenset({role}),
    )
    return decide(policies, disclosure).decision is Decision.PERMIT


def listed(found: Sequence[Unreached]) -> str:
    """The first of them, each with what decides."""
    rest = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return "; ".join(map(str, found[:_SHOWN])) + rest


def say_unreached(policies: Policies, directory: Directory, at: datetime) -> None:
    """Log each as a process starts: an error where nothing goes, else a warning."""
    for one in unreached(policies, directory, at):
        (log.error if one.denied else log.warning)(
            "nobody_is_told" if one.denied else "everything_is_held",
            flow=one.flow.value,
            recipient=one.organisation,
            restricted=one.restricted,
            policy=one.ruling.policy,
            policy_version=one.ruling.version,
            rule=one.ruling.rule,
        )
