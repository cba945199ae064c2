"""Builders for identity tests: events of invented people, a ledger in memory, batches."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from connectors.pds.outcomes import PdsRecord
from halyard import ids
from halyard.kafka import Incoming, cloudevent_headers
from halyard.nhs_number import check_digit
from halyard.privacy import Keys
from halyard.settings import IdentitySettings, Settings
from schemas import codec, topics
from schemas.changes import PersonChanged, PersonChangeKind
from schemas.deaths import DeathNotified, ReportSubmitted
from schemas.events import (
    Assertion,
    AttendanceReported,
    AttendanceVerified,
    FlagRecord,
    FlagSubmitted,
    FlagVerified,
    Moment,
    PersonClaim,
    PlanType,
    SubmissionKind,
    VisitEventKind,
)
from stores.directory import Authority, Directory, Endpoint
from stores.identities import KnownPerson
from stores.outbox import Entry
from streams.identity.changes import Limits, limits_of
from streams.identity.evidence import Reported, known_person
from streams.identity.ledger import Ledger

NOW = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
AUTHORITY = "E08000001"
LONELY_AUTHORITY = "E08000002"  # has registered no contact for restricted children
HOSPITAL = "RX1"
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"


def number(index: int) -> str:
    """A valid test number, the same for the same index."""
    nine = 999_100_000 + index * 7
    while (digit := check_digit(str(nine))) is None:
        nine += 1
    return f"{nine}{digit}"


CHILD = PersonClaim(
    nhs_number=number(1),
    family="Testchild",
    given=("Robin",),
    birth_date="2017-03-14",
    gender="female",
    postcode="ZZ1 1AA",
)


def directory() -> Directory:
    """Two authorities; only the first may be told of restricted children."""
    endpoint = Endpoint(
        name="la",
        url="http://127.0.0.1:1/",
        secret="la",  # pragma: allowlist secret
    )  # pragma: allowlist secret
    authorities = (
        Authority(gss=AUTHORITY, name="One", alert_endpoint="la", restricted_endpoint="la"),
        Authority(gss=LONELY_AUTHORITY, name="Two", alert_endpoint="la"),
    )
    return Directory({}, (), {one.gss: one for one in authorities}, {"la": endpoint}, ())


def limits(settings: Settings | None = None) -> Limits:
    """The ladder's limits as set by default."""
    return limits_of(settings or Settings(identity=IdentitySettings()), KEYS, directory())


def attendance(
    claim: PersonClaim = CHILD,
    *,
    local_id: str = "L1",
    visit: str = "V1",
    kind: VisitEventKind = VisitEventKind.REGISTER,
    arrival: bool | None = None,
    message_id: str | None = None,
    received_at: datetime = NOW,
) -> AttendanceReported:
    """An attendance of the hospital's patient `local_id`; REGISTER and ADMIT are arrivals."""
    if arrival is None:
        arrival = kind in (VisitEventKind.REGISTER, VisitEventKind.ADMIT)
    message_id = message_id or uuid.uuid4().hex
    return AttendanceReported(
        event_id=ids.derive("attendance", "feed", message_id),
        source="feed",
        organisation=HOSPITAL,
        message_id=message_id,
        received_at=received_at,
        trigger="A04" if kind is VisitEventKind.REGISTER else "A08",
        kind=kind,
        arrival=arrival,
        arrival_rule="default",
        visit_id=ids.derive("visit", "feed", visit),
        source_person=KEYS.source_person("feed", local_id, visit, None),
        source_patient=KEYS.source_patient("feed", local_id, visit, None),
        claim=replace(claim, local_id=local_id),
        message=b"MSH|",
    )


def merge(
    retired: str,
    surviving: str,
    *,
    minutes: int = 60,
    message_id: str | None = None,
) -> AttendanceReported:
    """The hospital's local id `retired` is `surviving`'s, recorded so many minutes after NOW."""
    message_id = message_id or f"merge-{retired}-{surviving}-{minutes}"
    made = attendance(
        PersonClaim(),
        local_id=surviving,
        visit=f"merge-{surviving}",
        kind=VisitEventKind.MERGE,
        message_id=message_id,
    )
    return replace(
        made,
        trigger="A40",
        recorded_at=Moment(NOW + timedelta(minutes=minutes)),
        merged_person=KEYS.source_person("feed", retired, None, None),
        merged_patient=KEYS.source_patient("feed", retired, None, None),
    )


def birth(
    mother: str | None = None,
    *,
    local_id: str = "M1",
    visit: str = "B1",
    kind: VisitEventKind = VisitEventKind.BIRTH,
    **changes: Any,
) -> AttendanceReported:
    """A newborn's message, told of the mother: her NHS number, and her local id."""
    made = attendance(
        PersonClaim(nhs_number=mother),
        local_id=local_id,
        visit=visit,
        kind=kind,
        arrival=kind is VisitEventKind.BIRTH,
        **changes,
    )
    return replace(made, arrival_rule="birth", claim=replace(made.claim, local_id=local_id or None))


