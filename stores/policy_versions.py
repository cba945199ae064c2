"""The digest of each version of a sharing policy that was ever in use."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "policy_versions.sql")

Version = tuple[str, int]
"""A policy's id, and the number of its version."""


async def known(connection: Connection) -> dict[Version, bytes]:
    """The digests by version."""
    cursor = await connection.execute(_SQL["known"])
    return {(row["policy"], row["version"]): row["digest"] for row in await cursor.fetchall()}


async def add(connection: Connection, digests: Mapping[Version, bytes], at: datetime) -> None:
    """Write down those of versions that are not known yet; what is known stays."""
    values = [
        {"policy": policy, "version": version, "digest": digest, "at": at}
        for (policy, version), digest in digests.items()
    ]
    async with connection.cursor() as cursor:
        await cursor.executemany(_SQL["add"], values)
