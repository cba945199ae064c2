"""Letters: the FHIR R4 messages that the hub sends about deaths.

Pure: the same input gives the same bytes. Every builder gives a Bundle of type message whose id and
MessageHeader.id are `letter_id`. Those that answer a message name it in MessageHeader.response.
`with_number` False: the organisation is outside health and social care, and no NHS number stands
anywhere in the letter, also not within a text. docs/reference/messages-out.md shows each.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from connectors.fhir.death_events import REPORT_FORM, VOID_REASON
from connectors.fhir.outcomes import RULES_SYSTEM
from connectors.fhir.parts import (
    TASK_STATES,
    child_of,
    concept,
    flag,
    message,
    other_child,
    task_input,
    tracking,
)
from connectors.fhir.writing import (
    CASE,
    LOCAL_ID,
    MAX_PREFILLED,
    NHS_NUMBER,
    PANEL,
    REFERENCE,
    REQUEST,
    TASK,
    Pen,
    Resource,
    code,
    coded,
    moment,
    pruned,
    resource_id,
)
from halyard.errors import ContractError
from schemas.deaths import (
    CaseChanged,
    DeathNotified,
    FlagAtDeath,
    ReportRequested,
    RequestState,
    TrackingNumber,
)

ACKNOWLEDGEMENT: Final = "acknowledgement"
REJECTION: Final = "rejection"
REPORT_REQUEST: Final = "report-request"
REPORT_REQUEST_CANCELLED: Final = "report-request-cancelled"
DEATH_PROMPT: Final = "death-prompt"
HOUSEHOLD_CHECK: Final = "household-check"
HOUSEHOLD_CHECK_WITHDRAWN: Final = "household-check-withdrawn"
CASE_VOIDED: Final = "case-voided"
CASE_REINSTATED: Final = "case-reinstated"
KINDS: Final = (
    ACKNOWLEDGEMENT,
    REJECTION,
    REPORT_REQUEST,
    REPORT_REQUEST_CANCELLED,
    DEATH_PROMPT,
    HOUSEHOLD_CHECK,
    HOUSEHOLD_CHECK_WITHDRAWN,
    CASE_VOIDED,
    CASE_REINSTATED,
)

Reasons = Sequence[tuple[str, str]]
"""(rule, words) each; words never hold a value that was sent."""


def acknowledgement(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    organisation: str,
    answers: str,
    receipt: uuid.UUID,
    reference: str,
    version: int,
    status: str,
    warnings: Reasons = (),
) -> bytes:
    """The message with id `answers` was taken; `status` says what became of it: ``accepted``,
    ``superseded``, ``accepted-without-submission``, ``already-held``.
    """
    return _answer(
        ACKNOWLEDGEMENT,
        letter_id,
        at,
        organisation,
        answers,
        _said(Pen(letter_id, with_number=True), receipt, reference, version, status),
        [_issue("warning", "informational", rule, words) for rule, words in warnings],
    )


def rejection(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    organisation: str,
    answers: str,
    receipt: uuid.UUID,
    reference: str,
    version: int,
    status: str,
    issues: Reasons,
) -> bytes:
    """The message with id `answers` was refused, by these rules: nothing of it was applied."""
    return _answer(
        REJECTION,
        letter_id,
        at,
        organisation,
        answers,
        _said(Pen(letter_id, with_number=True), receipt, reference, version, status),
        [_issue("error", "business-rule", rule, words) for rule, words in issues],
    )


def report_request(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    requested: ReportRequested,
    nhs_number: str | None = None,
    with_number: bool = False,
    numbers: Sequence[str] = (),
) -> bytes:
    """A report request with what is known, from whom; or its cancellation, if that is its state
    (then without any fact). `nhs_number`: the verified one, for those who may have it. `numbers`:
    all that were ever said to be the child's, which others must not find in a text.
    """
    pen = Pen(letter_id, with_number, tuple(numbers))
    known = requested.known[:MAX_PREFILLED]
    cancelled = requested.state is RequestState.CANCELLED
    kind = REPORT_REQUEST_CANCELLED if cancelled else REPORT_REQUEST
    facts = [one.fact for one in known]
    task = pruned(
        {
            "resourceType": "Task",
            "identifier": [{"system": REQUEST, "value": str(requested.request_id)}],
            "groupIdentifier": {"system": CASE, "value": str(requested.case_id)},
            "status": TASK_STATES[requested.state],
            "intent": "order",
            "code": coded(TASK, REPORT_REQUEST),
            "for": pen.refer("child"),
            "authoredOn": moment(requested.requested_at),
            "lastModified": moment(requested.changed_at),
            "requester": {"identifier": pen.identifier(PANEL, requested.panel)}
            if requested.panel
            else None,
            "owner": pen.organisation(requested.agency, requested.agency_name),
            "performerType": [concept(pen, requested.role)],
            "reasonCode": {"text": pen.text(requested.basis)}
            if pen.text(requested.basis)
            else None,
            "restriction": {"period": {"end": moment(requested.due_at)}},
            "input": [
                *(
                    task_input("section", "valueString", pen.text(one))
                    for one in requested.sections
                ),
                task_input("why-asked", "valueString", pen.text(requested.rule)),
                task_input("version", "valuePositiveInt", max(requested.version, 1)),
                None if cancelled else task_input("known", "valueReference", pen.refer("known")),
            ],
        }
    )
    entries = [pen.entry("task", task)]
    if cancelled:
        entries.append(pen.entry("child", {"resourceType": "Patient"}))
    else:
        entries += [
            pen.entry("child", pen.patient(facts, number=nhs_number)),
            pen.entry(
                "known",
                pruned(
                    {
                        "resourceType": "QuestionnaireResponse",
                        "questionnaire": REPORT_FORM,
                        "status": "in-progress",
                        "subject": pen.refer("child"),
                        "authored": moment(requested.changed_at),
                        "item": pen.answers(known, brief=True),
                    }
                ),
            ),
        ]
    owner = requested.agency or "unknown"
    return message(pen, kind, at, owner, entries, focus="task")


def prompt(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    organisation: str,
    notified: DeathNotified,
    nhs_number: str | None = None,
) -> bytes:
    """Asks a hospital to notify a death that its own record, or PDS, indicates. The patient is
    named by the hospital's own id, and the message of theirs that it comes from; where it comes
    from elsewhere, by `nhs_number`, the verified one. Without either, the number that the hospital
    sent names the patient.
    """
    pen = Pen(letter_id, with_number=True)  # what stands here is the hospital's, or verified for it
    own = notified.organisation == organisation
    theirs = notified.message_id if own else None
    claim = notified.claim
    known = [pen.own(LOCAL_ID, claim.local_id if own else None), pen.number(nhs_number)]
    if own and not any(known):
        known = [pen.own(NHS_NUMBER, claim.nhs_number)]
    task = pruned(
        {
            "resourceType": "Task",
            "status": "requested",
            "intent": "proposal",
            "code": coded(TASK, DEATH_PROMPT, "Notify this death if the child was under 18"),
            "for": pen.refer("patient"),
            "authoredOn": moment(at),
            "owner": pen.organisation(organisation),
            "input": [
                task_input("indication", "valueCode", notified.indication.value),
                task_input("message", "valueString", pen.text(theirs)),
            ],
        }
    )
    patient = pruned({"resourceType": "Patient", "identifier": known})
    entries = [pen.entry("task", task), pen.entry("patient", patient)]
    return message(pen, DEATH_PROMPT, at, organisation, entries, focus="task")


def household_check(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    authority: str,
    case: CaseChanged,
    flags: Sequence[FlagAtDeath],
    household: Sequence[Mapping[str, str]],
    with_number: bool = True,
) -> bytes:
    """Asks an authority to check the other children of the household; `flags` are its own plans of
    the child at death, `household` rows of the notification's group ``household-child``.
    """
    pen = Pen(letter_id, with_number)
    children = {f"sibling-{number}": row for number, row in enumerate(household, 1)}
    plans = {f"flag-{number}": one for number, one in enumerate(flags, 1)}
    task = pruned(
        {
            "resourceType": "Task",
            "groupIdentifier": {"system": CASE, "value": str(case.case_id)},
            "status": "requested",
            "intent": "proposal",
            "code": coded(TASK, HOUSEHOLD_CHECK, "Check the other children of the household"),
            "for": pen.refer("child"),
            "authoredOn": moment(at),
            "owner": pen.organisation(authority),
            "input": [
                *(task_input("plan", "valueReference", pen.refer(name)) for name in plans),
                *(
                    task_input("other-child", "valueReference", pen.refer(name))
                    for name in children
                ),
            ],
        }
    )
    entries = [pen.entry("task", task), pen.entry("child", child_of(pen, case))]
    entries += [pen.entry(name, flag(pen, one)) for name, one in plans.items()]
    entries += [pen.entry(name, other_child(pen, row)) for name, row in children.items()]
    return message(pen, HOUSEHOLD_CHECK, at, authority, entries, focus="task")


def case_voided(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    organisation: str,
    case: CaseChanged,
    with_number: bool = False,
    tracked: Sequence[TrackingNumber] = (),
) -> bytes:
    """Tells whoever received something of the case that it is void. The organisation finds it by
    its own references, report requests and tracking numbers, which it alone is told, as it wrote
    them; and by the ids of the cases that went into it. `tracked`: what the case had before.
    """
    pen = Pen(letter_id, with_number)
    content = case.content
    mine = [one.reference for one in content.notifications if one.organisation == organisation]
    asked = [one.request_id for one in content.requests if one.agency == organisation]
    called = [one for one in (*content.tracking, *tracked) if one.organisation == organisation]
    reasons = {pen.code(one.reason) for one in content.notifications if one.voided}
    task = pruned(
        {
            "resourceType": "Task",
            "identifier": [
                *(pen.own(REFERENCE, one) for one in mine),
                *({"system": REQUEST, "value": str(one)} for one in asked),
                *(tracking(pen, one.system, one.value, own=True) for one in called),
                *({"system": CASE, "value": str(one)} for one in content.absorbed),
            ],
            "groupIdentifier": {"system": CASE, "value": str(case.case_id)},
            "status": "requested",
            "intent": "order",
            "code": coded(TASK, CASE_VOIDED, "The case is void: act on it no more; acknowledge"),
            "for": pen.refer("child"),
            "authoredOn": moment(case.changed_at),
            "owner": pen.organisation(organisation),
            "reasonCode": pruned(
                {
                    "coding": [
                        {"system": VOID_REASON, "code": one}
                        for one in sorted(filter(None, reasons))
                    ],
                    "text": pen.text(case.rule),
                }
            ),
            "input": [task_input("case-version", "valuePositiveInt", max(case.version, 1))],
        }
    )
    entries = [pen.entry("task", task), pen.entry("child", child_of(pen, case))]
    return message(pen, CASE_VOIDED, at, organisation, entries, focus="task")


def _issue(severity: str, kind: str, rule: str, words: str) -> Resource:
    pen = Pen(uuid.UUID(int=0), with_number=False)  # advice has no number in it
    coding = {"system": RULES_SYSTEM, "code": code(rule) or "unknown"}
    details = pruned({"coding": [coding], "text": pen.text(words)})
    return {"severity": severity, "code": kind, "details": details}


def _said(pen: Pen, receipt: uuid.UUID, reference: str, version: int, status: str) -> Resource:
    told = pen.text(reference)
    return {
        "resourceType": "Parameters",
        "parameter": [
            *([{"name": "reference", "valueString": told}] if told else []),
            *([{"name": "version", "valuePositiveInt": version}] if version > 0 else []),
            {"name": "status", "valueCode": code(status) or "unknown"},
            {"name": "receipt", "valueUri": f"urn:uuid:{receipt}"},
        ],
    }


def _answer(
    kind: str,
    letter_id: uuid.UUID,
    at: datetime,
    organisation: str,
    answers: str,
    said: Resource,
    issues: list[Resource],
) -> bytes:
    pen = Pen(letter_id, with_number=True)
    identifier = resource_id(answers)
    if identifier is None:
        raise ContractError("An answer names a message by a FHIR id; give MessageHeader.id.")
    if kind == REJECTION and not issues:
        raise ContractError("A rejection names the rules that were broken; give at least one.")
    response: Resource = {
        "identifier": identifier,
        "code": "fatal-error" if kind == REJECTION else "ok",
    }
    entries = [pen.entry("said", said)]
    if issues:
        response["details"] = pen.refer("details")
        outcome = {"resourceType": "OperationOutcome", "issue": issues}
        entries.append(pen.entry("details", outcome))
    return message(pen, kind, at, organisation, entries, focus="said", response=response)
