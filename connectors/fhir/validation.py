"""Is it FHIR R4? fhir.resources (R4B) judges each resource, and its findings become places.

Only types that the hub reads are judged: judging another would import its model, a second of work
for a small body of many types. Errors quote what was sent, so only their places and kinds are read.
Times stand aside: an implausible clock or a month 13 is taken with a mark of its own
(`connectors.fhir.mapping`), so the validator sees a sound time in the place of each that the hub
reads. R4B differs from R4 in none of the resources that are read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from fhir.resources.R4B import fhirtypes, get_fhir_model_class
from pydantic import ValidationError

from connectors.fhir.outcomes import MAX_ISSUES, Issue
from connectors.fhir.view import Json, obj, objs, text

READ: Final = frozenset(
    {
        "Bundle",
        "Condition",
        "Encounter",
        "Location",
        "MessageHeader",
        "Observation",
        "Organization",
        "Parameters",
        "Patient",
        "Provenance",
        "QuestionnaireResponse",
        "RelatedPerson",
    }
)
"""The types of which something is read."""
_NAME: Final = re.compile(r"_?[A-Za-z][A-Za-z0-9]{0,63}", re.ASCII)
_SOUND: Final = {"birthDate": "1900-01-01"}  # for others, an instant, which is a dateTime too
_SOUND_TIME: Final = "1900-01-01T00:00:00Z"
_TIMES: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "Bundle": (("timestamp",),),
    "MessageHeader": (),
    "Patient": (("birthDate",), ("deceasedDateTime",)),
    "Encounter": (("period", "start"), ("period", "end")),
    "Provenance": (("recorded",), ("occurredDateTime",)),
    "RelatedPerson": (("birthDate",),),
}
_UPDATED: Final = ("meta", "lastUpdated")
# fhir.resources takes a uuid of version 4 only; FHIR's own rule (R4 2.24.0.1) takes any
_UUID: Final = re.compile(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.ASCII)
_SOUND_UUID: Final = "urn:uuid:00000000-0000-4000-8000-000000000000"


def warm() -> None:
    """Import the models of what is read, so that no message waits for it (a fifth of a second)."""
    for kind in sorted(READ):
        problems({"resourceType": kind}, kind)


def problems(resource: Json, place: str) -> tuple[Issue, ...]:
    """What of `resource` is not FHIR R4; empty if it is, or if nobody reads its type. Never raises.

    What it contains is judged as it is, and not as a part of it.
    """
    found = _problems(resource, place)
    for number, one in enumerate(objs(resource, "contained")):
        if len(found) >= MAX_ISSUES:
            break
        found += _problems(one, f"{place}.contained[{number}]")
    return found[:MAX_ISSUES]


def unreadable(resource: Json, place: str) -> tuple[Issue, ...]:
    """What of an Encounter or Patient (also a contained one) has not the shape in which it could be
    told who it is about, or whether somebody arrives; empty for other types.
    """
    found = _unreadable(resource, place)
    for number, one in enumerate(objs(resource, "contained")):
        found += _unreadable(one, f"{place}.contained[{number}]")
    return tuple(found)


def _unreadable(resource: Json, place: str) -> list[Issue]:
    kind = resource.get("resourceType")
    broken: list[str] = []
    if kind == "Encounter":
        if resource.get("class") is None:
            return [Issue("element-missing", f"{place}.class")]
        broken += _misshapen(resource, "class", ("code",))
        broken += _misshapen(resource, "subject", ("reference",))
        broken += [
            f"subject.{one}"
            for one in _misshapen(obj(resource, "subject"), "identifier", ("system", "value"))
        ]
    if kind in ("Encounter", "Patient"):
        broken += _misshapen_list(resource, "identifier", ("system", "value"))
    if kind == "Patient":
        broken += _misshapen_list(resource, "link", ("type",))
    return [Issue("element-invalid", f"{place}.{one}") for one in broken]


def _misshapen(node: Json, name: str, texts: Sequence[str]) -> list[str]:
    """Where `name` of `node` is no object with the strings `texts`; all may be absent."""
    value = node.get(name)
    if value is None:
        return []
    if not isinstance(value, dict):
        return [name]
    return [f"{name}.{one}" for one in texts if not isinstance(value.get(one), str | None)]


def _misshapen_list(node: Json, name: str, texts: Sequence[str]) -> list[str]:
    values = node.get(name)
    if values is None:
        return []
    if not isinstance(values, list):
        return [name]
    found = []
    for number, one in enumerate(values):
        found += (
            [name]
            if one is None
            else _misshapen({f"{name}[{number}]": one}, f"{name}[{number}]", texts)
        )
    return found


def _problems(resource: Json, place: str) -> tuple[Issue, ...]:
    kind = resource.get("resourceType")
    if not isinstance(kind, str) or not _exists(kind):
        return (Issue("resource-unknown", place),)
    if kind not in READ:
        return ()
    judged = {name: one for name, one in resource.items() if name != "contained"}
    try:
        sound = _with_sound_uuids(_with_sound_times(judged, kind), kind)
        get_fhir_model_class(kind).model_validate(sound)
    except ValidationError as error:
        return _issues(error, place)
    except Exception:  # noqa: BLE001 - the library meets a shape that its own checks do not expect
        return (Issue("element-invalid", place),)
    return ()


@lru_cache(maxsize=256)
def _exists(kind: str) -> bool:
    """Whether FHIR R4 (as R4B) has a type of this name; imports nothing."""
    return _NAME.fullmatch(kind) is not None and hasattr(fhirtypes, f"{kind}Type")


def _with_sound_times(resource: Json, kind: str) -> Json:
    for path in (*_TIMES.get(kind, ()), _UPDATED):
        resource = _replaced(resource, path)
    return resource


def _with_sound_uuids(resource: Json, kind: str) -> Json:
    if kind != "Parameters" or not isinstance(resource.get("parameter"), list):
        return resource
    return {
        **resource,
        "parameter": [
            {**one, "valueUuid": _SOUND_UUID} if _UUID.fullmatch(text(one, "valueUuid")) else one
            for one in resource["parameter"]
        ],
    }


def _replaced(node: Json, path: Sequence[str]) -> Json:
    """A copy of `node` with a sound time at `path`, if there is a string at it."""
    name = path[0]
    value = node.get(name)
    if len(path) > 1:
        return {**node, name: _replaced(value, path[1:])} if isinstance(value, dict) else node
    if not isinstance(value, str):
        return node
    return {**node, name: _SOUND.get(name, _SOUND_TIME)}


def _issues(error: ValidationError, place: str) -> tuple[Issue, ...]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return tuple(_issue(one["type"], one["loc"], place) for one in found[:MAX_ISSUES])


def _issue(kind: str, loc: tuple[int | str, ...], place: str) -> Issue:
    if kind == "extra_forbidden":
        # the last part is a name of the sender's own making, which could hold anything
        return Issue("element-unknown", _at(place, loc[:-1]))
    rule = "element-missing" if kind.endswith("missing") else "element-invalid"
    return Issue(rule, _at(place, loc))


def _at(place: str, loc: Sequence[int | str]) -> str:
    for part in loc:
        if isinstance(part, int):
            place += f"[{part}]"
        elif part == "resource_type":
            place += ".resourceType"
        elif part != "root" and _NAME.fullmatch(part):
            place += f".{part}"
    return place
