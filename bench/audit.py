"""``python -m bench.audit``: what the audit chain costs; appending, sealing, verifying.

Against the PostgreSQL of HALYARD_DATABASE__ADMIN_URL (a superuser's; one for tests: it sets the
passwords of the hub's roles), in a database of its own that is dropped at the end. Prints entries a
second, CPU of this process for 1,000 entries, and how much memory verifying took; the database's
own CPU is not in it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import secrets
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from psycopg import sql

from halyard.audit_keys import Signer
from halyard.cli.output import line, print_json
from halyard.clock import system_clock
from halyard.postgres import make_pool, migrate, transaction
from halyard.provisioning import provision, provision_sealer
from halyard.settings import DatabaseSettings, Settings
from halyard.settings_audit import AuditSettings
from stores import audit
from stores.audit import AuditEntry
from streams.audit.export import Exporter
from streams.audit.sealer import Sealer
from streams.audit.verify import Wanted, verify

CHAINS = 200
BATCH = 50  # entries of one transaction, as a batch of look-ups appends


class Measure:
    """Wall and CPU time of named parts."""

    def __init__(self, entries: int) -> None:
        self.entries = entries
        self.results: dict[str, dict[str, float]] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Measure what is done inside."""
        wall, cpu, memory = time.perf_counter(), time.process_time(), _memory()
        yield
        seconds = time.perf_counter() - wall
        self.results[name] = {
            "entries_per_second": round(self.entries / seconds),
            "cpu_ms_per_1000": round((time.process_time() - cpu) / self.entries * 1e6, 1),
            "memory_grown_mib": round(_memory() - memory, 1),
        }


def _memory() -> float:
    """The most memory that this process has had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def entries(count: int) -> Iterator[list[AuditEntry]]:
    """Look-ups of many people at many organisations, by transaction."""
    now = system_clock() - timedelta(seconds=count)
    batch: list[AuditEntry] = []
    for number in range(count):
        organisation = f"B{number % CHAINS:04}"
        batch.append(
            AuditEntry(
                entry_id=uuid.uuid4(),
                recorded_at=now + timedelta(seconds=number),
                kind="access",
                chain=organisation,
                actor=f"user:{number % 5_003}",
                organisation=organisation,
                decision="permit",
                rule="bench",
                flow="flag-lookup",
                role="clinician",
                purpose="urgent-care",
                legal_basis="bench",
                policy="flag-lookup",
                policy_version=1,
                person=f"{number % 10_007:032x}",
                request_id=str(uuid.uuid4()),
                fields=tuple(f"flags.field_{place}" for place in range(8)),
                payload_digest=secrets.token_hex(16),
            )
        )
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def measure(urls: tuple[str, str], place: Path, count: int) -> dict[str, dict[str, float]]:
    """Append, seal, sign and export, verify."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": urls[0]}),
        audit=AuditSettings.model_validate({"database_url": urls[1]}),
    )
    key = Ed25519PrivateKey.generate()
    found = Measure(count)
    async with (
        make_pool(settings, name="bench", size=2) as pool,
        make_pool(settings, name="bench-sealer", size=2, schema="sealer") as sealing,
    ):
        sealer = Sealer(sealing, Signer("bench", key), Exporter(place), settings, system_clock)
        batches = list(entries(count))
        with found.part("append"):
            for batch in batches:
                async with transaction(pool) as connection:
                    await audit.append(connection, batch)
        with found.part("seal, sign, export"):
            sealed = 0
            while sealed < count:
                sealed += (done := await sealer.seal())
                if not done:
                    await asyncio.sleep(0.02)  # somebody else's transaction is running
            await sealer.step(final=True)
        with found.part("verify"):
            wanted = Wanted({"bench": key.public_key()}, place)
            result = await verify(pool, wanted, settings.audit, system_clock())
        if not result.ok or result.links != count:
            raise SystemExit("bench.audit: the chain does not verify")
    return found.results


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m bench.audit", description=__doc__)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    admin = os.environ.get("HALYARD_DATABASE__ADMIN_URL")
    if admin is None:
        sys.exit("bench.audit: set HALYARD_DATABASE__ADMIN_URL to a superuser's address")
    name = f"bench_{secrets.token_hex(6)}"
    owner, url = provision(
        admin, database=name, owner_password="practice-owner", app_password="practice-app"
    )
    sealer = provision_sealer(admin, database=name, password="practice-sealer")
    try:
        migrate(owner)
        with tempfile.TemporaryDirectory() as place:
            results = asyncio.run(measure((url, sealer), Path(place), given.entries))
    finally:
        with psycopg.connect(admin, autocommit=True) as connection:
            connection.execute(
                sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(name))
            )
    if given.json:
        print_json(results)
        return
    for part, numbers in results.items():
        line(f"{part}: " + ", ".join(f"{key} {value:,}" for key, value in numbers.items()))


if __name__ == "__main__":
    main()
