"""The rules of the ITK profile (NPFIT-ELIBR-AREL-DST-0369, HL7 v2.4 ADT) that matter to the hub.

An "optional" field of ITK must be sent by whoever holds it. Real feeds differ in most of these and
are taken all the same: nothing here is a reason to refuse a message, and so no rule is an error.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Final

from connectors.hl7v2.conformance import ITK, STRUCTURE_OF, Finding, Rule, Severity, finding
from connectors.hl7v2.er7 import Message, Segment
from connectors.hl7v2.times import moment
from halyard import nhs_number
from halyard.nhs_number import NhsNumberOutcome

_WARNING, _INFO = Severity.WARNING, Severity.INFO

ITK_RULES: Final = {
    "sender-application-missing": Rule(_WARNING, ITK, "Say in MSH-3 which application sends."),
    "sender-ods-code": Rule(
        _WARNING, ITK, "MSH-4 is the trust's ODS code: 3 characters, or 5 of a site."
    ),
    "message-type-not-adt": Rule(_INFO, ITK, "Only ADT is used; route other types elsewhere."),
    "structure-missing": Rule(
        _WARNING, ITK, "MSH-9.3 names the structure (ADT_A01); ITK makes it mandatory."
    ),
    "structure-of-another-trigger": Rule(
        _WARNING, ITK, "MSH-9.3 is not the structure of this trigger (HL7 table 0354)."
    ),
    "trigger-not-in-itk": Rule(_INFO, ITK, "ITK does not define this trigger; see what is done."),
    "control-id-too-long": Rule(_WARNING, ITK, "MSH-10 has at most 20 characters."),
    "processing-id": Rule(_WARNING, ITK, "MSH-11 is P in a live feed."),
    "version": Rule(_WARNING, ITK, "MSH-12 is 2.4; the message is read as 2.4 all the same."),
    "continuation": Rule(
        _WARNING, ITK, "MSH-14 says that this is part of a message; parts are not joined."
    ),
    "country": Rule(_INFO, ITK, "MSH-17 is GBR."),
    "charset": Rule(_INFO, ITK, "MSH-18 is UNICODE, which means UTF-8; absent means ASCII."),
    "profile-missing": Rule(_WARNING, ITK, "MSH-21 names the profile: ITKv1.0."),
    "profile-spelling": Rule(_INFO, ITK, "MSH-21 is spelt ITKv1.0."),
    "event-code-used": Rule(_INFO, ITK, "EVN-1 is not used; MSH-9.2 says the trigger."),
    "recorded-missing": Rule(
        _WARNING, ITK, "EVN-2, when it was recorded, is required: it orders the visit's events."
    ),
    "occurred-missing": Rule(
        _WARNING, ITK, "EVN-6, when it happened, is required; EVN-2 stands in for it."
    ),
    "recorded-late": Rule(
        _INFO, ITK, "EVN-6 is more than a day before EVN-2: check the clocks, or a late entry."
    ),
    "nhs-number-missing": Rule(
        _WARNING, ITK, "PID-3 has no NHS number (CX.4 NHS) and PID-32 does not say why."
    ),
    "nhs-number-not-told": Rule(
        _INFO, ITK, "No NHS number, as PID-32 says; the hub traces the person."
    ),
    "nhs-number-authority": Rule(
        _INFO, ITK, "An NHS number is told by CX.4 NHS; here another mark tells it."
    ),
    "nhs-number-placeholder": Rule(
        _WARNING, ITK, "A placeholder stands for the NHS number; leave it out instead."
    ),
    "nhs-number-elsewhere": Rule(
        _WARNING, ITK, "The NHS number belongs in PID-3; it is read here all the same."
    ),
    "nhs-number-status-missing": Rule(
        _WARNING, ITK, "PID-32 says how far the NHS number was traced: one of NSTS01 to NSTS08."
    ),
    "identifier-type-used": Rule(_INFO, ITK, "CX.5 is not used in ITK; it is understood."),
    "local-id-missing": Rule(
        _INFO, ITK, "PID-3 has no identifier of your own: events without a visit cannot be joined."
    ),
    "local-id-authority-missing": Rule(
        _WARNING, ITK, "Say in CX.4 whose identifier this is; two systems may use the same."
    ),
    "name-type-missing": Rule(_INFO, ITK, "XPN.7 says which name it is (L: usual or legal)."),
    "protection-indicator": Rule(
        _WARNING, ITK, "PD1-12 must not be used (moved to ZU8); it is not read."
    ),
    "practice-code-missing": Rule(_INFO, ITK, "PD1-3.3 is the practice's ODS code."),
    "patient-class-missing": Rule(
        _WARNING, ITK, "PV1-2 says what kind of visit it is; arrivals are told by it."
    ),
    "site-missing": Rule(
        _WARNING, ITK, "PV1-3.4 is the ODS code of the site: alerts say where the child is."
    ),
    "admission-method-missing": Rule(
        _WARNING, ITK, "PV1-4 says how somebody was admitted; emergencies are told by it."
    ),
    "visit-number-missing": Rule(
        _WARNING, ITK, "PV1-19 names the visit; without it a visit is the patient's day."
    ),
}

TRIGGERS: Final = frozenset(
    f"A{number:02}"
    for number in (
        1,
        2,
        3,
        4,
        5,
        8,
        11,
        12,
        13,
        14,
        15,
        16,
        21,
        22,
        25,
        26,
        27,
        28,
        31,
        38,
        40,
        52,
        53,
    )
)
_NO_VISIT: Final = frozenset({"A28", "A31", "A34", "A40", "A47"})
_ODS: Final = re.compile(r"[A-Z0-9]{3}([A-Z0-9]{2})?")
_WHY_NONE: Final = re.compile(r"NSTS0[3-8]")
_LATE: Final = timedelta(days=1)
_PLACEHOLDER: Final = frozenset({NhsNumberOutcome.PLACEHOLDER})

Tell = Callable[[str, str], Finding]


def check_itk(message: Message, trigger: str) -> Iterator[Finding]:
    """What breaks the profile, in the order of the message."""
    is_adt = message.segment("MSH").text(9, 1).strip().upper() in ("ADT", "")
    yield from _header(message, trigger, is_adt=is_adt)
    if not is_adt:
        return
    yield from _event(message)
    yield from _person(message)
    yield from _visit(message, trigger)


def _tell(rule: str, place: str) -> Finding:
    return finding(rule, place, ITK_RULES)


def _header(message: Message, trigger: str, *, is_adt: bool) -> Iterator[Finding]:
    msh = message.segment("MSH")
    if not msh.text(3, 1):
        yield _tell("sender-application-missing", "MSH-3")
    if not _ODS.fullmatch(msh.text(4, 1)):
        yield _tell("sender-ods-code", "MSH-4")
    structure = msh.text(9, 3)
    if not is_adt:
        yield _tell("message-type-not-adt", "MSH-9")
    elif not structure:
        yield _tell("structure-missing", "MSH-9.3")
    elif structure != STRUCTURE_OF.get(trigger, structure):
        yield _tell("structure-of-another-trigger", "MSH-9.3")
    if is_adt and trigger and trigger not in TRIGGERS:
        yield _tell("trigger-not-in-itk", "MSH-9.2")
    if len(msh.text(10)) > 20:
        yield _tell("control-id-too-long", "MSH-10")
    if msh.text(11, 1) != "P":
        yield _tell("processing-id", "MSH-11")
    if msh.text(12, 1) != "2.4":
        yield _tell("version", "MSH-12")
    if msh.text(14):
        yield _tell("continuation", "MSH-14")
    if msh.text(17) != "GBR":
        yield _tell("country", "MSH-17")
    if msh.text(18) != "UNICODE":
        yield _tell("charset", "MSH-18")
    profile = msh.text(21, 1)
    if profile.upper() != "ITKV1.0":
        yield _tell("profile-missing", "MSH-21")
    elif profile != "ITKv1.0":
        yield _tell("profile-spelling", "MSH-21")


def _event(message: Message) -> Iterator[Finding]:
    evn = message.segment("EVN")
    if evn.text(1):
        yield _tell("event-code-used", "EVN-1")
    recorded, occurred = evn.text(2, 1), evn.text(6, 1)
    if not recorded:
        yield _tell("recorded-missing", "EVN-2")
    if not occurred:
        yield _tell("occurred-missing", "EVN-6")
    at, when = moment(recorded, "Europe/London"), moment(occurred, "Europe/London")
    if at and when and at.utc - when.utc > _LATE:
        yield _tell("recorded-late", "EVN-6")


def _person(message: Message) -> Iterator[Finding]:
    pid = message.segment("PID")
    if not pid:
        return
    numbers = locals_ = 0
    types = False
    for place, repetition in _identifiers(pid):
        value = pid.text(place, 1, 1, repetition).strip()
        authority = pid.text(place, 4, 1, repetition).strip().upper()
        kind = pid.text(place, 5, 1, repetition).strip().upper()
        where = f"PID-{place}" if repetition == 1 else f"PID-{place}({repetition})"
        types |= bool(kind) and place == 3
        if authority == "NHS" or kind in ("NH", "HN") or "NHS" in (authority + kind):
            numbers += 1
            if place != 3:
                yield _tell("nhs-number-elsewhere", where)
            elif authority != "NHS":
                yield _tell("nhs-number-authority", f"{where}.4")
            if nhs_number.parse(value, profile="test").outcome in _PLACEHOLDER:
                yield _tell("nhs-number-placeholder", where)
        elif place == 3 and value:
            locals_ += 1
            if not authority and not pid.text(place, 4, 2, repetition):
                yield _tell("local-id-authority-missing", f"{where}.4")
    if types:
        yield _tell("identifier-type-used", "PID-3.5")
    if not locals_:
        yield _tell("local-id-missing", "PID-3")
    yield from _status(pid, numbers)
    if pid.text(5, 1) and not pid.text(5, 7):
        yield _tell("name-type-missing", "PID-5.7")
    pd1 = message.segment("PD1")
    if pd1.text(12):
        yield _tell("protection-indicator", "PD1-12")
    if pd1.field(3) and not pd1.text(3, 3):
        yield _tell("practice-code-missing", "PD1-3.3")


def _identifiers(pid: Segment) -> Iterator[tuple[int, int]]:
    for place in (3, 2, 4):
        for repetition in range(1, len(pid.repetitions(place)) + 1):
            yield place, repetition


def _status(pid: Segment, numbers: int) -> Iterator[Finding]:
    told = [pid.text(32, 1, 1, at + 1) for at in range(len(pid.repetitions(32)))]
    if numbers and not any(text.startswith("NSTS") for text in told):
        yield _tell("nhs-number-status-missing", "PID-32")
    if not numbers:
        explained = any(_WHY_NONE.fullmatch(text.strip()) for text in told)
        yield _tell("nhs-number-not-told" if explained else "nhs-number-missing", "PID-3")


def _visit(message: Message, trigger: str) -> Iterator[Finding]:
    pv1 = message.segment("PV1")
    if trigger in _NO_VISIT or not pv1:
        return
    if not pv1.text(2, 1):
        yield _tell("patient-class-missing", "PV1-2")
    if not pv1.text(3, 4, 1):
        yield _tell("site-missing", "PV1-3.4")
    if trigger in ("A01", "A06") and not pv1.text(4, 1):
        yield _tell("admission-method-missing", "PV1-4")
    if not pv1.text(19, 1).strip():
        yield _tell("visit-number-missing", "PV1-19")
