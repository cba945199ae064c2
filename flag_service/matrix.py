"""The authorisation matrix: who may use which route of `halyard serve`, for what, on whose rows.

One table, `MATRIX`: a line for each method and route template. The application does not start with
a route that has no line (`flag_service.authorising`), or with a line that gives a role a right that
is not the role's (`RIGHTS`). docs/reference/authorisation.md is generated from here; a test holds
them equal.

A new route: add its line here, write its row-level security if it reads a table that the face did
not read before (the idiom stands at the top of migration 0018), and run
``python -m flag_service.matrix_page >docs/reference/authorisation.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

from flag_service.roles import Role
from stores.credentials import Kind

R = Role


class Right(StrEnum):
    """What a route lets somebody do; each is a right of its own."""

    LIST = "list"  # what there is, without a record's body
    SEE = "see"  # a record's body
    SEND = "send"  # hand in messages and files
    ACT = "act"  # accept, acknowledge, share, review
    REPLAY = "replay"  # have something processed or delivered again
    CONFIGURE = "configure"  # change how the hub works


class Scope(StrEnum):
    """Whose rows a route reads or writes."""

    OWN = "own"  # of the caller's organisation, and nobody else's
    PERSON = "person"  # of one person that the caller names, whoever's rows they are
    NOBODY = "nobody"  # none


class Why(StrEnum):
    """How a route is told what somebody asks for; without it the request is refused."""

    PURPOSE = "purpose"  # member `purpose` of the body
    REASON = "reason"  # member `reason` of the body, in the asker's own words
    # IsUnscheduledAccessEvent says it (true if it is not sent), or Halyard-Purpose:
    # `flag_service.fhir_search.purpose`
    ACCESS = "kind of access"


Who = frozenset[Role] | Literal["anybody", "any-caller"]
"""Roles; or whoever comes, without a credential; or whoever is let in, in whatever role."""

ANYBODY: Final = "anybody"
ANY_CALLER: Final = "any-caller"


@dataclass(frozen=True, slots=True)
class Line:
    """One route. HEAD goes by the line of GET."""

    method: str
    route: str  # template, as the router has it
    right: Right
    scope: Scope
    who: Who
    purpose: Why | None = None  # how the caller says what for, if it must
    people: bool = False  # for people alone: a system in one of the roles is refused
    # kinds of organisations, by the directory, that may use it in one of the roles; None: any
    organisations: frozenset[Kind] | None = None

    def admits(self, roles: frozenset[str]) -> bool:
        """Whether somebody who is let in, in these roles, may use the route."""
        return isinstance(self.who, str) or not self.who.isdisjoint(roles)


ASKING: Final[frozenset[Kind]] = frozenset({"hospital", "authority"})
"""Organisations that ask of a person whom they name."""

SENDERS: Final = frozenset({R.HOSPITAL_SYSTEM, R.LA_SYSTEM, R.AGENCY_SYSTEM})
AUTHORITY: Final = frozenset({R.LA_SYSTEM, R.SOCIAL_WORKER})
ALERTED: Final = AUTHORITY | {R.HOSPITAL_SYSTEM, R.SAFEGUARDING_NURSE}
LOOKING_UP: Final = ALERTED | {R.CLINICIAN}
REVIEWERS: Final = frozenset({R.AUDITOR, R.CALDICOTT_GUARDIAN})
CORRESPONDENTS: Final = SENDERS | {R.SAFEGUARDING_NURSE, R.SOCIAL_WORKER, R.PANEL_COORDINATOR}

CLERKS: Final = frozenset(
    {R.RECORDS_OFFICER, R.SOCIAL_WORKER, R.SAFEGUARDING_NURSE, R.PANEL_COORDINATOR}
)

# each of these decides in lines for people alone
DECIDING: Final = frozenset(
    {R.SOCIAL_WORKER, R.SAFEGUARDING_NURSE, R.PANEL_COORDINATOR, R.CALDICOTT_GUARDIAN}
)


def _look_up(method: str, route: str, purpose: Why = Why.ACCESS) -> Line:
    return Line(method, route, Right.SEE, Scope.PERSON, LOOKING_UP, purpose, organisations=ASKING)


def _decision(act: str) -> Line:
    route = f"/worklist/{{entry_id}}/{act}"
    return Line("POST", route, Right.ACT, Scope.OWN, CLERKS, Why.REASON, people=True)


MATRIX: Final[tuple[Line, ...]] = (
    # open: nothing of anybody stands there
    Line("GET", "/livez", Right.LIST, Scope.NOBODY, ANYBODY),
    Line("GET", "/readyz", Right.LIST, Scope.NOBODY, ANYBODY),
    Line("GET", "/_status", Right.LIST, Scope.NOBODY, ANYBODY),
    Line("GET", "/session/login", Right.LIST, Scope.NOBODY, ANYBODY),
    Line("GET", "/session/callback", Right.LIST, Scope.NOBODY, ANYBODY),
    # whoever is let in
    Line("GET", "/openapi.json", Right.LIST, Scope.NOBODY, ANY_CALLER),
    Line("GET", "/me", Right.LIST, Scope.NOBODY, ANY_CALLER),
    Line("GET", "/session", Right.LIST, Scope.NOBODY, ANY_CALLER),
    Line("POST", "/session/logout", Right.ACT, Scope.NOBODY, ANY_CALLER),
    # flags
    Line("POST", "/uploads", Right.SEND, Scope.OWN, frozenset({R.LA_SYSTEM})),
    Line("GET", "/uploads/{upload_id}", Right.SEE, Scope.OWN, AUTHORITY),
    _look_up("POST", "/flags/query", Why.PURPOSE),
    # who a person is, and what one's own organisation calls them
    _look_up("POST", "/people/record", Why.PURPOSE),
    Line("GET", "/reports/shared-numbers", Right.LIST, Scope.OWN, ALERTED),
    # tracing: one person, whose answer only the asker sees; an authority's file
    _look_up("POST", "/traces", Why.PURPOSE),
    Line("GET", "/traces/{trace_id}", Right.SEE, Scope.OWN, LOOKING_UP),
    Line("POST", "/trace-batches", Right.SEND, Scope.OWN, frozenset({R.LA_SYSTEM})),
    Line("GET", "/trace-batches", Right.LIST, Scope.OWN, AUTHORITY),
    Line("GET", "/trace-batches/{batch_id}", Right.SEE, Scope.OWN, AUTHORITY),
    # the numbers of thousands go to the system that sent the file; people see how far it is
    Line("GET", "/trace-batches/{batch_id}/result", Right.SEE, Scope.OWN, frozenset({R.LA_SYSTEM})),
    Line("DELETE", "/trace-batches/{batch_id}", Right.ACT, Scope.OWN, frozenset({R.LA_SYSTEM})),
    # the same look-up in shapes of NHS interfaces. By GET it is not for browsers' sessions: a link
    # of another site would look somebody up, and tell the authority, in a person's name
    _look_up("GET", "/patient-flags/FHIR/R4/PatientFlag"),
    _look_up("POST", "/patient-flags/FHIR/R4/PatientFlag/_search"),
    Line("GET", "/patient-flags/FHIR/R4/metadata", Right.LIST, Scope.NOBODY, ANY_CALLER),
    _look_up("GET", "/cpis/FHIR/R4/CareTeam"),
    _look_up("POST", "/cpis/FHIR/R4/CareTeam/_search"),
    _look_up("GET", "/cpis/FHIR/R4/AuditEvent"),
    _look_up("POST", "/cpis/FHIR/R4/AuditEvent/_search"),
    Line("GET", "/cpis/FHIR/R4/metadata", Right.LIST, Scope.NOBODY, ANY_CALLER),
    # alerts
    Line("GET", "/alerts", Right.SEE, Scope.OWN, ALERTED),
    Line("GET", "/alerts/stream", Right.SEE, Scope.OWN, ALERTED),
    Line("GET", "/alerts/{alert_id}", Right.SEE, Scope.OWN, ALERTED),
    Line("POST", "/alerts/{alert_id}/accept", Right.ACT, Scope.OWN, AUTHORITY),
    Line("POST", "/alerts/{alert_id}/share", Right.ACT, Scope.OWN, AUTHORITY, Why.REASON),
    # what a sharing policy leaves to a person: a machine must not release it
    Line("GET", "/reviews/disclosures", Right.LIST, Scope.OWN, DECIDING, people=True),
    Line(
        "POST",
        "/reviews/disclosures/{item_id}",
        Right.ACT,
        Scope.OWN,
        DECIDING,
        Why.REASON,
        people=True,
    ),
    # records that match nobody: whose they are is for people to say, of their own organisation
    Line("GET", "/worklist", Right.LIST, Scope.OWN, CORRESPONDENTS | {R.RECORDS_OFFICER}),
    Line("GET", "/worklist/{entry_id}", Right.SEE, Scope.OWN, CLERKS, people=True),
    Line("POST", "/worklist/{entry_id}/claim", Right.ACT, Scope.OWN, CLERKS, people=True),
    _decision("resolve"),
    _decision("reject"),
    _decision("ask"),
    _decision("retry"),
    _decision("undo"),
    # the audit chain of one's own organisation, and accesses that a person reviews
    Line("GET", "/audit", Right.SEE, Scope.OWN, REVIEWERS),
    Line("POST", "/audit/subject-access", Right.SEE, Scope.OWN, REVIEWERS, Why.REASON, people=True),
    Line("GET", "/reviews/accesses", Right.SEE, Scope.OWN, REVIEWERS, people=True),
    Line("POST", "/reviews/accesses/{review_id}", Right.ACT, Scope.OWN, REVIEWERS, people=True),
    # messages and letters
    Line("POST", "/fhir/R4/$process-message", Right.SEND, Scope.OWN, SENDERS),
    Line("POST", "/mns/events", Right.SEND, Scope.NOBODY, frozenset({R.PDS_RELAY})),
    Line("GET", "/fhir/R4/messages", Right.SEE, Scope.OWN, CORRESPONDENTS),
    Line("GET", "/fhir/R4/messages/{letter_id}", Right.SEE, Scope.OWN, CORRESPONDENTS),
    Line(
        "POST", "/fhir/R4/messages/{letter_id}/$acknowledge", Right.ACT, Scope.OWN, CORRESPONDENTS
    ),
)

_BOTH: Final = frozenset({Right.LIST, Right.SEE})
_WORKS: Final = _BOTH | {Right.ACT}
_SYSTEM: Final = _WORKS | {Right.SEND}

RIGHTS: Final[Mapping[Role, frozenset[Right]]] = {
    R.HOSPITAL_SYSTEM: _SYSTEM,
    R.CLINICIAN: _WORKS,
    R.SAFEGUARDING_NURSE: _WORKS,
    R.LA_SYSTEM: _SYSTEM,
    R.SOCIAL_WORKER: _WORKS,
    R.RECORDS_OFFICER: _WORKS,
    R.AGENCY_SYSTEM: _SYSTEM,
    R.PDS_RELAY: frozenset({Right.SEND}),
    R.PANEL_COORDINATOR: _WORKS,
    R.NCMD: _BOTH,
    # who runs the hub reads no record and decides no disclosure; who reviews changes nothing of it
    R.OPERATOR: frozenset({Right.LIST, Right.REPLAY, Right.CONFIGURE}),
    R.AUDITOR: _WORKS,
    R.CALDICOTT_GUARDIAN: _WORKS,
}
"""What a role may ever be given: a line that gives more does not start."""

MAY_ASK_OF_A_PERSON: Final = LOOKING_UP | {R.AUDITOR, R.CALDICOTT_GUARDIAN}
"""Roles that a line with `Scope.PERSON` may name."""


def open_paths(matrix: tuple[Line, ...] = MATRIX) -> frozenset[str]:
    """The paths that need no credential."""
    return frozenset(line.route for line in matrix if line.who == ANYBODY)
