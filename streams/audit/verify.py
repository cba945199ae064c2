"""Verifying the audit chain: the exported checkpoints, the stored ones, then every link.

The export is looked at first and the database after it, in one snapshot: what was exported by then
is in it. Whatever is appended, sealed or signed meanwhile is not looked at, so nothing that goes on
looks like tampering. Reviews, which no link holds, are compared with what the chain says of them.
Memory does not grow with the chain; it holds one head a chain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from halyard.audit_chain import Checkpoint, instant
from halyard.postgres import Connection, Pool
from halyard.settings_audit import AuditSettings
from stores import audit_seals, audit_walk
from stores.audit_walk import CheckpointRow
from streams.audit.checking import ChainCheck, CheckpointCheck, Finding, Findings
from streams.audit.export import Piece, pieces

_PAGE: Final = 500
_MOST: Final = 1_000  # strays and doubles that are looked at


@dataclass(frozen=True, slots=True)
class Window:
    """Entries that no exported checkpoint covers: what is done to them now is not found."""

    unsealed: int
    uncovered: int  # sealed, above the last exported checkpoint
    oldest_seconds: float | None
    within: bool  # the limits of the settings

    @property
    def entries(self) -> int:
        """How many."""
        return self.unsealed + self.uncovered


@dataclass(frozen=True, slots=True)
class Verified:
    """What was looked at, and what was found."""

    chains: int
    links: int
    dropped: int  # entries that retention has taken away, as it stated
    stated: int  # that it has stated and not yet taken away: whoever does it now is not found
    exported: int  # checkpoints read from the export
    stored: int  # checkpoints read from the database
    window: Window
    findings: tuple[Finding, ...]
    live: bool = True  # against the sealer's own export, which is never far behind

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, and the open window of the sealer's own export no larger than
        it may be.
        """
        return not self.findings and (self.window.within or not self.live)

    def document(self) -> dict[str, Any]:
        """As JSON."""
        return {"ok": self.ok, **asdict(self)}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to verify, and against what."""

    keys: Mapping[str, Ed25519PublicKey]
    checkpoints: Path | None  # directory of the export; None: nothing is outside
    chain: str | None = None
    live: bool = True  # False: the export is a copy, which may be of last night


async def verify(pool: Pool, wanted: Wanted, settings: AuditSettings, now: datetime) -> Verified:
    """Read everything once. Raises what the database raises, and `OSError` for the export."""
    findings = Findings()
    files = [] if wanted.checkpoints is None else pieces(wanted.checkpoints)
    exported = CheckpointCheck(findings, wanted.keys, wanted.chain)
    stored = CheckpointCheck(findings, wanted.keys, wanted.chain, restored=bool(files))
    async with audit_walk.snapshot(pool) as connection:
        from_files = await _exported(connection, files, exported)
        from_rows = await _stored(connection, stored, exported)
        check = ChainCheck(
            findings, kept={**stored.kept, **exported.kept}, covered=exported.covered
        )
        async for row in audit_walk.links(connection, chain=wanted.chain):
            check.feed(row)
        check.finish()
        for chain, entry_id in await audit_walk.strays(connection, chain=wanted.chain, limit=_MOST):
            findings.add("stray", chain, None, f"entry {entry_id}")
        for chain, first, last in await audit_walk.twice(
            connection, chain=wanted.chain, limit=_MOST
        ):
            findings.add("twice", chain, last, f"it stands at {first} already")
        await _reviews(connection, check, wanted.chain)
        pending = await audit_seals.pending(connection, chain=wanted.chain)
    window = _window(pending, check, settings, now)
    if wanted.checkpoints is not None:
        newest = wanted.live and wanted.chain is None
        _outside(findings, exported, check, window, settings, now, newest=newest)
    return Verified(
        chains=len(check.heads),
        links=check.links,
        dropped=sum(check.dropped.values()),
        stated=check.stated,
        exported=from_files,
        stored=from_rows,
        window=window,
        findings=tuple(findings.all()),
        live=wanted.live,
    )


def _outside(
    findings: Findings,
    exported: CheckpointCheck,
    check: ChainCheck,
    window: Window,
    settings: AuditSettings,
    now: datetime,
    *,
    newest: bool,
) -> None:
    """Whether there is a proof outside the database at all, and of late."""
    if exported.first_number is None:
        # what has just been sealed for the first time may not be exported yet
        if check.links and not window.within:
            findings.add("checkpoint-lost", "", None, "the export has none")
        return
    silent = timedelta(seconds=3 * settings.heartbeat_seconds)
    if newest and exported.newest is not None and now - exported.newest > silent:
        findings.add("silent", "", None, f"of {instant(exported.newest)}")


def _window(
    pending: audit_seals.Pending, check: ChainCheck, settings: AuditSettings, now: datetime
) -> Window:
    oldest = [at for at in (pending.oldest, check.oldest_uncovered) if at is not None]
    age = max((now - min(oldest)).total_seconds(), 0.0) if oldest else None
    entries = pending.entries + check.uncovered
    within = age is None or (
        age <= settings.window_seconds
        # a load above the limit's is signed at every pass
        and (entries <= settings.window_entries or age <= settings.window_seconds / 2)
    )
    return Window(pending.entries, check.uncovered, age, within)


async def _exported(connection: Connection, files: Sequence[Piece], check: CheckpointCheck) -> int:
    """The export's lines: each by itself, against the stored one, and against its link."""
    count = 0
    lines = ((piece.path.name, number, line) for piece in files for number, line in piece.lines())
    while page := list(islice(lines, _PAGE)):
        count += len(page)
        believed = [
            (found, line)
            for name, number, line in page
            if (found := check.feed(line, f"{name} line {number}")) is not None
        ]
        there = await audit_walk.stored_lines(connection, [one.number for one, _ in believed])
        for one, line in believed:
            if one.number not in there:
                check.findings.add(
                    "checkpoint-lost", one.chain, one.seq, f"number {one.number} in the database"
                )
            elif there[one.number] != line:
                check.findings.add(
                    "checkpoint-altered", one.chain, one.seq, f"number {one.number} in the database"
                )
        await _compare(connection, check, [one for one, _ in believed])
    return count


