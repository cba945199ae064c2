"""What PDS's word of somebody known came to, and what matching is still to be told of it."""

from __future__ import annotations

from dataclasses import dataclass, field

from halyard.postgres import Connection
from schemas.events import Identity
from stores.claims import ClaimState
from streams.identity.ledger import Ledger
from streams.identity.rechecks import Moved
from streams.matching import rekeying
from streams.matching.rekeying import Holding


@dataclass(frozen=True, slots=True)
class Followed:
    """The rule; of a superseded number what matching `holding` has of it, whose it is now, and what
    was said of that. It is carried when it is decided what the same answer says of those who wait.
    """

    rule: str
    holding: Holding | None = field(default=None, repr=False)
    identity: Identity | None = field(default=None, repr=False)
    moved: Moved | None = None

    async def carry(self, connection: Connection, ledger: Ledger, person: str) -> None:
        """What matching holds of `person` is the successor's.

        It goes in the revisions from before the answer was used for it: what that proves comes by
        the bus. What could not go on unproven goes as it is now: taken back only if the answer did
        not prove it, so that no alert is told of as withdrawn and raised again.
        """
        holding, identity, moved = self.holding, self.identity, self.moved
        if holding is None or identity is None or moved is None:
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
