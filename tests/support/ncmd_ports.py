"""The port of the NCMD sink in memory, and what any adapter of it can be asked."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from connectors.ncmd.port import Batch, StoreMoved
from halyard.errors import ContractError
from schemas.deaths import CaseChanged, CaseState
from stores.ncmd import Applied, Offset

Held = dict[uuid.UUID, tuple[int, str]]
"""By case: its version, and ``held`` or ``voided``."""


@dataclass(slots=True)
class MemoryPort:
    """`connectors.ncmd.port.Port` over dictionaries."""

    stands: dict[int, Offset] = field(default_factory=dict)
    history: dict[tuple[uuid.UUID, int], CaseChanged] = field(default_factory=dict)

    async def begin(self, partitions: Iterable[int], incarnation: str) -> dict[int, Offset]:
        """As `Port`."""
        wanted = set(partitions)
        for number in wanted:
            stands = self.stands.setdefault(number, Offset(0, incarnation, datetime.now(UTC)))
            if incarnation and (stands.next_offset == 0 or not stands.incarnation):
                self.stands[number] = replace(stands, incarnation=incarnation)
        return {number: self.stands[number] for number in wanted}

    async def go_on(self, partition: int, *, expected: int, found: int, incarnation: str) -> None:
        """As `Port`."""
        del expected
        self.stands[partition] = Offset(found, incarnation, datetime.now(UTC))

    async def apply(self, batch: Batch) -> Applied:
        """As `Port`."""
        if {number: self.stands[number].next_offset for number in batch.expected} != dict(
            batch.expected
        ):
            raise StoreMoved
        before = self.current()
        history = dict(self.history)
        for arrived in batch.arrived:
            key = (arrived.event.case_id, arrived.event.version)
            if history.setdefault(key, arrived.event) != arrived.event:
                raise ContractError("Another content under a version that is there.")
        fresh = len(history) - len(self.history)
        self.history = history
        for number, offset in batch.following.items():
            self.stands[number] = Offset(offset, self.stands[number].incarnation, datetime.now(UTC))
        now = self.current()
        return Applied(
            fresh=fresh,
            repeated=len(batch.arrived) - fresh,
            current=tuple(
                event
                for case_id, event in now.items()
                if case_id not in before or event.version > before[case_id].version
            ),
        )

    def current(self) -> dict[uuid.UUID, CaseChanged]:
        """The newest version of each case."""
        return {
            case_id: self.history[case_id, version] for case_id, version in sorted(self.history)
        }

    async def held(self) -> Held:
        """What a reader of the port sees."""
        return {
            case_id: (event.version, state_of(event)) for case_id, event in self.current().items()
        }


def state_of(event: CaseChanged) -> str:
    """``voided`` or ``held``."""
    return "voided" if event.content.state is CaseState.VOIDED else "held"
