"""What is wrong with a chain or with checkpoints: decided row by row, with nothing kept but heads.

Pure. `streams.audit.verify` brings the rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from halyard.audit_chain import (
    GENESIS,
    Checkpoint,
    CheckpointRejected,
    digest,
    instant,
    link_hash,
    read_checkpoint,
)
from stores.audit_seals import Head
from stores.audit_walk import LinkRow

KINDS: Final[Mapping[str, str]] = {
    "altered": "the entry, or its link, is not what was sealed",
    "backdated": "the entry says that it was recorded long before, or after, it was sealed",
    "broken-link": "the link does not go on from the one before it",
    "checkpoint-altered": "the checkpoint is not as it was written",
    "checkpoint-key": "the checkpoint was signed by a key that is not known",
    "checkpoint-lost": "the checkpoint is not where it must be",
    "checkpoint-order": "the checkpoint does not go on from the one before it",
    "checkpoint-signature": "the checkpoint's signature is not of its key",
    "cut": "the chain ends before the place that the checkpoint states",
    "forked": "two links stand at one place",
    "gap": "places are missing",
    "missing": "the entry is not there",
    "rebuilt": "another link stands at the place that the checkpoint states",
    "review-altered": "the review is not as its reviewer closed it",
    "review-lost": "the review is not there",
    "silent": "the last checkpoint is older than a sealer at work would leave it",
    "stray": "the entry was put where sealing had gone past",
    "twice": "the entry has more than one place",
}
"""What verifying finds, and what it means."""

BACKDATED: Final = timedelta(hours=1)
"""Transactions end within minutes, and clocks of the hub's hosts agree better."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `more` others of its kind in the chain follow it."""

    kind: str
    chain: str
    seq: int | None
    what: str
    more: int = 0


@dataclass(slots=True)
class Findings:
    """The first finding of each kind and chain, and how many more there were."""

    _first: dict[tuple[str, str], Finding] = field(default_factory=dict)
    _count: dict[tuple[str, str], int] = field(default_factory=dict)

    def add(self, kind: str, chain: str, seq: int | None, detail: str = "") -> None:
        """Something is wrong; `kind` is one of `KINDS`."""
        key = (kind, chain)
        what = KINDS[kind] + (f": {detail}" if detail else "")
        self._first.setdefault(key, Finding(kind, chain, seq, what))
        self._count[key] = self._count.get(key, 0) + 1

    def all(self) -> list[Finding]:
        """By chain and place."""
        found = [
            Finding(one.kind, one.chain, one.seq, one.what, self._count[key] - 1)
            for key, one in self._first.items()
        ]
        return sorted(found, key=lambda one: (one.chain, one.seq or 0, one.kind))


@dataclass(frozen=True, slots=True)
class Kept:
    """What retention has stated of a chain (a signed checkpoint)."""

    first_kept: int
    before: datetime
    dropped: int


@dataclass(slots=True)
class ChainCheck:
    """Feed it every link by chain and place, then ask `finish`."""

    findings: Findings
    kept: Mapping[str, Kept] = field(default_factory=dict)
    covered: Mapping[str, int] = field(default_factory=dict)  # seq under an exported checkpoint
    heads: dict[str, Head] = field(default_factory=dict)
    links: int = 0
    stated: int = 0  # entries that retention has stated and that are still there
    # of each chain: when its last links were sealed, and those before
    _sealed: dict[str, tuple[datetime, datetime | None]] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    uncovered: int = 0
    oldest_uncovered: datetime | None = None

    def feed(self, row: LinkRow) -> None:
        """One link."""
        place = row.place
        last = self.heads.get(place.chain, Head(0, GENESIS))
        self.links += 1
        if place.seq <= last.seq:
            self.findings.add("forked", place.chain, place.seq)
            return
        if place.seq > last.seq + 1:
            self.findings.add("gap", place.chain, last.seq + 1, f"up to {place.seq - 1}")
        elif place.prev_hash != last.hash:
            self.findings.add("broken-link", place.chain, place.seq)
        self._entry(row)
        self._dated(row)
        self.heads[place.chain] = Head(place.seq, row.hash)
        if place.seq > self.covered.get(place.chain, 0):
            self.uncovered += 1
            self.oldest_uncovered = min(self.oldest_uncovered or row.recorded_at, row.recorded_at)

    def _dated(self, row: LinkRow) -> None:
        """An entry is sealed soon after it was recorded, so what its chain had sealed a good while
        before is older than it.
        """
        chain, at = row.place.chain, row.place.sealed_at
        last, before = self._sealed.get(chain, (at, None))
        if at != last:
            last, before = at, last
        self._sealed[chain] = last, before
        early = before is not None and row.recorded_at < before - BACKDATED
        if early or row.recorded_at > at + BACKDATED:
            self.findings.add("backdated", chain, row.place.seq)

    def _entry(self, row: LinkRow) -> None:
        place, entry = row.place, row.entry
        if entry is None:
            kept = self.kept.get(place.chain)
            if kept is None or place.seq >= kept.first_kept or row.recorded_at >= kept.before:
                self.findings.add("missing", place.chain, place.seq)
            else:
                self.dropped[place.chain] = self.dropped.get(place.chain, 0) + 1
            return
        stated = self.kept.get(place.chain)
        if stated and place.seq < stated.first_kept and row.recorded_at < stated.before:
            self.stated += 1
        body = entry.body
        beside = {
            "entry_id": str(row.entry_id),
            "recorded_at": instant(row.recorded_at),
            "chain": place.chain,
            "actor": entry.actor,
            "person": entry.person,
        }
        if (
            any(body.get(name) != value for name, value in beside.items())
            or entry.chain != place.chain
            or entry.xid != place.xid
            or link_hash(place, body) != row.hash
        ):
            self.findings.add("altered", place.chain, place.seq)

    def finish(self) -> None:
        """After the last link: no more may have gone than retention stated."""
        for chain, count in self.dropped.items():
            if count > self.kept[chain].dropped:
                self.findings.add(
                    "missing", chain, None, f"{count - self.kept[chain].dropped} beyond retention"
                )


