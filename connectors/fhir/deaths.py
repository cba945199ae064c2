"""From a message about a death and its feed to `DeathNotified` or `ReportSubmitted`.

Pure: the same bytes, feed and keys give the same event (but for `received_at`, and for marks of
times that only it shows to be implausible). Every version of one notification has one Kafka key,
made of the sender's own reference (ADR 0024).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Final

from connectors.clocks import CLOCK_AHEAD, plausible
from connectors.deaths import indication_keys
from connectors.fhir import times
from connectors.fhir.death_events import PDS_STATUSES, REPORTING, DeathEventCode
from connectors.fhir.death_messages import FORM_IN_ERROR, DeathMessage
from connectors.fhir.death_patients import patient_facts
from connectors.fhir.fitting import DeathReported, limited
from connectors.fhir.forms import read_forms
from connectors.fhir.merging import merged
from connectors.fhir.outcomes import CONTENT_TYPE
from connectors.fhir.persons import Identifiers, person_claim
from connectors.fhir.view import text
from connectors.hl7v2.persons import bounded
from connectors.persons import key_names
from halyard.ids import derive
from halyard.privacy import Keys
from schemas.death_fields import is_location
from schemas.deaths import (
    NOBODY,
    DeathMessageKind,
    DeathNotified,
    Fact,
    ReportKind,
    ReportSubmitted,
)
from schemas.events import PersonClaim
from stores.directory import Feed

_KINDS: Final = {
    DeathEventCode.NOTIFICATION: DeathMessageKind.SUBMITTED,
    DeathEventCode.UPDATE: DeathMessageKind.UPDATED,
    DeathEventCode.VOID: DeathMessageKind.VOIDED,
    DeathEventCode.PDS: DeathMessageKind.INDICATED,
}
_REPORT_KINDS: Final = {
    DeathEventCode.REPORT: ReportKind.REPORT,
    DeathEventCode.DECLINED: ReportKind.DECLINED,
    DeathEventCode.NOTHING_KNOWN: ReportKind.NOTHING_KNOWN,
}
_UNFINISHED: Final = frozenset({"in-progress", "stopped"})


def to_death_event(
    message: DeathMessage, *, feed: Feed, keys: Keys, received_at: datetime
) -> DeathReported:
    """The event that `message` reports."""
    marks = list(message.marks)
    claim, own, facts = _told(message, feed.organisation, marks)
    died_at = _value(facts, "death.date")
    _judge_dates(facts, received_at, marks)
    sent = times.moment(text(message.bundle, "timestamp"), feed.timezone)
    _, _, sent = plausible(
        recorded=None, occurred=None, sent=sent, received_at=received_at, marks=marks
    )
    form = next((text(one.content, "questionnaire") for one in message.forms), "")
    digest = keys.digest(message.body)
    if message.event in REPORTING:
        return ReportSubmitted(
            event_id=derive("report", feed.source, message.message_id, digest),
            source=feed.source,
            organisation=feed.organisation,
            message_id=message.message_id,
            digest=digest,
            received_at=received_at,
            kind=_report_kind(message),
            source_person=_person(feed, keys, f"report:{message.reference}"),
            source_patient=_patient(feed, keys, f"report:{message.reference}"),
            reference=message.reference,
            version=message.version,
            request_id=message.request,
            sent_at=sent.utc if sent else None,
            form=bounded(form, "QuestionnaireResponse.questionnaire", marks) or "",
            reason=message.reason,
            claim=claim,
            facts=facts,
            died_at=died_at,
            marks=limited(marks),
            message=message.body,
        )
    event = DeathNotified(
        event_id=derive("death", feed.source, message.message_id, digest),
        source=feed.source,
        organisation=feed.organisation,
        message_id=message.message_id,
        digest=digest,
        received_at=received_at,
        kind=_KINDS[message.event],
        source_person=_person(feed, keys, f"death:{message.reference}"),
        source_patient=_patient(feed, keys, f"death:{message.reference}"),
        reference=message.reference,
        version=message.version,
        sent_at=sent.utc if sent else None,
        form=bounded(form, "QuestionnaireResponse.questionnaire", marks) or "",
        reason=message.reason,
        claim=claim,
        facts=facts,
        died_at=died_at,
        content_type=CONTENT_TYPE,
        message=message.body,
    )
    if message.event is DeathEventCode.PDS:
        event = _indicated(event, message, own, feed, keys, marks)
    return replace(event, marks=limited(marks))


def _told(
    message: DeathMessage, organisation: str, marks: list[str]
) -> tuple[PersonClaim, Identifiers, tuple[Fact, ...]]:
    """Who the message is about, and what it says of them and of the death."""
    patient = message.patient.content if message.patient else {}
    claim, own = NOBODY, Identifiers()
    if message.patient is not None:
        claim, own = person_claim(patient, marks)
    elif message.forms:
        marks.append("patient-not-sent:Bundle.entry")
    if message.event in (DeathEventCode.NOTIFICATION, DeathEventCode.UPDATE) and not message.forms:
        marks.append("form-not-sent:Bundle.entry")
    if message.event is DeathEventCode.REPORT and not message.forms:
        marks.append("form-not-sent:Bundle.entry")
    facts = merged(
        patient_facts(patient, claim, marks) if message.patient else (),
        read_forms(message.forms, marks, organisation),
        marks,
    )
    claim = _completed(claim, facts)
    if message.restricted:
        marks.insert(0, "location-shielded")  # before all that may be cut
        claim = replace(claim, postcode=None)
        facts = tuple(one for one in facts if not is_location(one.name))
    return claim, own, facts


def _value(facts: Iterable[Fact], name: str) -> str | None:
    return next((one.value for one in facts if one.name == name and one.value), None)


def _completed(claim: PersonClaim, facts: tuple[Fact, ...]) -> PersonClaim:
    """`claim` with what only the form says."""
    return replace(
        claim,
        family=claim.family or _value(facts, "child.family"),
        given=claim.given or tuple((_value(facts, "child.given") or "").split()[:8]),
        birth_date=claim.birth_date or _value(facts, "child.birth-date"),
        gender=claim.gender or _value(facts, "child.sex"),
        postcode=claim.postcode or _value(facts, "child.postcode"),
    )


def _judge_dates(facts: tuple[Fact, ...], received_at: datetime, marks: list[str]) -> None:
    """A mark for a death after its receipt or before the birth; the facts stay as told."""
    died, born = _value(facts, "death.date") or "", _value(facts, "child.birth-date") or ""
    today = (received_at + CLOCK_AHEAD).astimezone(times.ENGLAND).date().isoformat()
    if died and died > today[: len(died)]:
        marks.append("death-time-implausible:death.date")
    precision = min(len(died), len(born))
    if precision and died[:precision] < born[:precision]:
        marks.append("death-before-birth:death.date")


def _report_kind(message: DeathMessage) -> ReportKind:
    kind = _REPORT_KINDS[message.event]
    if kind is not ReportKind.REPORT:
        return kind
    states = {text(one.content, "status") for one in message.forms}
    taken_back = FORM_IN_ERROR in message.marks and not message.forms  # what is left is no answer
    return ReportKind.PARTIAL if taken_back or states & _UNFINISHED else kind


def _indicated(
    event: DeathNotified,
    message: DeathMessage,
    own: Identifiers,
    feed: Feed,
    keys: Keys,
    marks: list[str],
) -> DeathNotified:
    """The event of PDS's death notification: keyed by the patient, and no notification."""
    indication = PDS_STATUSES[message.status]
    effective = _effective(message, event, feed, marks)
    names = key_names(
        local_id=own.local_id,
        local_key=own.local_key,
        visit=None,
        number=event.claim.nhs_number,
        digest=event.digest,
    )
    if event.claim.nhs_number:  # PDS knows people by their number, whatever else is sent along
        names = (None, names[1] if names[2] is None else None, names[2])
    person, patient = indication_keys(feed.source, keys.source_patient(feed.source, *names), keys)
    at = effective.isoformat() if effective else ""
    return replace(
        event,
        # a death that is taken back and told again is told anew
        event_id=derive(
            "death-indicated", feed.source, patient, indication, event.died_at or "", at
        ),
        source_person=person,
        source_patient=patient,
        reference="",
        version=0,
        reason=None,
        indication=indication,
        effective_at=effective,
        facts=(),
    )


def _effective(
    message: DeathMessage, event: DeathNotified, feed: Feed, marks: list[str]
) -> datetime | None:
    """Since when it holds, else when it was recorded, else sent; none that cannot be: the latest is
    the truth, and one of the future would silence all that follow.
    """
    written = message.effective, text(message.header, "meta", "lastUpdated")
    told = [one for each in written if each and (one := times.moment(each, feed.timezone))]
    if not told:
        marks.append("effective-missing:Parameters.parameter")
    for one in told:
        possible, _, _ = plausible(
            recorded=one, occurred=None, sent=None, received_at=event.received_at, marks=[]
        )
        if possible is not None:
            return possible.utc
        marks.append("effective-implausible:Parameters.parameter")
    return event.sent_at


def _person(feed: Feed, keys: Keys, name: str) -> str:
    return keys.source_person(feed.source, name, None, None)


def _patient(feed: Feed, keys: Keys, name: str) -> str:
    return keys.source_patient(feed.source, name, None, None)
