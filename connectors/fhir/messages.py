"""From bytes to a FHIR message: which event, which encounter, which patient. Pure; never raises.

Refused is what cannot be read (no JSON, no message Bundle, a broken frame) or not be attributed (no
event that is known, nobody it is about). What else is not FHIR R4 is a mark, and everything odd in
what is read is for `connectors.fhir.mapping`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from connectors.fhir import validation
from connectors.fhir.death_events import DeathEventCode, death_event
from connectors.fhir.death_messages import DeathMessage, Envelope, read_death
from connectors.fhir.events import VisitEvent, visit_event
from connectors.fhir.outcomes import MAX_ISSUES, RULES, Issue
from connectors.fhir.resources import Placed, placed, resolve
from connectors.fhir.subjects import encounter_of, patient_of
from connectors.fhir.view import Coding, Json, coding, codings, obj, objs, text
from schemas.events import VisitEventKind

MAX_MERGES: Final = 16
"""Patients whom one message may retire."""
SURROGATES: Final = "surrogates:message"
"""The mark of JSON text that names half a character (a surrogate without its other)."""
# Every escape of JSON: a whole pair of surrogates, a lone one, any other
_ESCAPE: Final = re.compile(
    rb"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})"
    rb"|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\."
)
_BOM: Final = b"\xef\xbb\xbf"
_FALLBACK: Final = "windows-1252"
# C0 but TAB, LF and CR: no text of a person, and PostgreSQL takes no NUL
_CONTROLS: Final = {code: "\ufffd" for code in range(32) if code not in (9, 10, 13)}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a message may have at most. `elements` are the values of its JSON, arrays and objects
    too: judging them is what a message costs, and a small body may hold very many.
    `form_elements` is the same of a message about a death: a filled form has many.
    """

    entries: int = 100
    depth: int = 32
    elements: int = 5_000
    form_elements: int = 20_000


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
        found = resolve(self.resources, reference, within)
        return found.content if found else {}


def read_message(body: bytes, limits: Limits = Limits()) -> Parsed | DeathMessage | Refusal:
    """The message in `body`, about an attendance or a death, or why it is refused. Never raises,
    whatever the bytes are.
    """
    marks: list[str] = []
    bundle, charset = _json(body, marks)
    if bundle is None:
        bundle = _with_whole_characters(body, marks)
    if not isinstance(bundle, dict):
        return Refusal((Issue("not-json", ""),))
    death = _death(bundle, limits)
    if death is None and SURROGATES in marks:
        return Refusal((Issue("not-json", ""),))
    if too_much := _too_much(
        bundle, limits, limits.elements if death is None else limits.form_elements
    ):
        return Refusal((Issue(too_much, "Bundle"),))
    if b"\\u00" in body:
        bundle = _without_controls(bundle, marks)
    entries = bundle.get("entry")
    if (
        bundle.get("resourceType") != "Bundle"
        or bundle.get("type") != "message"
        or not isinstance(entries, list)
    ):
        return Refusal((Issue("not-a-message", "Bundle"),))
    resources = placed(entries[: limits.entries])
    headers = [one for one in resources if one.kind == "MessageHeader"]
    header = headers[0].content if headers else {}
    endpoint = text(header, "source", "endpoint") or None
    if len(entries) > limits.entries:
        return Refusal((Issue("too-many-entries", "Bundle.entry"),), endpoint)
    if len(headers) != 1:
        return Refusal((Issue("header-missing", "Bundle.entry"),), endpoint)
    if headers[0] is not resources[0]:
        marks.append("header-not-first")
    if death is not None:  # nothing is refused of it but what cannot be attributed
        _mark_oddities(resources, marks, validation.problems(_frame(bundle, entries), "Bundle"))
        envelope = Envelope(endpoint or "", bundle, headers[0], resources, charset, body)
        told = read_death(death, envelope, marks)
        return Refusal((told,), endpoint) if isinstance(told, Issue) else told
    if problems := _problems(bundle, entries, resources):
        return Refusal(problems, endpoint)
    event = visit_event(_event(header), tuple(codings(obj(header, "reason"))))
    if event is None:
        return Refusal((Issue("event-unknown", f"{headers[0].place}.event"),), endpoint)
    encounter = encounter_of(resources, header, event)
    if isinstance(encounter, Issue):
        return Refusal((encounter,), endpoint)
    patient = patient_of(resources, header, encounter, event, marks)
    if isinstance(patient, Issue):
        return Refusal((patient,), endpoint)
    if event.kind is VisitEventKind.MERGE and _links(resources, patient) > MAX_MERGES:
        return Refusal((Issue("too-many-merges", f"{patient.place}.link"),), endpoint)
    _mark_oddities(resources, marks)
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


