"""A cases stage on a database, without Kafka, and a person who decides about its cases."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from halyard.ids import derive
from halyard.kafka import Incoming, Record, cloudevent_headers
from halyard.postgres import Pool, transaction
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import new_traceparent
from policies.model import Policies
from schemas import codec
from schemas.deaths import (
    CaseChanged,
    CaseContent,
    DeathIndication,
    DeathMessageKind,
    DeathNotified,
    DeathVerified,
    Fact,
    ReportKind,
    ReportRequested,
    ReportSubmitted,
    ReportVerified,
)
from schemas.events import Identity, IdentityStatus, NhsNumberStatus, PersonClaim
from schemas.topics import DEATH_VERIFIED, REPORT_VERIFIED
from stores import cases, outbox
from stores.directory import Authority, Directory, Hospital
from stores.mailbox import Letter
from stores.panels import Agency, Area, Panel
from streams.cases.agent import CasesStage
from streams.cases.commands import Decider
from streams.cases.holdings import World, world_of

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
NUMBER, OTHER_NUMBER = "9990000018", "9990000026"
KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
HOSPITAL, SECOND_HOSPITAL, SURGERY, POLICE = "RXX01", "RXX02", "Y00001", "POL01"
NORTH, SOUTH = "E06000001", "E06000002"
OFFICE, SECOND_OFFICE = "QXX01", "QXX02"
DIRECTORY = Directory(
    hospitals={
        HOSPITAL: Hospital(ods=HOSPITAL, name="Northtown General"),
        SECOND_HOSPITAL: Hospital(ods=SECOND_HOSPITAL, name="Southtown Children's"),
    },
    feeds=(),
    authorities={
        NORTH: Authority(gss=NORTH, name="Northtown"),
        SOUTH: Authority(gss=SOUTH, name="Southtown"),
    },
    endpoints={},
    credentials=(),
    agencies={
        SURGERY: Agency(
            code=SURGERY, name="Ash Surgery", kind="general-practice", health_or_social_care=True
        ),
        POLICE: Agency(code=POLICE, name="Practice Police", kind="police"),
        OFFICE: Agency(code=OFFICE, name="North panel's office", health_or_social_care=True),
        SECOND_OFFICE: Agency(code=SECOND_OFFICE, name="South panel's office"),
    },
    panels={
        "north": Panel(
            code="north", name="North", organisation=OFFICE, areas=(Area(gss=NORTH),), due_days=14
        ),
        "south": Panel(
            code="south", name="South", organisation=SECOND_OFFICE, areas=(Area(gss=SOUTH),)
        ),
    },
)
CHILD = {
    "child.family": "Jessop",
    "child.given": "Lily",
    "child.birth-date": "2019-05-04",
    "child.sex": "female",
    "child.residence-authority": NORTH,
    "child.postcode": "ZZ4 1AB",
    "death.date": "2026-02-27",
    "death.time": "04:10",
}


def row(group: str, number: int, **told: str) -> tuple[Fact, ...]:
    """A row of a repeating group; ``_`` stands for a hyphen."""
    return tuple(
        Fact(f"{group}.{name.replace('_', '-')}", number, value) for name, value in told.items()
    )


def identity(number: str, *, restricted: bool = False) -> Identity:
    """A verified person."""
    return Identity(
        person=KEYS.person(number),
        status=IdentityStatus.VERIFIED,
        indicator=NhsNumberStatus.VERIFIED,
        basis="pds-get",
        rule="pds-agrees",
        decided_at=NOW,
        nhs_number=number,
        birth_date=CHILD["child.birth-date"],
        restricted=restricted,
    )


def death(
    reference: str = "N-1",
    *,
    organisation: str = HOSPITAL,
    number: str | None = NUMBER,
    version: int = 1,
    kind: DeathMessageKind = DeathMessageKind.SUBMITTED,
    told: dict[str, str] | None = None,
    rows: Sequence[tuple[Fact, ...]] = (),
    restricted: bool = False,
    at: datetime = NOW,
    **more: Any,
) -> DeathVerified:
    """A message about a death, after the ladder."""
    source = f"{organisation.lower()}-fhir"
    message_id = f"{reference}-{kind.value}-{version}"
    indicated = kind is DeathMessageKind.INDICATED
    facts = CHILD | (told or {})
    patient = KEYS.source_patient(source, f"death:{reference}", None, None)
    event = DeathNotified(
        event_id=derive("death", source, message_id, str(at)),
        source=source,
        organisation=organisation,
        message_id=message_id,
        digest=KEYS.digest(message_id.encode()),
        received_at=at,
        kind=kind,
        source_person=KEYS.source_person(source, f"death:{reference}", None, None),
        source_patient=patient,
        reference="" if indicated else reference,
        version=0 if indicated else version,
        reason="entered-in-error" if kind is DeathMessageKind.VOIDED else None,
        claim=more.pop(
            "claim",
            PersonClaim(
                nhs_number=number,
                family=facts["child.family"],
                given=(facts["child.given"],),
                birth_date=facts["child.birth-date"],
                local_id=f"L-{reference}",
            ),
        ),
        facts=()
        if indicated or kind is DeathMessageKind.VOIDED
        else (
            *(Fact(name, value=value) for name, value in facts.items()),
            *(fact for each in rows for fact in each),
        ),
        **more,
    )
    verified = None if number is None else identity(number, restricted=restricted)
    return DeathVerified(
        event_id=derive("death-verified", str(event.event_id), 1),
        reported_event_id=event.event_id,
        revision=1,
        indicator=NhsNumberStatus.VERIFIED if verified else NhsNumberStatus.IN_PROGRESS,
        rule="pds-agrees" if verified else "being-traced",
        decided_at=at,
        notified=event,
        identity=verified,
    )


def indicated(
    indication: DeathIndication,
    reference: str = "I-1",
    *,
    organisation: str = HOSPITAL,
    number: str | None = NUMBER,
    effective_at: datetime | None = None,
    at: datetime = NOW,
) -> DeathVerified:
    """A record says that somebody died."""
    return death(
        reference,
        organisation=organisation,
        number=number,
        kind=DeathMessageKind.INDICATED,
        at=at,
        indication=indication,
        died_at="2026-02-27",
        effective_at=effective_at,
    )


def report(
    organisation: str,
    kind: ReportKind = ReportKind.REPORT,
    *,
    request_id: uuid.UUID | None = None,
    reference: str = "R-1",
    number: str | None = NUMBER,
    facts: tuple[Fact, ...] = (),
) -> ReportVerified:
    """An agency's report, after the ladder."""
    source = f"{organisation.lower()}-fhir"
    event = ReportSubmitted(
        event_id=derive("report", source, reference),
        source=source,
        organisation=organisation,
        message_id=f"m-{reference}",
        digest=KEYS.digest(reference.encode()),
        received_at=NOW,
        kind=kind,
        source_person=KEYS.source_person(source, f"report:{reference}", None, None),
        source_patient=KEYS.source_patient(source, f"report:{reference}", None, None),
        reference=reference,
        version=1,
        request_id=request_id,
        facts=facts,
    )
    verified = None if number is None else identity(number)
    return ReportVerified(
        event_id=derive("report-verified", str(event.event_id)),
        reported_event_id=event.event_id,
        revision=1,
        indicator=NhsNumberStatus.VERIFIED if verified else NhsNumberStatus.NOT_PRESENT,
        rule="",
        decided_at=NOW,
        report=event,
        identity=verified,
    )


