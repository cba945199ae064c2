"""What a message says of a death: the message events that are understood, and their codes.

Code system, codes and extensions are the hub's own: no published message of child death review
exists. docs/reference/fhir-deaths.md describes them.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from connectors.fhir.view import Coding
from schemas.deaths import DeathIndication

DEATH_EVENTS: Final = "urn:halyard:fhir:death-event"
"""The hub's own code system of message events about deaths."""
ABSENT: Final = "urn:halyard:fhir:absent"
"""Code system of why a question has no answer."""
OPINION: Final = "urn:halyard:fhir:opinion"
"""Extension of an item (valueBoolean): it is a judgement."""
AS_AT: Final = "urn:halyard:fhir:as-at"
"""Extension of an item (valueDate): from when it holds."""
SAID_BY: Final = "urn:halyard:fhir:said-by"
"""Extension of an item (valueIdentifier): whose answer it is; the hub writes it."""
SAID_IN: Final = "urn:halyard:fhir:event"
"""Extension of an item (valueUri): the hub's event that the answer came in."""
DATA_ABSENT: Final = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"
VOID_REASON: Final = "urn:halyard:fhir:void-reason"
NOTIFICATION_FORM: Final = "urn:halyard:fhir:questionnaire:death-notification"
REPORT_FORM: Final = "urn:halyard:fhir:questionnaire:agency-report"

ABSENT_CODES: Final = ("unknown", "not-applicable", "not-asked")
VOID_REASONS: Final = (
    "duplicate",
    "not-a-child",
    "not-a-death",
    "stillbirth",
    "out-of-scope",
    "wrong-child",
    "entered-in-error",
)
PDS_STATUSES: Final = {
    "1": DeathIndication.PDS_INFORMAL,
    "2": DeathIndication.PDS_FORMAL,
    "U": DeathIndication.PDS_REMOVED,
}


class DeathEventCode(StrEnum):
    """The message events about deaths that the hub takes."""

    NOTIFICATION = "death-notification"
    UPDATE = "death-notification-update"
    VOID = "death-notification-void"
    REPORT = "agency-report"
    DECLINED = "report-declined"
    NOTHING_KNOWN = "nothing-known"
    PDS = "pds-death"


REPORTING: Final = frozenset(
    {DeathEventCode.REPORT, DeathEventCode.DECLINED, DeathEventCode.NOTHING_KNOWN}
)


def death_event(event: Coding) -> DeathEventCode | None:
    """The event of a `MessageHeader.event[x]`; None if it is about no death. `event` of an
    eventUri has no code: the uri stands in `system`, as ``system#code``.
    """
    system, code = event.system, event.code
    if not code and "#" in system:
        system, _, code = system.rpartition("#")
    if system != DEATH_EVENTS:
        return None
    try:
        return DeathEventCode(code)
    except ValueError:
        return None
