"""Versions of made-up cases, as the cases worker says them."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from halyard.kafka import Record, cloudevent_headers
from schemas.codec import encode
from schemas.deaths import (
    CaseChange,
    CaseChanged,
    CaseContent,
    CaseFact,
    CaseState,
    Eligibility,
    Fact,
    FlagHistory,
    NotificationLink,
    ReportKind,
    ReportLink,
    RequestLink,
    RequestState,
)
from schemas.events import NhsNumberStatus
from schemas.topics import CASE_CHANGED

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
NUMBER = "9990000018"  # of the test range
TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


def case_id(number: int) -> uuid.UUID:
    """The id of case `number`."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"case-{number}")


def facts(number: int, version: int) -> tuple[CaseFact, ...]:
    """Two facts, the second of which each version changes."""
    said = (
        Fact("child.family", value=f"Example{number}"),
        Fact("death.circumstances", value=f"as told {version}"),
    )
    return tuple(
        CaseFact(fact, "RXX01", uuid.UUID(int=number), START, "urn:form|2026") for fact in said
    )


def content(number: int, version: int, **changes: Any) -> CaseContent:
    """What case `number` says in `version`."""
    voided = changes.get("state") is CaseState.VOIDED
    made = CaseContent(
        state=CaseState.OPEN,
        eligibility=Eligibility.IN_SCOPE,
        eligibility_rule="live-born-under-18",
        indicator=NhsNumberStatus.VERIFIED,
        identity_rule="traced",
        flag_history=FlagHistory.NEVER,
        nhs_number=NUMBER,
        panel="northtown",
        panel_rule="residence",
        facts=facts(number, version),
        notifications=(
            NotificationLink(
                source="rxx01-fhir",
                organisation="RXX01",
                version=version,
                voided=voided,
                event_id=uuid.UUID(int=number),
                received_at=START + timedelta(minutes=version),
                reference=f"N-{number}",
                reason="entered-in-error" if voided else None,
            ),
        ),
        reports=(ReportLink("Y00001", ReportKind.REPORT, 1, uuid.UUID(int=7), START),),
        requests=(
            RequestLink(
                uuid.UUID(int=8), "Y00001", "general-practitioner", RequestState.SUBMITTED, START
            ),
        ),
    )
    return replace(made, **changes)


def changed(number: int, version: int = 1, **changes: Any) -> CaseChanged:
    """Version `version` of case `number`; `changes` are of its content, `change` is its change."""
    change = changes.pop("change", CaseChange.UPDATED if version > 1 else CaseChange.OPENED)
    return CaseChanged(
        event_id=uuid.uuid5(case_id(number), str(version)),
        case_id=case_id(number),
        version=version,
        change=change,
        changed_at=START + timedelta(hours=version),
        rule="notified",
        cause=uuid.UUID(int=number),
        content=content(number, version, **changes),
    )


def voided(number: int, version: int) -> CaseChanged:
    """A version that voids case `number`."""
    return changed(number, version, state=CaseState.VOIDED, change=CaseChange.VOIDED)


def as_record(event: CaseChanged, value: bytes | None = None) -> Record:
    """`event` as the outbox puts it on the bus; `value` for other bytes."""
    headers = cloudevent_headers(
        event_id=event.event_id,
        event_type="CaseChanged",
        source="cases",
        time=event.changed_at,
        traceparent=TRACE,
    )
    return Record(
        CASE_CHANGED, str(event.case_id), encode(event) if value is None else value, headers
    )
