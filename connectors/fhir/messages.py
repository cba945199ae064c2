"""From bytes to a FHIR message: which event, which encounter, which patient. Pure; never raises.

Refused is what cannot be read (no JSON, no message Bundle, no FHIR R4) or not be attributed (no
event that is known, nobody it is about). Everything else odd is for `connectors.fhir.mapping`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from connectors.fhir import validation
from connectors.fhir.events import WITHOUT_ENCOUNTER, VisitEvent, visit_event
from connectors.fhir.outcomes import Issue
from connectors.fhir.view import Coding, Json, coding, codings, obj, objs, text
from schemas.events import VisitEventKind

_BOM: Final = b"\xef\xbb\xbf"
_FALLBACK: Final = "windows-1252"
# C0 but TAB, LF and CR: no text of a person, and PostgreSQL takes no NUL
_CONTROLS: Final = {code: "\ufffd" for code in range(32) if code not in (9, 10, 13)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may have at most."""

    entries: int = 100
    depth: int = 32


@dataclass(frozen=True, slots=True)
class Placed:
    """A resource of the Bundle and where it stands."""

    place: str
    full_url: str = field(repr=False)
    content: Json = field(repr=False)

    @property
    def kind(self) -> str:
        """Its resourceType."""
        return text(self.content, "resourceType")


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message is not taken; the first issue decides. `endpoint` as far as it was read."""

    issues: tuple[Issue, ...]
    endpoint: str | None = field(default=None, repr=False)

    @property
    def rule(self) -> str:
        """The deciding rule."""
        return self.issues[0].rule

    @property
    def place(self) -> str:
        """The element that breaks it."""
        return self.issues[0].place


@dataclass(frozen=True, slots=True)
class Parsed:
    """A message that can be attributed. `marks` are rule names with places, without values."""

    event: VisitEvent
    endpoint: str = field(repr=False)
    bundle: Json = field(repr=False)
    header: Json = field(repr=False)
    patient: Placed = field(repr=False)
    encounter: Placed | None = field(repr=False)
    resources: tuple[Placed, ...] = field(repr=False)
    marks: tuple[str, ...]
    charset: str
    body: bytes = field(repr=False)

    def of_kind(self, kind: str) -> list[Placed]:
        """The resources of a type, in the Bundle's order."""
        return [one for one in self.resources if one.kind == kind]

    def resolve(self, reference: Json, within: Json | None = None) -> Json:
        """The resource that a Reference names, if it is in the message; else empty."""
        found = _resolve(self.resources, reference, within)
        return found.content if found else {}


def read_message(body: bytes, limits: Limits = Limits()) -> Parsed | Refusal:
    """The message in `body`, or why it is refused. Never raises, whatever the bytes are."""
    marks: list[str] = []
    bundle, charset = _json(body, marks)
    if not isinstance(bundle, dict):
        return Refusal((Issue("not-json", ""),))
    if _too_deep(bundle, limits.depth):
        return Refusal((Issue("too-deep", "Bundle"),))
    if b"\\u00" in body:
        bundle = _without_controls(bundle, marks)
    entries = bundle.get("entry")
    if (
        bundle.get("resourceType") != "Bundle"
        or bundle.get("type") != "message"
        or not isinstance(entries, list)
    ):
        return Refusal((Issue("not-a-message", "Bundle"),))
    resources = tuple(_placed(entries[: limits.entries]))
    headers = [one for one in resources if one.kind == "MessageHeader"]
    header = headers[0].content if headers else {}
    endpoint = text(header, "source", "endpoint") or None
    if len(entries) > limits.entries:
        return Refusal((Issue("too-many-entries", "Bundle.entry"),), endpoint)
    if len(headers) != 1:
        return Refusal((Issue("header-missing", "Bundle.entry"),), endpoint)
    if problems := _problems(bundle, entries, resources):
        return Refusal(problems, endpoint)
    if headers[0] is not resources[0]:
        marks.append("header-not-first")
    event = visit_event(_event(header), tuple(codings(obj(header, "reason"))))
    if event is None:
        return Refusal((Issue("event-unknown", f"{headers[0].place}.event"),), endpoint)
    encounter = _encounter(resources, header, event)
    if isinstance(encounter, Issue):
        return Refusal((encounter,), endpoint)
    patient = _patient(resources, header, encounter, event, marks)
    if isinstance(patient, Issue):
        return Refusal((patient,), endpoint)
    return Parsed(
        event=event,
        endpoint=endpoint or "",
        bundle=bundle,
        header=header,
        patient=patient,
        encounter=encounter,
        resources=resources,
        marks=tuple(marks),
        charset=charset,
        body=body,
    )


def _json(body: bytes, marks: list[str]) -> tuple[Any, str]:
    if body.startswith(_BOM):
        body = body.removeprefix(_BOM)
        marks.append("byte-order-mark")
    try:
        return orjson.loads(body), "utf-8"
    except orjson.JSONDecodeError:
        pass  # not JSON, or JSON whose text is not UTF-8
    try:
        body.decode()
    except UnicodeDecodeError:
        try:
            found = orjson.loads(body.decode(_FALLBACK, "replace"))
        except orjson.JSONDecodeError:
            return None, "utf-8"
        marks.append("charset-fallback:message")
        return found, _FALLBACK
    return None, "utf-8"


