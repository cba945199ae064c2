"""Word that something about a person has changed at PDS."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class PersonChangeKind(StrEnum):
    """What kind of change it is said to be; what changed, PDS alone says."""

    UNKNOWN = "UNKNOWN"
    NUMBER = "NUMBER"  # the NHS number was superseded or invalidated
    RECORD = "RECORD"  # names, restriction or anything else of the record
    DEATH = "DEATH"


@dataclass(frozen=True, slots=True)
class PersonChanged:
    """A reason to ask PDS about a person again, if the hub knows them; never a fact about them."""

    event_id: uuid.UUID
    source: str  # of the message: "mns"
    organisation: str  # who relayed it: ODS or GSS code
    message_id: str  # CloudEvents id, or that of the notification's Parameters
    received_at: datetime
    kind: PersonChangeKind
    nhs_number: str = field(repr=False)
    occurred_at: datetime | None = None
