"""What is held of a child: one of three answers, never an empty list.

``flagged``; ``none-held`` (as of when, which authorities are covered and how old their last file
is); ``could-not-be-checked``. DESIGN: an empty list after a failed or stale check would read as
"this child is safe".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from schemas.events import PlanType
from stores.coverage import Coverage
from stores.directory import Directory
from stores.flags import UNKNOWN_START, Flag
from streams.matching.flags import Standing, day, last_day, standing

FLAGGED: Final = "flagged"
NONE_HELD: Final = "none-held"
NOT_CHECKED: Final = "could-not-be-checked"

# Authorities send daily (CP-IS); after two days without a file silence means nothing any more
STALE_AFTER: Final = timedelta(hours=48)

PLAN_NAMES: Final = {
    PlanType.CPP: "child protection plan",
    PlanType.LAC: "looked after child",
    PlanType.UCPP: "unborn child protection plan (on the mother's record)",
    PlanType.UNKNOWN: "a plan of a kind this version does not know: ring the authority",
}


RESTRICTED_HELD: Final = (
    "a restricted plan is held: ask nobody about it but your own safeguarding lead, now"
)


@dataclass(frozen=True, slots=True)
class Held:
    """What the stores hold for one number."""

    flags: Sequence[Flag]
    coverage: Mapping[str, Coverage]
    number_known: bool  # the hub has verified somebody under it
    death_noted: datetime | None = None  # since when a case says that this person died


def answer(held: Held, directory: Directory, *, caller: str, now: datetime) -> dict[str, Any]:
    """One of the three answers, as JSON members."""
    today = day(now)
    shown = [
        (flag, stands)
        for flag in held.flags
        if (stands := standing(flag, today)) is not Standing.OUT
    ]
    covered, not_covered = _coverage(held.coverage, directory, now)
    common = {
        "as_of": now.isoformat(),
        "coverage": covered,
        "not_covered": not_covered,
        # known whatever authorities have sent
        "death_noted": held.death_noted.isoformat() if held.death_noted else None,
    }
    if shown:
        flags = [
            _flag(flag, stands, directory, caller)
            for flag, stands in shown
            if not flag.restricted or flag.authority == caller
        ]
        hidden = [stands for flag, stands in shown if flag.restricted and flag.authority != caller]
        if hidden:
            flags.append(_hidden(hidden))
        return {"answer": FLAGGED, **common, "flags": flags}
    if not any(not one["stale"] for one in covered):
        reason = "every-file-is-stale" if covered else "no-authority-has-sent-a-file"
        return {"answer": NOT_CHECKED, "reason": reason, **common}
    return {
        "answer": NONE_HELD,
        **common,
        "number": "verified-here" if held.number_known else "not-known-here",
    }


def _flag(flag: Flag, stands: Standing, directory: Directory, caller: str) -> dict[str, Any]:
    """A plan: whose it is and whom to ring. Nothing here tells where a child lives."""
    authority = directory.authorities.get(flag.authority)
    end = last_day(flag)
    own = {"local_id": flag.local_id} if caller == flag.authority else {}
    return {
        "plan_type": flag.plan_type.value,
        "plan": PLAN_NAMES[flag.plan_type],
        "active": stands is Standing.ACTIVE,
        "start": None if flag.start == UNKNOWN_START else flag.start.isoformat(),
        "end": end.isoformat() if end else None,
        "authority": flag.authority,
        "authority_name": directory.name_of(flag.authority),
        "phone_office": flag.phone_office or (authority.phone_office if authority else None),
        "phone_emergency": flag.phone_emergency
        or (authority.phone_emergency if authority else None),
        "restricted": flag.restricted,
        **own,
    }


def _hidden(standings: Sequence[Standing]) -> dict[str, Any]:
    """What others than its own authority learn of a restricted child's plans: that there is one,
    and whom to ask. Authority and telephones would tell where the child now lives; the members
    stay, so that a client that reads them still works, and several plans look like one.
    """
    return {
        "plan_type": None,
        "plan": RESTRICTED_HELD,
        "active": Standing.ACTIVE in standings,
        "start": None,
        "end": None,
        "authority": None,
        "authority_name": None,
        "phone_office": None,
        "phone_emergency": None,
        "restricted": True,
    }


def _coverage(
    coverage: Mapping[str, Coverage], directory: Directory, now: datetime
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    covered: list[dict[str, Any]] = []
    missing: list[dict[str, Any]] = []
    for gss, authority in sorted(directory.authorities.items()):
        named: dict[str, Any] = {"authority": gss, "authority_name": authority.name}
        sent = coverage.get(gss)
        if sent is None:
            missing.append(named)
            continue
        age = now - sent.last_file_at
        covered.append(
            {
                **named,
                "last_file_at": sent.last_file_at.isoformat(),
                "age_seconds": max(int(age.total_seconds()), 0),
                "stale": age > STALE_AFTER,
                "unmatched_records": sent.unmatched_records,
            }
        )
    return covered, missing
