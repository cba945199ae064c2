"""What is held of a child: one of three answers, never an empty list.

``flagged``; ``none-held`` (as of when, which authorities are covered and how old their last file
is); ``could-not-be-checked``. DESIGN: an empty list after a failed or stale check would read as
"this child is safe".

With them: who looked at the flag before, and, for a clinician or safeguarding nurse whose hospital
the child is at, the earlier attendances at connected hospitals. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from flag_service.roles import Role
from policies.fields import WITHHELD
from schemas.events import PlanType
from stores.accesses import Access, shown
from stores.coverage import Coverage
from stores.directory import Directory
from stores.flags import UNKNOWN_START, Flag
from stores.holdings import Attendance
from streams.matching.flags import Standing, day, last_day, standing

FLAGGED: Final = "flagged"
NONE_HELD: Final = "none-held"
NOT_CHECKED: Final = "could-not-be-checked"
NOT_CURRENT: Final = "number-not-current"
"""Why nothing is said of a number that PDS invalidated: never that no plan is held."""

# Authorities send daily (CP-IS); after two days without a file silence means nothing any more
STALE_AFTER: Final = timedelta(hours=48)

SEE_ATTENDANCES: Final = frozenset({Role.CLINICIAN.value, Role.SAFEGUARDING_NURSE.value})
"""Roles that see earlier attendances at other hospitals, and that may break the glass for them."""

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
    restricted: bool = False  # PDS says so of the person, or a hospital of a visit
    accesses: Sequence[Access] = ()  # listed looks at the flag
    attendances: Sequence[Attendance] = ()  # of the last 12 months, the newest first
    here: bool = False  # a visit at the caller's hospital in the last 48 h
    inactive: bool = False  # PDS invalidated the number


@dataclass(frozen=True, slots=True)
class Covering:
    """How far "none held" may be believed, as of a moment."""

    as_of: datetime
    covered: Sequence[Mapping[str, Any]]
    not_covered: Sequence[Mapping[str, Any]]

    @property
    def wrong(self) -> str | None:
        """Why silence of the authorities says nothing; None if it says something."""
        if any(not one["stale"] for one in self.covered):
            return None
        return "every-file-is-stale" if self.covered else "no-authority-has-sent-a-file"

    def members(self) -> dict[str, Any]:
        """As JSON members. No policy is asked of them: they are about nobody."""
        return {
            "coverage_as_of": self.as_of.isoformat(),
            "coverage": self.covered,
            "not_covered": self.not_covered,
        }


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who would see the answer."""

    organisation: str
    roles: frozenset[str] = frozenset()
    break_glass: bool = False


_AS_IF: Final = Flag(
    authority="",
    person="",
    plan_type=PlanType.CPP,
    start=date(2000, 1, 1),
    end=None,
    sequence=0,
    line=0,
    active_since=datetime(2000, 1, 1, tzinfo=UTC),
    restricted=True,
    nhs_number="",
    birth_date="2090-01-01",
)


def answer(held: Held, directory: Directory, *, caller: str, now: datetime) -> dict[str, Any]:
    """One of the three answers, as JSON members, with what it rests on."""
    known = covering(held.coverage, directory, now)
    return {**personal(held, known, directory, Viewer(caller), now), **known.members()}


def personal(
    held: Held, known: Covering, directory: Directory, viewer: Viewer, now: datetime
) -> dict[str, Any]:
    """One of the three answers with its members about the person: those that a policy masks."""
    today = day(now)
    hidden = is_restricted(held)
    # where nothing is held a plan is judged and told all the same, and thrown away: how long an
    # answer takes must not tell restricted people from those whom nobody knows
    considered = [
        (flag, stands)
        for flag in held.flags or (_AS_IF,)
        if (stands := standing(flag, today)) is not Standing.OUT
    ]
    flags = _flags(considered, directory, viewer.organisation, hidden=hidden)
    looks = visible(held, viewer.organisation, now)
    flagged = bool(considered and held.flags)
    # to whom neither a plan nor a visit of their own tells of a restricted person, nothing does
    veiled = hidden and not flagged and not held.here
    common = {
        "as_of": now.isoformat(),
        # known whatever authorities have sent
        "death_noted": held.death_noted.isoformat() if held.death_noted else None,
        **_earlier(held, directory, viewer, hidden=hidden, veiled=veiled),
    }
    if flagged:
        return {
            "answer": FLAGGED,
            **common,
            "flags": flags,
            "accesses": None if looks is None else [_access(one, directory) for one in looks],
            "accesses_rule": "withheld" if looks is None else "shown",
        }
    if held.inactive:  # nobody can say what is held of whoever it was
        return {"answer": NOT_CHECKED, "reason": NOT_CURRENT, **common}
    if (wrong := known.wrong) is not None:
        return {"answer": NOT_CHECKED, "reason": wrong, **common}
    return {
        "answer": NONE_HELD,
        **common,
        # a death that is told is of somebody known
        "number": "verified-here"
        if held.number_known and (not veiled or held.death_noted)
        else "not-known-here",
    }


