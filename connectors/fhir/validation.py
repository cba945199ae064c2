"""Is it FHIR R4? fhir.resources (R4B) judges each resource, and its findings become places.

Its errors quote what was sent, so only their places and kinds are read. Times stand aside: an
implausible clock or a month 13 is taken with a mark (`connectors.fhir.mapping`), so the validator
sees a sound time in the place of each that the hub reads. R4B differs from R4 in none of the
resources that are read here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fhir.resources.R4B import get_fhir_model_class
from fhir.resources.R4B.resource import Resource
from pydantic import ValidationError

from connectors.fhir.outcomes import MAX_ISSUES, Issue
from connectors.fhir.view import Json

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


def problems(resource: Json, place: str) -> tuple[Issue, ...]:
    """What of `resource` is not FHIR R4; empty if it is. Never raises."""
    kind = resource.get("resourceType")
    model = _model(kind)
    if model is None or not isinstance(kind, str):
        return (Issue("resource-unknown", place),)
    try:
        model.model_validate(_with_sound_times(resource, kind))
    except ValidationError as error:
        return _issues(error, place)
    except Exception:  # noqa: BLE001 - the library meets a type in `contained` that it does not know
        return (Issue("element-invalid", place),)
    return ()


def _model(kind: Any) -> type[Resource] | None:
    if not isinstance(kind, str) or not _NAME.fullmatch(kind):
        return None
    try:
        model = get_fhir_model_class(kind)
    except (KeyError, ValueError, ImportError):
        return None
    return model if issubclass(model, Resource) else None


def _with_sound_times(resource: Json, kind: str) -> Json:
    for path in (*_TIMES.get(kind, ()), _UPDATED):
        resource = _replaced(resource, path)
    return resource


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
