"""Messages about deaths: what is refused, and what is taken with a mark."""

from __future__ import annotations

import copy
import uuid
from collections.abc import Callable

import pytest

from connectors.fhir.death_messages import MAX_REFERENCE, DeathMessage
from connectors.fhir.deaths import to_death_event
from connectors.fhir.messages import Refusal
from connectors.fhir.outcomes import RULES, refused
from sandbox.deaths import bundles
from schemas.deaths import DeathIndication, DeathMessageKind, ReportKind
from tests.support.deaths import CHILD, TWIN, notification_bundle, update_bundle
from tests.unit.fhir.bundles import FEED, KEYS
from tests.unit.fhir.death_reading import (
    RECEIVED,
    Json,
    event,
    notified,
    read,
    resource,
    submitted,
    with_parameter,
    without,
)

REQUEST = uuid.UUID("0a4c3c0e-0000-4000-8000-000000000001")
VOID = bundles.void(reference="N-1", version=3, reason="duplicate")
REPORT = bundles.report(reference="R-1", child=CHILD, answers={"report.summary": "Known."})
PDS = bundles.pds_death(child=CHILD, status="2")


def _changed(message: Json, change: Callable[[Json], None]) -> Json:
    made = copy.deepcopy(message)
    change(made)
    return made


def _no_ids(message: Json) -> None:
    del message["id"], resource(message, "MessageHeader")["id"]


def _two_children(message: Json) -> None:
    del resource(message, "QuestionnaireResponse")["subject"]
    resource(message, "MessageHeader")["focus"] = []
    message["entry"].append({"resource": {"resourceType": "Patient", "birthDate": "2020-01-01"}})


def _child_elsewhere(message: Json) -> None:
    resource(message, "QuestionnaireResponse")["subject"] = {"reference": "Patient/other"}


def _nobody(message: Json) -> None:
    patient = resource(message, "Patient")
    patient.clear()
    patient["resourceType"] = "Patient"


PARAMETERS = "Bundle.entry[1].resource"


@pytest.mark.parametrize(
    ("message", "rule", "place"),
    [
        (
            _changed(VOID, _no_ids),
            "message-id-missing",
            "Bundle.entry[0].resource.id",
        ),
        (with_parameter(notification_bundle(), "reference"), "reference-missing", PARAMETERS),
        (without(notification_bundle(), "Parameters"), "reference-missing", "Bundle.entry"),
        (
            with_parameter(notification_bundle(), "reference", valueString="x" * 251),
            "reference-missing",
            f"{PARAMETERS}.parameter[0]",
        ),
        (with_parameter(REPORT, "reference"), "reference-missing", PARAMETERS),
        (with_parameter(update_bundle(), "version"), "version-missing", PARAMETERS),
        (
            with_parameter(update_bundle(), "version", valueString="newest"),
            "version-missing",
            f"{PARAMETERS}.parameter[1]",
        ),
        (with_parameter(VOID, "version"), "version-missing", PARAMETERS),
        (
            with_parameter(VOID, "version", valuePositiveInt=0),
            "version-missing",
            f"{PARAMETERS}.parameter[2]",
        ),
        (with_parameter(VOID, "reason"), "reason-missing", PARAMETERS),
        (with_parameter(PDS, "status"), "pds-status-unknown", PARAMETERS),
        (
            with_parameter(PDS, "status", valueCode="3"),
            "pds-status-unknown",
            f"{PARAMETERS}.parameter[1]",
        ),
        (without(PDS, "Patient"), "patient-missing", "Bundle.entry"),
        (_changed(PDS, _nobody), "patient-unidentifiable", "Bundle.entry[2].resource"),
        (_changed(REPORT, _nobody), "patient-unidentifiable", "Bundle.entry[2].resource"),
        (without(REPORT, "Patient"), "patient-missing", "Bundle.entry[2].resource.subject"),
        (
            bundles.nothing_known(reference="R-1"),
            "patient-missing",
            "Bundle.entry",
        ),
        (
            bundles.notification(reference="N-1", child=None),
            "patient-missing",
            "Bundle.entry",
        ),
        (
            _changed(notification_bundle(), _two_children),
            "patient-ambiguous",
            "Bundle.entry[3].resource.subject",
        ),
        (
            _changed(notification_bundle(), _child_elsewhere),
            "patient-missing",
            "Bundle.entry[3].resource.subject",
        ),
    ],
)
def test_what_cannot_be_attributed_is_refused(message: Json, rule: str, place: str) -> None:
    """422, with the element and the rule; nothing else about a death is refused."""
    found = read(message)
    assert isinstance(found, Refusal)
    assert (found.rule, found.place) == (rule, place)
    assert RULES[found.rule].status == 422
    refused(found.issues)


