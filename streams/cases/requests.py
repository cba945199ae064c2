"""Report requests: who is asked for what about a child's death, and when that is answered (pure).

A request is a legal object (Children Act 2004, section 16N): a child death review partner asks one
body for specified information, and it must comply. So there is one as soon as a panel stands that
asks, one for each body and role, with sections and a day; it ends when it is answered, or when what
it asks about is no longer a death to review. Its id follows from the case and whom it asks: asking
again is the same request.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Final

from halyard.ids import derive
from schemas.deaths import (
    CaseContent,
    CaseFact,
    CaseState,
    Eligibility,
    FactKind,
    ReportKind,
    ReportRequested,
    RequestState,
)
from schemas.events import NhsNumberStatus
from stores.directory import Directory
from streams.cases import provenance
from streams.cases.model import Family, Request

BASIS: Final = "Children Act 2004, section 16N"

PROFESSIONAL: Final = "professional"
ATTENDANCE: Final = "attendance"
FLAG: Final = "flag"

HOSPITAL: Final = "hospital"
SOCIAL_CARE: Final = "childrens-social-care"

SECTIONS: Final = (
    "child",
    "parenting-and-family",
    "environment",
    "service-provision",
    "circumstances",
    "social-care",
)
SECTIONS_BY_ROLE: Final[Mapping[str, tuple[str, ...]]] = {
    "general-practitioner": ("child", "parenting-and-family", "service-provision"),
    "midwife": ("child", "parenting-and-family", "service-provision"),
    "health-visitor": ("child", "parenting-and-family", "environment", "service-provision"),
    "school-nurse": ("child", "parenting-and-family", "service-provision"),
    HOSPITAL: ("child", "service-provision", "circumstances"),
    SOCIAL_CARE: ("child", "parenting-and-family", "environment", "social-care"),
    "school": ("child", "parenting-and-family", "environment"),
    "nursery": ("child", "parenting-and-family", "environment"),
    "mental-health": ("child", "parenting-and-family", "service-provision"),
    "community-health": ("child", "parenting-and-family", "service-provision"),
    "ambulance": ("service-provision", "circumstances"),
    "police": ("environment", "circumstances"),
    "coroner": ("circumstances",),
    "registrar": ("circumstances",),
}
"""Which sections a role is asked for; any other role is asked for all of them."""

# What a body of the directory is asked as, whatever its professionals are called: one body, one
# request. A body of the kind "other" is asked in the role of its professional.
_ROLE_OF_KIND: Final = {
    "general-practice": "general-practitioner",
    "school": "school",
    "police": "police",
    "ambulance": "ambulance",
    "coroner": "coroner",
}
_OF_HOSPITALS: Final = frozenset({"midwife", "mental-health", "community-health"})

ENDED: Final = frozenset(
    {RequestState.SUBMITTED, RequestState.NOTHING_KNOWN, RequestState.DECLINED}
)
OPEN: Final = frozenset({RequestState.REQUESTED, RequestState.PARTIAL})

# Of several answers of one body the one that says most counts, whatever order they came in
_ANSWERS: Final = (
    (ReportKind.REPORT, RequestState.SUBMITTED),
    (ReportKind.PARTIAL, RequestState.PARTIAL),
    (ReportKind.NOTHING_KNOWN, RequestState.NOTHING_KNOWN),
    (ReportKind.DECLINED, RequestState.DECLINED),
)


# What a body needs to know whom it is asked about; health and social care are told more of it
_TOLD: Final = frozenset(
    {
        *("child.family", "child.given", "child.birth-date", "child.sex"),
        *("child.alias.family", "child.alias.given", "child.alias.kind"),
        *("death.date", "death.time", "death.place"),
    }
)
_TOLD_TO_CARE: Final = "child."
_NOT_TOLD: Final = ("child.ethnicity", "child.local-id")


@dataclass(frozen=True, slots=True)
class _Asked:
    """Whom to ask, as what, and why. `agency` is empty for one that the hub does not know."""

    agency: str
    role: str
    rule: str
    name: str = field(default="", repr=False)

    @property
    def key(self) -> tuple[str, str]:
        return (self.agency or f"name:{_plain(self.name)}", self.role)


def wanted(
    family: Family, content: CaseContent, directory: Directory, *, now: datetime, due_days: int
) -> list[Request]:
    """The requests that are to be made and are not there yet, in a fixed order.

    None before a panel stands that asks, and none of a death that is out of scope. `due_days`
    holds where the panel has no number of its own.
    """
    if not _asks(content):
        return []
    there = {_key(one) for one in family.requests}
    panel = directory.panels.get(content.panel or "")
    days = panel.due_days if panel is not None and panel.due_days is not None else due_days
    person = _person(family)
    made: dict[tuple[str, str], Request] = {}
    for one in _whom(family, content, directory):
        if one.key in there or one.key in made:
            continue
        made[one.key] = Request(
            request_id=request_id(family.case_id, *one.key),
            case_id=family.case_id,
            version=1,
            state=RequestState.REQUESTED,
            requested_at=now,
            due_at=now + timedelta(days=days),
            panel=content.panel,
            agency=one.agency,
            role=one.role,
            rule=one.rule,
            sections=SECTIONS_BY_ROLE.get(one.role, SECTIONS),
            agency_name=one.name,
            person=person,
        )
    return [made[key] for key in sorted(made)]


def request_id(case_id: uuid.UUID, agency: str, role: str) -> uuid.UUID:
    """Id of the request of a case to a body (its code, or ``name:`` and its name) in a role."""
    return derive("report-request", str(case_id), agency, role)


def answered(
    family: Family, content: CaseContent, directory: Directory, *, now: datetime
) -> list[Request]:
    """New versions of the requests whose state, asking panel or child is another now.

    A request is cancelled when its case is void or out of scope, when a merge makes it double, and
    when what it was made for is gone: nobody names the body any more, the case is about another
    child, or the child is restricted and the hub had asked of its own accord. If that is taken
    back, it is open again with as much time as it had. What was answered stays answered.
    """
    if content.state is CaseState.MERGED:
        return []  # the case that it counts in has them
    double = _double(family.requests)
    answer = _answers(family)
    grounds = {one.key for one in _whom(family, content, directory)}
    about, persons = _person(family), persons_of(family)
    changed: list[Request] = []
    for one in sorted(family.requests, key=lambda one: one.request_id):
        other_child = _gone(one.person, persons)
        of_its_own = one.rule != PROFESSIONAL and not content.restricted and not other_child
        grounded = of_its_own or _key(one) in grounds
        state = answer[one.request_id]
        if one.request_id in double and one.state not in ENDED:
            state = RequestState.CANCELLED  # also when its twin is answered
        elif state not in ENDED and not (_stands(content) and grounded):
            state = RequestState.CANCELLED
        panel, person = one.panel, one.person
        if state in OPEN:
            panel = content.panel or panel
            person = about if other_child else person
        if (state, panel, person) == (one.state, one.panel, one.person):
            continue
        due = one.due_at
        if one.state is RequestState.CANCELLED and state in OPEN:
            due = now + (one.due_at - one.requested_at)
        if state in OPEN:
            person = person if persons is None else about  # the letter says of whom
        changed.append(
            replace(
                one, version=one.version + 1, state=state, panel=panel, due_at=due, person=person
            )
        )
    return changed


def persons_of(family: Family) -> frozenset[str] | None:
    """The verified children (pseudonyms) that a case is about: one, or two that a person merged.

    None while none is verified and one is looked up: until then nothing is taken back for it.
    """
    live = family.live
    found = frozenset(one.identity.person for one in live if one.identity is not None)
    if not found and any(one.indicator is NhsNumberStatus.IN_PROGRESS for one in live):
        return None
    return found


def _person(family: Family) -> str | None:
    """The child whose number a letter has now: the oldest notification's that is verified."""
    notes = (*family.live, *family.notifications)
    return next((one.identity.person for one in notes if one.identity is not None), None)


