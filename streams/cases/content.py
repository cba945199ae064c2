"""What a case says now, made anew from all that belongs to it (pure).

A tombstone (a voided case) keeps who told what when, the reasons, and who was asked: no clinical
fact, no number. A case that was merged into another says where it went; its facts count there.
"""

from __future__ import annotations

import calendar
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from schemas.deaths import (
    CaseContent,
    CaseFact,
    CaseState,
    DeathIndication,
    Eligibility,
    FlagAtDeath,
    FlagHistory,
    NotificationLink,
    ReportLink,
    RequestLink,
)
from schemas.events import NhsNumberStatus
from stores.case_model import SHIELDED
from stores.panels import Panel
from streams.cases import bounds, eligibility, panel, provenance
from streams.cases.facts import Facts
from streams.cases.model import Family, Notification
from streams.cases.requests import PROFESSIONAL

NUMBER: Final = "number"
ELIGIBILITY: Final = "eligibility"
PANEL: Final = "panel"
CONFLICT: Final = "conflict"
QUESTIONED: Final = "death-questioned"
TEXT_CUT: Final = "text-cut"  # the messages hold more than the case can tell
TWO_ADDRESSES: Final = "two-addresses"  # a panel is proposed, and a person confirms it
NUMBERS_DIFFER: Final = "child.nhs-number"

_LONDON: Final = ZoneInfo("Europe/London")
_PDS: Final = (
    DeathIndication.PDS_INFORMAL,
    DeathIndication.PDS_FORMAL,
    DeathIndication.PDS_REMOVED,
)


@dataclass(frozen=True, slots=True)
class _Scope:
    outcome: Eligibility
    rule: str


@dataclass(frozen=True, slots=True)
class _Route:
    panel: str | None
    rule: str
    informed: tuple[str, ...]


def assemble(family: Family, *, panels: Mapping[str, Panel], today: date) -> CaseContent:
    """The content of a case. `today` is the day in England."""
    state = _state(family)
    said = provenance.sources(family)
    facts = provenance.stated(said)
    restricted = _restricted(family)
    scope = _scope(family, said, today)
    route = _route(family, provenance.combined(said), panels, restricted=restricted)
    leading = _leading(family)
    content = CaseContent(
        state=state,
        eligibility=scope.outcome,
        eligibility_rule=scope.rule,
        indicator=leading.indicator if leading else NhsNumberStatus.NOT_PRESENT,
        identity_rule=leading.identity_rule if leading else "",
        flag_history=_history(family.known.flags, looked=family.known.as_at is not None),
        restricted=restricted,
        panel=route.panel,
        panel_rule=route.rule,
        panels_informed=route.informed,
        notifications=_notification_links(family),
        reports=_report_links(family),
        requests=tuple(
            RequestLink(
                one.request_id,
                # whom the hub asked of its own accord tells where a restricted child lived
                "" if restricted and one.rule != PROFESSIONAL else one.agency,
                one.role,
                one.state,
                one.due_at,
            )
            for one in sorted(family.requests, key=lambda one: (one.requested_at, one.request_id))
        ),
        merged_into=family.merged_into,
        absorbed=tuple(sorted(family.absorbed)),
    )
    if state is CaseState.MERGED:
        # they go on, and are answered, in the case that it counts in
        content = replace(content, requests=())
    if state is not CaseState.OPEN:
        return replace(content, flag_history=FlagHistory.UNKNOWN)
    conflicts = _conflicts(family, facts)
    if restricted:
        facts = provenance.without_places(facts)
    facts, cut = bounds.bounded(facts)
    content = replace(
        content,
        nhs_number=leading.identity.nhs_number if leading and leading.identity else None,
        facts=facts,
        conflicts=conflicts,
        tracking=provenance.tracking(facts),
        flags=_flags(family, restricted=restricted),
        # where a restricted child was seen tells where it lived
        attendances=() if restricted else family.known.attendances,
        known_as_at=family.known.as_at,
        duplicates=tuple(sorted(family.duplicates)),
    )
    needs = _needs(family, content)
    return replace(content, needs=(*needs, TEXT_CUT) if cut else needs)


