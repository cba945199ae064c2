"""Letters that tell an organisation that the NHS number of its own record is no longer current.

What CP-IS calls the inactive NHS number notification, in a shape of the hub's own. Pure, as
`connectors.fhir.letters`. The record is named by the organisation's own ids alone. An invalidated
number is told with no other number: there is no parameter for one.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from connectors.fhir.own_records import OwnRecord, parameter
from connectors.fhir.parts import message
from connectors.fhir.writing import Pen, Resource

NUMBER_EVENTS: Final = "urn:halyard:fhir:number-event"
NUMBER_SUPERSEDED: Final = "number-superseded"
NUMBER_INVALIDATED: Final = "number-invalidated"
NUMBER_DIFFERS: Final = "number-superseded-differs"
KINDS: Final = (NUMBER_SUPERSEDED, NUMBER_INVALIDATED, NUMBER_DIFFERS)

_WORDS: Final = {
    NUMBER_SUPERSEDED: (
        "The NHS number of these records was superseded. The hub holds them under the number that "
        "stands now; take it over."
    ),
    NUMBER_INVALIDATED: (
        "The NHS number of these records was invalidated and is used no more. The hub holds no "
        "plan under it. If the child is still to be protected, send a new record under the number "
        "that the NHS gives for the child; never carry the old number over."
    ),
    NUMBER_DIFFERS: (
        "The NHS number of these records was superseded by a record whose details are not those "
        "that the hub knows. They are held as before; check with the NHS whose number it is."
    ),
}


def superseded(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    organisation: str,
    records: Sequence[OwnRecord],
    successor: str | None,
) -> bytes:
    """`successor`: the number that stands now, for who may have it."""
    pen = Pen(letter_id, with_number=successor is not None)
    number = pen.number(successor)
    told: list[Resource] = [{"name": "successor", "valueIdentifier": number}] if number else []
    return _letter(pen, NUMBER_SUPERSEDED, at, organisation, records, told)


def invalidated(
    *, letter_id: uuid.UUID, at: datetime, organisation: str, records: Sequence[OwnRecord]
) -> bytes:
    """The records' number is used no more; nothing is said of any other."""
    pen = Pen(letter_id, with_number=False)
    return _letter(pen, NUMBER_INVALIDATED, at, organisation, records, [])


def superseded_by_another(
    *, letter_id: uuid.UUID, at: datetime, organisation: str, records: Sequence[OwnRecord]
) -> bytes:
    """PDS names a successor whose details contradict the record; it is not told."""
    pen = Pen(letter_id, with_number=False)
    return _letter(pen, NUMBER_DIFFERS, at, organisation, records, [])


def _letter(
    pen: Pen,
    kind: str,
    at: datetime,
    organisation: str,
    records: Sequence[OwnRecord],
    told: Sequence[Resource],
) -> bytes:
    said: Resource = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "kind", "valueCode": kind},
            {"name": "advice", "valueString": _WORDS[kind]},
            *told,
            *(parameter(pen, one) for one in records),
        ],
    }
    return message(
        pen,
        kind,
        at,
        organisation,
        [pen.entry("said", said)],
        focus="said",
        system=NUMBER_EVENTS,
    )
