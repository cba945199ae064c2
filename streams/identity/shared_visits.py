"""Of which patient an event's visit is, where people share a visit number: each has their own.

Twins may come under one number, and two sites may count alike (ADR 0051). Matching tells them apart
by the source patient that an assertion names; so two people never have one there. Pure.
"""

from __future__ import annotations

from connectors.persons import tells_patients_apart
from stores.claims import ClaimRow
from streams.identity.evidence import Reported
from streams.identity.knowledge import Knowledge


def patient_of(known: Knowledge, row: ClaimRow, event: Reported) -> str:
    """The source patient of an event that is asserted of `row.person`, by merges. Where people
    would share it: that of the event's own local id, as it came, if a wrong merge joins them (ADR
    0017); one that is made for this person, if no local id tells them apart.
    """
    if not sharing(known, row, event):
        return known.aliases.patient_of(event)
    if tells_patients_apart(event.claim):
        return event.source_patient
    return known.limits.keys.token("visit-patient", str(row.visit_id), row.person or "")


def sharing(known: Knowledge, row: ClaimRow, event: Reported) -> list[ClaimRow]:
    """Claims of the same visit that are asserted of another person, though merges join their local
    id with this event's, or there is none that tells the two apart.
    """
    if row.visit_id is None or row.person is None:
        return []
    patient = known.aliases.patient_of(event)
    found = []
    for one in known.of_visit(row.visit_id):
        if one.event is None or one.person in (None, row.person):
            continue
        theirs = known.event(one)
        if theirs.source_patient == event.source_patient:
            if not tells_patients_apart(event.claim):
                found.append(one)
        elif known.aliases.patient_of(theirs) == patient:
            found.append(one)
    return found