async def _stored(connection: Connection, check: CheckpointCheck, exported: CheckpointCheck) -> int:
    """The stored checkpoints: each by itself, against the export's numbers and its link."""
    count = after = 0
    while rows := await audit_walk.checkpoints(connection, after=after, limit=_PAGE):
        after = rows[-1].number
        count += len(rows)
        believed: list[Checkpoint] = []
        for row in rows:
            found = check.feed(row.line, f"number {row.number} in the database")
            if found is None:
                continue
            if (found.number, found.chain, found.kind, found.seq, found.at) != _beside(row):
                check.findings.add("checkpoint-altered", found.chain, found.seq, "its row")
            believed.append(found)
        await _compare(connection, check, believed)
    if exported.last_number > check.last_number:
        check.findings.add(
            "checkpoint-lost", "", None, f"numbers above {check.last_number} in the database"
        )
    return count


async def _reviews(connection: Connection, check: ChainCheck, chain: str | None) -> None:
    """The reviews' table, which the chain does not seal, against what the chain says of it."""
    for of, seq, lost in await audit_walk.outcomes_amiss(connection, chain=chain, limit=_MOST):
        check.findings.add(
            "review-lost" if lost else "review-altered",
            of,
            seq,
            "that this outcome closed" if lost else "this entry has its outcome",
        )
    for of, at in await audit_walk.outcomes_unrecorded(connection, chain=chain, limit=_MOST):
        kept = check.kept.get(of)
        if kept is None or at >= kept.before:
            check.findings.add("review-altered", of, None, "its outcome is no entry of the chain")
    for of, seq, rule in await audit_walk.reviews_missing(connection, chain=chain, limit=_MOST):
        check.findings.add("review-lost", of, seq, f"of this entry, by rule {rule}")


def _beside(row: CheckpointRow) -> tuple[int, str, str, int, datetime]:
    return row.number, row.chain, row.kind, row.seq, row.at


async def _compare(
    connection: Connection, check: CheckpointCheck, checkpoints: Sequence[Checkpoint]
) -> None:
    if checkpoints:
        places = [(one.chain, one.seq) for one in checkpoints]
        check.compare(checkpoints, await audit_walk.link_hashes(connection, places))


def export_of_chain(directory: Path, chain: str) -> Iterator[str]:
    """The exported lines of one chain, for the organisation that it is of."""
    for piece in pieces(directory):
        for _, line in piece.lines():
            if f'"chain":"{chain}"' in line:
                yield line
