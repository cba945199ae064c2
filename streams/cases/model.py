"""What a case is made of: the plain values of `stores.case_model`, for the decisions.

They stand in the stores' room because the stores give and take them; a room imports none above it.
"""

from __future__ import annotations

from schemas.deaths import Fact
from stores.case_model import (
    Assignment,
    CaseRow,
    Family,
    Indication,
    Known,
    Notification,
    Report,
    Request,
)

__all__ = [
    "Assignment",
    "CaseRow",
    "Fact",
    "Family",
    "Indication",
    "Known",
    "Notification",
    "Report",
    "Request",
]
