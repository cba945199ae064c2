"""The sealer: gives entries their places and hashes, and signs and exports checkpoints.

Any number of sealers may run; an advisory lock lets one work at a time, and none keeps a state that
the next one lacks. Appending never waits for it: entries are sealed after their transaction.

A checkpoint is signed and stored first, and exported after the commit. What was stored and not yet
exported goes out at the next pass, so the export never states what the database does not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from halyard import metrics, telemetry
from halyard.audit_chain import (
    GENESIS,
    Checkpoint,
    CheckpointRejected,
    Place,
    link_hash,
    read_checkpoint,
)
from halyard.audit_keys import Signer
from halyard.clock import Clock
from halyard.errors import HalyardError, PermanentError
from halyard.postgres import Connection, Pool, transaction
from halyard.settings import Settings
from halyard.settings_audit import AuditSettings
from stores import audit_seals
from stores.audit import HUB
from stores.audit_seals import Head, Seal, Uncovered, Unsealed
from streams.audit.export import Exporter
from streams.audit.reviewing import open_reviews

EXPORT_PAGE = 1_000  # lines

log = telemetry.get_logger()


class NotOurs(PermanentError):
    """A stored checkpoint is not one of ours and was not exported; the others were. Run `halyard
    audit verify`: somebody has written to audit_checkpoints.
    """


def link(entries: Sequence[Unsealed], heads: dict[str, Head], sealed_at: datetime) -> list[Seal]:
    """The links of `entries`, in their order, each on its chain's head. Pure."""
    standing = dict(heads)
    seals = []
    for entry in entries:
        head = standing.get(entry.chain, Head(0, GENESIS))
        place = Place(entry.chain, head.seq + 1, sealed_at, entry.xid, head.hash)
        made = link_hash(place, entry.body)
        standing[entry.chain] = Head(place.seq, made)
        seals.append(Seal(entry, place, made))
    return seals


def is_due(waiting: Sequence[Uncovered], now: datetime, settings: AuditSettings) -> bool:
    """Whether checkpoints are to be signed now: at half of the open window, so that signing and
    exporting fit in the other half. Pure.
    """
    if sum(one.head.seq - one.covered for one in waiting) * 2 >= settings.window_entries:
        return True
    half = timedelta(seconds=settings.window_seconds / 2)
    return any(one.oldest is not None and now - one.oldest >= half for one in waiting)