@functools.lru_cache(maxsize=256)
def _name(tree: str, member: str) -> str:
    return f"{tree}.{member}"


def names(body: Mapping[str, Any]) -> frozenset[str]:
    """As `policies.fields.names` of the members of `personal`, for a twentieth of the time."""
    found: set[str] = set()
    for key, value in body.items():
        if isinstance(value, list):
            found.update(
                _name(key, member)
                for one in value
                for member, told in one.items()
                if told is not None
            )
        elif value is not None and value != WITHHELD:
            found.add(key)
    return frozenset(found)


def is_restricted(held: Held) -> bool:
    """Whether nothing may be told of where the person is."""
    return held.restricted or any(flag.restricted for flag in held.flags)


def visible(held: Held, caller: str, now: datetime) -> tuple[Access, ...] | None:
    """The accesses that `caller` sees, the newest first; None if they are withheld. Where a
    restricted person is looked at tells where they may be: the authority of a plan that is told
    sees of others' looks the time alone, and anybody else no look at all.
    """
    if not is_restricted(held):
        return shown(held.accesses)
    own = [flag for flag in held.flags if flag.authority == caller]
    if all(standing(flag, day(now)) is Standing.OUT for flag in own):
        return None
    return tuple(
        one
        if one.organisation == caller
        else replace(one, organisation=None, author=None, author_name=None, job_role=None, roles=())
        for one in shown(held.accesses)
    )


def _access(one: Access, directory: Directory) -> dict[str, Any]:
    return {
        "at": one.looked_at.isoformat(),
        "organisation": one.organisation,
        "organisation_name": directory.name_of(one.organisation) if one.organisation else None,
        "name": one.author_name,
        "job_role": one.job_role,
        "system": not one.author_person,
        "purpose": one.purpose,
        "unscheduled": one.unscheduled,
    }


def _earlier(
    held: Held, directory: Directory, viewer: Viewer, *, hidden: bool, veiled: bool
) -> dict[str, Any]:
    """Earlier attendances, or which rule keeps them back. Through broken glass that there are none
    is not told from that they are kept back: the difference would tell that somebody is restricted.
    """
    rule = "shown"
    if viewer.roles.isdisjoint(SEE_ATTENDANCES):
        rule = "not-your-role"
    elif not held.here and not viewer.break_glass:
        rule = "no-visit-here"
    elif veiled or not (hidden or held.here or held.attendances):
        rule = "none-or-withheld"
    elif hidden:
        rule = "withheld"
    seen = [_attendance(one, directory) for one in held.attendances] if rule == "shown" else None
    return {"earlier_attendances": seen, "earlier_attendances_rule": rule}


def _attendance(one: Attendance, directory: Directory) -> dict[str, Any]:
    hospital = directory.hospitals.get(one.hospital)
    department = one.department
    if department is not None and hospital is not None:
        department = hospital.departments.get(department, department)
    return {
        "hospital": one.hospital,
        "hospital_name": directory.name_of(one.hospital),
        "department": department,
        "arrived_at": one.arrived_at.isoformat(),
    }


def _flags(
    standings: Sequence[tuple[Flag, Standing]],
    directory: Directory,
    caller: str,
    *,
    hidden: bool,
) -> list[dict[str, Any]]:
    """Of a restricted person's plans those of others look like one, also those that do not say so
    themselves: PDS, a hospital or another authority does.
    """
    own, others = [], []
    for flag, stands in standings:
        if (hidden or flag.restricted) and flag.authority != caller:
            others.append(stands)
        else:
            own.append(_flag(flag, stands, directory, caller, hidden=hidden))
    return [*own, _hidden(others)] if others else own


def _flag(
    flag: Flag, stands: Standing, directory: Directory, caller: str, *, hidden: bool
) -> dict[str, Any]:
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
        "restricted": hidden,
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


def covering(coverage: Mapping[str, Coverage], directory: Directory, now: datetime) -> Covering:
    """Which authorities have sent files, and how old the last of each is."""
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
    return Covering(now, covered, missing)
