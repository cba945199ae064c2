"""Old entries may go, if it is stated first: a signed checkpoint for each chain says what is to go.

Seals stay, so a chain's hashes can be followed from its first link; entries that a retention
checkpoint names may be missing, and no others. Dropping them is the database owner's work
(`halyard retention apply`), after `state` has committed and the sealer has exported.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from datetime import datetime

from halyard.audit_chain import Checkpoint, instant
from halyard.audit_keys import Signer
from halyard.errors import PermanentError
from halyard.postgres import Pool, transaction
from stores import audit, audit_seals
from stores.audit import HUB, AuditEntry
from stores.audit_seals import Droppable
from streams.audit.sealer import Sealer

_EXPORT_SECONDS = 60.0
_LOOK_SECONDS = 0.2


class NotSealed(PermanentError):
    """Entries that are to go are not sealed yet: see that `halyard sealer` runs, then try again."""


class NotExported(PermanentError):
    """The checkpoints that state what goes are not exported, so nothing was dropped: see that
    `halyard sealer` runs and can write HALYARD_AUDIT__CHECKPOINT_DIR, then try again.
    """


async def export(sealer: Sealer, *, seconds: float = _EXPORT_SECONDS) -> None:
    """Return when all that is signed by now is exported, by `sealer` or by another that runs.

    Raises `NotExported`, and `OSError` if the export cannot be written or read here.
    """
    async with transaction(sealer.pool) as connection:
        wanted = await audit_seals.last_number(connection)
    give_up_at = time.monotonic() + seconds
    while True:
        await sealer.export()
        if await asyncio.to_thread(sealer.exporter.last_number) >= wanted:
            return
        if time.monotonic() >= give_up_at:
            raise NotExported
        await asyncio.sleep(_LOOK_SECONDS)


async def state(
    pool: Pool,
    signer: Signer,
    *,
    before: datetime,
    now: datetime,
    actor: str,
    entry_id: uuid.UUID,
    above: int = 0,
) -> list[Droppable]:
    """State that entries recorded before `before` are to go; gives what each chain loses.

    Writes a retention checkpoint for each such chain and an audit entry. `above` is the number of
    the last exported checkpoint, where the database may have been restored (as the sealer does).
    Raises `NotSealed` if one of them has no place yet.
    """
    async with transaction(pool) as connection:
        await audit_seals.lock(connection)
        if await audit_seals.unsealed_before(connection, before=before):
            raise NotSealed
        going = await audit_seals.droppable(connection, before=before)
        chains = {one.chain: one for one in await audit_seals.uncovered(connection, every=True)}
        number = max(await audit_seals.last_number(connection), above)
        made = [
            Checkpoint(
                number=number + place,
                kind="retention",
                chain=one.chain,
                seq=chains[one.chain].head.seq,
                hash=chains[one.chain].head.hash,
                count=chains[one.chain].head.seq,
                at=now,
                key=signer.key_id,
                previous=chains[one.chain].previous,
                first_kept=one.first_kept,
                before=before,
                dropped=one.dropped,
            ).signed(signer.key)
            for place, one in enumerate(going, start=1)
        ]
        await audit_seals.add_checkpoints(connection, made)
        await audit.append(
            connection,
            [
                AuditEntry(
                    entry_id=entry_id,
                    recorded_at=now,
                    kind="administration",
                    chain=HUB,
                    actor=actor,
                    organisation=HUB,
                    decision="permit",
                    rule="retention.audit",
                    purpose="administration",
                    detail=(
                        ("before", instant(before)),
                        ("chains", str(len(going))),
                        ("entries", str(sum(one.dropped for one in going))),
                    ),
                )
            ],
        )
    return going