@dataclass(slots=True)
class CheckpointCheck:
    """Feed it every checkpoint line of one source in order: the export, or the database."""

    findings: Findings
    keys: Mapping[str, Ed25519PublicKey]
    only: str | None = None  # chain; None: all
    restored: bool = False  # numbers may skip: the other source has those between
    first_number: int | None = None
    last_number: int = 0
    newest: datetime | None = None  # of those that can be believed
    kept: dict[str, Kept] = field(default_factory=dict)
    covered: dict[str, int] = field(default_factory=dict)
    _last: dict[str, tuple[int, str]] = field(default_factory=dict)  # chain: (seq, digest)

    def feed(self, line: str, place: str) -> Checkpoint | None:
        """One line; `place` says where it stands. Gives the checkpoint if it can be believed."""
        try:
            found = read_checkpoint(line)
        except CheckpointRejected:
            self.findings.add("checkpoint-altered", "", None, place)
            return None
        chain = found.chain
        begins = self.first_number is None
        if begins:
            self.first_number = found.number
        elif found.number != self.last_number + 1 and not (
            self.restored and found.number > self.last_number
        ):
            self.findings.add("checkpoint-order", chain, found.seq, f"number, {place}")
        self.last_number = found.number
        if self.only is not None and chain != self.only:
            return None
        before = self._last.get(chain)
        known = before is not None or self.first_number == 1
        expected = None if before is None else before[1]
        if known and found.previous != expected:
            self.findings.add("checkpoint-order", chain, found.seq, f"previous, {place}")
        if before is not None and found.seq < before[0]:
            self.findings.add("checkpoint-order", chain, found.seq, f"seq, {place}")
        self._last[chain] = (found.seq, digest(line))
        key = self.keys.get(found.key)
        if key is None:
            self.findings.add("checkpoint-key", chain, found.seq, place)
            return None
        if not found.is_signed_by(key):
            self.findings.add("checkpoint-signature", chain, found.seq, place)
            return None
        self._believe(found)
        return found

    def _believe(self, found: Checkpoint) -> None:
        self.newest = max(self.newest or found.at, found.at)
        self.covered[found.chain] = max(self.covered.get(found.chain, 0), found.seq)
        if found.kind == "retention" and found.first_kept and found.before:
            kept = Kept(found.first_kept, found.before, found.dropped or 0)
            old = self.kept.get(found.chain)
            if old is None or kept.before > old.before:
                self.kept[found.chain] = kept

    def compare(
        self, checkpoints: Iterable[Checkpoint], hashes: Mapping[tuple[str, int], bytes]
    ) -> None:
        """What checkpoints state, against the links that stand there."""
        for one in checkpoints:
            standing = hashes.get((one.chain, one.seq)) if one.seq else GENESIS
            if standing is None:
                self.findings.add("cut", one.chain, one.seq, f"checkpoint {one.number}")
            elif standing != one.hash or one.count != one.seq:
                self.findings.add("rebuilt", one.chain, one.seq, f"checkpoint {one.number}")
