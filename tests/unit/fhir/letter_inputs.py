"""Made-up inputs for letters: one of each kind for the reference page, and strategies."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from connectors.fhir import corrections, letters, number_letters, worklist_letters
from connectors.fhir.own_records import OwnRecord
from schemas import death_fields
from schemas.deaths import (
    CaseChange,
    CaseChanged,
    CaseContent,
    CaseFact,
    CaseState,
    DeathIndication,
    DeathMessageKind,
    DeathNotified,
    Eligibility,
    Fact,
    FactKind,
    FlagAtDeath,
    FlagHistory,
    LastAttendance,
    NotificationLink,
    ReportKind,
    ReportLink,
    ReportRequested,
    RequestLink,
    RequestState,
    TrackingNumber,
)
from schemas.events import NhsNumberStatus, PersonClaim

NUMBER = "9990000018"
AT = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)
HOSPITAL, PRACTICE, AUTHORITY = "RXX01", "Y00001", "E06000001"


def _id(number: int) -> uuid.UUID:
    return uuid.UUID(int=number)


def _fact(name: str, value: str | None, organisation: str = HOSPITAL, **more: Any) -> CaseFact:
    return CaseFact(Fact(name, value=value, **more), organisation, _id(1), AT)


FACTS = (
    _fact("child.family", "Testfield"),
    _fact("child.given", "Robin Sky"),
    _fact("child.birth-date", "2019-06-12"),
    _fact("child.sex", "female"),
    _fact("death.date", "2026-03-01"),
    _fact("death.time", "04:20"),
    _fact("death.expected", "false", kind=FactKind.OPINION),
    _fact("death.country", None, absent="unknown"),
    _fact("professional.role", "general-practitioner", row=1),
    _fact("professional.organisation-code", PRACTICE, row=1),
)
REQUESTED = ReportRequested(
    event_id=_id(10),
    request_id=_id(3),
    case_id=_id(4),
    version=1,
    state=RequestState.REQUESTED,
    changed_at=AT,
    requested_at=AT,
    due_at=datetime(2026, 3, 23, 9, 30, tzinfo=UTC),
    basis="Children Act 2004, section 16N",
    panel="northtown",
    agency=PRACTICE,
    role="general-practitioner",
    rule="professional",
    sections=("child", "service-provision"),
    known=FACTS,
    agency_name="Northtown Surgery",
)
CONTENT = CaseContent(
    state=CaseState.VOIDED,
    eligibility=Eligibility.IN_SCOPE,
    eligibility_rule="child",
    indicator=NhsNumberStatus.VERIFIED,
    identity_rule="verified",
    flag_history=FlagHistory.CURRENT,
    nhs_number=NUMBER,
    panel="northtown",
    facts=FACTS,
    notifications=(
        NotificationLink(
            "northtown-fhir", HOSPITAL, 2, True, _id(1), AT, "N-2026-17", "wrong-child"
        ),
    ),
    tracking=(TrackingNumber("mbrrace", "MB-77", HOSPITAL), TrackingNumber("coroner", "C-1")),
)
CASE = CaseChanged(
    _id(11), _id(4), 3, CaseChange.VOIDED, AT, "all-notifications-voided", _id(1), CONTENT
)
OPEN = replace(CASE, change=CaseChange.OPENED, content=replace(CONTENT, state=CaseState.OPEN))
INDICATED = DeathNotified(
    event_id=_id(20),
    source="northtown-pas",
    organisation=HOSPITAL,
    message_id="MSG00042",
    digest="0" * 32,
    received_at=AT,
    kind=DeathMessageKind.INDICATED,
    source_person="0" * 32,
    source_patient="0" * 32,
    claim=PersonClaim(nhs_number=NUMBER, family="Testfield", given=("Robin",), local_id="L-1001"),
    indication=DeathIndication.HOSPITAL,
    died_at="2026-03-01",
)
PLANS = (FlagAtDeath(AUTHORITY, "CPP", FlagHistory.CURRENT, "2025-01-06"),)
HOUSEHOLD = (
    {"family": "Testfield", "given": "Kim", "birth-date": "2021", "sex": "male", "at-risk": "true"},
    {"given": "Noa", "age": "7"},
)
ANSWERED: Mapping[str, Any] = {
    "at": AT,
    "organisation": HOSPITAL,
    "answers": "d9d1c7a8-8a4e-4d0c-9d43-2f2d3c1f0a01",
    "receipt": _id(1),
    "reference": "N-2026-17",
    "version": 2,
}

OWN_RECORD = OwnRecord(local_id="LA-1001", upload_id=_id(5), line=7)
CHANGED: Mapping[str, Any] = {"at": AT, "organisation": AUTHORITY, "records": [OWN_RECORD]}
KINDS = (*letters.KINDS, *number_letters.KINDS, *worklist_letters.KINDS)

EXAMPLES: Mapping[str, Callable[[], bytes]] = {
    letters.ACKNOWLEDGEMENT: lambda: letters.acknowledgement(
        letter_id=_id(101),
        status="accepted",
        warnings=(("number-absent", "Send the NHS number as soon as it is known."),),
        **ANSWERED,
    ),
    letters.REJECTION: lambda: letters.rejection(
        letter_id=_id(102),
        status="rejected",
        issues=(("id-reuse", "A message id was used for another body; give each its own."),),
        **ANSWERED,
    ),
    letters.REPORT_REQUEST: lambda: letters.report_request(
        letter_id=_id(103), at=AT, requested=REQUESTED, nhs_number=NUMBER, with_number=True
    ),
    letters.REPORT_REQUEST_CANCELLED: lambda: letters.report_request(
        letter_id=_id(104), at=AT, requested=replace(REQUESTED, state=RequestState.CANCELLED)
    ),
    letters.DEATH_PROMPT: lambda: letters.prompt(
        letter_id=_id(105), at=AT, organisation=HOSPITAL, notified=INDICATED
    ),
    letters.HOUSEHOLD_CHECK: lambda: letters.household_check(
        letter_id=_id(106), at=AT, authority=AUTHORITY, case=OPEN, flags=PLANS, household=HOUSEHOLD
    ),
    letters.HOUSEHOLD_CHECK_WITHDRAWN: lambda: corrections.household_check_withdrawn(
        letter_id=_id(108), at=AT, authority=AUTHORITY, case=CASE, withdraws=_id(106)
    ),
    letters.CASE_REINSTATED: lambda: corrections.case_reinstated(
        letter_id=_id(109), at=AT, organisation=HOSPITAL, case=CASE
    ),
    letters.CASE_VOIDED: lambda: letters.case_voided(
        letter_id=_id(107), at=AT, organisation=HOSPITAL, case=CASE, with_number=True
    ),
    number_letters.NUMBER_SUPERSEDED: lambda: number_letters.superseded(
        letter_id=_id(110), successor=NUMBER, **CHANGED
    ),
    number_letters.NUMBER_INVALIDATED: lambda: number_letters.invalidated(
        letter_id=_id(111), **{**CHANGED, "records": [OWN_RECORD, OwnRecord(case_id=_id(4))]}
    ),
    number_letters.NUMBER_DIFFERS: lambda: number_letters.superseded_by_another(
        letter_id=_id(112), **CHANGED
    ),
    worklist_letters.QUESTION: lambda: worklist_letters.question(
        letter_id=_id(113),
        at=AT,
        organisation=HOSPITAL,
        entry_id=_id(6),
        code="birth-date",
        record=OwnRecord(local_id="L-1001", message_id="MSG00042"),
    ),
}
"""One letter of each kind."""

# Whatever a sender may have written: control characters, other scripts, numbers within texts
WORDS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        (
            "",
            " ",
            "\x00",
            "a\x0bb",
            NUMBER,
            "999 000 0018",
            "see 999-000-0018!",
            "0123 999 000 0018",
        )
    ),
    st.sampled_from(("true", "false", "2026-03", "2026-02-30", "04:20", "25:00", "12", "9" * 12)),
)
MAYBE = st.none() | WORDS
MOMENTS = st.integers(631_152_000, 4_102_444_800).map(lambda at: datetime.fromtimestamp(at, UTC))
CODES = st.sampled_from((HOSPITAL, PRACTICE, AUTHORITY))
NAMES = st.sampled_from(tuple(death_fields.catalogue())) | WORDS

FACT = st.builds(
    CaseFact,
    fact=st.builds(
        Fact,
        name=NAMES,
        row=st.integers(0, 2),
        value=MAYBE,
        absent=st.none() | st.sampled_from(("unknown", "not-applicable")) | WORDS,
        kind=st.sampled_from(FactKind),
        as_at=MAYBE,
    ),
    organisation=CODES,
    event_id=st.sampled_from((_id(1), _id(2))),
    stated_at=MOMENTS,
)
FACT_LISTS = st.lists(FACT, max_size=6).map(tuple)
FLAGS = st.lists(
    st.builds(
        FlagAtDeath,
        authority=CODES,
        plan_type=st.sampled_from(("CPP", "LAC")) | WORDS,
        history=st.sampled_from(FlagHistory),
        start=MAYBE,
        end=MAYBE,
    ),
    max_size=2,
).map(tuple)
REQUESTS = st.builds(
    ReportRequested,
    event_id=st.uuids(),
    request_id=st.uuids(),
    case_id=st.uuids(),
    version=st.integers(0, 9),
    state=st.sampled_from(RequestState),
    changed_at=MOMENTS,
    requested_at=MOMENTS,
    due_at=MOMENTS,
    basis=WORDS,
    panel=st.none() | st.just("northtown"),
    agency=CODES | st.just(""),
    role=WORDS,
    rule=WORDS,
    sections=st.lists(WORDS, max_size=3).map(tuple),
    known=FACT_LISTS,
    agency_name=WORDS,
)
CONTENTS = st.builds(
    CaseContent,
    state=st.sampled_from(CaseState),
    eligibility=st.sampled_from(Eligibility),
    eligibility_rule=WORDS,
    indicator=st.sampled_from(NhsNumberStatus),
    identity_rule=WORDS,
    flag_history=st.sampled_from(FlagHistory),
    nhs_number=st.none() | st.just(NUMBER),
    restricted=st.booleans(),
    panel=st.none() | st.just("northtown"),
    panels_informed=st.lists(WORDS, max_size=2).map(tuple),
    needs=st.just(("panel",)),
    facts=FACT_LISTS,
    conflicts=st.lists(NAMES, max_size=2).map(tuple),
    notifications=st.lists(
        st.builds(
            NotificationLink,
            source=WORDS,
            organisation=CODES,
            version=st.integers(0, 9),
            voided=st.booleans(),
            event_id=st.uuids(),
            received_at=MOMENTS,
            reference=WORDS,
            reason=MAYBE,
        ),
        max_size=2,
    ).map(tuple),
    reports=st.lists(
        st.builds(
            ReportLink,
            organisation=CODES,
            kind=st.sampled_from(ReportKind),
            version=st.integers(0, 9),
            event_id=st.uuids(),
            received_at=MOMENTS,
            request_id=st.none() | st.uuids(),
        ),
        max_size=2,
    ).map(tuple),
    requests=st.lists(
        st.builds(
            RequestLink,
            request_id=st.uuids(),
            agency=CODES | st.just(""),
            role=WORDS,
            state=st.sampled_from(RequestState),
            due_at=MOMENTS,
        ),
        max_size=2,
    ).map(tuple),
    tracking=st.lists(
        st.builds(TrackingNumber, system=WORDS, value=WORDS, organisation=CODES), max_size=2
    ).map(tuple),
    flags=FLAGS,
    attendances=st.lists(
        st.builds(LastAttendance, hospital=CODES, arrived_at=MOMENTS, department=MAYBE), max_size=2
    ).map(tuple),
    known_as_at=st.none() | MOMENTS,
    merged_into=st.none() | st.uuids(),
    absorbed=st.lists(st.uuids(), max_size=2).map(tuple),
    duplicates=st.lists(st.uuids(), max_size=2).map(tuple),
)
CASES = st.builds(
    CaseChanged,
    event_id=st.uuids(),
    case_id=st.uuids(),
    version=st.integers(0, 9),
    change=st.sampled_from(CaseChange),
    changed_at=MOMENTS,
    rule=WORDS,
    cause=st.uuids(),
    content=CONTENTS,
    by=MAYBE,
)
HOUSEHOLDS = st.lists(
    st.dictionaries(
        st.sampled_from(("family", "given", "birth-date", "age", "sex", "at-risk")), WORDS
    ),
    max_size=2,
)
REASONS = st.lists(st.tuples(WORDS, WORDS), max_size=3)
