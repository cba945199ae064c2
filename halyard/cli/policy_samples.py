"""A made-up body for each flow, with every field that it can have: for `halyard policy test`."""

from __future__ import annotations

import uuid
from typing import Any, Final

from flag_service import lookup
from policies.extract import FIELDS
from policies.ruling import Flow
from schemas.death_fields import catalogue

_NUMBER: Final = "9990000018"  # of the test range
_AUTHORITY: Final[dict[str, Any]] = {
    "gss": "E09000001",
    "name": "Practice Council",
    "phone_office": "01632 960001",
    "phone_emergency": "01632 960002",
}
_AT: Final = "2026-01-15T10:30:00Z"
_PLAN: Final[dict[str, Any]] = {
    "plan_type": "CPP",
    "start": "2025-11-01",
    "end": "2026-11-01",
    "active": True,
    "local_id": "LA-1",
}
_VISIT: Final[dict[str, Any]] = {
    "state": "arrived",
    "arrived_at": "2026-01-15T10:25:00+00:00",
    "repeated_hour": False,
    "department": "Emergency Department",
    "mode_of_arrival": "1",
    "reason": "Injury of the arm",
    "admission_method": "21",
    "acuity": "3",
    "departed_at": "2026-01-15T12:00:00+00:00",
    "discharge_destination": "19",
    "birth": False,
    "location_shielded": False,
}
_IDS: Final[dict[str, Any]] = {
    "alert_id": str(uuid.UUID(int=1)),
    "version": 1,
    "changed_at": _AT,
    "provisional": False,
}
_ALERT: Final[dict[str, Any]] = {
    **_IDS,
    "schema": "halyard.alert.v1",
    "change": "raised",
    "rule": "arrival",
    "late": False,
    "restricted": False,
    "authority": {name: _AUTHORITY[name] for name in ("gss", "name")},
    "hospital": {
        "ods": "RXX01",
        "name": "Practice Hospital",
        "site_ods": "RXX02",
        "callback": {"name": "Safeguarding team", "phone": "01632 960003"},
    },
    "person": {"nhs_number": _NUMBER},
    "flags": [_PLAN],
    "visit": _VISIT,
    "earlier_attendances": 2,
}
_LOOKUP: Final[dict[str, Any]] = {
    "answer": lookup.FLAGGED,
    "as_of": _AT,
    "death_noted": _AT,
    "earlier_attendances_rule": "shown",
    "earlier_attendances": [
        {
            "hospital": "RXX03",
            "hospital_name": "Another Hospital",
            "department": "Emergency Department",
            "arrived_at": _AT,
        }
    ],
    "flags": [
        {
            **_PLAN,
            "plan": "child protection plan",
            "authority": _AUTHORITY["gss"],
            "authority_name": _AUTHORITY["name"],
            "phone_office": _AUTHORITY["phone_office"],
            "phone_emergency": _AUTHORITY["phone_emergency"],
            "restricted": False,
        }
    ],
    "accesses": [
        {
            "at": _AT,
            "organisation": "RXX03",
            "organisation_name": "Another Hospital",
            "name": "A Nurse",
            "job_role": "R8000",
            "system": False,
            "purpose": "urgent-care",
            "unscheduled": True,
        }
    ],
    "accesses_rule": "shown",
}
_ACCESS: Final[dict[str, Any]] = {
    "schema": "halyard.access.v1",
    "access_id": str(uuid.UUID(int=2)),
    "version": 1,
    "at": _AT,
    "purpose": "urgent-care",
    "break_glass": False,
    "unscheduled": True,
    "flagged": True,
    "restricted": False,
    "reason": "In the department with an injury",
    "organisation": {
        "code": "RXX01",
        "name": "Practice Hospital",
        "callback": {"name": "Safeguarding team", "phone": "01632 960003"},
    },
    "by": {"name": "A Nurse", "job_role": "R8000", "system": False},
    "person": {"nhs_number": _NUMBER},
    "authority": {name: _AUTHORITY[name] for name in ("gss", "name")},
}
_WORKLIST: Final[dict[str, Any]] = {
    "entries": [
        {
            "entry_id": str(uuid.UUID(int=3)),
            "kind": "flag",
            "rule": "no-match",
            "indicator": "04",
            "local_id": "LA-1",
            "upload_id": str(uuid.UUID(int=4)),
            "line": 7,
            "opened_at": _AT,
            "age_seconds": 60,
            "words": "in words",
            "claimed_by": "a name",
            "claimed_until": _AT,
            "question": "names",
            "asked_at": _AT,
            "next_try_at": _AT,
            "tries": 1,
            "ends_at": _AT,
            "claim": {
                "nhs_number": _NUMBER,
                "family": "Example",
                "given": ["Robin"],
                "birth_date": "2017-03-14",
                "gender": "female",
                "plan_type": "child-protection",
            },
            "candidates": [
                {"rule": "r", "found_by": "search", "fields": {"family": "agrees"}},
            ],
            "closed_at": _AT,
            "closed_rule": "r",
            "closed_words": "in words",
            "ended_by": "a name",
            "ended_reason": "a reason",
            "decisions": [
                {
                    "decision_id": str(uuid.UUID(int=5)),
                    "action": "resolve",
                    "code": "nobody",
                    "despite": ["superseded"],
                    "scheduled": False,
                    "by": "a name",
                    "reason": "a reason",
                    "at": _AT,
                    "state": "done",
                    "outcome": "r",
                    "words": "in words",
                    "ended_at": _AT,
                }
            ],
        }
    ],
    "next": "cursor",
    "more": False,
}
_RECORD: Final[dict[str, Any]] = {
    "answer": "record",
    "as_of": _AT,
    "relation": "flag",
    "name": {"family": "Example", "given": ["Robin"]},
    "birth_date": "2017-03-14",
    "gender": "female",
    "number_status": {"indicator": "S01", "verified_at": _AT, "basis": "pds"},
    "restricted": False,
    "deceased": False,
    "identifiers": [
        {
            "scheme": "la-child-id",
            "value": "LA-1",
            "assigner": "E09000001",
            "organisation": "E09000001",
            "stated_at": _AT,
        }
    ],
    "other_identifiers": [
        {
            "scheme": "unique-pupil-number",
            "value": "B801200005001",
            "assigner": "",
            "organisation": "E09000002",
            "stated_at": _AT,
        }
    ],
    "siblings": [{"local_id": "LA-2"}],
}
_LETTER: Final[dict[str, Any]] = {"letter.number": _NUMBER, "letter": "a FHIR message"}
_CASE: Final[dict[str, Any]] = {
    "nhs_number": _NUMBER,
    "unlisted.question": "an answer",
    **dict.fromkeys(catalogue(), "a value"),
}

