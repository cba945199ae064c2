"""How far "no flag held" may be believed: who has sent files, and when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from halyard.postgres import Connection, load_queries

_SQL = load_queries("stores", "coverage.sql")


@dataclass(frozen=True, slots=True)
class Coverage:
    """What an authority has sent: its last file, and its records that match nobody yet."""

    authority: str  # GSS code
    last_file_at: datetime
    unmatched_records: int


async def coverage(connection: Connection) -> dict[str, Coverage]:
    """Authorities that have ever sent a file, by GSS code."""
    cursor = await connection.execute(_SQL["coverage"])
    return {row["authority"]: Coverage(**row) for row in await cursor.fetchall()}