@dataclass(slots=True)
class Sealer:
    """Seals, signs, exports; see the module."""

    pool: Pool
    signer: Signer
    exporter: Exporter
    settings: Settings
    clock: Clock
    keys: Mapping[str, Ed25519PublicKey] = field(default_factory=dict)  # that signed before
    failing: str | None = None  # why the last pass did not end well

    def not_ready(self) -> str | None:
        """Why checkpoints do not go out now, if they do not."""
        return self.failing

    async def run(self, stopping: asyncio.Event) -> None:
        """Pass after pass until `stopping`, and one last one. A failure is logged once and tried
        again: entries wait, and nothing else does.
        """
        while not stopping.is_set():
            more = False
            try:
                more = await self.step()
                self._well()
            except (HalyardError, psycopg.Error, OSError) as error:
                self._badly(telemetry.describe(error))
            if more:
                continue
            try:
                async with asyncio.timeout(self.settings.audit.seal_seconds):
                    await stopping.wait()
            except TimeoutError:
                pass  # the next pass is due
        try:
            await self.step(final=True)
        except (HalyardError, psycopg.Error, OSError) as error:
            self._badly(telemetry.describe(error))

    async def step(self, *, final: bool = False) -> bool:
        """One pass: seal a batch, sign what is due, export. True if there is more to seal at once.

        With `final`, everything sealed is signed.
        """
        sealed = await self.seal()
        full = sealed >= self.settings.audit.seal_batch
        await self.checkpoint(force=final)
        await self.export()
        if not full:
            await self._gauges()
        return full

    async def seal(self) -> int:
        """Seal at most a batch; gives how many entries (0 also if another sealer is at work)."""
        now = self.clock()
        async with transaction(self.pool) as connection:
            if not await audit_seals.try_lock(connection):
                return 0
            entries = await audit_seals.unsealed(connection, limit=self.settings.audit.seal_batch)
            if not entries:
                return 0
            heads = await audit_seals.heads(connection, (one.chain for one in entries))
            await audit_seals.add(connection, link(entries, heads, now), sealed_at=now)
            await audit_seals.reached(connection, entries, limit=self.settings.audit.seal_batch)
            await open_reviews(connection, entries, self.settings.audit, now=now)
        metrics.count("halyard_audit_sealed_total", len(entries))
        return len(entries)

    async def checkpoint(self, *, force: bool = False) -> int:
        """Sign the heads of all chains that have grown, if it is time; gives how many."""
        now = self.clock()
        async with transaction(self.pool) as connection:
            if not await audit_seals.try_lock(connection):
                return 0
            waiting = await audit_seals.uncovered(connection)
            if not waiting:
                waiting = await self._heartbeat(connection, now)
            elif not (force or is_due(waiting, now, self.settings.audit)):
                return 0
            signed = await self._sign_heads(connection, waiting, now)
        metrics.count("halyard_audit_checkpoints_total", signed)
        return signed

    async def _heartbeat(self, connection: Connection, now: datetime) -> list[Uncovered]:
        """The hub's own chain, if nothing was signed for a while: that a sealer was at work shows.
        Nothing before the first entry ever.
        """
        last = await audit_seals.last_signed(connection)
        beat = timedelta(seconds=self.settings.audit.heartbeat_seconds)
        if last is None or now - last < beat:
            return []
        every = await audit_seals.uncovered(connection, every=True)
        none = Uncovered(HUB, Head(0, GENESIS), 0, await audit_seals.last_of(connection, HUB), None)
        return [next((one for one in every if one.chain == HUB), none)]

    async def _sign_heads(
        self, connection: Connection, chains: Sequence[Uncovered], now: datetime
    ) -> int:
        # above the export's too: a database that was restored begins no number twice
        number = max(
            await audit_seals.last_number(connection),
            await asyncio.to_thread(self.exporter.last_number),
        )
        if not chains:
            return 0
        made = [
            head_checkpoint(one, number + place, now, self.signer)
            for place, one in enumerate(chains, start=1)
        ]
        await audit_seals.add_checkpoints(connection, made)
        return len(made)

    async def export(self) -> int:
        """Write out what is stored and not exported; gives how many lines. Raises `NotOurs` after
        the rest if one of them is not a checkpoint that a key of ours has signed.
        """
        written, foreign, after = 0, False, 0
        while True:
            async with transaction(self.pool) as connection:
                if not await audit_seals.try_lock(connection):
                    return written
                # how far it has come stands in the files alone: another sealer may have gone on
                exported = await asyncio.to_thread(self.exporter.last_number)
                page = await audit_seals.checkpoint_lines(
                    connection, after=max(exported, after), limit=EXPORT_PAGE
                )
                ours = [line for number, line in page if self._is_ours(number, line)]
                if ours:
                    await asyncio.to_thread(self.exporter.append, ours)
            written += len(ours)
            foreign = foreign or len(ours) < len(page)
            if len(page) < EXPORT_PAGE:
                break
            after = page[-1][0]
        if foreign:
            raise NotOurs
        return written

    def _is_ours(self, number: int, line: str) -> bool:
        try:
            found = read_checkpoint(line)
        except CheckpointRejected:
            return False
        signer = self.signer
        key = signer.key.public_key() if found.key == signer.key_id else self.keys.get(found.key)
        return key is not None and found.number == number and found.is_signed_by(key)

    async def _gauges(self) -> None:
        now = self.clock()
        async with transaction(self.pool) as connection:
            unsealed = await audit_seals.pending(connection)
            uncovered = await audit_seals.uncovered(connection)
        waiting = [unsealed.oldest, *(one.oldest for one in uncovered)]
        oldest = [at for at in waiting if at is not None]
        metrics.gauge(
            "halyard_audit_window_entries",
            unsealed.entries + sum(one.head.seq - one.covered for one in uncovered),
        )
        age = (now - min(oldest)).total_seconds() if oldest else 0.0
        metrics.gauge("halyard_audit_window_seconds", max(age, 0.0))

    def _well(self) -> None:
        if self.failing is not None:
            log.info("audit_sealing_again")
        self.failing = None

    def _badly(self, reason: str) -> None:
        if self.failing is None:
            log.warning("audit_sealing_failed", error=reason)
        self.failing = reason


def head_checkpoint(chain: Uncovered, number: int, now: datetime, signer: Signer) -> Checkpoint:
    """The signed checkpoint of a chain's head. Pure."""
    return Checkpoint(
        number=number,
        kind="head",
        chain=chain.chain,
        seq=chain.head.seq,
        hash=chain.head.hash,
        count=chain.head.seq,
        at=now,
        key=signer.key_id,
        previous=chain.previous,
    ).signed(signer.key)
