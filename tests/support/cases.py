"""Builders of verified deaths and reports of invented children, and a cases stage to take them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from halyard import kafka, postgres
from halyard.ids import derive
from halyard.kafka import Incoming, cloudevent_headers
from halyard.postgres import Pool
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import new_traceparent
from schemas import codec, topics
from schemas.deaths import (
    CaseChanged,
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
from stores import cases as case_store
from stores import mailbox, proposals
from stores.case_model import CaseRow
from stores.directory import Authority, Directory, Hospital
from stores.panels import Agency, Area, Panel
from stores.proposals import Proposal
from streams.cases.agent import CasesStage
from streams.cases.holdings import case_id_of

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
HOSPITAL, OTHER_HOSPITAL, SURGERY, AUTHORITY = "RXX01", "RXX02", "Y00001", "E06000001"
CHILD, OTHER_CHILD = "9990000018", "9990000026"
FACTS = {
    "child.family": "Sample",
    "child.given": "Robin",
    "child.sex": "female",
    "child.birth-date": "2019-05-04",
    "child.postcode": "ZZ1 1ZZ",
    "child.residence-authority": AUTHORITY,
    "death.date": "2026-03-01",
}
DIRECTORY = Directory(
    hospitals={
        HOSPITAL: Hospital(ods=HOSPITAL, name="Northtown General"),
        OTHER_HOSPITAL: Hospital(ods=OTHER_HOSPITAL, name="Southtown General"),
    },
    feeds=(),
    authorities={AUTHORITY: Authority(gss=AUTHORITY, name="Northtown Council")},
    endpoints={},
    credentials=(),
    agencies={
        SURGERY: Agency(
            code=SURGERY, name="A Surgery", kind="general-practice", health_or_social_care=True
        )
    },
    panels={
        "north": Panel(code="north", name="North", organisation="QZ9", areas=(Area(gss=AUTHORITY),))
    },
)


def identity(number: str = CHILD, **more: Any) -> Identity:
    """A verified child."""
    return Identity(
        person=KEYS.person(number),
        status=IdentityStatus.VERIFIED,
        indicator=NhsNumberStatus.VERIFIED,
        basis="pds-get",
        rule="pds-agrees",
        decided_at=NOON,
        nhs_number=number,
        birth_date="2019-05-04",
        **more,
    )


def facts(told: Mapping[str, str]) -> tuple[Fact, ...]:
    """Facts of a form that does not repeat."""
    return tuple(Fact(name, value=value) for name, value in told.items())


def death(
    kind: DeathMessageKind = DeathMessageKind.SUBMITTED,
    version: int = 1,
    *,
    reference: str = "N-1",
    organisation: str = HOSPITAL,
    source: str | None = None,
    message_id: str | None = None,
    told: Mapping[str, str] | None = None,
    rows: Sequence[Fact] = (),
    reason: str | None = None,
    number: str | None = None,
    revision: int = 1,
    who: Identity | None = None,
    at: datetime = NOON,
    **more: Any,
) -> DeathVerified:
    """A death's message after identity; the same message gives the same ids."""
    source = source or f"{organisation.lower()}-fhir"
    said = facts(FACTS | dict(told or {})) if kind is not DeathMessageKind.VOIDED else ()
    message_id = message_id or _id(reference, kind.value, version, told)
    digest = KEYS.digest(repr((message_id, kind, version, said, reason)).encode())
    local = f"death:{reference}"
    notified = DeathNotified(
        event_id=derive("death", source, message_id, digest),
        source=source,
        organisation=organisation,
        message_id=message_id,
        digest=digest,
        received_at=at,
        kind=kind,
        source_person=KEYS.source_person(source, local, None, None),
        source_patient=KEYS.source_patient(source, local, None, None),
        reference=reference,
        version=version,
        form="https://example.org/form|2026",
        reason=reason,
        claim=PersonClaim(nhs_number=number, family="Sample", birth_date="2019-05-04"),
        facts=(*said, *rows),
        message=b"{}",
        **more,
    )
    return verified(notified, revision=revision, who=who)


def verified(
    notified: DeathNotified, *, revision: int = 1, who: Identity | None = None
) -> DeathVerified:
    """What identity says of a message; `who` None: no number is verified yet."""
    return DeathVerified(
        event_id=derive("death-verified", str(notified.event_id), revision),
        reported_event_id=notified.event_id,
        revision=revision,
        indicator=who.indicator if who else NhsNumberStatus.IN_PROGRESS,
        rule=who.rule if who else "trace-filed",
        decided_at=notified.received_at,
        notified=notified,
        identity=who,
    )


def restated(event: DeathVerified, who: Identity | None, revision: int = 2) -> DeathVerified:
    """The same message, when identity knows more."""
    return verified(event.notified, revision=revision, who=who)


def indicated(indication: DeathIndication, who: Identity, at: datetime = NOON) -> DeathVerified:
    """PDS says something of a person's death."""
    event = death(DeathMessageKind.INDICATED, 0, reference="", message_id=f"pds-{indication}")
    return verified(
        replace(
            event.notified,
            source="pds",
            indication=indication,
            effective_at=at,
            facts=(),
            form="",
            claim=PersonClaim(),
        ),
        who=who,
    )


