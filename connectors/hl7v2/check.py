"""What the hub would make of a message, and what is wrong with it: `halyard hl7 check`.

Three voices, in this order: the hub itself (`connectors.hl7v2.mapping`: its answer, the events,
its marks), the ITK profile, HL7 v2.4. Pure; nothing is sent or stored, and no value is quoted.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from connectors.hl7v2.ack import PROBLEMS
from connectors.hl7v2.conformance import (
    HL7_RULES,
    HUB,
    Finding,
    Rule,
    Severity,
    check_hl7,
    finding,
)
from connectors.hl7v2.conformance_itk import ITK_RULES, check_itk
from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.mapping import to_attendances
from connectors.hl7v2.triggers import read_trigger
from halyard.privacy import Keys
from schemas.events import AttendanceReported, VisitEventKind
from stores.arrival_rules import ArrivalRule
from stores.directory import Feed

# Nothing of a check leaves it, keys neither
_KEYS: Final = Keys(
    bus=b"a check: the bus key of no one..", store=b"a check: the store key of no one"
)
ANY_FEED: Final = Feed(source="check", organisation="CHECK", facility="CHECK")
"""Stands for a feed where no directory is given."""

_ERROR, _WARNING, _INFO = Severity.ERROR, Severity.WARNING, Severity.INFO

HUB_RULES: Final = {
    "no-msh": Rule(_ERROR, HUB, "Begin the message with MSH; it is refused."),
    "delimiters": Rule(_ERROR, HUB, "Send five different delimiters; it is refused."),
    "no-pid": Rule(_ERROR, HUB, "Send the patient in PID; it is refused."),
    "unknown-feed": Rule(
        _ERROR, HUB, "MSH-3 and MSH-4 are not the feed's in the directory; it is refused."
    ),
    "merges": Rule(_ERROR, HUB, "Send at most 16 merges in one message; it is refused."),
    "trigger-none": Rule(
        _ERROR, HUB, "Neither MSH-9.2 nor EVN-1 says what happened: stored, never used."
    ),
    "nobody-named": Rule(
        _ERROR, HUB, "No NHS number, no identifier, no name with birth date: never matched."
    ),
    # marks of the mapping, docs/reference/hl7v2.md
    "trigger-missing": Rule(_WARNING, HUB, "MSH-9.2 is empty; EVN-1 is read instead."),
    "message-type-odd": Rule(_WARNING, HUB, "MSH-9 is not written as ADT^A04; it is understood."),
    "control-id-missing": Rule(_WARNING, HUB, "Send MSH-10; without it nobody can find a message."),
    "sequence-invalid": Rule(_WARNING, HUB, "MSH-13 is a whole number or empty; it is left out."),
    "occurred-implausible": Rule(_WARNING, HUB, "The time cannot be; the next best is used."),
    "recorded-implausible": Rule(_WARNING, HUB, "The time cannot be; the next best is used."),
    "message-time-implausible": Rule(_WARNING, HUB, "The time cannot be; the next best is used."),
    "time-invalid": Rule(_WARNING, HUB, "This is no time (YYYYMMDDHHMM[SS][±ZZZZ]); left out."),
    "time-repeated-hour": Rule(
        _INFO, HUB, "October has this hour twice; the first is taken. An offset would tell."
    ),
    "nhs-number-invalid": Rule(
        _WARNING, HUB, "It is said to be an NHS number and cannot be; the person is traced."
    ),
    "nhs-number-several": Rule(_INFO, HUB, "Several NHS numbers; all are looked at."),
    "nhs-number-untyped": Rule(_INFO, HUB, "A number without a type is read as an NHS number."),
    "nhs-number-status-unknown": Rule(_WARNING, HUB, "The status is none of NSTS01 to NSTS08."),
    "nhs-number-status-several": Rule(_WARNING, HUB, "More than one NSTS value; none is used."),
    "family-name-missing": Rule(_WARNING, HUB, "No family name: the person cannot be traced."),
    "birth-date-missing": Rule(_WARNING, HUB, "No birth date: the person cannot be traced."),
    "birth-date-invalid": Rule(_WARNING, HUB, "There is no such day; the person is not traced."),
    "gender-unknown-code": Rule(_WARNING, HUB, "PID-8 is 1, 2, 9, 0 (or M, F, O, U)."),
    "multiple-birth-invalid": Rule(
        _WARNING, HUB, "PID-24 is Y or N, PID-25 a number from 1 to 9; it is left out."
    ),
    "patient-class-unknown": Rule(
        _WARNING, HUB, "PV1-2 is no code of table 0004; the arrival rule may not know it."
    ),
    "identity-unknown": Rule(_INFO, HUB, "PID-31 says the identity is unknown: names not used."),
    "mother-number-invalid": Rule(_WARNING, HUB, "The mother's NHS number cannot be one."),
    "death-contradicted": Rule(_WARNING, HUB, "PID-29 and PID-30 contradict each other."),
    "death-time-implausible": Rule(_WARNING, HUB, "The time of death cannot be; it is left out."),
    "location-shielded": Rule(_INFO, HUB, "ZU8-4 hides the place: the address is not taken."),
    "location-shielding-unknown-code": Rule(
        _WARNING, HUB, "ZU8-4 is no code that is known; it is read as yes."
    ),
    "merge-incomplete": Rule(_WARNING, HUB, "MRG-1 names no retired identifier: nothing merged."),
    "merge-of-one": Rule(_WARNING, HUB, "MRG-1 and PID-3 are the same: nothing merged."),
    "repetitions-cut": Rule(_WARNING, HUB, "Only the first 64 repetitions are looked at."),
    "visit-number-missing": ITK_RULES["visit-number-missing"],
    "text-cut": Rule(_INFO, HUB, "Longer than the event takes; the message is kept whole."),
    "control-characters": Rule(_WARNING, HUB, "Control characters in text; U+FFFD stands in."),
    "charset-declared-otherwise": Rule(
        _WARNING, HUB, "The bytes are UTF-8 and MSH-18 says otherwise; read as UTF-8."
    ),
    "charset-fallback": Rule(
        _WARNING, HUB, "Bytes that MSH-18 does not allow; read as the feed's fallback."
    ),
    "charset-replaced": Rule(_WARNING, HUB, "Bytes of no character set; U+FFFD stands in."),
    "charset-unknown": Rule(_WARNING, HUB, "MSH-18 names no character set that is known."),
    "mark": Rule(_WARNING, HUB, "The hub marks this message; see the reference of the feed."),
}

RULES: Final = HUB_RULES | ITK_RULES | HL7_RULES
"""Every rule that a report may name."""

# Where a mark without a place of its own points
_PLACES: Final = {
    "trigger-missing": "MSH-9.2",
    "message-type-odd": "MSH-9",
    "control-id-missing": "MSH-10",
    "sequence-invalid": "MSH-13",
    "occurred-implausible": "EVN-6",
    "recorded-implausible": "EVN-2",
    "message-time-implausible": "MSH-7",
    "nhs-number-invalid": "PID-3",
    "nhs-number-several": "PID-3",
    "nhs-number-untyped": "PID-3",
    "nhs-number-status-unknown": "PID-32",
    "nhs-number-status-several": "PID-32",
    "family-name-missing": "PID-5",
    "birth-date-missing": "PID-7",
    "birth-date-invalid": "PID-7",
    "gender-unknown-code": "PID-8",
    "multiple-birth-invalid": "PID-24",
    "patient-class-unknown": "PV1-2",
    "identity-unknown": "PID-31",
    "mother-number-invalid": "PID-21",
    "death-contradicted": "PID-30",
    "death-time-implausible": "PID-29",
    "location-shielded": "ZU8-4",
    "location-shielding-unknown-code": "ZU8-4",
    "merge-incomplete": "MRG-1",
    "merge-of-one": "MRG-1",
    "visit-number-missing": "PV1-19",
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """One event that the hub would make of the message (a merge or a birth gives several)."""

    kind: str
    arrival: bool
    rule: str  # of the arrival


@dataclass(frozen=True, slots=True)
class Report:
    """What the hub answers to one message and does with it, and what is wrong with it."""

    control_id: str
    trigger: str
    answer: str  # AA, AE, AR
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        """Whether anything is worse than a warning."""
        return any(one.severity is Severity.ERROR for one in self.findings)

    @property
    def verdict(self) -> str:
        """What the hub will do, in words."""
        if self.answer != "AA":
            rule = next(one.rule for one in self.findings if one.severity is Severity.ERROR)
            return f"{self.answer} {rule}: refused"
        return "AA: " + "; ".join(_words(outcome) for outcome in self.outcomes)


def _words(outcome: Outcome) -> str:
    if outcome.kind == VisitEventKind.NOT_USED:
        return f"stored, not used ({outcome.rule})"
    arrival = "an arrival by" if outcome.arrival else "no arrival:"
    return f"taken as {outcome.kind}, {arrival} {outcome.rule}"


def check(
    data: bytes,
    *,
    feed: Feed,
    rule: ArrivalRule,
    received_at: datetime,
    feeds: tuple[Feed, ...] | None = None,
) -> Report:
    """The report on one message as if `feed` had sent it.

    `feeds`: of which MSH-3 and MSH-4 must name one (None: any sender will do).
    """
    try:
        message = Message.parse(data, feed.fallback_charset)
    except Er7Error as refusal:
        return _refused(refusal.rule, "", "", ())
    header = message.segment("MSH")
    trigger, kind = read_trigger(header, message.segment("EVN"), [])
    control_id = header.text(10)[:40]
    trigger = trigger[:20]
    profile = (*check_itk(message, trigger), *check_hl7(message, trigger))
    if feeds is not None and not any(
        _sends(one, header.text(3, 1), header.text(4, 1)) for one in feeds
    ):
        return _refused("unknown-feed", control_id, trigger, profile)
    try:
        events = to_attendances(
            Message.parse(data), feed=feed, rule=rule, keys=_KEYS, received_at=received_at
        )
    except Er7Error as refusal:
        return _refused(refusal.rule, control_id, trigger, profile)
    findings = [*_hopeless(events[0], trigger, kind), *_marked(events)]
    # a mark and the profile's rule may say the same of the same place
    places = {one.place for one in findings}
    told = {(one.place, one.rule) for one in findings}
    findings += [
        one
        for one in profile
        if (one.place, one.rule) not in told
        and not (one.rule == "data-type" and one.place in places)
    ]
    return Report(
        control_id=control_id,
        trigger=trigger,
        answer="AA",
        outcomes=tuple(Outcome(one.kind.value, one.arrival, one.arrival_rule) for one in events),
        findings=tuple(findings),
    )


def _sends(feed: Feed, application: str, facility: str) -> bool:
    return (
        feed.transport == "mllp"
        and feed.facility == facility
        and feed.application in (None, application)
    )


def _refused(rule: str, control_id: str, trigger: str, profile: tuple[Finding, ...]) -> Report:
    code, problem = PROBLEMS[rule]
    place = f"{problem.segment}-{problem.field}" if problem.field else problem.segment
    findings = (finding(rule, place, HUB_RULES), *profile)
    return Report(control_id, trigger, code.value, (), findings)


def _hopeless(event: AttendanceReported, trigger: str, kind: VisitEventKind) -> Iterator[Finding]:
    if not trigger:
        yield finding("trigger-none", "MSH-9.2", HUB_RULES)
    claim = event.claim
    named = claim.nhs_number or claim.local_id or (claim.family and claim.birth_date)
    if kind is not VisitEventKind.NOT_USED and not named:
        yield finding("nobody-named", "PID", HUB_RULES)


def _marked(events: tuple[AttendanceReported, ...]) -> Iterator[Finding]:
    for mark in dict.fromkeys(mark for event in events for mark in event.marks):
        rule, _, place = mark.partition(":")
        known = rule if rule in HUB_RULES else "mark"
        found = finding(known, place or _PLACES.get(rule, ""), HUB_RULES)
        yield Finding(found.place, rule, found.severity, found.source, found.advice)
