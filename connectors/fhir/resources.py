"""The resources of a Bundle, and what a Reference names among them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from connectors.fhir.view import Json, obj, objs, text


@dataclass(frozen=True, slots=True)
class Placed:
    """A resource of the Bundle and where it stands."""

    place: str
    full_url: str = field(repr=False)
    content: Json = field(repr=False)
    own: str = field(default="", repr=False)  # type/id

    @property
    def kind(self) -> str:
        """Its resourceType."""
        return text(self.content, "resourceType")


def placed(entries: Sequence[Any]) -> tuple[Placed, ...]:
    """The resources of some entries, in their order."""
    found = []
    for number, entry in enumerate(entries):
        resource = obj(entry, "resource")
        if resource:
            place = f"Bundle.entry[{number}].resource"
            own = f"{text(resource, 'resourceType')}/{text(resource, 'id')}"
            found.append(Placed(place, text(entry, "fullUrl"), resource, own))
    return tuple(found)


def resolve(resources: Sequence[Placed], reference: Json, within: Json | None) -> Placed | None:
    """What `reference` names: a resource of the message, or one contained in `within`; of several
    the first.
    """
    return next(_matching(resources, reference, within, "Bundle.entry.resource"), None)


def resolve_patients(
    resources: Sequence[Placed], reference: Json, within: Json, place: str
) -> list[Placed]:
    """All Patients that `reference` could name; `within` stands at `place`. More than one where a
    fullUrl or id is there twice.
    """
    return [one for one in _matching(resources, reference, within, place) if one.kind == "Patient"]


def contained(container: Placed) -> list[Placed]:
    """The resources that are contained in one, each with its own place."""
    return [
        Placed(f"{container.place}.contained[{number}]", "", inner)
        for number, inner in enumerate(objs(container.content, "contained"))
    ]


def _matching(
    resources: Sequence[Placed], reference: Json, within: Json | None, place: str
) -> Iterator[Placed]:
    wanted = text(reference, "reference").partition("/_history/")[0]
    if not wanted:
        return
    if wanted.startswith("#"):
        for number, inner in enumerate(objs(within, "contained")):
            if text(inner, "id") == wanted[1:]:
                yield Placed(f"{place}.contained[{number}]", "", inner)
        return
    path = f"/{wanted}" if "/" in wanted else ""
    for one in resources:
        if wanted in (one.full_url, one.own) or (path and one.full_url.endswith(path)):
            yield one