def report(
    kind: ReportKind = ReportKind.REPORT,
    version: int = 1,
    *,
    reference: str = "R-1",
    organisation: str = SURGERY,
    request_id: uuid.UUID | None = None,
    told: Mapping[str, str] | None = None,
    who: Identity | None = None,
    revision: int = 1,
    at: datetime = NOON,
) -> ReportVerified:
    """An agency's report after identity."""
    source = f"{organisation.lower()}-fhir"
    message_id = _id(reference, kind.value, version, told)
    digest = KEYS.digest(repr((message_id, request_id)).encode())
    local = f"report:{reference}"
    submitted = ReportSubmitted(
        event_id=derive("report", source, message_id, digest),
        source=source,
        organisation=organisation,
        message_id=message_id,
        digest=digest,
        received_at=at,
        kind=kind,
        source_person=KEYS.source_person(source, local, None, None),
        source_patient=KEYS.source_patient(source, local, None, None),
        reference=reference,
        version=version,
        request_id=request_id,
        facts=facts(told or {}),
        message=b"{}",
    )
    return ReportVerified(
        event_id=derive("report-verified", str(submitted.event_id), revision),
        reported_event_id=submitted.event_id,
        revision=revision,
        indicator=who.indicator if who else NhsNumberStatus.NO_OR_MULTIPLE_MATCH,
        rule=who.rule if who else "no-number",
        decided_at=at,
        report=submitted,
        identity=who,
    )


def case_id(event: DeathVerified) -> uuid.UUID:
    """The case that a notification opens."""
    return case_id_of(event.notified.source, event.notified.source_patient)


def incoming(event: DeathVerified | ReportVerified) -> Incoming:
    """The event as the stage takes it from the bus."""
    is_death = isinstance(event, DeathVerified)
    return Incoming(
        topic=topics.DEATH_VERIFIED if is_death else topics.REPORT_VERIFIED,
        partition=0,
        offset=0,
        key="key",
        value=codec.encode(event),
        headers=cloudevent_headers(
            event_id=event.event_id,
            event_type=type(event).__name__,
            source="identity",
            time=event.decided_at,
            traceparent=new_traceparent(),
        ),
    )


@dataclass
class Hub:
    """The stage, its database, what it sent, and a clock that goes on by a second a look."""

    pool: Pool
    settings: Settings
    sent: list[kafka.Record] = field(default_factory=list)
    now: datetime = NOON

    def stage(self) -> CasesStage:
        """A worker's stage; several may run at once."""
        return CasesStage(self.pool, KEYS, self.settings, DIRECTORY, self.send, self.clock)

    def clock(self) -> datetime:
        """The present."""
        self.now += timedelta(seconds=1)
        return self.now

    async def send(self, records: Sequence[kafka.Record]) -> Sequence[bool]:
        """A broker that confirms."""
        self.sent.extend(records)
        return [True] * len(records)

    async def take(self, *events: DeathVerified | ReportVerified) -> None:
        """Process `events` as one batch."""
        await self.stage().process([incoming(one) for one in events])

    async def end_holds(self) -> int:
        """A day and an hour later somebody looks."""
        self.now += timedelta(hours=25)
        return await self.stage().sweep()

    def told(self) -> list[CaseChanged]:
        """The case events on the bus, in order."""
        return [
            codec.decode_as(CaseChanged, one.value)
            for one in self.sent
            if one.topic == topics.CASE_CHANGED
        ]

    def requested(self) -> list[ReportRequested]:
        """The report requests on the bus, in order."""
        return [
            codec.decode_as(ReportRequested, one.value)
            for one in self.sent
            if one.topic == topics.REPORT_REQUESTED
        ]

    async def case(self, wanted: uuid.UUID) -> CaseRow:
        """The case, which must be there."""
        async with postgres.transaction(self.pool) as connection:
            found = await case_store.case(connection, wanted)
        assert found is not None
        return found

    async def answer(self, event: DeathVerified | ReportVerified) -> str | None:
        """As in `case_rules.Row.answers`: from the letter in the sender's mailbox."""
        said = event.notified if isinstance(event, DeathVerified) else event.report
        async with postgres.transaction(self.pool) as connection:
            found = await mailbox.answer_to(
                connection, said.organisation, str(event.reported_event_id)
            )
        assert len(found) <= 1, "answered twice"
        return None if not found else _told(orjson.loads(found[0].body))

    async def proposals(self, *of: uuid.UUID) -> list[Proposal]:
        """The proposals of cases."""
        async with postgres.transaction(self.pool) as connection:
            return await proposals.of_cases(connection, of)

    async def query(self, text: Any, **values: Any) -> list[dict[str, Any]]:
        """Rows of a query of the test's own."""
        async with postgres.transaction(self.pool) as connection:
            cursor = await connection.execute(text, values)
            return await cursor.fetchall()


def _id(*parts: Any) -> str:
    return str(derive("test-message", orjson.dumps(parts).decode()))


def _told(bundle: dict[str, Any]) -> str:
    by_type = {one["resource"]["resourceType"]: one["resource"] for one in bundle["entry"]}
    rules = [
        issue["details"]["coding"][0]["code"]
        for issue in by_type.get("OperationOutcome", {}).get("issue", ())
    ]
    parameters = by_type["Parameters"]["parameter"]
    status = next(one for one in parameters if one["name"] == "status")
    said = next(value for name, value in status.items() if name.startswith("value"))
    if said == "rejected":
        return "!" + "+".join(rules)
    return "+".join((said, *rules))
