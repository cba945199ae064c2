"""The audit chain's arithmetic: canonical bytes, links, signed checkpoints. Pure.

A *link* gives an entry its place: ``hash`` is SHA-256 over canonical JSON of the entry, its chain
and place, when it was sealed and the hash before it. A *checkpoint* is one line of text: canonical
JSON with an Ed25519 signature (RFC 8032) over the rest. docs/reference/audit.md writes both down so
that another organisation can check them without this code.

Canonical JSON is RFC 8785 for what stands here: objects with ASCII names, texts, whole numbers
below 2^53, lists.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import orjson
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from halyard.errors import RejectedError

SHAPE: Final = 1
"""Version of what a link's hash is over."""
GENESIS: Final = bytes(32)
"""What the first link of every chain has as the hash before it."""
FORMAT: Final = "halyard-checkpoint-1"
_SIGNED: Final = b"halyard audit checkpoint 1\n"
"""What a signature is over begins with this, so that it can be of nothing else."""

CheckpointKind = Literal["head", "retention"]


class CheckpointRejected(RejectedError):
    """A line is not a checkpoint as this hub writes them; compare it with a copy kept elsewhere."""


def canonical(document: Mapping[str, Any]) -> bytes:
    """`document` as the only bytes that stand for it."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


def instant(at: datetime) -> str:
    """A time as links and checkpoints write it: UTC, microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


@dataclass(frozen=True, slots=True)
class Place:
    """Where an entry stands: all that a link's hash is over, but the entry itself."""

    chain: str
    seq: int  # from 1, without a gap
    sealed_at: datetime
    xid: int  # of the transaction that appended the entry: what orders the sealing
    prev_hash: bytes


def link_hash(place: Place, body: Mapping[str, Any]) -> bytes:
    """SHA-256 of an entry at its place (32 bytes)."""
    return hashlib.sha256(
        canonical(
            {
                "shape": SHAPE,
                "chain": place.chain,
                "seq": place.seq,
                "sealed_at": instant(place.sealed_at),
                "xid": str(place.xid),
                "prev_hash": place.prev_hash.hex(),
                "entry": body,
            }
        )
    ).digest()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the hub states of a chain at one moment; `number` counts over all chains.

    ``retention`` states which old entries were to be dropped: those recorded before `before` that
    stand below `first_kept`, `dropped` of them.
    """

    number: int
    kind: CheckpointKind
    chain: str
    seq: int
    hash: bytes  # of the link at `seq`
    count: int  # entries up to there: `seq`, since there is no gap
    at: datetime
    key: str  # id of the key that signed
    previous: str | None  # SHA-256 (hexadecimal) of the chain's checkpoint before
    first_kept: int | None = None
    before: datetime | None = None
    dropped: int | None = None
    signature: bytes = b""

    def statement(self) -> dict[str, Any]:
        """Its members as JSON, without the signature."""
        members = {
            "format": FORMAT,
            "number": self.number,
            "kind": self.kind,
            "chain": self.chain,
            "seq": self.seq,
            "hash": self.hash.hex(),
            "count": self.count,
            "at": instant(self.at),
            "key": self.key,
            "previous": self.previous,
        }
        if self.kind == "retention" and self.before is not None:
            members |= {
                "first_kept": self.first_kept,
                "before": instant(self.before),
                "dropped": self.dropped,
            }
        return members

    def line(self) -> str:
        """The checkpoint as it is kept and exported: canonical JSON, without the line end."""
        return canonical({**self.statement(), "signature": self.signature.hex()}).decode()

    def signed(self, key: Ed25519PrivateKey) -> Checkpoint:
        """The same with its signature."""
        return replace(self, signature=key.sign(_SIGNED + canonical(self.statement())))

    def is_signed_by(self, key: Ed25519PublicKey) -> bool:
        """Whether the signature is this key's, over exactly these members."""
        try:
            key.verify(self.signature, _SIGNED + canonical(self.statement()))
        except InvalidSignature:
            return False
        return True


def digest(line: str) -> str:
    """What the chain's next checkpoint names as `previous`."""
    return hashlib.sha256(line.encode()).hexdigest()


def read_checkpoint(line: str) -> Checkpoint:
    """The checkpoint of one line. Raises `CheckpointRejected` unless `line` is canonical.

    The signature is not looked at here.
    """
    try:
        given = orjson.loads(line)
        kind = given["kind"]
        retention = kind == "retention"
        found = Checkpoint(
            number=int(given["number"]),
            kind=kind,
            chain=str(given["chain"]),
            seq=int(given["seq"]),
            hash=bytes.fromhex(given["hash"]),
            count=int(given["count"]),
            at=datetime.fromisoformat(given["at"]),
            key=str(given["key"]),
            previous=given["previous"],
            first_kept=int(given["first_kept"]) if retention else None,
            before=datetime.fromisoformat(given["before"]) if retention else None,
            dropped=int(given["dropped"]) if retention else None,
            signature=bytes.fromhex(given["signature"]),
        )
        whole = found.line() == line
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise CheckpointRejected from None
    if not whole or kind not in {"head", "retention"}:
        raise CheckpointRejected
    return found
