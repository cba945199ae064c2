"""The letter that asks an organisation about a record of its own that matches nobody.

In a shape of the hub's own. It names the worklist entry, and the record by what its organisation
calls it: no number, no name, nothing that PDS has, and not why the record matches nobody. Pure, as
`connectors.fhir.letters`.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Final

from connectors.fhir.own_records import OwnRecord, parameter
from connectors.fhir.parts import message
from connectors.fhir.writing import Pen, Resource

WORKLIST_EVENTS: Final = "urn:halyard:fhir:worklist-event"
QUESTION: Final = "worklist-question"
KINDS: Final = (QUESTION,)

_WORDS: Final[Mapping[str, str]] = {
    "nhs-number": "Check the NHS number of this record, or send it if it is known by now.",
    "birth-date": "Check the birth date of this record: day, month and year.",
    "names": "Check family and given names of this record, and which is which.",
    "multiple-birth": "Say whether this child is one of twins or more, and born as which of them.",
}
_AGAIN: Final = "Correct it in your own system and send it again; the entry then ends by itself."


def question(
    *,
    letter_id: uuid.UUID,
    at: datetime,
    organisation: str,
    entry_id: uuid.UUID,
    code: str,
    record: OwnRecord,
) -> bytes:
    """`code`: what is asked (nhs-number, birth-date, names, multiple-birth) of `record`."""
    pen = Pen(letter_id, with_number=False)
    words = _WORDS.get(code)
    said: Resource = {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "kind", "valueCode": QUESTION},
            {"name": "entry", "valueUri": f"urn:uuid:{entry_id}"},
            {"name": "question", "valueCode": code},
            {"name": "advice", "valueString": f"{words} {_AGAIN}" if words else _AGAIN},
            parameter(pen, record),
        ],
    }
    return message(
        pen,
        QUESTION,
        at,
        organisation,
        [pen.entry("said", said)],
        focus="said",
        system=WORKLIST_EVENTS,
    )
