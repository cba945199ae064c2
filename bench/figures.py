"""What the system's own records say of a phase: what is left, each stage's pace, each hop."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from bench.quantiles import Latency, latency
from halyard.postgres import Pool, load_queries, one, transaction

_SQL = load_queries("bench", "figures.sql")

HOPS = (
    "sent → received",
    "→ decided (identity)",
    "→ raised (matching)",
    "→ row written",
    "→ webhook received",
)


@dataclass(frozen=True, slots=True)
class Left:
    """Work under way and done since a moment."""

    deliveries: int
    outbox: int
    decided: int
    alerted: int
    journal: int


@dataclass(frozen=True, slots=True)
class Pace:
    """A stage's own messages in a phase; `seconds` from its first batch to its last."""

    messages: int
    seconds: float

    @property
    def per_second(self) -> float | None:
        """Messages a second; None for a single batch."""
        return self.messages / self.seconds if self.seconds else None


@dataclass(frozen=True, slots=True)
class Told:
    """An alert's first webhook as the receiver journalled it."""

    alert_id: str
    number: str
    at: float


async def left(pool: Pool, since: datetime) -> Left:
    """What is under way now."""
    async with transaction(pool) as connection:
        row = await (await connection.execute(_SQL["left"], {"since": since})).fetchone()
    return Left(**one(row))


async def flags(pool: Pool) -> int:
    """How many flags matching holds."""
    async with transaction(pool) as connection:
        row = await (await connection.execute(_SQL["flags"])).fetchone()
    return int(one(row)["amount"])


async def stages(pool: Pool, since: datetime) -> dict[str, Pace]:
    """Pace of each stage since a moment."""
    async with transaction(pool) as connection:
        rows = await (await connection.execute(_SQL["stages"], {"since": since})).fetchall()
    return {row["stage"]: Pace(row["messages"], row["seconds"] or 0.0) for row in rows}


def told(journal: Path, since: float) -> dict[str, Told]:
    """First webhook of each alert since a moment (seconds since 1970), by the child's number."""
    first: dict[str, Told] = {}
    for line in journal.read_text().splitlines():
        entry = json.loads(line)
        at = datetime.fromisoformat(entry["received_at"]).timestamp()
        if entry["kind"] == "alert" and at >= since:
            number = entry["body"]["person"]["nhs_number"]
            first.setdefault(number, Told(entry["alert_id"], number, at))
    return first


async def hops(
    pool: Pool, since: datetime, alerts: Sequence[tuple[Told, float]]
) -> Mapping[str, Latency | None]:
    """Quantiles of each hop's own time; `alerts` with the moment each arrival was due."""
    async with transaction(pool) as connection:
        rows = await (await connection.execute(_SQL["hops"], {"since": since})).fetchall()
    times = {str(row["alert_id"]): row for row in rows}
    taken: dict[str, list[float]] = {name: [] for name in HOPS}
    for alert, due in alerts:
        row = times.get(alert.alert_id)
        if row is None:
            continue
        moments = [
            due,
            *(row[name].timestamp() for name in ("received", "decided", "raised", "handed_over")),
            alert.at,
        ]
        for name, before, after in zip(HOPS, moments[:-1], moments[1:], strict=True):
            taken[name].append(after - before)
    return {name: latency(seconds) for name, seconds in taken.items()}
