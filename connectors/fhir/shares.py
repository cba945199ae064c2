"""Letters to agencies about an alert that its authority shares with them, and their withdrawal.

Pure, as `connectors.fhir.letters`. What is told has been masked by a sharing policy before: each
fact that is left is a payload of the Communication, under the name that policies have for it; the
authority's own id of the child, and a number if the agency may have one, are the Patient's
identifiers. docs/reference/shares.md shows both.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from connectors.fhir.parts import message
from connectors.fhir.writing import (
    EXTENSION,
    LOCAL_ID,
    ORGANISATION,
    Pen,
    Resource,
    coded,
    extension,
    moment,
    pruned,
)

ALERT_SHARED: Final = "alert-shared"
ALERT_SHARE_WITHDRAWN: Final = "alert-share-withdrawn"
KINDS: Final = (ALERT_SHARED, ALERT_SHARE_WITHDRAWN)

EVENTS: Final = "urn:halyard:fhir:safeguarding-event"
"""System of MessageHeader.eventCoding."""

ALERT: Final = "urn:halyard:fhir:alert"
LETTER: Final = "urn:halyard:fhir:letter"
COMMUNICATION: Final = "urn:halyard:fhir:communication"

_WORDS: Final = {
    ALERT_SHARED: "A child whom this authority protects has attended a hospital",
    ALERT_SHARE_WITHDRAWN: "That was not so, or is no longer: act on it no more; acknowledge",
}
# Where these stand is not a payload, or they are identifiers
_ENVELOPE: Final = frozenset({"schema", "alert_id", "version", "change", "changed_at"})
_NUMBER: Final = "person.nhs_number"
_LOCAL_ID: Final = frozenset({"share.local_id", "flags.local_id"})
# Times, codes and telephones of the directory or the hub: no number of a person is within them,
# and ten of their digits could look like one
_OURS: Final = ("authority.", "recipient.", "visit.arrived_at", "visit.departed_at", "shared_at")


@dataclass(frozen=True, slots=True)
class Written:
    """A letter, and what stands in it. `named`: it says which child, by some identifier."""

    body: bytes = field(repr=False)
    told: frozenset[str]  # names of fields
    named: bool


def alert_shared(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    recipient: str,
    authority: str,
    told: Mapping[str, Any],
    numbers: Sequence[str],
) -> Written:
    """Tells `recipient` what `told` holds, which is masked. `numbers`: the child's, which must
    stand in no text, unless the recipient is told the number itself; an identifier that is one is
    left out.
    """
    facts = dict(_leaves(told))
    number = facts.get(_NUMBER)
    pen = Pen(letter_id, with_number=number is not None, numbers=tuple(numbers))
    ours = Pen(letter_id, with_number=True)
    local_ids = {
        name: [one for value in _values(told, name) if (one := pen.identifier(LOCAL_ID, value))]
        for name in sorted(_LOCAL_ID & facts.keys())
    }
    own = {one["value"]: one for found in local_ids.values() for one in found}
    payload = [
        {
            "extension": [extension("field", "valueCode", name)],
            "contentString": text,
        }
        for name, value in facts.items()
        if name not in _ENVELOPE
        and name not in _LOCAL_ID
        and name != _NUMBER
        and (text := (ours if name.startswith(_OURS) else pen).text(value))
    ]
    child = pruned(
        {
            "resourceType": "Patient",
            "identifier": [
                pen.number(number),
                *(
                    pruned({**one, "assigner": {"identifier": _organisation(authority)}})
                    for one in own.values()
                ),
            ],
        }
    )
    body = _communication(
        pen, ALERT_SHARED, at, recipient, authority, told, {"payload": payload}, child
    )
    left_out = {name for name, found in local_ids.items() if not found}
    return Written(body, frozenset(facts) - left_out, "identifier" in child)


def alert_share_withdrawn(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    recipient: str,
    authority: str,
    told: Mapping[str, Any],
    withdraws: uuid.UUID,
) -> bytes:
    """Tells `recipient` that what the letter `withdraws` said does not hold. Tells no fact."""
    pen = Pen(letter_id, with_number=False)
    before = {"inResponseTo": [{"identifier": {"system": LETTER, "value": str(withdraws)}}]}
    child = {"resourceType": "Patient"}
    return _communication(pen, ALERT_SHARE_WITHDRAWN, at, recipient, authority, told, before, child)


def _communication(
    pen: Pen,
    kind: str,
    at: datetime,
    recipient: str,
    authority: str,
    told: Mapping[str, Any],
    more: Resource,
    child: Resource,
) -> bytes:
    version = told.get("version")
    communication = pruned(
        {
            "resourceType": "Communication",
            "extension": [extension("alert-version", "valuePositiveInt", version)],
            "identifier": [{"system": ALERT, "value": str(told["alert_id"])}],
            "status": "completed",
            "category": [coded(COMMUNICATION, kind, _WORDS[kind])],
            "subject": pen.refer("child"),
            "sent": moment(at),
            "recipient": [{"identifier": _organisation(recipient)}],
            "sender": {"identifier": _organisation(authority)},
            **more,
        }
    )
    entries = [pen.entry("communication", communication), pen.entry("child", child)]
    return message(pen, kind, at, recipient, entries, focus="communication", system=EVENTS)


def _organisation(code: str) -> Resource:
    return {"system": ORGANISATION, "value": code}


def _values(told: Mapping[str, Any], name: str) -> list[str]:
    """The texts of ``share.local_id`` or ``flags.local_id``, each of its own."""
    part, _, member = name.partition(".")
    inner = told[part]
    found = [each.get(member) for each in (inner if isinstance(inner, list) else [inner])]
    return [
        str(one)
        for value in found
        for one in (value if isinstance(value, list) else [value])
        if one is not None
    ]


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """(name, text) of everything that is told; of a list the distinct texts, one after another."""
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(value, list | tuple):
        found: dict[str, list[str]] = {}
        for one in value:
            for name, text in _leaves(one, path):
                found.setdefault(name, []).append(text)
        for name, texts in found.items():
            yield name, ", ".join(dict.fromkeys(texts))
    elif isinstance(value, bool):
        yield path, "true" if value else "false"
    elif value is not None:
        yield path, str(value)


__all__ = [
    "ALERT_SHARED",
    "ALERT_SHARE_WITHDRAWN",
    "EXTENSION",
    "KINDS",
    "alert_share_withdrawn",
    "alert_shared",
]
