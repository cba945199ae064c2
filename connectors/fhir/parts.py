"""What letters and projections are made of: the envelope of a message, Flags, inputs of a Task.

Pure, as `connectors.fhir.writing`, which it stands on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

import orjson

from connectors.fhir.death_events import DEATH_EVENTS
from connectors.fhir.writing import (
    INPUT,
    PLAN,
    TRACKING,
    WITHHELD,
    Pen,
    Resource,
    coded,
    extension,
    moment,
    partial,
    pruned,
)
from schemas.deaths import CaseChanged, CaseState, Fact, FlagAtDeath, FlagHistory, RequestState

HUB: Final = "urn:halyard:hub"

TASK_STATES: Final = {
    RequestState.UNKNOWN: "requested",
    RequestState.REQUESTED: "requested",
    RequestState.PARTIAL: "in-progress",
    RequestState.SUBMITTED: "completed",
    RequestState.NOTHING_KNOWN: "completed",
    RequestState.DECLINED: "rejected",
    RequestState.CANCELLED: "cancelled",
}
"""Task.status of a report request."""


def flag(pen: Pen, one: FlagAtDeath, *, subject: str = "child") -> Resource:
    """A Flag: a protection plan as it stood on the day of death."""
    return pruned(
        {
            "resourceType": "Flag",
            "status": "active" if one.history is FlagHistory.CURRENT else "inactive",
            "code": coded(PLAN, pen.code(one.plan_type) or "unknown"),
            "subject": pen.refer(subject),
            "period": pruned({"start": partial(one.start), "end": partial(one.end)}),
            "author": pen.organisation(one.authority),
            "extension": [extension("at-death", "valueCode", one.history.value)],
        }
    )


def tracking(pen: Pen, system: str, value: str, *, own: bool = False) -> Resource | None:
    """What another system calls the case; `own`: the reader's, told as it wrote it."""
    mine = pen.own(TRACKING, value) if own else None
    told = mine["value"] if mine else pen.text(value)
    kind = pen.text(system)
    return pruned(
        {"system": TRACKING, "value": told, "type": {"text": kind} if kind else None}
        if told and (own or WITHHELD not in told)
        else {}
    )


def child_of(pen: Pen, case: CaseChanged) -> Resource:
    """The case's child. A void case says of nobody that they have died."""
    facts: list[Fact] = [one.fact for one in case.content.facts]
    dead = case.content.state is not CaseState.VOIDED
    return pen.patient(facts, number=case.content.nhs_number, dead=dead)


def other_child(pen: Pen, row: Mapping[str, str]) -> Resource:
    """A row of the notification's group ``household-child``; names no address."""
    return pruned(
        {
            "resourceType": "RelatedPerson",
            "patient": pen.refer("child"),
            "relationship": [{"text": "other child of the household"}],
            "name": [pen.name(row.get("family"), row.get("given"))],
            "birthDate": partial(row.get("birth-date")),
            "extension": [
                extension(name, "valueString", pen.text(row.get(name)))
                for name in ("age", "sex", "at-risk")
            ],
        }
    )


def concept(pen: Pen, words: str) -> Resource | None:
    """A CodeableConcept of words alone."""
    told = pen.text(words)
    return {"text": told} if told else None


def task_input(kind: str, value_type: str, value: object) -> Resource | None:
    """An input of a Task; None without a value."""
    return None if value is None else {"type": coded(INPUT, kind), value_type: value}


def message(
    pen: Pen,
    kind: str,
    at: datetime,
    organisation: str,
    entries: Sequence[Resource],
    *,
    focus: str,
    response: Resource | None = None,
    system: str = DEATH_EVENTS,
) -> bytes:
    """A message to `organisation`: `entries` after its header, which is about `focus`. `kind` is a
    code of `system`.
    """
    header = pruned(
        {
            "resourceType": "MessageHeader",
            "id": str(pen.cause),
            "eventCoding": {"system": system, "code": kind},
            "destination": [
                pruned(
                    {
                        "endpoint": f"urn:halyard:organisation:{organisation}",
                        "receiver": pen.organisation(organisation),
                    }
                )
            ],
            "source": {"name": "Halyard", "endpoint": HUB},
            "response": response,
            "focus": [pen.refer(focus)],
        }
    )
    return orjson.dumps(
        {
            "resourceType": "Bundle",
            "id": str(pen.cause),
            "type": "message",
            "timestamp": moment(at),
            "entry": [{"fullUrl": f"urn:uuid:{pen.cause}", "resource": header}, *entries],
        }
    )
