"""A case as FHIR R4: a collection Bundle that a version of it is projected to.

Pure. EpisodeOfCare stands for the review (identifiers, panel, eligibility, needs), Patient for the
child, one QuestionnaireResponse for all facts with their provenance, Provenance for each
notification and report, Flag for each plan at death, Task for each report request, Encounter for
each attendance. Of a restricted child no place is told, whatever the content holds.
"""

from __future__ import annotations

from typing import Final

from connectors.fhir.parts import TASK_STATES, child_of, concept, flag, tracking
from connectors.fhir.writing import (
    CASE,
    EXTENSION,
    ORGANISATION,
    PANEL,
    REFERENCE,
    REQUEST,
    TASK,
    Pen,
    Resource,
    code,
    coded,
    extension,
    moment,
    pruned,
)
from schemas.death_fields import is_location
from schemas.deaths import (
    CaseChanged,
    CaseContent,
    CaseState,
    LastAttendance,
    NotificationLink,
    ReportLink,
    RequestLink,
)

_STATES: Final = {
    CaseState.UNKNOWN: "onhold",
    CaseState.OPEN: "active",
    CaseState.MERGED: "cancelled",
    CaseState.VOIDED: "entered-in-error",
}
"""EpisodeOfCare.status of a case."""


def case_bundle(case: CaseChanged, *, with_number: bool = True) -> Resource:
    """This version of the case. Without `with_number` no NHS number stands in it."""
    pen = Pen(case.event_id, with_number)
    content = case.content
    entries = [
        pen.entry("review", _review(pen, case)),
        pen.entry("child", _child(pen, case)),
        pen.entry("facts", _facts(pen, case)),
    ]
    entries += [
        pen.entry(f"notification-{number}", _notification(pen, one))
        for number, one in enumerate(content.notifications, 1)
    ]
    entries += [
        pen.entry(f"report-{number}", _report(pen, one))
        for number, one in enumerate(content.reports, 1)
    ]
    entries += [
        pen.entry(f"request-{number}", _request(pen, case, one))
        for number, one in enumerate(content.requests, 1)
    ]
    entries += [
        pen.entry(f"flag-{number}", flag(pen, one)) for number, one in enumerate(content.flags, 1)
    ]
    if not content.restricted:  # an attendance tells a place
        entries += [
            pen.entry(f"attendance-{number}", _attendance(pen, one))
            for number, one in enumerate(content.attendances, 1)
        ]
    return {
        "resourceType": "Bundle",
        "id": str(case.event_id),
        "meta": {"versionId": str(case.version)},
        "identifier": {"system": CASE, "value": str(case.case_id)},
        "type": "collection",
        "timestamp": moment(case.changed_at),
        "entry": entries,
    }


def _review(pen: Pen, case: CaseChanged) -> Resource:
    content = case.content
    return pruned(
        {
            "resourceType": "EpisodeOfCare",
            "identifier": [
                {"system": CASE, "value": str(case.case_id)},
                *(tracking(pen, one.system, one.value) for one in content.tracking),
            ],
            "status": _STATES[content.state],
            "type": [{"text": "child death review"}],
            "patient": pen.refer("child"),
            "managingOrganization": {"identifier": pen.identifier(PANEL, content.panel)}
            if content.panel
            else None,
            "extension": _standing(pen, case, content),
        }
    )


def _standing(pen: Pen, case: CaseChanged, content: CaseContent) -> list[Resource | None]:
    known = content.known_as_at
    one_each = (
        ("change", case.change.value),
        ("rule", case.rule),
        ("by", case.by),
        ("eligibility", content.eligibility.value),
        ("eligibility-rule", content.eligibility_rule),
        ("panel-rule", content.panel_rule),
        ("identity-rule", content.identity_rule),
        ("flag-history", content.flag_history.value),
    )
    many = (
        ("panel-informed", content.panels_informed),
        ("need", content.needs),
        ("conflict", content.conflicts),
    )
    cases = (
        ("merged-into", (content.merged_into,) if content.merged_into else ()),
        ("absorbed", content.absorbed),
        ("proposed-duplicate", content.duplicates),
    )
    return [
        *(extension(name, "valueString", pen.text(value)) for name, value in one_each),
        *(extension(name, "valueString", pen.text(one)) for name, all_ in many for one in all_),
        *(
            extension(name, "valueIdentifier", {"system": CASE, "value": str(one)})
            for name, all_of in cases
            for one in all_of
        ),
        extension("restricted", "valueBoolean", content.restricted or None),
        extension("known-as-at", "valueDateTime", moment(known) if known else None),
    ]