@pytest.mark.parametrize(
    ("message", "kind", "version"),
    [
        (notification_bundle(), DeathMessageKind.SUBMITTED, 1),
        (notification_bundle(version=4), DeathMessageKind.SUBMITTED, 4),
        (update_bundle(version=2), DeathMessageKind.UPDATED, 2),
        (VOID, DeathMessageKind.VOIDED, 3),
        (PDS, DeathMessageKind.INDICATED, 0),
    ],
)
def test_each_event_does_what_it_says(message: Json, kind: DeathMessageKind, version: int) -> None:
    """The kind and the version; without a mark."""
    found = notified(message)
    assert (found.kind, found.version, found.marks) == (kind, version, ())


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        (REPORT, ReportKind.REPORT),
        (
            bundles.report(
                reference="R", child=CHILD, answers={"report.summary": "s"}, partial=True
            ),
            ReportKind.PARTIAL,
        ),
        (bundles.declined(reference="R", child=CHILD, reason="Never here."), ReportKind.DECLINED),
        (bundles.nothing_known(reference="R", child=CHILD), ReportKind.NOTHING_KNOWN),
        (bundles.nothing_known(reference="R", request=str(REQUEST)), ReportKind.NOTHING_KNOWN),
    ],
)
def test_each_answer_of_an_agency_is_one(message: Json, kind: ReportKind) -> None:
    """A report, a part of one, a decline, and nothing known: a full answer."""
    found = submitted(message)
    assert (found.kind, found.version, found.marks) == (kind, 1, ())


def test_an_answer_names_its_request_and_why_it_is_declined() -> None:
    """In the agency's own words; a request that is no id is a mark."""
    declined = bundles.declined(reference="R", reason="Never here.", request=str(REQUEST))
    assert submitted(declined).request_id == REQUEST
    assert submitted(declined).reason == "Never here."
    odd = with_parameter(REPORT, "request", valueString="the one of Monday")
    assert submitted(odd).request_id is None
    assert submitted(odd).marks == (f"request-invalid:{PARAMETERS}.parameter[1]",)
    silent = with_parameter(bundles.declined(reference="R", reason="x", child=CHILD), "reason")
    assert submitted(silent).marks == ("decline-without-reason:Parameters.parameter",)


def test_all_versions_of_a_notification_have_one_key_and_each_its_own_id() -> None:
    """Notification, update and void of one reference are in order on one partition, whatever they
    say of the child; another reference is another key.
    """
    first, second, third = (
        notified(one) for one in (notification_bundle(), update_bundle(child=TWIN), VOID)
    )
    assert first.source_person == second.source_person == third.source_person
    assert first.source_patient == second.source_patient == third.source_patient
    assert first.source_person != first.source_patient
    assert len({first.event_id, second.event_id, third.event_id}) == 3
    other = notified(notification_bundle("N-2"))
    assert other.source_person != first.source_person
    report = submitted(bundles.report(reference="N-1", child=CHILD))
    assert report.source_person != first.source_person


def test_nobody_reaches_anothers_notification_by_its_reference() -> None:
    """The same reference from another feed is another notification, whose void voids nothing."""
    mine, theirs = read(notification_bundle()), read(VOID)
    assert isinstance(mine, DeathMessage)
    assert isinstance(theirs, DeathMessage)
    other = FEED.model_copy(update={"source": "other-fhir", "organisation": "OTHER"})
    first = to_death_event(mine, feed=FEED, keys=KEYS, received_at=RECEIVED)
    void = to_death_event(theirs, feed=other, keys=KEYS, received_at=RECEIVED)
    assert first.reference == void.reference
    assert first.source_patient != void.source_patient
    assert first.source_person != void.source_person


