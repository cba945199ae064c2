"""One look at what is held of somebody: who asks and why, what they are shown, and what is
written of it. Pure.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal

import orjson

from flag_service import lookup
from flag_service.lookup import Covering, Viewer
from halyard import ids
from halyard.caller import Caller
from halyard.kafka import Record, cloudevent_headers
from halyard.problems import HttpProblem
from halyard.telemetry import new_traceparent
from policies.desk import Asked, Desk, masked
from policies.purposes import Purpose
from policies.ruling import Decision, Flow, Ruling
from schemas import codec
from schemas.accesses import AccessRecorded
from schemas.topics import ACCESS_RECORDED
from stores.accesses import Access, Recorded
from stores.audit import HUB, AuditEntry
from stores.holdings import Holding
from stores.outbox import Entry
from streams.matching.access_notices import to_guardian
from streams.matching.disclosing import Disclosed

MAX_REASON: Final = 200
PEOPLE_ALONE: Final = "break-glass-people-alone"

_NO_RULING: Final = Ruling(Decision.DENY, "none", 0, "not-asked", "none", "none")


@dataclass(frozen=True, slots=True)
class Look:
    """Somebody asks about one person. `unscheduled`: because the person attends without an
    appointment, of which the authority is told.
    """

    number: str = field(repr=False)  # valid, ten digits
    caller: Caller
    purpose: Purpose
    reason: str | None = field(repr=False)  # in the asker's words; needed to break the glass
    unscheduled: bool
    request_id: str
    interface: Literal["flags-query", "patient-flags", "cp-is"]
    traceparent: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """What they are shown. If `ruling` is not PERMIT, nothing: answer 403 and name its rule."""

    answer: str  # lookup.FLAGGED, NONE_HELD or NOT_CHECKED
    as_of: datetime
    members: dict[str, Any] = field(repr=False)  # of the JSON answer
    flags: tuple[dict[str, Any], ...] = field(repr=False)  # as in `members`
    accesses: tuple[Access, ...]  # at most 25, the newest first, of each author one in 24 h
    ruling: Ruling

    @property
    def permitted(self) -> bool:
        """Whether a policy lets them be shown anything."""
        return self.ruling.decision is Decision.PERMIT


@dataclass(frozen=True, slots=True)
class Decided:
    """What is shown, and what must be written before it is."""

    seen: Seen
    recorded: Recorded
    audit: tuple[AuditEntry, ...]
    event: Entry | None
    notice: Disclosed | None  # to the Caldicott guardian of the asker's organisation


def check(look: Look) -> None:
    """Raises `HttpProblem` for a look that says too little to be answered."""
    if look.purpose is Purpose.BREAK_GLASS and not (look.reason or "").strip():
        raise HttpProblem(
            422,
            "Breaking the glass needs a reason",
            "Say in `reason` why; it is read by your Caldicott guardian.",
            rule="flags.reason_needed",
            place="body.reason",
        )


def not_shown(look: Look, person: str, access_id: uuid.UUID, now: datetime) -> AuditEntry:
    """The entry of a look that is on record as shown, and was answered could-not-be-checked."""
    return AuditEntry(
        entry_id=ids.derive("audit", "not-shown", str(access_id)),
        recorded_at=now,
        kind="administration",
        chain=look.caller.organisation,
        actor="process:serve",
        organisation=HUB,
        decision=Decision.DENY.value,
        rule="not-shown",
        person=person,
        subject=f"access:{access_id}",
        request_id=look.request_id,
        detail=(("answer", lookup.NOT_CHECKED),),
    )


def not_checked(now: datetime, reason: str) -> Seen:
    """What is shown if the stores do not answer: it says nothing about the person."""
    members = {"answer": lookup.NOT_CHECKED, "reason": reason, "as_of": now.isoformat()}
    permit = replace(_NO_RULING, decision=Decision.PERMIT)
    return Seen(lookup.NOT_CHECKED, now, members, (), (), permit)


def decided(
    look: Look,
    person: str,
    holding: Holding,
    known: Covering,
    desk: Desk,
    *,
    now: datetime,
    access_id: uuid.UUID,
    before: bool | None,
) -> Decided:
    """What `look` shows of `person` (pseudonym, store key) and leaves behind. `before`: whether
    the author's listed looks of the 24 h before are of more than silent ones; None: there is none.
    """
    caller = look.caller
    broken = look.purpose is Purpose.BREAK_GLASS
    held = lookup.Held(
        flags=holding.flags,
        coverage={},
        number_known=holding.number_known,
        death_noted=holding.death_noted,
        restricted=holding.restricted,
        accesses=holding.accesses,
        attendances=holding.attendances,
        here=holding.here,
        inactive=holding.inactive,
    )
    viewer = Viewer(caller.organisation, caller.roles, broken)
    body = lookup.personal(held, known, desk.directory, viewer, now)
    restricted = lookup.is_restricted(held)
    asked = desk.ask(
        Flow.FLAG_LOOKUP,
        caller.organisation,
        lookup.names(body),
        at=now,
        # without a plan nothing is told that could be hidden, and a policy's answer for restricted
        # people would tell that this is one
        restricted=restricted and body["answer"] == lookup.FLAGGED,
        purpose=look.purpose.value,
        roles=caller.roles,
        count=False,  # a batch at a time
    )
    if broken and asked.permitted and not caller.person:
        asked = of_people_alone(asked)
    flagged = asked.permitted and body["answer"] == lookup.FLAGGED
    accesses: tuple[Access, ...] = ()
    if flagged:
        told = _permitted(lookup.visible(held, caller.organisation, now), asked)
        if told is None:
            body |= {"accesses": None, "accesses_rule": "withheld"}
        accesses = told or ()
    left = masked(body, asked)
    ruling = asked.ruling
    recorded = Recorded(
        access=access_of(
            caller,
            look.purpose,
            look.interface,
            now=now,
            access_id=access_id,
            unscheduled=look.unscheduled,
        ),
        person=person,
        request_id=look.request_id,
        flagged=flagged,
        listed=flagged and (broken or before is None or (look.unscheduled and not before)),
        reason=look.reason,
    )
    entry = entry_of_look(
        recorded,
        caller,
        asked,
        left,
        desk,
        detail=(
            ("interface", look.interface),
            ("unscheduled", "yes" if look.unscheduled else "no"),
            ("answer", left["answer"] if asked.permitted else "refused"),
            # for the Caldicott guardian who reviews such looks, also where nobody is told
            *((("person", "restricted"),) if restricted else ()),
        ),
    )
    notice = None
    if asked.permitted and broken:
        notice = to_guardian(
            recorded,
            desk,
            nhs_number=look.number,
            restricted=restricted,
            traceparent=look.traceparent or new_traceparent(),
            now=now,
        )
    event = None
    if asked.permitted and (look.unscheduled or broken):
        event = event_of(recorded, look.number, look.traceparent, desk)
    seen = Seen(lookup.NOT_CHECKED, now, {"rule": ruling.rule}, (), (), ruling)
    if asked.permitted:
        members = {
            **left,
            "purpose": look.purpose.value,
            **known.members(),
            "policy": {
                "id": ruling.policy,
                "version": ruling.version,
                "withheld": sorted(ruling.withheld),
            },
        }
        seen = Seen(
            answer=body["answer"],
            as_of=now,
            members=members,
            flags=tuple(left.get("flags", ())),
            accesses=accesses,
            ruling=ruling,
        )
    audited = (entry,) if notice is None else (entry, notice.entry)
    return Decided(seen, recorded, audited, event, notice)


def of_people_alone(asked: Asked) -> Asked:
    """No policy lets a system break the glass, whatever roles it was given."""
    none: frozenset[str] = frozenset()
    deny = replace(
        asked.ruling, decision=Decision.DENY, rule=PEOPLE_ALONE, fields=none, withheld=none
    )
    return replace(asked, ruling=deny)


def access_of(
    caller: Caller,
    purpose: Purpose,
    interface: str,
    *,
    now: datetime,
    access_id: uuid.UUID,
    unscheduled: bool = False,
) -> Access:
    """A look of `caller` at one person, as it is kept."""
    return Access(
        access_id=access_id,
        looked_at=now,
        organisation=caller.organisation,
        author=caller.subject,
        author_name=caller.name,
        author_person=caller.person,
        job_role=caller.job_role,
        roles=tuple(sorted(caller.roles)),
        purpose=purpose.value,
        unscheduled=unscheduled,
        interface=interface,
    )


def entry_of_look(
    recorded: Recorded,
    caller: Caller,
    asked: Asked,
    left: dict[str, Any],
    desk: Desk,
    *,
    detail: tuple[tuple[str, str], ...],
) -> AuditEntry:
    """The entry of a look; `left`: what they are shown of the person, if they are."""
    access = recorded.access
    return desk.entry(
        asked,
        at=access.looked_at,
        entry_id=access.access_id,
        kind="access" if asked.permitted else "refusal",
        actor=caller.subject,
        organisation=caller.organisation,
        person=recorded.person,
        subject=f"access:{access.access_id}",
        payload=orjson.dumps(left) if asked.permitted else None,
        actor_name=caller.name,
        role=caller.job_role or ",".join(access.roles) or None,
        reason=recorded.reason,
        request_id=recorded.request_id,
        token_id=caller.token_id,
        detail=detail,
    )


def event_of(recorded: Recorded, number: str, traceparent: str, desk: Desk) -> Entry:
    """Word of a look on the bus, by the key of the person's `number`."""
    access = recorded.access
    event = AccessRecorded(
        event_id=access.access_id,  # one event of one look
        access_id=access.access_id,
        person=recorded.person,
        looked_at=access.looked_at,
        purpose=access.purpose,
        unscheduled=access.unscheduled,
        interface=access.interface,
    )
    return Entry(
        Record(
            ACCESS_RECORDED,
            desk.keys.bus_person(number),
            codec.encode(event),
            cloudevent_headers(
                event_id=event.event_id,
                event_type="AccessRecorded",
                source="serve",
                time=access.looked_at,
                traceparent=traceparent or new_traceparent(),
            ),
        ),
        event.event_id,
    )


def _permitted(accesses: tuple[Access, ...] | None, asked: Asked) -> tuple[Access, ...] | None:
    """The accesses less what a policy withholds of each; None if nothing is told of them."""
    may = asked.may
    if not accesses or not asked.ruling.withheld:
        return accesses
    if not any(may(f"accesses.{name}") for name in ("at", "organisation", "purpose")):
        return None
    return tuple(
        replace(
            one,
            organisation=one.organisation if may("accesses.organisation") else None,
            author=one.author if may("accesses.organisation") else None,
            author_name=one.author_name if may("accesses.name") else None,
            job_role=one.job_role if may("accesses.job_role") else None,
        )
        for one in accesses
    )
