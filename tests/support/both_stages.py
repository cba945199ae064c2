"""Identity, then matching, on one database: what identity says is taken by matching."""

from __future__ import annotations

from collections.abc import Sequence

from halyard.kafka import Incoming, Record
from halyard.postgres import transaction
from schemas import codec, topics
from schemas.changes import PersonChanged
from schemas.events import AlertChanged, AttendanceReported, FlagSubmitted
from stores import alerts
from stores.alerts import WITHDRAWN, AlertRow
from streams.matching.agent import MatchingStage
from tests.support import identity as make
from tests.support.identity_world import World

_VERIFIED = (topics.ATTENDANCE_VERIFIED, topics.FLAG_VERIFIED)


class BothStages:
    """See the module. `told` is what matching said of alerts, in order; `taken` is how many records
    of identity it was handed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.told: list[AlertChanged] = []
        self.taken = 0
        self._matching = MatchingStage(
            world.pool, make.KEYS, world.settings, make.directory(), self._send, world.clock
        )

    async def _send(self, records: Sequence[Record]) -> list[bool]:
        self.told += [codec.decode_as(AlertChanged, one.value) for one in records]
        return [True] * len(records)

    async def take(self, *events: AttendanceReported | FlagSubmitted | PersonChanged) -> None:
        """One batch through identity, and what it said through matching."""
        await self.world.take(*events)
        await self.hand_over()

    async def trace(self) -> None:
        """PDS answers all that is asked; matching takes what follows."""
        await self.world.trace_all()
        await self.hand_over()

    async def hand_over(self, *, single: bool = False, backwards: bool = False) -> None:
        """Matching takes what identity said since; in a batch, or each record by itself."""
        fresh = [one for one in self.world.sent[self.taken :] if one.topic in _VERIFIED]
        self.taken = len(self.world.sent)
        if backwards:  # records of different keys come in no order
            fresh.reverse()
        taken = [Incoming(one.topic, 0, 0, one.key, one.value, one.headers) for one in fresh]
        for batch in [[one] for one in taken] if single else [taken]:
            await self._matching.process(batch)

    async def alerts(self, authority: str = make.AUTHORITY) -> list[AlertRow]:
        """All of the authority's alerts, restricted ones too."""
        async with transaction(self.world.pool) as connection:
            return await alerts.list_for_organisation(connection, authority, restricted=True)

    async def live(self, authority: str = make.AUTHORITY) -> list[AlertRow]:
        """Those that are not withdrawn."""
        return [one for one in await self.alerts(authority) if one.state != WITHDRAWN]
