"""Access events: somebody looked at what is held of a person."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class AccessRecorded:
    """Somebody has looked in a way of which an authority may have to be told.

    Whether anything is held does not matter: that there is such an event says nothing of a child.
    Who looked, and from where, stands in PostgreSQL alone (`stores.accesses`): of a restricted
    child that place must not be on the bus.
    """

    event_id: uuid.UUID
    access_id: uuid.UUID
    person: str  # pseudonym (store key)
    looked_at: datetime
    purpose: str  # code: urgent-care, direct-care, child-protection, break-glass
    unscheduled: bool
    interface: str  # flags-query, patient-flags, cp-is
