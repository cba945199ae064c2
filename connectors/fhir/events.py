"""What a message reports: the message events that are understood, as what they do to a visit.

Three vocabularies are taken: the hub's own, HL7 v2 triggers in FHIR's clothes (which the English
sample messages use, as a reason), and those of the Welsh standard for urgent and emergency care.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from connectors.fhir.view import Coding
from connectors.hl7v2.triggers import KINDS
from schemas.events import VisitEventKind

OWN: Final = "urn:halyard:fhir:visit-event"
"""The hub's own code system of message events."""
V2_TRIGGER: Final = "http://terminology.hl7.org/CodeSystem/v2-0003"
ENGLAND: Final = "https://fhir.nhs.uk/CodeSystem/message-event"
WALES: Final = "https://fhir.nhs.wales/CodeSystem/DataStandardsWales-UEC-MessageEvent"


@dataclass(frozen=True, slots=True)
class VisitEvent:
    """What a message event means.

    `code` as the sender wrote it; `trigger` is the HL7 v2 trigger of the same meaning, by which
    the feed's arrival rule is asked.
    """

    code: str
    trigger: str
    kind: VisitEventKind


OWN_CODES: Final = {
    "arrival": "A04",  # of an inpatient encounter: A01
    "admission": "A01",
    "update": "A08",
    "transfer": "A02",
    "departure": "A03",
    "cancel": "A11",
    "cancel-departure": "A13",
    "booking": "A05",
    "leave": "A21",
    "return": "A22",
    "demographics": "A31",
    "merge": "A40",
}
WELSH_CODES: Final = {"uec-arrival": "A04", "uec-triage": "A08", "uec-discharge": "A03"}

WITHOUT_ENCOUNTER: Final = frozenset(
    {VisitEventKind.DEMOGRAPHICS, VisitEventKind.MERGE, VisitEventKind.NOT_USED}
)
"""Kinds that are about a person and need no Encounter."""


def visit_event(event: Coding, reasons: tuple[Coding, ...]) -> VisitEvent | None:
    """What ``MessageHeader.event[x]`` (and ``reason``) say; None if it is not understood.

    `event` of an eventUri has no code: the uri stands in `system`, as ``system#code``.
    """
    system, code = event.system, event.code
    if not code and "#" in system:
        system, _, code = system.rpartition("#")
    if system == OWN and code in OWN_CODES:
        return _meaning(code, OWN_CODES[code])
    if system == WALES and code in WELSH_CODES:
        return _meaning(code, WELSH_CODES[code])
    if system == V2_TRIGGER:
        return _trigger(code)
    if system == ENGLAND and code == "encounter":
        for one in reasons:
            if one.system == V2_TRIGGER:
                return _trigger(one.code)
    return None


def _meaning(code: str, trigger: str) -> VisitEvent:
    return VisitEvent(code, trigger, KINDS[trigger])


def _trigger(code: str) -> VisitEvent | None:
    code = code.upper()
    if len(code) != 3 or code[0] != "A" or not (code[1:].isascii() and code[1:].isdigit()):
        return None
    return VisitEvent(code, code, KINDS.get(code, VisitEventKind.NOT_USED))
