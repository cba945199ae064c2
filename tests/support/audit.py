"""A real audit chain for tests: entries, a sealer with a clock of its own, an export."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from halyard.audit_keys import Signer
from halyard.postgres import Pool, make_pool, transaction
from halyard.settings import DatabaseSettings, Settings
from halyard.settings_audit import AuditSettings
from stores import audit, audit_seals
from stores.audit import AuditEntry
from streams.audit.export import Exporter
from streams.audit.sealer import Sealer
from streams.audit.verify import Verified, Wanted, verify
from tests.support.services import Database
from tests.support.waiting import aeventually

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
HOSPITAL, COUNCIL = "RX901", "E99000001"
KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER_KEY = Ed25519PrivateKey.from_private_bytes(b"o" * 32)
PUBLIC = {"test": KEY.public_key()}


def entry(number: int, chain: str = HOSPITAL, **members: Any) -> AuditEntry:
    """Entry `number` of a chain: a second later than the one before."""
    given: dict[str, Any] = {
        "entry_id": uuid.uuid5(uuid.NAMESPACE_OID, f"{chain} {number}"),
        "recorded_at": NOW + timedelta(seconds=number),
        "kind": "access",
        "chain": chain,
        "actor": f"user:{number % 3}",
        "organisation": chain,
        "decision": "permit",
        "rule": "r",
        "flow": "flag-lookup",
        "purpose": "direct-care",
        "person": f"{number % 5:032x}",
        "policy": "flag-lookup",
        "policy_version": 1,
        "fields": ("flags.plan_type",),
        "request_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"request {chain} {number}")),
    }
    return AuditEntry(**{**given, **members})


@dataclass(slots=True)
class Chain:
    """A database with a chain, its sealer and its export; `now` is everybody's time."""

    database: Database
    pool: Pool  # of a worker
    sealing: Pool  # of the sealer
    directory: Path
    settings: Settings
    now: datetime = NOW
    sealer: Sealer = field(init=False)

    def __post_init__(self) -> None:
        self.sealer = Sealer(
            self.sealing,
            Signer("test", KEY),
            Exporter(self.directory),
            self.settings,
            lambda: self.now,
        )

    async def append(self, *entries: AuditEntry) -> None:
        """Append entries in one transaction."""
        async with transaction(self.pool) as connection:
            await audit.append(connection, entries)

    async def seal_all(self) -> None:
        """Seal, sign and export everything; a transaction of somebody else may be waited for."""

        async def done() -> bool:
            await self.sealer.seal()
            async with transaction(self.pool) as connection:
                return (await audit_seals.pending(connection)).entries == 0

        await aeventually(done, 20, 0.02)
        await self.sealer.step(final=True)

    async def seal_some(self) -> None:
        """Seal what there is; a transaction of somebody else may be waited for."""
        await aeventually(self.sealer.seal, 20, 0.02)

    def files(self) -> list[Path]:
        """The export's files."""
        return sorted(self.directory.glob("*.jsonl"))

    async def verify(self, **wanted: Any) -> Verified:
        """What verifying says."""
        given = {"keys": PUBLIC, "checkpoints": self.directory, **wanted}
        return await verify(self.pool, Wanted(**given), self.settings.audit, self.now)

    async def kinds(self, **wanted: Any) -> set[tuple[str, str, int | None]]:
        """(kind, chain, place) of each finding."""
        found = await self.verify(**wanted)
        return {(one.kind, one.chain, one.seq) for one in found.findings}

    def as_owner(self, *statements: str, parameters: Sequence[Any] = ()) -> None:
        """Run statements as the database's owner, in one transaction."""
        with psycopg.connect(self.database.owner_url) as connection:
            connection.execute("set search_path = halyard")
            for statement in statements:
                connection.execute(statement, parameters or None)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Rows as the owner reads them."""
        with psycopg.connect(self.database.owner_url) as connection:
            connection.execute("set search_path = halyard")
            return connection.execute(query).fetchall()

    def lines(self) -> list[str]:
        """The export's lines."""
        return [line for path in self.files() for line in path.read_text().splitlines()]


@contextlib.asynccontextmanager
async def chain(database: Database, directory: Path, **audit_settings: Any) -> AsyncIterator[Chain]:
    """A chain in `database`, exported to `directory`."""
    given = {"database_url": database.sealer_url, "heartbeat_seconds": 1e9, **audit_settings}
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url}),
        audit=AuditSettings.model_validate(given),
    )
    async with (
        make_pool(settings, name="audit-test", size=4) as pool,
        make_pool(settings, name="sealer-test", size=4, schema="sealer") as sealing,
    ):
        yield Chain(database, pool, sealing, directory, settings)