@dataclass(slots=True)
class Desk:
    """The stage, what it would send, and a person at work."""

    pool: Pool
    settings: Settings
    now: datetime = NOW
    sent: list[Record] = field(default_factory=list)
    directory: Directory = DIRECTORY
    policies: Policies | None = None  # the product's, if none are given

    @property
    def world(self) -> World:
        """What decisions look at."""
        return world_of(self.settings, KEYS, self.directory, self.policies)

    async def take(self, *events: DeathVerified | ReportVerified) -> None:
        """Take each as a batch of its own."""
        stage = CasesStage(
            self.pool,
            KEYS,
            self.settings,
            self.directory,
            self._send,
            lambda: self.now,
            self.policies,
        )
        for event in events:
            await stage.process([_incoming(event)])
            self.now += timedelta(seconds=1)

    def decider(self, reason: str = "looked at both") -> Decider:
        """A person with a reason, now."""
        self.now += timedelta(seconds=1)
        return Decider("Designated doctor", reason, self.now, uuid.uuid4())

    async def content(self, case_id: uuid.UUID) -> CaseContent:
        """What a case says."""
        async with transaction(self.pool) as connection:
            row = await cases.case(connection, case_id)
        assert row is not None
        return row.content

    async def version(self, case_id: uuid.UUID) -> int:
        """Its last version."""
        async with transaction(self.pool) as connection:
            row = await cases.case(connection, case_id)
        assert row is not None
        return row.version

    async def letters(self, organisation: str, kind: str | None = None) -> list[Letter]:
        """An organisation's letters, oldest first; also while others' transactions run."""
        async with transaction(self.pool) as connection:
            cursor = await connection.execute(
                "select letter_id, organisation, kind, body, created_at, case_id, "
                "needs_acknowledgement from letters where organisation = %s order by position",
                (organisation,),
            )
            rows = await cursor.fetchall()
        found = [Letter(**{**row, "body": bytes(row["body"])}) for row in rows]
        return [one for one in found if kind in (None, one.kind)]

    def requested(self) -> list[ReportRequested]:
        """What left of report requests."""
        events = [codec.decode(one.value) for one in self.sent]
        return [one for one in events if isinstance(one, ReportRequested)]

    def changed(self) -> list[CaseChanged]:
        """What left of cases."""
        events = [codec.decode(one.value) for one in self.sent]
        return [one for one in events if isinstance(one, CaseChanged)]

    async def publish(self) -> None:
        """What a decision left in the outbox leaves now."""
        await outbox.sweep(self.pool, self._send, older_than_seconds=-1)

    async def _send(self, records: Sequence[Record]) -> Sequence[bool]:
        self.sent.extend(records)
        return [True] * len(records)


def case_of(event: DeathVerified) -> uuid.UUID:
    """The case that a notification opens."""
    return derive("case", event.notified.source, event.notified.source_patient)


def text_of(letter: Letter) -> str:
    """A letter's JSON, to be searched."""
    return orjson.dumps(orjson.loads(letter.body)).decode()


def _incoming(event: DeathVerified | ReportVerified) -> Incoming:
    isdeath = isinstance(event, DeathVerified)
    return Incoming(
        topic=DEATH_VERIFIED if isdeath else REPORT_VERIFIED,
        partition=0,
        offset=0,
        key="k",
        value=codec.encode(event),
        headers=cloudevent_headers(
            event_id=event.event_id,
            event_type=type(event).__name__,
            source="test",
            time=event.decided_at,
            traceparent=new_traceparent(),
        ),
    )