def _gone(person: str | None, persons: frozenset[str] | None) -> bool:
    return person is not None and persons is not None and person not in persons


def after(requests: Iterable[Request], changed: Sequence[Request]) -> tuple[Request, ...]:
    """The requests of a case once `changed` (new ones, and new versions) are in."""
    held = {one.request_id: one for one in requests}
    held.update((one.request_id, one) for one in changed)
    return tuple(held.values())


def event_of(
    request: Request, content: CaseContent, directory: Directory, *, now: datetime
) -> ReportRequested:
    """The event of this version of a request. While it is open, what is known goes with it."""
    return ReportRequested(
        event_id=derive("report-requested", str(request.request_id), request.version),
        request_id=request.request_id,
        case_id=request.case_id,
        version=request.version,
        state=request.state,
        changed_at=now,
        requested_at=request.requested_at,
        due_at=request.due_at,
        basis=BASIS,
        panel=request.panel,
        agency=request.agency,
        role=request.role,
        rule=request.rule,
        sections=request.sections,
        known=_known(request, content, directory) if request.state in OPEN else (),
        agency_name=request.agency_name,
    )


def _stands(content: CaseContent) -> bool:
    return content.state is CaseState.OPEN and content.eligibility in (
        Eligibility.IN_SCOPE,
        Eligibility.NEEDS_HUMAN,
    )


