"""A message about a death: its reference, its version, whom it is about, and its forms. Pure.

Refused is what cannot be attributed: no id, no reference, an update or void without its version, a
void without a reason, nobody it could be about. Everything else that is odd is a mark: a death must
not be lost for an oddity.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from connectors.fhir.death_events import (
    PDS_STATUSES,
    REPORTING,
    VOID_REASONS,
    DeathEventCode,
)
from connectors.fhir.death_subjects import subject_of, tells_somebody
from connectors.fhir.labels import is_restricted
from connectors.fhir.outcomes import Issue
from connectors.fhir.resources import Placed
from connectors.fhir.view import Json, codings, obj, text, words

MAX_REFERENCE: Final = 250
MAX_REASON: Final = 2_000
FORM_IN_ERROR: Final = "form-in-error:QuestionnaireResponse.status"
"""The mark of a form that its sender takes back; nothing of it is read."""
_IN_ERROR: Final = "entered-in-error"
_MAX_CODE: Final = 64
_ID: Final = re.compile(r"[A-Za-z0-9.-]{1,64}", re.ASCII)
_NUMBER: Final = re.compile(r"[0-9]{1,9}", re.ASCII)
_REFERENCES: Final = frozenset(
    {
        f"value{kind}"
        for kind in (
            *("String", "Uuid", "Uri", "Url", "Canonical", "Oid", "Id", "Code", "Markdown"),
            *("Integer", "PositiveInt", "UnsignedInt"),
        )
    }
)
_VERSIONED: Final = frozenset({DeathEventCode.UPDATE, DeathEventCode.VOID})
_REFERENCED: Final = frozenset(DeathEventCode) - {DeathEventCode.PDS}


@dataclass(frozen=True, slots=True)
class DeathMessage:
    """A message about a death that can be attributed. `marks` as of `messages.Parsed`.

    `patient` is None where the message names its subject by reference alone; `version` is 0 of a
    PDS event.
    """

    event: DeathEventCode
    message_id: str
    endpoint: str = field(repr=False)
    bundle: Json = field(repr=False)
    header: Json = field(repr=False)
    patient: Placed | None = field(repr=False)
    forms: tuple[Placed, ...] = field(repr=False)  # without those entered in error
    restricted: bool  # labelled so
    reference: str = field(repr=False)
    version: int
    reason: str | None = field(repr=False)
    request: uuid.UUID | None
    status: str  # of a PDS event
    effective: str  # of a PDS event, as written
    marks: tuple[str, ...]
    charset: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Envelope:
    """What of a message has been read before it is known what it is about."""

    endpoint: str = field(repr=False)
    bundle: Json = field(repr=False)
    header: Placed = field(repr=False)
    resources: tuple[Placed, ...] = field(repr=False)
    charset: str
    body: bytes = field(repr=False)


def read_death(event: DeathEventCode, envelope: Envelope, marks: list[str]) -> DeathMessage | Issue:
    """The message about a death, or the first reason to refuse it; adds to `marks`."""
    message_id = text(envelope.header.content, "id") or text(envelope.bundle, "id")
    if not message_id:
        return Issue("message-id-missing", f"{envelope.header.place}.id")
    if not _ID.fullmatch(message_id):
        return Issue("element-invalid", f"{envelope.header.place}.id")
    parameters = _Parameters(envelope.resources, marks)
    reference = parameters.reference() if event in _REFERENCED else ""
    if event in _REFERENCED and not 0 < len(reference) <= MAX_REFERENCE:
        return Issue("reference-missing", parameters.place("reference"))
    version = _version(event, parameters, marks)
    if version is None:
        return Issue("version-missing", parameters.place("version"))
    reason = _reason(event, parameters, marks)
    if event is DeathEventCode.VOID and not reason:
        return Issue("reason-missing", parameters.place("reason"))
    status = parameters.code("status").upper()
    if event is DeathEventCode.PDS and status not in PDS_STATUSES:
        return Issue("pds-status-unknown", parameters.place("status"))
    request = parameters.request() if event in REPORTING else None
    forms: tuple[Placed, ...] = ()
    patient: Placed | Issue | None = None
    if event is not DeathEventCode.VOID:  # of which nothing is read but what it names
        forms = _forms(envelope.resources, marks)
        patient = subject_of(envelope.header, envelope.resources, forms, marks)
    if isinstance(patient, Issue):
        return patient
    if refusal := _nobody(event, patient, forms, request):
        return refusal
    return DeathMessage(
        event=event,
        message_id=message_id,
        endpoint=envelope.endpoint,
        bundle=envelope.bundle,
        header=envelope.header.content,
        patient=patient,
        forms=forms,
        restricted=is_restricted(envelope.bundle, envelope.resources),
        reference=reference,
        version=version,
        reason=reason,
        request=request,
        status=status,
        effective=parameters.time("effective"),
        marks=tuple(marks),
        charset=envelope.charset,
        body=envelope.body,
    )


class _Parameters:
    """The message's Parameters, by name; the first of a name counts."""

    def __init__(self, resources: Sequence[Placed], marks: list[str]) -> None:
        self._marks = marks
        self._found: dict[str, tuple[str, Json]] = {}
        self._place = "Bundle.entry"
        for resource in resources:
            if resource.kind != "Parameters":
                continue
            self._place = resource.place
            for number, one in enumerate(_list(resource.content, "parameter")):
                name = text(one, "name")
                place = f"{resource.place}.parameter[{number}]"
                if name in self._found and self._found[name][1] != one:
                    marks.append(f"parameter-repeated:{place}")
                self._found.setdefault(name, (place, one))

    def place(self, name: str) -> str:
        """Where a parameter stands, or should."""
        return self._found[name][0] if name in self._found else self._place

    def _one(self, name: str) -> Json:
        return self._found.get(name, ("", {}))[1]

    def reference(self) -> str:
        """The sender's own id; with its system, if it has one: two systems may count from 1."""
        one = self._one("reference")
        value, system = (
            text(one, "valueIdentifier", "value"),
            text(one, "valueIdentifier", "system"),
        )
        if value:
            return f"{system}|{value}" if system else value
        said = next((value for name, value in one.items() if name in _REFERENCES), "")
        if isinstance(said, int) and not isinstance(said, bool):
            return str(said)
        return said.strip() if isinstance(said, str) else ""

    def code(self, name: str) -> str:
        """A code, however it is written."""
        one = self._one(name)
        concept = next(codings(obj(one, "valueCodeableConcept")), None)
        return (
            text(one, "valueCoding", "code")
            or text(one, "valueCode")
            or (concept.code if concept else "")
            or text(one, "valueString")
        )

    def said(self, name: str) -> str:
        """What a person reads."""
        one = self._one(name)
        return (
            text(one, "valueString")
            or text(one, "valueCoding", "display")
            or words(obj(one, "valueCodeableConcept"))
            or self.code(name)
        )

    def time(self, name: str) -> str:
        """An instant, dateTime or date, as it is written."""
        one = self._one(name)
        return text(one, "valueInstant") or text(one, "valueDateTime") or text(one, "valueDate")

    def version(self) -> int | None:
        """A positive whole number; None if there is none, 0 if it cannot be read."""
        one = self._one("version")
        values = [value for name, value in one.items() if name.startswith("value")]
        if not values:
            return None
        value = values[0]
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = int(value)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 2**31:
            return 0
        return value

    def request(self) -> uuid.UUID | None:
        """The report request that is answered."""
        one = self._one("request")
        said = (
            text(one, "valueUuid")
            or text(one, "valueString")
            or text(one, "valueUri")
            or text(one, "valueIdentifier", "value")
        )
        if not one:
            return None
        try:
            return uuid.UUID(said.removeprefix("urn:uuid:"))
        except ValueError:
            self._marks.append(f"request-invalid:{self.place('request')}")
            return None