def decision_facts(family: Family) -> Facts:
    """What decisions about the case look at; see `provenance.combined`."""
    return provenance.combined(provenance.sources(family))


def settled(content: CaseContent) -> CaseContent:
    """The content without when the hub last looked: a look that finds the same changes nothing."""
    return replace(content, known_as_at=None)


def same(one: CaseContent, other: CaseContent) -> bool:
    """Whether a case that said `one` need not be told anew to say `other`."""
    return settled(one) == settled(other)


def death_day(facts: Facts) -> date | None:
    """The day of death, of a partial date the last that it may mean; None if not known."""
    return last_day_of(facts.value("death.date"))


def last_day_of(text: str | None) -> date | None:
    """The last day that ISO `text` (``2026``, ``2026-06``, ``2026-06-30``) may mean, if any."""
    try:
        year, month, day = [*(int(part) for part in (text or "")[:10].split("-")), 0, 0][:3]
        month = month or 12
        return date(year, month, day or calendar.monthrange(year, month)[1])
    except (ValueError, calendar.IllegalMonthError):
        return None


def _state(family: Family) -> CaseState:
    if family.merged_into is not None:
        return CaseState.MERGED
    if family.voided_by_person or not family.live:
        return CaseState.VOIDED
    return CaseState.OPEN


def _restricted(family: Family) -> bool:
    """One restricted identity, or one sender who says so, is enough: also of what was taken back,
    and whatever the others say.
    """
    known = [one.identity for one in family.notifications]
    known += [one.identity for one in family.reports]
    marks = [one.notified.marks for one in family.notifications]
    marks += [one.report.marks for one in family.reports]
    return any(one is not None and one.restricted for one in known) or any(
        SHIELDED in some for some in marks
    )


def _scope(family: Family, said: Sequence[provenance.Source], today: date) -> _Scope:
    """In scope or not. A person's word stands; rules decide otherwise, and only if they come to the
    same with each disputing message leading: where they differ about what counts, a person
    decides.
    """
    if _state(family) is CaseState.VOIDED:
        return _Scope(Eligibility.OUT_OF_SCOPE, "voided")
    if family.assignment is not None:
        if family.assignment.panel:
            return _Scope(Eligibility.IN_SCOPE, "person")
        return _Scope(Eligibility.OUT_OF_SCOPE, "person")
    first = eligibility.decide(provenance.combined(said), today=today)
    disputed = frozenset(provenance.conflicts(provenance.stated(said)))
    for index, one in enumerate(said):
        if index == 0 or disputed.isdisjoint(fact.name for fact in one.facts):
            continue
        turned = [one, *said[:index], *said[index + 1 :]]
        other = eligibility.decide(provenance.combined(turned), today=today)
        if other.outcome is not first.outcome:
            return _Scope(Eligibility.NEEDS_HUMAN, "messages-differ")
    return _Scope(first.outcome, first.rule)


def _route(
    family: Family, facts: Facts, panels: Mapping[str, Panel], *, restricted: bool
) -> _Route:
    told = family.live or family.notifications
    if not told:
        return _Route(None, "", ())
    if _state(family) is CaseState.VOIDED:  # its facts are gone; where it went to is not
        facts = provenance.combined(
            provenance.Source(
                one.notified.organisation,
                one.notified.event_id,
                one.notified.received_at,
                one.notified.form,
                one.notified.facts,
            )
            for one in sorted(told, key=lambda one: (one.first_received_at, one.source))
        )
    proposal = panel.propose(
        facts,
        panels,
        restricted=restricted,
        received_on=min(one.first_received_at for one in told).astimezone(_LONDON).date(),
    )
    chosen, rule, informed = proposal.panel, proposal.rule, proposal.informed
    if proposal.candidates:
        rule = f"{rule}:{','.join(proposal.candidates)}"
    if restricted:
        chosen, informed = None, ()
    if family.assignment is not None and family.assignment.panel:
        # whose area it seemed to be is told all the same
        chosen, rule = family.assignment.panel, "person"
        informed = (chosen, *informed)
    return _Route(chosen, rule, tuple(dict.fromkeys(informed)))