def _too_deep(node: Any, limit: int) -> bool:
    level = [node]
    for _ in range(limit + 1):
        deeper: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                deeper.extend(value for value in one.values() if isinstance(value, dict | list))
            elif isinstance(one, list):
                deeper.extend(value for value in one if isinstance(value, dict | list))
        if not deeper:
            return False
        level = deeper
    return True


def _without_controls(node: Any, marks: list[str]) -> Any:
    """`node` with U+FFFD for control characters, as in HL7 v2; its depth is bounded."""
    if isinstance(node, str):
        clean = node.translate(_CONTROLS)
        if clean != node and "control-characters:message" not in marks:
            marks.append("control-characters:message")
        return clean
    if isinstance(node, dict):
        return {name: _without_controls(value, marks) for name, value in node.items()}
    if isinstance(node, list):
        return [_without_controls(value, marks) for value in node]
    return node


def _placed(entries: list[Any]) -> list[Placed]:
    found = []
    for number, entry in enumerate(entries):
        resource = obj(entry, "resource")
        if resource:
            place = f"Bundle.entry[{number}].resource"
            found.append(Placed(place, text(entry, "fullUrl"), resource))
    return found


def _problems(bundle: Json, entries: list[Any], resources: tuple[Placed, ...]) -> tuple[Issue, ...]:
    """What is not FHIR R4: the Bundle around its resources first, then each of them."""
    around = [
        {name: value for name, value in one.items() if name != "resource" or not obj(one, name)}
        if isinstance(one, dict)
        else one
        for one in entries
    ]
    # an entry that held nothing but its resource would be empty
    sound = [one or {"fullUrl": "urn:uuid:entry"} for one in around]
    found = validation.problems({**bundle, "entry": sound}, "Bundle")
    for one in resources:
        found += validation.problems(one.content, one.place)
    return found


def _event(header: Json) -> Coding:
    uri = text(header, "eventUri")
    return Coding(uri, "") if uri else coding(obj(header, "eventCoding"))


def _focused(resources: tuple[Placed, ...], header: Json, kind: str) -> list[Placed]:
    """The resources of `kind` that the header puts into focus, else all of the Bundle."""
    there = [one for one in resources if one.kind == kind]
    focused = [_resolve(resources, one, header) for one in objs(header, "focus")]
    return [one for one in focused if one is not None and one.kind == kind] or there


def _encounter(
    resources: tuple[Placed, ...], header: Json, event: VisitEvent
) -> Placed | Issue | None:
    found = _focused(resources, header, "Encounter")
    if len(found) == 1:
        return found[0]
    if event.kind in WITHOUT_ENCOUNTER:
        return None
    return Issue("encounter-ambiguous" if found else "encounter-missing", "Bundle.entry")


def _patient(
    resources: tuple[Placed, ...],
    header: Json,
    encounter: Placed | None,
    event: VisitEvent,
    marks: list[str],
) -> Placed | Issue:
    subject = obj(encounter.content, "subject") if encounter else {}
    found = _subject(resources, header, encounter, event)
    if len(found) > 1:
        return Issue("patient-ambiguous", "Bundle.entry")
    if not found:
        logical = obj(subject, "identifier")
        if encounter is None or not text(logical, "value"):
            return Issue("patient-missing", "Bundle.entry")
        marks.append("patient-by-identifier-alone")
        alone: Json = {"resourceType": "Patient", "identifier": [logical]}
        return Placed(f"{encounter.place}.subject", "", alone)
    patient = found[0]
    named = any(patient.content.get(name) for name in ("identifier", "name", "birthDate"))
    if not named and not (encounter and objs(encounter.content, "identifier")):
        return Issue("patient-unidentifiable", patient.place)
    if text(subject, "reference") and _resolve(resources, subject, None) is None:
        marks.append("subject-unresolved:Encounter.subject")
    return patient


def _subject(
    resources: tuple[Placed, ...], header: Json, encounter: Placed | None, event: VisitEvent
) -> list[Placed]:
    if encounter is not None:
        named = _resolve(resources, obj(encounter.content, "subject"), encounter.content)
        if named is not None and named.kind == "Patient":
            return [named]
    found = _focused(resources, header, "Patient")
    if len(found) > 1 and event.kind is VisitEventKind.MERGE:
        # who stays says whom it replaces
        return [
            one
            for one in found
            if any(text(link, "type") == "replaces" for link in objs(one.content, "link"))
        ] or found
    return found


def _resolve(resources: tuple[Placed, ...], reference: Json, within: Json | None) -> Placed | None:
    wanted = text(reference, "reference").partition("/_history/")[0]
    if not wanted:
        return None
    if wanted.startswith("#"):
        for one in objs(within, "contained"):
            if text(one, "id") == wanted[1:]:
                return Placed("Bundle.entry.resource.contained", "", one)
        return None
    for placed in resources:
        own = f"{placed.kind}/{text(placed.content, 'id')}"
        if wanted in (placed.full_url, own):
            return placed
        if "/" in wanted and placed.full_url.endswith(f"/{wanted}"):
            return placed
    return None
