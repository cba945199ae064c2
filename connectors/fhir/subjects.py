"""Which Encounter and which Patient a message is about. Pure.

Who is named and is not in the message is never taken for somebody who is: the only Patient of a
message may be another child (a sibling, a twin).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from connectors.fhir.events import WITHOUT_ENCOUNTER, VisitEvent
from connectors.fhir.outcomes import Issue
from connectors.fhir.persons import identifies
from connectors.fhir.resources import Placed, resolve
from connectors.fhir.view import Json, obj, objs, text
from schemas.events import VisitEventKind

_PATIENT: Final = re.compile(r"(?:.*/)?Patient/[^/]+(?:/_history/.*)?", re.DOTALL)


def encounter_of(
    resources: Sequence[Placed], header: Json, event: VisitEvent
) -> Placed | Issue | None:
    """The Encounter in focus, else the only one; None if `event` needs none."""
    found = _focused(resources, header, "Encounter")
    if len(found) == 1:
        return found[0]
    if event.kind in WITHOUT_ENCOUNTER:
        return None
    return Issue("encounter-ambiguous" if found else "encounter-missing", "Bundle.entry")


def patient_of(
    resources: Sequence[Placed],
    header: Json,
    encounter: Placed | None,
    event: VisitEvent,
    marks: list[str],
) -> Placed | Issue:
    """The Encounter's subject, else the Patient in focus, else the only one; adds to `marks`."""
    subject = obj(encounter.content, "subject") if encounter else {}
    if encounter and (text(subject, "reference") or text(subject, "identifier", "value")):
        found = _subject(resources, encounter, subject, marks)
    else:
        found = _unnamed(resources, header, event)
    if isinstance(found, Issue):
        return found
    named = any(found.content.get(name) for name in ("identifier", "name", "birthDate"))
    if not named and not (encounter and objs(encounter.content, "identifier")):
        return Issue("patient-unidentifiable", found.place)
    return found


def _subject(
    resources: Sequence[Placed], encounter: Placed, subject: Json, marks: list[str]
) -> Placed | Issue:
    """Whom the Encounter names: by reference, else the Patient who carries the identifier, else
    the identifier alone.
    """
    place = f"{encounter.place}.subject"
    found = resolve(resources, subject, encounter.content)
    if found is not None and found.kind == "Patient":
        return found
    logical = obj(subject, "identifier")
    if not text(logical, "value"):
        return Issue("patient-missing", place)
    if text(subject, "reference"):
        marks.append("subject-unresolved:Encounter.subject")
    carrying = [
        one for one in resources if one.kind == "Patient" and identifies(logical, one.content)
    ]
    if len(carrying) > 1:
        return Issue("patient-ambiguous", place)
    if carrying:
        return carrying[0]
    marks.append("patient-by-identifier-alone")
    return Placed(place, "", {"resourceType": "Patient", "identifier": [logical]})


def _unnamed(resources: Sequence[Placed], header: Json, event: VisitEvent) -> Placed | Issue:
    """The Patient in focus, else the only one of the message."""
    for reference in objs(header, "focus"):
        away = resolve(resources, reference, header) is None
        if away and _PATIENT.fullmatch(text(reference, "reference")):
            return Issue("patient-missing", "Bundle.entry[0].resource.focus")
    found = _focused(resources, header, "Patient")
    if len(found) > 1 and event.kind is VisitEventKind.MERGE:
        # who stays says whom it replaces
        found = [
            one
            for one in found
            if any(text(link, "type") == "replaces" for link in objs(one.content, "link"))
        ] or found
    if len(found) == 1:
        return found[0]
    return Issue("patient-ambiguous" if found else "patient-missing", "Bundle.entry")


def _focused(resources: Sequence[Placed], header: Json, kind: str) -> list[Placed]:
    """The resources of `kind` that the header puts into focus, else all of the message."""
    there = [one for one in resources if one.kind == kind]
    focused = [resolve(resources, one, header) for one in objs(header, "focus")]
    return [one for one in focused if one is not None and one.kind == kind] or there
