"""What organisations were told of cases and must be taken back if it no longer holds."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime

from stores.case_commands import Told


@dataclass(slots=True)
class Ledger:
    """Rows of one transaction; `touched` are to be written."""

    now: datetime
    rows: dict[tuple[uuid.UUID, str, str], Told]
    touched: set[tuple[uuid.UUID, str, str]] = field(default_factory=set)

    def standing(self, kind: str, case_ids: Collection[uuid.UUID]) -> list[Told]:
        """What was told of these cases and holds."""
        return [
            self.rows[key]
            for key in sorted(self.rows)
            if key[2] == kind and key[0] in case_ids and self.rows[key].withdrawn_at is None
        ]

    def put(self, kind: str, case_id: uuid.UUID, organisation: str, person: str | None) -> Told:
        """It is told now, once more."""
        before = self.rows.get((case_id, organisation, kind))
        times = 1 if before is None else before.round + 1
        return self._keep(Told(case_id, organisation, kind, times, person, self.now))

    def withdraw(self, told: Told) -> None:
        """It holds no more."""
        self._keep(replace(told, withdrawn_at=self.now))

    def _keep(self, told: Told) -> Told:
        key = (told.case_id, told.organisation, told.kind)
        self.rows[key] = told
        self.touched.add(key)
        return told