SAMPLES: Final[dict[Flow, dict[str, Any]]] = {
    Flow.ALERT: _ALERT,
    Flow.MATCH: {
        **_IDS,
        "schema": "halyard.match.v1",
        "change": "matched",
        "hospital": {"ods": "RXX01", "name": "Practice Hospital"},
        "person": {"nhs_number": _NUMBER},
        "plan_types": ["CPP"],
        "authority": _AUTHORITY,
        "visit": {
            name: _VISIT[name]
            for name in (
                "state",
                "arrived_at",
                "repeated_hour",
                "department",
                "departed_at",
                "birth",
            )
        },
    },
    Flow.RECEIPT: {
        "schema": "halyard.receipt.v1",
        "alert_id": _IDS["alert_id"],
        "version": 2,
        "rung": "accepted",
        "at": _AT,
        "authority": {name: _AUTHORITY[name] for name in ("gss", "name")},
        "hospital": {"ods": "RXX01", "name": "Practice Hospital"},
        "by": "duty social worker",
        "answer": "We ring you at once",
    },
    Flow.FLAG_LOOKUP: _LOOKUP,
    Flow.ACCESS_NOTICE: _ACCESS,
    Flow.SHARE: {
        **_ALERT,
        "schema": "halyard.share.v1",
        "change": "shared",
        "authority": _AUTHORITY,
        "share": {"local_id": "LA-1", "attended_on": "2026-01-15"},
        "shared_at": _AT,
    },
    Flow.UPLOAD_ANSWER: {"answers.local_id": "LA-1", "answers": "codes"},
    Flow.WORKLIST: _WORKLIST,
    Flow.TRACE: {
        "outcome": "verified",
        "rule": "pds.get.number_birth_date_names",
        "nhs_number": _NUMBER,
        "fields": dict.fromkeys(
            ("nhs_number", "family", "given", "birth_date", "gender"), "agrees"
        ),
        "lines": [{"local_id": "LA-1", "outcome": "verified", "rule": "r", "nhs_number": _NUMBER}],
    },
    Flow.PERSON_RECORD: _RECORD,
    Flow.CASE_EVENT: {**_LETTER, **_CASE},
    Flow.REPORT_REQUEST: _LETTER,
    Flow.NUMBER_CHANGE: _LETTER,
    Flow.NCMD_SUBMISSION: _CASE,
    Flow.EXTRACT: {
        **dict.fromkeys(sorted(FIELDS), "a value"),
        "nhs_number": _NUMBER,
        "child.family": "a name",
        "child.postcode": "a postcode",
    },
}
"""Names with a dot that stand at the top are whole names: a letter's and a case's are coarse."""