def test_a_reference_with_its_system_is_another() -> None:
    """Two systems of one sender may both count from 1."""
    plain = notified(notification_bundle())
    same = notified(with_parameter(notification_bundle(), "reference", valueString="N-1"))
    told = with_parameter(
        notification_bundle(), "reference", valueIdentifier={"system": "urn:x", "value": "N-1"}
    )
    assert same.source_person == plain.source_person
    assert notified(told).reference == "urn:x|N-1"
    assert notified(told).source_person != plain.source_person
    longest = with_parameter(notification_bundle(), "reference", valueString="x" * MAX_REFERENCE)
    assert notified(longest).reference == "x" * MAX_REFERENCE


def test_the_same_bytes_are_the_same_event_and_a_reused_id_is_not() -> None:
    """A retry is told from another message under the same id by the digest."""
    first, again = notified(notification_bundle()), notified(notification_bundle())
    assert first == again
    changed = notification_bundle(answers={"death.expected": True})
    other = notified(changed)
    assert other.message_id == first.message_id
    assert other.event_id != first.event_id
    assert other.digest != first.digest


def test_the_message_id_is_the_headers_else_the_bundles() -> None:
    """Either is enough."""
    made = notification_bundle(message_id="m-1")
    made["id"] = "b-1"
    assert notified(made).message_id == "m-1"
    del resource(made, "MessageHeader")["id"]
    assert notified(made).message_id == "b-1"


@pytest.mark.parametrize(
    ("message", "mark"),
    [
        (
            with_parameter(VOID, "reason", valueCoding={"code": "changed-my-mind"}),
            f"reason-unknown:{PARAMETERS}.parameter[2]",
        ),
        (
            with_parameter(notification_bundle(), "version", valueString="first"),
            f"version-invalid:{PARAMETERS}.parameter[1]",
        ),
        (without(notification_bundle(), "Patient"), None),
        (without(notification_bundle(), "QuestionnaireResponse"), "form-not-sent:Bundle.entry"),
        (bundles.report(reference="R", child=CHILD), "form-not-sent:Bundle.entry"),
        (
            bundles.pds_death(child=CHILD, status="1") | {"timestamp": "noon"},
            "element-invalid",
        ),
    ],
)
def test_an_oddity_is_a_mark_and_loses_nothing(message: Json, mark: str | None) -> None:
    """A death must not be lost for it."""
    if mark is None:  # a form that names a Patient who is not there is refused; without it, taken
        del resource(message, "QuestionnaireResponse")["subject"]
        mark = "patient-not-sent:Bundle.entry"
    if mark == "element-invalid":
        assert event(message).kind is DeathMessageKind.INDICATED
        return
    assert event(message).marks == (mark,)


def test_a_parameter_that_is_there_twice_is_marked_and_the_first_counts() -> None:
    """Which reference was meant cannot be told."""
    made = notification_bundle()
    resource(made, "Parameters")["parameter"].append(
        {"name": "reference", "valueString": "another"}
    )
    found = notified(made)
    assert found.reference == "N-1"
    assert found.marks == (f"parameter-repeated:{PARAMETERS}.parameter[1]",)


@pytest.mark.parametrize(
    ("status", "indication"),
    [
        ("1", DeathIndication.PDS_INFORMAL),
        ("2", DeathIndication.PDS_FORMAL),
        ("U", DeathIndication.PDS_REMOVED),
    ],
)
def test_a_pds_event_indicates_and_notifies_nothing(
    status: str, indication: DeathIndication
) -> None:
    """It has neither reference nor version, and says since when it holds."""
    found = notified(bundles.pds_death(child=CHILD, status=status))
    assert found.kind is DeathMessageKind.INDICATED
    assert found.indication is indication
    assert (found.reference, found.version) == ("", 0)
    assert found.effective_at == bundles.AT
    assert found.claim.nhs_number == CHILD.nhs_number


def test_pds_events_of_one_person_have_one_key_and_a_death_told_anew_is_new() -> None:
    """Informal, removed, informal again: the third is not taken for a repeat of the first."""
    later = bundles.AT.replace(hour=20)
    first = notified(bundles.pds_death(child=CHILD, status="1"))
    removed = notified(bundles.pds_death(child=CHILD, status="U"))
    again = notified(bundles.pds_death(child=CHILD, status="1", effective=later))
    retry = notified(bundles.pds_death(child=CHILD, status="1", message_id="another"))
    assert first.source_person == removed.source_person == again.source_person
    assert first.event_id == retry.event_id
    assert len({first.event_id, removed.event_id, again.event_id}) == 3