def flag(
    claim: PersonClaim = CHILD,
    *,
    line: int = 1,
    local_id: str = "C1",
    authority: str = AUTHORITY,
    upload: str = "U1",
    received_at: datetime = NOW,
    body: str = "",
    **record: Any,
) -> FlagSubmitted:
    """A flag of the authority's child `local_id`."""
    upload_id = ids.derive("upload", authority, upload)
    return FlagSubmitted(
        event_id=ids.derive("flag", authority, str(upload_id), line, body),
        source=authority,
        organisation=authority,
        upload_id=upload_id,
        line=line,
        sequence=1,
        kind=SubmissionKind.RECORD,
        received_at=received_at,
        source_person=KEYS.source_person(authority, local_id, None, None),
        source_patient=KEYS.source_patient(authority, local_id, None, None),
        record=FlagRecord(
            **{"plan_type": PlanType.CPP, "start": "2026-01-01", "la_gss": authority, **record}
        ),
        claim=replace(claim, local_id=local_id),
        message=b"{}",
    )


def trailer(count: int, *, authority: str = AUTHORITY, upload: str = "U1") -> FlagSubmitted:
    """The end of an upload."""
    made = flag(authority=authority, upload=upload, line=count + 1)
    return replace(
        made,
        event_id=ids.derive("trailer", str(made.upload_id)),
        kind=SubmissionKind.TRAILER,
        record=None,
        claim=None,
        count=count,
    )


def record(claim: PersonClaim = CHILD, **changes: Any) -> PdsRecord:
    """What PDS holds of the person whom `claim` states truly."""
    fields: dict[str, Any] = {
        "nhs_number": claim.nhs_number,
        "family": claim.family,
        "given": claim.given,
        "birth_date": claim.birth_date,
        "gender": claim.gender,
        "postcode": claim.postcode,
        "restricted": False,
    }
    return PdsRecord(**{**fields, **changes})


def known(
    claim: PersonClaim = CHILD,
    *,
    flagged: bool = True,
    verified_at: datetime = NOW - timedelta(hours=1),
    **changes: Any,
) -> KnownPerson:
    """A person of the local index."""
    person = known_person(
        record(claim, **changes),
        keys=KEYS,
        verified_at=verified_at,
        keep_until=NOW + timedelta(days=365),
    )
    return replace(person, flagged=flagged, flagged_at=verified_at if flagged else None)


def new_ids() -> Callable[[], uuid.UUID]:
    """Ids that are the same in every run."""
    state = {"count": 0}

    def new_id() -> uuid.UUID:
        state["count"] += 1
        return ids.derive("test", state["count"])

    return new_id


def ledger(persons: Iterable[KnownPerson] = ()) -> Ledger:
    """An empty ledger that knows `persons`."""
    return Ledger(limits(), now=NOW, new_id=new_ids(), persons=persons)


def parked_behind(book: Ledger, trace_id: uuid.UUID) -> list[str]:
    """The keys that wait for a trace."""
    return sorted(one.key for one in book._parked.values() if one.trace_id == trace_id)


_TOPICS: dict[type[Reported | PersonChanged], str] = {
    PersonChanged: topics.PERSON_CHANGED,
    AttendanceReported: topics.ATTENDANCE_REPORTED,
    FlagSubmitted: topics.FLAG_SUBMITTED,
    DeathNotified: topics.DEATH_NOTIFIED,
    ReportSubmitted: topics.REPORT_SUBMITTED,
}


def changed(
    number: str, kind: PersonChangeKind = PersonChangeKind.NUMBER, *, message_id: str | None = None
) -> PersonChanged:
    """Word of PDS that something of the person with this number has changed."""
    message_id = message_id or uuid.uuid4().hex
    return PersonChanged(
        event_id=ids.derive("person-changed", message_id),
        source="mns",
        organisation=HOSPITAL,
        message_id=message_id,
        received_at=NOW,
        kind=kind,
        nhs_number=number,
    )


def incoming(event: Reported | PersonChanged) -> Incoming:
    """The event as the stage takes it from Kafka."""
    return Incoming(
        topic=_TOPICS[type(event)],
        partition=0,
        offset=0,
        key=event.message_id if isinstance(event, PersonChanged) else event.source_person,
        value=codec.encode(event),
        headers=cloudevent_headers(
            event_id=event.event_id,
            event_type=type(event).__name__,
            source="test",
            time=event.received_at,
            traceparent=TRACE,
        ),
    )


@dataclass(frozen=True, slots=True)
class Said:
    """One assertion or retraction, briefly."""

    event: uuid.UUID
    revision: int
    assertion: str
    status: str
    person: str
    rule: str


def said(values: Iterable[Entry | bytes]) -> list[Said]:
    """The assertions and retractions among outbox entries (or their bytes), in order."""
    found = []
    for one in values:
        event = codec.decode(one if isinstance(one, bytes) else one.record.value)
        if isinstance(event, AttendanceVerified | FlagVerified):
            found.append(
                Said(
                    event.reported_event_id,
                    event.revision,
                    event.assertion,
                    event.identity.status,
                    event.identity.person,
                    event.identity.rule,
                )
            )
    return found


def holding(values: Iterable[Entry | bytes]) -> dict[uuid.UUID, tuple[str, str] | None]:
    """Whom the bus names for each reported event in the end: (person, status), None if nobody."""
    last: dict[uuid.UUID, Said] = {}
    for one in said(values):
        if one.event not in last or one.revision > last[one.event].revision:
            last[one.event] = one
    return {
        event: (one.person, one.status) if one.assertion == Assertion.ASSERTED else None
        for event, one in last.items()
    }
