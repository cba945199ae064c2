"""Confidentiality labels of a message about a death: what cannot be read restricts. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from connectors.fhir.resources import Placed, contained
from connectors.fhir.view import Json, text

_CONFIDENTIAL: Final = frozenset({"R", "V"})  # v3-Confidentiality: restricted, very restricted
_LABELLED: Final = frozenset({"MessageHeader", "Patient", "QuestionnaireResponse"})


def is_restricted(bundle: Json, resources: Iterable[Placed]) -> bool:
    """Whether the sender labels the Bundle, its header, or any Patient or form restricted, also a
    contained one. A label in which no code can be read counts as such: who labels wants something
    kept.
    """
    if _restricts(bundle.get("meta")):
        return True
    for one in resources:
        for each in (one, *contained(one)):
            if each.kind in _LABELLED and _restricts(each.content.get("meta")):
                return True
    return False


def _restricts(meta: Any) -> bool:
    if meta is None:
        return False
    labels = meta.get("security", []) if isinstance(meta, dict) else None
    if labels is None:  # a null is nothing; a meta of another shape could have held a label
        return not isinstance(meta, dict)
    if not isinstance(labels, list):
        return True
    return any((text(one, "code").upper() or "R") in _CONFIDENTIAL for one in labels)
