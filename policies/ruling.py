"""What is asked of a sharing policy, and what it answers (DESIGN, sharing).

A *disclosure* is asked about before anything leaves; a *ruling* says whether it may, under which
version of which policy, and which of its fields. Fields are named by their dotted path in
the body that leaves (``person.nhs_number``, ``visit.reason``); of lists without an index
(``flags.local_id``).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from stores.sectors import Sector


class Decision(StrEnum):
    """PERMIT: it leaves. DENY: it does not. REVIEW: a person decides."""

    PERMIT = "permit"
    DENY = "deny"
    REVIEW = "review"


class Flow(StrEnum):
    """Every kind of disclosure there is."""

    ALERT = "alert"  # to the authority: this child is at a hospital
    MATCH = "match"  # to the hospital's safeguarding contact: this authority protects the child
    RECEIPT = "receipt"  # to that contact: the authority's answer
    FLAG_LOOKUP = "flag-lookup"
    ACCESS_NOTICE = "access-notice"  # to the authority: somebody looked
    SHARE = "share"  # of an alert, by the authority, with an agency
    UPLOAD_ANSWER = "upload-answer"
    WORKLIST = "worklist"
    PERSON_RECORD = "person-record"  # the core demographic record of one person
    CASE_EVENT = "case-event"
    REPORT_REQUEST = "report-request"
    NCMD_SUBMISSION = "ncmd-submission"
    EXTRACT = "extract"
    TRACE = (
        "trace"  # whose NHS number it is, to who sent the details: one person, or a file's lines
    )
    NUMBER_CHANGE = "number-change"  # a number of the recipient's own record is no longer current


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What would leave: to whom, for what, when, and which fields it has."""

    flow: Flow
    recipient: str  # ODS or GSS code
    sector: Sector
    purpose: str | None  # code of `policies.purposes`; None: the flow's own
    at: datetime
    fields: frozenset[str]
    restricted: bool = False
    roles: frozenset[str] = frozenset()  # of who asks, where a person or system asks


@dataclass(frozen=True, slots=True)
class Ruling:
    """The answer. `fields` may leave, `withheld` may not; both are empty unless it is PERMIT."""

    decision: Decision
    policy: str  # id of the policy that decided; "none" if no policy covers the disclosure
    version: int
    rule: str  # why, as a fixed code
    purpose: str
    legal_basis: str
    fields: frozenset[str] = frozenset()
    withheld: frozenset[str] = frozenset()
