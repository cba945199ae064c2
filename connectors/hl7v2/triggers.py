"""What each ADT trigger does to a visit (HL7 v2.4, chapter 3; ITK HL7 v2.4 ADT)."""

from __future__ import annotations

from typing import Final

from connectors.hl7v2.er7 import Segment
from schemas.events import VisitEventKind

KINDS: Final = {
    "A01": VisitEventKind.ADMIT,
    "A02": VisitEventKind.UPDATE,  # transfer: PV1-3 is where the patient is now
    "A03": VisitEventKind.DISCHARGE,
    "A04": VisitEventKind.REGISTER,
    "A05": VisitEventKind.PRE_ADMIT,  # a booking, never an arrival
    "A06": VisitEventKind.ADMIT,  # outpatient becomes inpatient: direct admission through a clinic
    "A07": VisitEventKind.UPDATE,  # inpatient becomes outpatient
    "A08": VisitEventKind.UPDATE,
    "A11": VisitEventKind.CANCEL,
    "A12": VisitEventKind.UPDATE,  # cancelled transfer: PV1-3 is where the patient is again
    "A13": VisitEventKind.CANCEL_DISCHARGE,
    "A21": VisitEventKind.LEAVE,
    "A22": VisitEventKind.RETURN,
    "A23": VisitEventKind.CANCEL,  # the visit's record is deleted
    "A28": VisitEventKind.DEMOGRAPHICS,
    "A31": VisitEventKind.DEMOGRAPHICS,
    "A34": VisitEventKind.MERGE,
    "A40": VisitEventKind.MERGE,
    "A47": VisitEventKind.MERGE,  # a patient's identifier was changed: the same to a reader
}
"""Triggers that change something; all others are stored as `NOT_USED`."""

NAMED: Final = frozenset(f"A{number:02}" for number in range(1, 63))
"""The triggers of HL7 v2; those that are not in `KINDS` are known and not used."""

WITHOUT_VISIT: Final = frozenset(
    {VisitEventKind.NOT_USED, VisitEventKind.DEMOGRAPHICS, VisitEventKind.MERGE}
)
"""Kinds that need no visit number."""


def unused_rule(kind: str, trigger: str) -> str:
    """Why a message is not used, as an event's arrival rule: of another type than ADT, a trigger
    that is known and not used (a cancelled booking, a bed status, …), or an unknown one.
    """
    if kind.upper() not in ("", "ADT") and not kind.upper().startswith("ADT_"):
        return "type.not-adt"
    return "trigger.not-used" if trigger.strip().upper() in NAMED else "trigger.unknown"


def read_trigger(msh: Segment, evn: Segment, marks: list[str]) -> tuple[str, VisitEventKind]:
    """The trigger and what it does.

    Read with the mark ``message-type-odd``: small letters, ``ADT_A04`` in one component, and a
    type that is missing where the trigger is one of ours.
    """
    said = msh.text(9, 1).strip(), msh.text(9, 2).strip()
    kind, trigger = (text.upper() for text in said)
    recorded = evn.text(1).strip().upper()
    odd = False
    if kind.startswith("ADT_"):
        kind, glued, odd = "ADT", kind.removeprefix("ADT_"), True
        trigger = trigger or recorded or glued
    if trigger.startswith("ADT_"):
        # EVN-1 first: this may be the structure, and an A08 has that of an A01
        trigger, odd = recorded or trigger.removeprefix("ADT_"), True
    if not trigger:
        trigger = recorded
        marks.append("trigger-missing")
    if not kind and trigger in KINDS:
        kind, odd = "ADT", True
    used = KINDS.get(trigger, VisitEventKind.NOT_USED) if kind == "ADT" else VisitEventKind.NOT_USED
    if used is VisitEventKind.NOT_USED:
        return said[1] or trigger, used
    if odd or said[0] != kind or said[1] not in (trigger, ""):
        marks.append("message-type-odd")
    return trigger, used