def _child(pen: Pen, case: CaseChanged) -> Resource:
    status = extension("nhs-number-status", "valueCode", case.content.indicator.value)
    return {**child_of(pen, case), "extension": [status]}


def _facts(pen: Pen, case: CaseChanged) -> Resource:
    content = case.content
    told = [one for one in content.facts if not (content.restricted and is_location(one.fact.name))]
    voided = content.state is CaseState.VOIDED
    return pruned(
        {
            "resourceType": "QuestionnaireResponse",
            "status": "entered-in-error" if voided else "in-progress",
            "subject": pen.refer("child"),
            "authored": moment(case.changed_at),
            "item": pen.answers(told),
        }
    )


def _notification(pen: Pen, one: NotificationLink) -> Resource:
    return pruned(
        {
            "resourceType": "Provenance",
            "target": [pen.refer("facts")],
            "recorded": moment(one.received_at),
            "activity": {"text": "notification"},
            "agent": [{"who": _who(pen, one.organisation)}],
            "entity": [
                _source(f"urn:uuid:{one.event_id}"),
                _source(pen.text(one.reference), REFERENCE),
            ],
            "extension": [
                extension("feed", "valueString", pen.text(one.source)),
                extension("version", "valueInteger", one.version),
                extension("voided", "valueBoolean", one.voided or None),
                extension("void-reason", "valueString", pen.text(one.reason)),
            ],
        }
    )


def _report(pen: Pen, one: ReportLink) -> Resource:
    asked = one.request_id
    return pruned(
        {
            "resourceType": "Provenance",
            "target": [pen.refer("facts")],
            "recorded": moment(one.received_at),
            "activity": {"text": "agency report"},
            "agent": [{"who": _who(pen, one.organisation)}],
            "entity": [
                _source(f"urn:uuid:{one.event_id}"),
                _source(str(asked) if asked else None, REQUEST),
            ],
            "extension": [
                extension("report-kind", "valueString", one.kind.value),
                extension("version", "valueInteger", one.version),
            ],
        }
    )


def _request(pen: Pen, case: CaseChanged, one: RequestLink) -> Resource:
    return pruned(
        {
            "resourceType": "Task",
            "identifier": [{"system": REQUEST, "value": str(one.request_id)}],
            "groupIdentifier": {"system": CASE, "value": str(case.case_id)},
            "status": TASK_STATES[one.state],
            "businessStatus": {"text": one.state.value},
            "intent": "order",
            "code": coded(TASK, "report-request"),
            "for": pen.refer("child"),
            "owner": pen.organisation(one.agency),
            "performerType": [concept(pen, one.role)],
            "restriction": {"period": {"end": moment(one.due_at)}},
        }
    )


def _attendance(pen: Pen, one: LastAttendance) -> Resource:
    return pruned(
        {
            "resourceType": "Encounter",
            "status": "unknown",
            "class": {"system": EXTENSION + "attendance", "code": "attendance"},
            "subject": pen.refer("child"),
            "period": {"start": moment(one.arrived_at)},
            "serviceProvider": pen.organisation(one.hospital),
            "type": [concept(pen, one.department or "")],
        }
    )


def _who(pen: Pen, organisation: str) -> Resource:
    told = code(organisation) or "unknown"
    return {"identifier": {"system": ORGANISATION, "value": pen.text(told) or "unknown"}}


def _source(value: str | None, system: str = "urn:ietf:rfc:3986") -> Resource | None:
    if value is None:
        return None
    return {"role": "source", "what": {"identifier": {"system": system, "value": value}}}


__all__ = ["case_bundle"]
