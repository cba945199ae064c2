"""How a letter names the recipient's own records: by what that organisation calls them, and never
by an NHS number. Pure, as `connectors.fhir.letters`.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from connectors.fhir.writing import CASE, LOCAL_ID, Pen, Resource, pruned


@dataclass(frozen=True, slots=True)
class OwnRecord:
    """A record as its organisation calls it: a line of an upload, a message, or a case."""

    local_id: str | None = field(default=None, repr=False)
    upload_id: uuid.UUID | None = None
    line: int | None = None
    message_id: str | None = None
    case_id: uuid.UUID | None = None


def parameter(pen: Pen, one: OwnRecord) -> Resource:
    """The parameter `record` of a Parameters resource."""
    case = {"system": CASE, "value": str(one.case_id)} if one.case_id else None
    own = pen.own(LOCAL_ID, one.local_id)
    message = pen.own(LOCAL_ID, one.message_id)
    upload = f"urn:uuid:{one.upload_id}" if one.upload_id else None
    return {
        "name": "record",
        "part": [
            *([{"name": "local-id", "valueIdentifier": own}] if own else []),
            *([{"name": "upload", "valueUri": upload}] if upload else []),
            *([{"name": "line", "valuePositiveInt": one.line}] if one.line else []),
            *([{"name": "case", "valueIdentifier": pruned(case)}] if case else []),
            *([{"name": "message", "valueString": message["value"]}] if message else []),
        ],
    }
