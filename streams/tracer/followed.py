"""What PDS's word of somebody known came to, and what matching is still to be told of it."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from halyard.postgres import Connection
from schemas.events import Identity, IdentityStatus
from stores.claims import ClaimState
from streams.identity.ledger import Ledger
from streams.identity.rechecks import Moved
from streams.matching import rekeying
from streams.matching.rekeying import Holding, Proven


@dataclass(frozen=True, slots=True)
class Followed:
    """The rule; what matching `holding` has of a superseded number, or of who is restricted from
    now on; whose it is now, and what was said of a superseded one. It is carried when it is decided
    what the same answer says of those who wait. `beside`: what came of a known successor.
    """

    rule: str
    holding: Holding | None = field(default=None, repr=False)
    identity: Identity | None = field(default=None, repr=False)
    moved: Moved | None = None
    beside: Followed | None = None

    async def carry(self, connection: Connection, ledger: Ledger, person: str) -> None:
        """What matching holds of `person` is the successor's, or verified of whom it was.

        It goes in the revisions from before the answer was used for it: what that proves comes by
        the bus. What could not go on unproven goes as it is now: taken back only if the answer did
        not prove it, so that no alert is told of as withdrawn and raised again.
        """
        if self.beside is not None and self.beside.identity is not None:
            await self.beside.carry(connection, ledger, self.beside.identity.person)
        holding, identity, moved = self.holding, self.identity, self.moved
        if holding is None or identity is None:
            return
        if moved is None:
            await self._confirm(connection, ledger, holding, identity)
            return
        unproven = {one: ledger.claim(one) for one in moved.taken_back}
        proven = {
            one: claim.revision
            for one, claim in unproven.items()
            if claim.state is ClaimState.VERIFIED and claim.person == identity.person
        }
        await rekeying.move(
            connection,
            holding,
            person,
            identity,
            {**moved.revisions, **proven},
            ledger.now,
            taken_back=moved.taken_back - proven.keys(),
            proven=proven,
        )

    async def _confirm(
        self, connection: Connection, ledger: Ledger, holding: Holding, identity: Identity
    ) -> None:
        """What the answer proves of somebody whom it restricts: an alert that stands provisionally
        would else be withdrawn by the plan's record, if matching takes that before the visit's.
        """
        proven: dict[uuid.UUID, Proven] = {}
        for one in holding.visit_events:
            claim = ledger.find(one.reported_event_id)
            if (
                claim is not None
                and claim.event is not None
                and claim.state is ClaimState.VERIFIED
                and claim.person == identity.person
                and one.event.identity.status is not IdentityStatus.VERIFIED
            ):
                # a merge that is on its way to matching has a lower revision by now
                patient = ledger.aliases.patient_of(ledger.event(claim))
                proven[one.reported_event_id] = Proven(claim.revision, patient)
        await rekeying.confirm(connection, holding, identity, proven, ledger.now)