def _asks(content: CaseContent) -> bool:
    return _stands(content) and content.panel is not None


def _whom(family: Family, content: CaseContent, directory: Directory) -> Iterator[_Asked]:
    """Whom the notifiers named, then whom the hub itself knows of. A restricted child's authority
    and hospitals are not asked of the hub's own accord: that would tell where it lived.
    """
    for _, row in provenance.rows(content.facts, PROFESSIONAL):
        asked = _professional(row, directory)
        if asked is not None:
            yield asked
    if content.restricted:
        return
    for one in family.known.attendances:
        yield _Asked(one.hospital, HOSPITAL, ATTENDANCE, directory.name_of(one.hospital))
    for flag in family.known.flags:
        if not flag.authority:
            continue
        yield _Asked(flag.authority, SOCIAL_CARE, FLAG, directory.name_of(flag.authority))


def _professional(row: Mapping[str, str], directory: Directory) -> _Asked | None:
    code = row.get("organisation-code", "").strip().upper()
    role = row.get("role", "other").strip().casefold().replace(" ", "-") or "other"
    if code in directory.hospitals:
        role = role if role in _OF_HOSPITALS else HOSPITAL
        return _Asked(code, role, PROFESSIONAL, directory.name_of(code))
    if code in directory.authorities:
        return _Asked(code, SOCIAL_CARE, PROFESSIONAL, directory.name_of(code))
    if code in directory.agencies:
        role = _ROLE_OF_KIND.get(directory.agencies[code].kind, role)
        return _Asked(code, role, PROFESSIONAL, directory.name_of(code))
    name = row.get("organisation") or row.get("name") or code
    return _Asked("", role, PROFESSIONAL, " ".join(name.split())) if name.strip() else None


def _key(request: Request) -> tuple[str, str]:
    return _Asked(request.agency, request.role, request.rule, request.agency_name).key


def _plain(name: str) -> str:
    return " ".join(name.casefold().split())


def _double(requests: Iterable[Request]) -> set[uuid.UUID]:
    """Of several requests to one body in one role, all but the first that was made."""
    first: dict[tuple[str, str], Request] = {}
    double: set[uuid.UUID] = set()
    for one in sorted(requests, key=lambda one: (one.requested_at, one.request_id)):
        if _key(one) in first:
            double.add(one.request_id)
        else:
            first[_key(one)] = one
    return double


def _answers(family: Family) -> dict[uuid.UUID, RequestState]:
    """What the reports make of each request: those that name it (or one that a merge made double
    with it), and those that its organisation sent unasked, if nothing else was asked of it that
    they could answer.
    """
    named: dict[uuid.UUID, list[tuple[str, ReportKind]]] = defaultdict(list)
    unasked: dict[str, set[ReportKind]] = defaultdict(set)
    for sent in (one.report for one in family.reports):
        if sent.request_id is not None:
            named[sent.request_id].append((sent.organisation, sent.kind))
        else:
            unasked[sent.organisation].add(sent.kind)
    told: dict[tuple[str, str], list[tuple[str, ReportKind]]] = defaultdict(list)
    asked: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for one in family.requests:
        told[_key(one)].extend(named[one.request_id])
        asked[one.agency].add(_key(one))
    found: dict[uuid.UUID, RequestState] = {}
    for one in family.requests:
        kinds = {kind for by, kind in told[_key(one)] if one.agency in ("", by)}
        if one.agency and len(asked[one.agency]) == 1:
            kinds |= unasked[one.agency]
        found[one.request_id] = next(
            (state for kind, state in _ANSWERS if kind in kinds), RequestState.REQUESTED
        )
    return found


def _known(request: Request, content: CaseContent, directory: Directory) -> tuple[CaseFact, ...]:
    """What the body needs to know whom it is asked about, and from whom that is: who the child was
    and when it died. Facts alone; what else is known of the child, and where it lived, only for
    health and social care.
    """
    care = health_or_social_care(request.agency, directory)
    return tuple(
        one
        for one in content.facts
        if one.fact.kind is FactKind.FACT
        and one.fact.value
        and (
            one.fact.name in _TOLD
            or (
                care
                and one.fact.name.startswith(_TOLD_TO_CARE)
                and not one.fact.name.startswith(_NOT_TOLD)
            )
        )
    )


def health_or_social_care(code: str, directory: Directory) -> bool:
    """Whether the organisation may get an NHS number: health and social care alone may."""
    if code in directory.hospitals or code in directory.authorities:
        return True
    agency = directory.agencies.get(code)
    return agency is not None and agency.health_or_social_care
