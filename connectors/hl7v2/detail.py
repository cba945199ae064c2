"""What a message tells of a visit: where, how, why, how urgent, where to (PV1, PV2, DG1, OBX, ZU8).

What a hospital knows grows: a registration has the clerk's words (PV2-3), triage adds a working
diagnosis (DG1) and a chief complaint (OBX). Within one message the more specific counts; across
messages the later one does (the visit's fold).
"""

from __future__ import annotations

from typing import Final

from connectors.hl7v2.er7 import HL7_NULL, Message, Segment, part
from connectors.hl7v2.persons import YES, bounded
from connectors.hl7v2.times import read_moment
from schemas.events import VisitDetail
from stores.directory import Feed

_MAX_FREE_TEXT: Final = 2_000
_MAX_OBSERVATIONS: Final = 200  # OBX, and DG1, of one message that are looked at
_NO: Final = frozenset({"", "N", "NO", "0", "F", "FALSE"})
_VOID: Final = frozenset({"D", "N", "W", "X"})  # OBX-11: deleted, not asked, wrong, not obtained

_CLASSES: Final = frozenset("BCEINOPRUW")  # HL7 table 0004, and W

# HL7 table 0430; what is no code of it is shown as sent
_MODES_OF_ARRIVAL: Final = {
    "A": "Ambulance",
    "C": "Car",
    "F": "On foot",
    "H": "Helicopter",
    "P": "Public transport",
    "O": "Other",
    "U": "Unknown",
}


def is_shielded(message: Message, marks: list[str]) -> bool:
    """ZU8-4 (ITK): the place of this person is hidden, if any ZU8, in any repetition, says so. A
    code that is no "no" counts as yes.
    """
    hidden = False
    different = {
        part(raw, message.delimiters, 1)
        for zu8 in message.segments("ZU8")
        for raw in zu8.repetitions(4)
    }
    for raw in sorted(different - {HL7_NULL}):
        said = message.decode(raw, "ZU8", 4).strip().upper()
        if said in _NO:
            continue
        hidden = True
        if said not in YES:
            marks += ["location-shielded", "location-shielding-unknown-code"]
            return True
    if hidden:
        marks.append("location-shielded")
    return hidden


def read_detail(message: Message, feed: Feed, marks: list[str], *, shielded: bool) -> VisitDetail:
    """The visit's detail. PV1-3 is where the patient is now, in a transfer (A02) and in its
    cancellation (A12) too; PV1-6, where they came from, is not read.
    """
    pv1, pv2 = message.segment("PV1"), message.segment("PV2")
    complaint, acuity = _observed(message, feed, marks)
    if (sent := pv1.text(2, 1).strip().upper()) and sent not in _CLASSES:
        marks.append("patient-class-unknown")
    return VisitDetail(
        patient_class=bounded(pv1.text(2, 1).upper(), "PV1-2", marks, 20),
        admission_method=bounded(pv1.text(4, 1).upper(), "PV1-4", marks, 20),
        department=bounded(pv1.text(3, 1, 1) or pv1.text(3, 2, 1), "PV1-3", marks),
        site_ods=bounded(pv1.text(3, 4, 1), "PV1-3", marks, 20),
        mode_of_arrival=_mode(pv2, marks),
        reason=complaint or _diagnosis(message, marks) or _coded(pv2, 3, marks),
        discharged_at=read_moment(pv1, 45, feed.timezone, marks),
        acuity=acuity,
        discharge_destination=bounded(pv1.text(37, 1) or pv1.text(36, 1), "PV1-37", marks),
        location_shielded=shielded,
    )


def _coded(segment: Segment, number: int, marks: list[str]) -> str | None:
    """A CE or IS: its text (CE.2), else its code."""
    text = segment.text(number, 2) or segment.text(number, 1)
    return bounded(text, f"{segment.name}-{number}", marks, _MAX_FREE_TEXT)


def _mode(pv2: Segment, marks: list[str]) -> str | None:
    mode = _coded(pv2, 38, marks)
    return mode and _MODES_OF_ARRIVAL.get(mode, mode)


def _diagnosis(message: Message, marks: list[str]) -> str | None:
    """The words of the first admitting or working diagnosis: DG1-4, else DG1-3.2.

    A final one (DG1-6 ``F``) is not why somebody came, and stays with the hospital.
    """
    for dg1 in message.segments("DG1")[:_MAX_OBSERVATIONS]:
        if dg1.text(6, 1).strip().upper() == "F":
            continue
        text = bounded(dg1.text(4, 1) or dg1.text(3, 2), "DG1-4", marks, _MAX_FREE_TEXT)
        if text:
            return text
    return None


def _observed(message: Message, feed: Feed, marks: list[str]) -> tuple[str | None, str | None]:
    """Chief complaint and acuity: the last OBX whose OBX-3 is one of the feed's codes."""
    complaint = acuity = None
    for obx in message.segments("OBX")[:_MAX_OBSERVATIONS]:
        codes = {obx.text(3, 1).strip().upper(), obx.text(3, 4).strip().upper()} - {""}
        told = not codes.isdisjoint(feed.chief_complaint_codes)
        if not told and codes.isdisjoint(feed.acuity_codes):
            continue
        if obx.text(11, 1).strip().upper() in _VOID:
            continue
        if told:
            complaint = _coded(obx, 5, marks) or complaint
        else:
            acuity = bounded(obx.text(5, 2) or obx.text(5, 1), "OBX-5", marks) or acuity
    return complaint, acuity