def _list(node: Json, name: str) -> list[Any]:
    values = node.get(name)
    return values if isinstance(values, list) else []


def _version(event: DeathEventCode, parameters: _Parameters, marks: list[str]) -> int | None:
    """The version; None if the message cannot do without."""
    if event is DeathEventCode.PDS:
        return 0
    version = parameters.version()
    if event in _VERSIONED:
        return version or None
    if version == 0:
        marks.append(f"version-invalid:{parameters.place('version')}")
    return version or 1


def _reason(event: DeathEventCode, parameters: _Parameters, marks: list[str]) -> str | None:
    if event is DeathEventCode.VOID:
        code = parameters.code("reason")
        if code and code not in VOID_REASONS:
            marks.append(f"reason-unknown:{parameters.place('reason')}")
        return code[:_MAX_CODE] or None
    if event is DeathEventCode.DECLINED:
        said = parameters.said("reason")
        if not said:
            marks.append("decline-without-reason:Parameters.parameter")
        if len(said) > MAX_REASON:
            marks.append("text-cut:Parameters.parameter")
        return said[:MAX_REASON] or None
    return None


def _forms(resources: Sequence[Placed], marks: list[str]) -> tuple[Placed, ...]:
    """The forms, without those that their sender takes back."""
    forms = [one for one in resources if one.kind == "QuestionnaireResponse"]
    kept = tuple(one for one in forms if text(one.content, "status") != _IN_ERROR)
    if len(kept) < len(forms):
        marks.append(FORM_IN_ERROR)
    return kept


def _nobody(
    event: DeathEventCode,
    patient: Placed | None,
    forms: Sequence[Placed],
    request: uuid.UUID | None,
) -> Issue | None:
    """Why it cannot be told whom the message is about, if so."""
    if event is DeathEventCode.VOID or request is not None:
        return None
    if patient is None:
        # a notification may name the child in its form; a report must say whom it is about
        if event in (DeathEventCode.NOTIFICATION, DeathEventCode.UPDATE) and forms:
            return None
        return Issue("patient-missing", "Bundle.entry")
    if event not in REPORTING and event is not DeathEventCode.PDS:
        return None
    if tells_somebody(patient.content):
        return None
    return Issue("patient-unidentifiable", patient.place)
