"""Which alerts there should be, against those there are: one per (episode, person, authority).

Desired-state reconciliation (DESIGN §5; correctness rules 1, 5, 13, 17): from everything that is
known of one person now, so that any order and any repetition of events ends in the same alerts.
Pure: `now` is passed in, and so are the keyed digest and the trace that each change belongs to.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from halyard import ids
from schemas.events import AlertChange, AlertChanged, AlertContent, AlertFlag
from stores.alerts import ACCEPTED, CLOSED, RAISED, WITHDRAWN, AlertRow
from stores.flags import Flag
from streams.matching.content import flags_on, phones, redacted, shielded, standing_at
from streams.matching.desired import Deciding, Desired, PersonState, desire, digest
from streams.matching.episodes import Episode, group
from streams.matching.flags import Standing, day

FLAG_WITHDRAWN = "flag-withdrawn"
CONTEXT_FOR = timedelta(hours=48)
"""How long after an arrival a changed call-back contact or count of earlier attendances alone
makes a new version, or what a flag says beside being active (its end, ended ones);
later it is only carried along."""
RAISED_FOR = timedelta(days=365)
"""How long after an arrival an alert is still raised. An older one had its alert, if it called for
one, and that may have ended since (`stores.retention`: after 366 days at least)."""
CORRECTED_FOR = timedelta(days=30)
"""How long after an arrival a plan that is gone still withdraws its alert."""


@dataclass(frozen=True, slots=True)
class Change:
    """`row` is to be saved; told to nobody if `change` is None (only its visits changed)."""

    row: AlertRow
    change: AlertChange | None
    phones: tuple[str | None, str | None] = (None, None)  # the authority's: office, emergency
    traceparent: str = ""
    became_restricted: bool = False


def reconcile(state: PersonState, deciding: Deciding) -> list[Change]:
    """The changes that make the alerts of `state` what they should be, in a stable order. Of a
    number that PDS invalidated none: nothing new is told of it, and nothing taken back.
    """
    if state.inactive:
        return []
    state = replace(state, visits=tuple(visit.about(state.person) for visit in state.visits))
    episodes = group(visit for visit in state.visits if visit.person == state.person)
    restricted = state.restricted
    flags: dict[str, list[Flag]] = defaultdict(list)
    for flag in state.flags:
        flags[flag.authority].append(flag)
    held: dict[str, list[AlertRow]] = defaultdict(list)
    for alert in state.alerts:
        held[alert.authority].append(alert)

    changes: list[Change] = []
    kept: set[uuid.UUID] = set()
    joined: set[uuid.UUID] = set()
    for authority in sorted(set(held) | set(flags)):
        assigned = _assigned(held[authority], episodes, state.person)
        for index, episode in enumerate(episodes):
            desired = desire(state, episode, authority, flags[authority], restricted, deciding)
            if desired is None:
                continue
            rows = sorted(assigned[index], key=_preference)
            kept.update(row.alert_id for row in rows[:1])
            joined.update(row.alert_id for row in rows[1:])
            change = _meet(state, desired, rows[0] if rows else None, flags[authority], deciding)
            if change is not None:
                changes.append(change)
    for alert in sorted(state.alerts, key=lambda one: one.alert_id):
        if alert.alert_id not in kept and alert.state != WITHDRAWN:
            rule = _why_withdrawn(
                alert,
                state,
                restricted=restricted,
                is_joined=alert.alert_id in joined,
                now=deciding.now,
            )
            if rule is not None:
                changes.append(
                    _withdrawn(alert, rule, state, flags[alert.authority], restricted, deciding)
                )
    return changes


def _assigned(
    alerts: Sequence[AlertRow], episodes: Sequence[Episode], person: str
) -> list[list[AlertRow]]:
    """For each episode the alerts that are about it: an alert goes with the visit that its id was
    derived from, else with the earliest episode that it shares a visit with. Its visits may be of
    another patient by now, as the hospital merged two.
    """
    assigned: list[list[AlertRow]] = [[] for _ in episodes]
    for alert in alerts:
        shared = None
        for index, episode in enumerate(episodes):
            visits = [visit.visit_id for visit in episode.visits]
            if any(
                _id(person, alert.authority, patient, one) == alert.alert_id
                # an alert from before its number was invalidated has lost its own
                for patient in (alert.source_patient or episode.source_patient,)
                for one in visits
            ):
                shared = index
                break
            if shared is None and not set(visits).isdisjoint(alert.visit_ids):
                shared = index
        if shared is not None:
            assigned[shared].append(alert)
    return assigned


def _preference(alert: AlertRow) -> tuple[bool, bool, datetime, uuid.UUID]:
    """Which of several alerts an episode keeps: one that stands, was accepted, was raised first."""
    return alert.state == WITHDRAWN, alert.accepted_at is None, alert.raised_at, alert.alert_id


def _meet(
    state: PersonState,
    desired: Desired,
    before: AlertRow | None,
    flags: Sequence[Flag],
    deciding: Deciding,
) -> Change | None:
    """The change from `before` to `desired`, None if there is nothing to do."""
    now, episode = deciding.now, desired.episode
    visit_ids = tuple(visit.visit_id for visit in episode.visits)
    numbers = phones(flags, deciding.directory, desired.authority)
    trace = deciding.trace(state.person, visit_ids)
    if before is None:
        if now - episode.received_at > RAISED_FOR:
            return None
        traceparent = trace or ""
        alert_id = _id(state.person, desired.authority, episode.source_patient, visit_ids[0])
        rule = _why_raised(episode, flags)
        event = _event(alert_id, 1, AlertChange.RAISED, rule, state.person, desired, now)
        row = AlertRow(
            alert_id=alert_id,
            person=state.person,
            authority=desired.authority,
            hospital=episode.leading.visit.hospital,  # for our own use: it may be redacted
            source_patient=episode.source_patient,
            visit_ids=visit_ids,
            version=1,
            state=RAISED,
            provisional=desired.provisional,
            late=desired.late,
            restricted=desired.restricted,
            rule=rule,
            content=event,
            content_digest=desired.digest,
            round=1,
            raised_at=now,
            changed_at=now,
            arrival_received_at=episode.received_at,
            traceparent=traceparent,
        )
        return Change(row, AlertChange.RAISED, numbers, traceparent)

    revived = before.state == WITHDRAWN
    born = _born(before, desired)
    if not revived and not born and _same(before, desired, deciding):
        if before.visit_ids == visit_ids:
            return None
        return Change(replace(before, visit_ids=visit_ids), None)
    added = _active(desired.content) - _active(before.content.content)
    kind = AlertChange.RAISED if revived else AlertChange.UPDATED
    rule = "revived" if revived else _why_updated(before, desired, added=bool(added), born=born)
    version = before.version + 1
    event = _event(before.alert_id, version, kind, rule, state.person, desired, now)
    row = replace(
        before,
        visit_ids=visit_ids,
        version=version,
        state=RAISED if revived else before.state,
        provisional=desired.provisional,
        late=desired.late,
        restricted=desired.restricted,
        rule=rule,
        content=event,
        content_digest=desired.digest,
        changed_at=max(now, before.changed_at),
        arrival_received_at=episode.received_at,
        withdrawn_at=None,
    )
    if revived or ((added or born) and before.state in (RAISED, ACCEPTED, CLOSED)):
        row = replace(
            row,
            state=RAISED,
            round=before.round + 1,
            delivered_at=None,
            seen_at=None,
            accepted_at=None,
            accepted_by=None,
            answer=None,
            closed_at=None,
        )
    became_restricted = desired.restricted and not before.restricted
    if became_restricted or not desired.restricted:
        row = replace(row, withheld_at=now if became_restricted else None)
    return Change(row, kind, numbers, trace or before.traceparent, became_restricted)


def _same(before: AlertRow, desired: Desired, deciding: Deciding) -> bool:
    if before.content_digest == desired.digest:
        return True
    if deciding.now - desired.episode.received_at <= CONTEXT_FOR:
        return False
    old = before.content.content
    material = replace(
        desired.content,
        flags=old.flags if _active(desired.content) == _active(old) else desired.content.flags,
        earlier_attendances=old.earlier_attendances,
        hospital_name=old.hospital_name,
        callback_name=old.callback_name,
        callback_phone=old.callback_phone,
    )
    return before.content_digest == digest(
        material,
        deciding,
        provisional=desired.provisional,
        late=desired.late,
        restricted=desired.restricted,
    )


def _withdrawn(
    alert: AlertRow,
    rule: str,
    state: PersonState,
    flags: Sequence[Flag],
    restricted: bool,
    deciding: Deciding,
) -> Change:
    hidden = restricted or alert.restricted
    shown = flags_on(flags, day(deciding.now))
    if rule == FLAG_WITHDRAWN:  # a plan that stands only since is not what this alert was about
        shown = tuple(flag for flag in shown if not flag.active)
    content = replace(alert.content.content, flags=shown)
    if rule == "visit-cancelled":
        content = replace(
            content, visit_state="cancelled", departed_at=None, discharge_destination=None
        )
    if any(one.location_shielded for one in state.visits if one.visit_id in alert.visit_ids):
        content = shielded(content)
    if hidden:
        content = redacted(content)
    fingerprint = digest(
        content, deciding, provisional=alert.provisional, late=alert.late, restricted=hidden
    )
    version = alert.version + 1
    event = replace(
        alert.content,
        event_id=_event_id(alert.alert_id, version, AlertChange.WITHDRAWN),
        version=version,
        change=AlertChange.WITHDRAWN,
        changed_at=deciding.now,
        hospital=content.hospital,
        restricted=hidden,
        rule=rule,
        content=content,
    )
    row = replace(
        alert,
        version=version,
        state=WITHDRAWN,
        restricted=hidden,
        rule=rule,
        content=event,
        content_digest=fingerprint,
        changed_at=max(deciding.now, alert.changed_at),
        withdrawn_at=deciding.now,
        withheld_at=deciding.now if hidden and not alert.restricted else alert.withheld_at,
    )
    return Change(
        row,
        AlertChange.WITHDRAWN,
        phones(flags, deciding.directory, alert.authority),
        deciding.trace(state.person, alert.visit_ids) or alert.traceparent,
        hidden and not alert.restricted,
    )


def _why_withdrawn(
    alert: AlertRow, state: PersonState, *, restricted: bool, is_joined: bool, now: datetime
) -> str | None:
    """The rule that withdraws `alert`; None if its visits are known no longer (retention), or if
    only its plan is gone and it is closed or long past.
    """
    if is_joined:
        return "episode-joined"
    visits = [visit for visit in state.visits if visit.visit_id in alert.visit_ids]
    if not visits:
        return None
    # of another child under the same visit number it says nothing
    visits = [visit for visit in visits if visit.person == state.person] or visits
    live = [visit for visit in visits if visit.live]
    if not live:
        return "visit-cancelled"
    named = [visit for visit in live if visit.person == state.person]
    if not named:
        # that it is about somebody else is said only where somebody says so
        unsaid = restricted and not any(visit.person for visit in live)
        return "restricted-not-verified" if unsaid else "person-retracted"
    if restricted and all(visit.provisional for visit in named):
        return "restricted-not-verified"
    if alert.state == CLOSED or now - alert.arrival_received_at > CORRECTED_FOR:
        return None
    return FLAG_WITHDRAWN


def _why_raised(episode: Episode, flags: Sequence[Flag]) -> str:
    known = any(
        flag.active_since <= arrival.visit.received_at
        and standing_at(flag, arrival) is Standing.ACTIVE
        for flag in flags
        for arrival in episode.arrivals
    )
    return "arrival-of-flagged-person" if known else "flag-after-arrival"


def _born(before: AlertRow, desired: Desired) -> bool:
    """Whether a birth is reported that the alert did not have yet: each baby is to be confirmed."""
    return any(
        visit.birth and (visit.visit_id not in before.visit_ids or not before.content.content.birth)
        for visit in desired.episode.visits
    )


def _why_updated(before: AlertRow, desired: Desired, *, added: bool, born: bool) -> str:
    old, new = before.content.content, desired.content
    if desired.restricted != before.restricted:
        return "restriction-changed"
    if new.nhs_number != old.nhs_number:
        return "number-superseded"
    if added:
        return "flag-added"
    if desired.provisional != before.provisional:
        return "identity-provisional" if desired.provisional else "identity-confirmed"
    if old.flags != new.flags:
        return "flag-changed"
    if born:
        return "birth-reported"
    if old.birth != new.birth:
        return "birth-cancelled"
    if old.visit_state != new.visit_state:
        return f"visit-{new.visit_state}"
    return "details-changed"


def _active(content: AlertContent) -> set[tuple[str, str | None]]:
    def key(flag: AlertFlag) -> tuple[str, str | None]:
        return flag.plan_type, flag.start

    return {key(flag) for flag in content.flags if flag.active}


def _id(person: str, authority: str, source_patient: str, visit_id: uuid.UUID) -> uuid.UUID:
    return ids.derive("alert", person, authority, source_patient, str(visit_id))


def _event_id(alert_id: uuid.UUID, version: int, change: AlertChange) -> uuid.UUID:
    return ids.derive("alert-changed", str(alert_id), version, change.value)


def _event(
    alert_id: uuid.UUID,
    version: int,
    change: AlertChange,
    rule: str,
    person: str,
    desired: Desired,
    now: datetime,
) -> AlertChanged:
    return AlertChanged(
        event_id=_event_id(alert_id, version, change),
        alert_id=alert_id,
        version=version,
        change=change,
        changed_at=now,
        authority=desired.authority,
        hospital=desired.content.hospital,  # empty for a restricted person
        person=person,
        provisional=desired.provisional,
        late=desired.late,
        restricted=desired.restricted,
        rule=rule,
        content=desired.content,
    )
