"""What the MLLP transport and what is behind it say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from connectors.hl7v2.framing import BrokenKind


@dataclass(frozen=True, slots=True)
class Peer:
    """Who is at the other end of a connection; `connection` counts from 1 in each server.

    `certificate` is the SHA-256 (hex) of the client certificate that TLS has verified, if any.
    """

    host: str
    port: int
    connection: int
    certificate: str | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a frame: one frame usually, two in enhanced mode, none where none is wanted.

    `taken` and `refused` count the messages of the frame: who sends refused ones alone is read
    more slowly.
    """

    frames: tuple[bytes, ...] = field(repr=False)
    taken: int = 1
    refused: int = 0


class Handler(Protocol):
    """What the server calls; both give the answer (bytes: a `Reply` of one frame, accepted), or
    None: no answer, and close.
    """

    async def on_frame(self, frame: bytes, peer: Peer) -> Reply | bytes | None:
        """A complete frame."""

    async def on_broken(
        self, kind: BrokenKind, head: bytes, length: int, peer: Peer
    ) -> Reply | bytes | None:
        """What could not be framed; the connection closes afterwards, answered or not.

        Noise before a good frame is the exception: an answer to it is ignored and the frame is
        taken as usual.
        """
