"""Reading parsed JSON without trust: a missing or misshapen element is nothing, never an error."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

Json = dict[str, Any]

_NOTHING: Final[Json] = {}


def obj(node: Any, *names: str) -> Json:
    """The object at the end of `names`; empty if there is none."""
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else _NOTHING


def objs(node: Any, *names: str) -> list[Json]:
    """The objects of the array at the end of `names`."""
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return [one for one in node if isinstance(one, dict)] if isinstance(node, list) else []


def text(node: Any, *names: str) -> str:
    """The string at the end of `names`, stripped; empty if there is none."""
    for name in names:
        node = node.get(name) if isinstance(node, dict) else None
    return node.strip() if isinstance(node, str) else ""


def texts(node: Any, name: str) -> list[str]:
    """The strings of the array `name`, stripped, without the empty ones."""
    values = node.get(name) if isinstance(node, dict) else None
    if not isinstance(values, list):
        return []
    return [one.strip() for one in values if isinstance(one, str) and one.strip()]


@dataclass(frozen=True, slots=True)
class Coding:
    """A code of a system; `display` may be personal only where free text is."""

    system: str
    code: str
    display: str = field(default="", repr=False)


def coding(node: Any) -> Coding:
    """A Coding; its members are empty where nothing is."""
    return Coding(text(node, "system"), text(node, "code"), text(node, "display"))


def codings(concept: Any) -> Iterator[Coding]:
    """The codings of a CodeableConcept."""
    for one in objs(concept, "coding"):
        yield coding(one)


def words(concept: Any) -> str:
    """A CodeableConcept as a person reads it: its text, else a display, else a code."""
    said = text(concept, "text")
    if said:
        return said
    found = list(codings(concept))
    for one in found:
        if one.display:
            return one.display
    return found[0].code if found else ""


def extension(node: Any, *urls: str) -> Json:
    """The first extension of `node` with one of `urls`; empty if there is none."""
    for one in objs(node, "extension"):
        if text(one, "url") in urls:
            return one
    return _NOTHING