def _with_whole_characters(body: bytes, marks: list[str]) -> Any:
    """JSON that names halves of characters, with U+FFFD in their place; None if it is none."""
    whole = _ESCAPE.sub(lambda found: found[1] or (found[2] and b"\\ufffd") or found[0], body)
    if whole == body:
        return None
    try:
        found = orjson.loads(whole)
    except orjson.JSONDecodeError:
        return None
    marks.append(SURROGATES)
    return found


def _death(bundle: Json, limits: Limits) -> DeathEventCode | None:
    """The event about a death that a message reports; None if it is another, or none."""
    entries = bundle.get("entry")
    for one in placed(entries[: limits.entries] if isinstance(entries, list) else ()):
        if one.kind == "MessageHeader":
            return death_event(_event(one.content))
    return None


def _too_much(node: Json, limits: Limits, most: int) -> str | None:
    """The rule that the number of elements or their depth breaks; None if neither does."""
    level: list[Any] = [node]
    elements = 0
    for _ in range(limits.depth + 1):
        deeper: list[Any] = []
        for one in level:
            elements += len(one)
            values = one.values() if isinstance(one, dict) else one
            deeper.extend(value for value in values if isinstance(value, dict | list))
        if elements > most:
            return "too-many-elements"
        if not deeper:
            return None
        level = deeper
    return "too-deep"


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


def _problems(bundle: Json, entries: list[Any], resources: Sequence[Placed]) -> tuple[Issue, ...]:
    """What refuses the message: findings in Bundle and MessageHeader, and what of Encounter and
    Patient has a shape in which nobody could be read.
    """
    found = validation.problems(_frame(bundle, entries), "Bundle")
    for one in resources:
        if one.kind == "MessageHeader":
            found += _judged(one)
        else:
            found += validation.unreadable(one.content, one.place)
    # a type that does not exist (in `contained`) is a mark wherever it stands
    return tuple(one for one in found if one.rule in RULES)


def _frame(bundle: Json, entries: list[Any]) -> Json:
    """The Bundle without the resources in it."""
    # an entry that held nothing but its resource would be empty
    return {**bundle, "entry": [_around(one) or {"fullUrl": "urn:uuid:entry"} for one in entries]}


def _judged(resource: Placed) -> tuple[Issue, ...]:
    # by the type as it was read: "MessageHeader " is one
    return validation.problems({**resource.content, "resourceType": resource.kind}, resource.place)


def _around(entry: Any) -> Any:
    """An entry without what is judged by itself or not at all."""
    if not isinstance(entry, dict):
        return entry
    kept = {name: one for name, one in entry.items() if name != "resource" or not obj(entry, name)}
    response = obj(entry, "response")
    if response:
        kept["response"] = {name: one for name, one in response.items() if name != "outcome"}
    return kept


def _mark_oddities(
    resources: Sequence[Placed], marks: list[str], frame: Sequence[Issue] = ()
) -> None:
    """A mark for each element elsewhere that is not FHIR R4, as far as they are told."""
    found = list(frame)
    for one in resources:
        if len(found) < MAX_ISSUES:
            found.extend(_judged(one))
    marks.extend(f"{one.rule}:{one.place}" for one in found[:MAX_ISSUES])


def _event(header: Json) -> Coding:
    uri = text(header, "eventUri")
    return Coding(uri, "") if uri else coding(obj(header, "eventCoding"))


def _links(resources: Sequence[Placed], patient: Placed) -> int:
    """How many patients a merge may retire."""
    return sum(text(link, "type") == "replaces" for link in objs(patient.content, "link")) + sum(
        one.kind == "Patient"
        and any(text(link, "type") == "replaced-by" for link in objs(one.content, "link"))
        for one in resources
    )
