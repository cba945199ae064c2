"""Letters that take back what an earlier letter said of a case.

Pure, as `connectors.fhir.letters`. They tell no fact: whoever got the earlier letter knows of whom
it was, and the child that the case is about now may be another.
"""

from __future__ import annotations

import uuid
from datetime import datetime

from connectors.fhir.letters import CASE_REINSTATED, HOUSEHOLD_CHECK_WITHDRAWN
from connectors.fhir.parts import message, task_input, tracking
from connectors.fhir.writing import (
    CASE,
    REFERENCE,
    REQUEST,
    TASK,
    Pen,
    Resource,
    coded,
    moment,
    pruned,
)
from schemas.deaths import CaseChanged


def case_reinstated(
    *, letter_id: uuid.UUID, at: datetime, organisation: str, case: CaseChanged
) -> bytes:
    """Tells whoever was told that the case is void that it stands again. The organisation finds it
    by its own references, report requests and tracking numbers.
    """
    pen = Pen(letter_id, with_number=False)
    content = case.content
    mine = [one.reference for one in content.notifications if one.organisation == organisation]
    asked = [one.request_id for one in content.requests if one.agency == organisation]
    tracked = [one for one in content.tracking if one.organisation == organisation]
    words = "The case is not void after all: it stands again; acknowledge"
    return _correction(
        pen,
        CASE_REINSTATED,
        words,
        at,
        organisation,
        case,
        {
            "identifier": [
                *(pen.own(REFERENCE, one) for one in mine),
                *({"system": REQUEST, "value": str(one)} for one in asked),
                *(tracking(pen, one.system, one.value, own=True) for one in tracked),
                *({"system": CASE, "value": str(one)} for one in content.absorbed),
            ]
        },
    )


def household_check_withdrawn(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    authority: str,
    case: CaseChanged,
    withdraws: uuid.UUID,
) -> bytes:
    """Tells an authority that its household check, the letter `withdraws`, was about a child who
    is not the one of this case.
    """
    pen = Pen(letter_id, with_number=False)
    words = "That check was about another child: act on it no more; acknowledge"
    letter = task_input("letter", "valueString", str(withdraws))
    return _correction(
        pen, HOUSEHOLD_CHECK_WITHDRAWN, words, at, authority, case, {"input": [letter]}
    )


def _correction(
    pen: Pen,
    kind: str,
    words: str,
    at: datetime,
    organisation: str,
    case: CaseChanged,
    more: Resource,
) -> bytes:
    version = task_input("case-version", "valuePositiveInt", max(case.version, 1))
    task = pruned(
        {
            "resourceType": "Task",
            "groupIdentifier": {"system": CASE, "value": str(case.case_id)},
            "status": "requested",
            "intent": "order",
            "code": coded(TASK, kind, words),
            "for": pen.refer("child"),
            "authoredOn": moment(case.changed_at),
            "owner": pen.organisation(organisation),
            **more,
            "input": [*more.get("input", ()), version],
        }
    )
    entries = [pen.entry("task", task), pen.entry("child", {"resourceType": "Patient"})]
    return message(pen, kind, at, organisation, entries, focus="task")