def _leading(family: Family) -> Notification | None:
    """The notification whose identity the case has: the oldest with a verified number."""
    verified = [one for one in family.live if one.identity is not None and one.identity.nhs_number]
    return next(iter(verified or family.live), None)


def _conflicts(family: Family, facts: Sequence[CaseFact]) -> tuple[str, ...]:
    found = set(provenance.conflicts(facts))
    identities = [one.identity for one in family.live] + [one.identity for one in family.reports]
    if len({one.nhs_number for one in identities if one is not None and one.nhs_number}) > 1:
        found.add(NUMBERS_DIFFER)
    return tuple(sorted(found))


def _needs(family: Family, content: CaseContent) -> tuple[str, ...]:
    """What a person must do, in the order in which it is best done."""
    needs: list[str] = []
    non_resident = decision_facts(family).value("child.nhs-number-absent") == "non-resident"
    if questioned(family):
        needs.append(QUESTIONED)
    if content.nhs_number is None and not non_resident:
        needs.append(NUMBER)
    if content.eligibility in (Eligibility.NEEDS_HUMAN, Eligibility.UNKNOWN):
        needs.append(ELIGIBILITY)
    unsure = content.panel is None or content.panel_rule == TWO_ADDRESSES
    if unsure and content.eligibility is not Eligibility.OUT_OF_SCOPE:
        needs.append(PANEL)
    if content.conflicts:
        needs.append(CONFLICT)
    return tuple(needs)


def questioned(family: Family) -> bool:
    """Whether PDS has taken the death back after it was notified, and nobody has looked since: a
    notification that came later, or a person's word on panel or eligibility, answers it.
    """
    told = [one for one in family.indications if one.indication in _PDS]
    if not told or not family.live:
        return False
    last = max(told, key=lambda one: one.at)
    if last.indication is not DeathIndication.PDS_REMOVED:
        return False
    if last.at < max(one.first_received_at for one in family.live):
        return False
    return family.assignment is None or family.assignment.at <= last.at


def _history(flags: Sequence[FlagAtDeath], *, looked: bool) -> FlagHistory:
    found = {one.history for one in flags}
    for history in (FlagHistory.CURRENT, FlagHistory.PREVIOUSLY):
        if history in found:
            return history
    return FlagHistory.NEVER if looked else FlagHistory.UNKNOWN


def _flags(family: Family, *, restricted: bool) -> tuple[FlagAtDeath, ...]:
    """The plans; of a restricted child without whose they are, which tells where it lived."""
    flags = family.known.flags
    return tuple(replace(one, authority="") for one in flags) if restricted else flags


def _notification_links(family: Family) -> tuple[NotificationLink, ...]:
    return tuple(
        NotificationLink(
            source=one.source,
            organisation=one.notified.organisation,
            version=one.notified.version,
            voided=one.voided,
            event_id=one.notified.event_id,
            received_at=one.notified.received_at,
            reference=one.reference,
            reason=one.void_reason,
        )
        for one in sorted(
            family.notifications,
            key=lambda one: (one.first_received_at, one.source, one.reference),
        )
    )


def _report_links(family: Family) -> tuple[ReportLink, ...]:
    return tuple(
        ReportLink(
            organisation=one.report.organisation,
            kind=one.report.kind,
            version=one.report.version,
            event_id=one.report.event_id,
            received_at=one.report.received_at,
            request_id=one.report.request_id,
        )
        for one in sorted(
            family.reports, key=lambda one: (one.report.received_at, one.source, one.reference)
        )
    )
