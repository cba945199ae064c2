"""Takes frames in: map, encode, produce, and only then acknowledge.

Order is the guarantee: an accepting answer (AA, CA) leaves when every in-sync replica has every
event of the message; a NACK leaves when the refused bytes are in ``message.rejected``. If the
broker does not confirm in time there is no answer at all and the connection closes, so that the
sender keeps the message and sends it again (an AE would make many engines skip it); a feed may ask
for AR instead. Nothing here needs the database.

A frame with several messages (`connectors.hl7v2.batch`) is taken message by message and answered
as a whole: a bad one does not harm the others, and if one cannot be stored the frame has no answer
and is sent again, which is harmless for those that were.
"""

from __future__ import annotations

import asyncio
import time
from functools import lru_cache
from typing import Final

from connectors.deaths import indicated
from connectors.hl7v2.ack import PROBLEMS, AckCode, Problem, acknowledgements, answers
from connectors.hl7v2.batch import Batch, respond, split
from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.framing import BrokenKind
from connectors.hl7v2.mapping import to_attendances
from connectors.hl7v2.peers import Peer, Reply
from connectors.hl7v2.storing import HEAD_BYTES, Bus, Producer, source_of
from halyard import faults, metrics
from halyard.clock import Clock
from halyard.privacy import Keys
from halyard.settings import Settings
from halyard.telemetry import get_logger
from schemas.codec import encode
from schemas.deaths import DeathNotified
from schemas.events import AttendanceReported
from stores.directory import Directory, Feed

__all__ = ["HEAD_BYTES", "Intake", "Producer"]

_log = get_logger()
# An acknowledgement is never acknowledged: two systems would answer each other for ever
_SILENT: Final = Reply((), taken=0, refused=1)


class Intake:
    """The handler behind an MLLP listener (`connectors.hl7v2.peers.Handler`)."""

    def __init__(
        self,
        settings: Settings,
        *,
        directory: Directory,
        keys: Keys,
        producer: Producer,
        clock: Clock,
    ) -> None:
        self._directory = directory
        self._keys = keys
        self._clock = clock
        self._bus = Bus(settings, keys=keys, producer=producer, clock=clock)
        self._max_batch = settings.hl7v2.max_batch_messages
        self._at_once = settings.hl7v2.max_in_flight
        # names and addresses are the sender's: bounded
        self._feed_for = lru_cache(maxsize=1024)(directory.feed_for)

    @property
    def failing_since(self) -> float | None:
        """Since when (monotonic seconds) the broker has confirmed nothing; None: it does."""
        return self._bus.failing_since

    @property
    def failing_seconds(self) -> float:
        """From the first to the last message in a row that the broker did not confirm."""
        return self._bus.failing_seconds

    async def on_frame(self, frame: bytes, peer: Peer) -> Reply | None:
        """Take a frame's messages in; the answer, or None when one could not be stored in time."""
        batch = split(frame)
        if batch is None:
            return await self._take(frame, peer)
        return await self._take_batch(frame, batch, peer)

    async def on_broken(
        self, kind: BrokenKind, head: bytes, length: int, peer: Peer
    ) -> Reply | None:
        """Keep what could not be framed; only an oversize message is answered (AR)."""
        feed: Feed | None = None
        try:
            feed = self._feed(Message.parse(head), peer)
        except Er7Error:
            pass  # noise has no header; it is kept under the unknown source
        place = "MSH" if kind == "oversize" else "frame"
        kept = await self._bus.rejected(head, length, kind, place, feed)
        given = acknowledgements(head, "oversize") if kept and kind == "oversize" else ()
        _count(feed, "broken", AckCode.REJECT if given else "none")
        return _no(given) if given else None

    async def _take_batch(self, frame: bytes, batch: Batch, peer: Peer) -> Reply | None:
        messages = batch.messages
        if len(messages) > self._max_batch:
            return await self._refuse(frame, None, "batch-size", None, msa_id=batch.control_id)
        if batch.miscounted:  # every message that is there is answered: the sender can compare
            _log.warning("hl7v2_batch_miscounted", messages=len(messages))
        replies: list[Reply] = []
        for first in range(0, len(messages), self._at_once):
            part = messages[first : first + self._at_once]
            taken = await asyncio.gather(*(self._take(one, peer) for one in part))
            whole = [reply for reply in taken if reply is not None]
            replies += whole
            if len(whole) < len(part):
                return None
        given = respond(batch, [reply.frames for reply in replies])
        return Reply(
            (given,) if given else (),
            taken=sum(reply.taken for reply in replies),
            refused=sum(reply.refused for reply in replies),
        )

    async def _take(self, data: bytes, peer: Peer) -> Reply | None:
        """Take one message in; its answers, or None when it could not be stored in time."""
        started = time.perf_counter()
        feed: Feed | None = None
        message: Message | None = None
        try:
            message = Message.parse(data)
            feed = self._feed(message, peer)
            if message.segment("MSH").field(9)[:3] == b"ACK":
                return await self._ignore(data, feed)
            if feed is None:
                return await self._refuse(data, message, "unknown-feed", None)
            events = to_attendances(
                message,
                feed=feed,
                rule=self._directory.arrival_rule(feed),
                keys=self._keys,
                received_at=self._clock(),
            )
        except Er7Error as refusal:
            return await self._refuse(data, message, refusal.rule, feed)
        stored: list[AttendanceReported | DeathNotified] = [*events]
        stored += [one for event in events if (one := indicated(event, self._keys))]
        values = [encode(event) for event in stored]
        if self._bus.too_large(values):  # never wait for ever
            return await self._refuse(data, message, "oversize", feed)
        faults.point("hl7v2.before_produce")
        if not await self._bus.events(stored, values, feed):
            return self._away(data, message, feed)
        faults.point("hl7v2.after_produce")
        given = answers(message, data, AckCode.ACCEPT)
        _count(feed, events[0].kind.lower(), _code(given))
        now = self._clock().timestamp()
        metrics.gauge("halyard_hl7v2_last_message_timestamp_seconds", now, feed=feed.source)
        metrics.observe("halyard_hl7v2_ack_seconds", time.perf_counter() - started)
        return Reply(given)

    def _feed(self, message: Message, peer: Peer) -> Feed | None:
        header = message.segment("MSH")
        return self._feed_for(header.text(3, 1), header.text(4, 1), peer.host, peer.certificate)

    async def _refuse(
        self,
        data: bytes,
        message: Message | None,
        rule: str,
        feed: Feed | None,
        *,
        msa_id: bytes = b"",
    ) -> Reply | None:
        code, problem = PROBLEMS[rule]
        if not await self._bus.rejected(data[:HEAD_BYTES], len(data), rule, _place(problem), feed):
            _count(feed, "refused", "none")
            return None
        given = answers(message, data, code, problem, msa_id=msa_id)
        _count(feed, "refused", _code(given))
        return _no(given)

    async def _ignore(self, data: bytes, feed: Feed | None) -> Reply | None:
        kept = await self._bus.rejected(
            data[:HEAD_BYTES], len(data), "acknowledgement", "MSH-9", feed
        )
        _count(feed, "refused", "none")
        return _SILENT if kept else None

    def _away(self, data: bytes, message: Message, feed: Feed) -> Reply | None:
        if feed.broker_away == "close":
            _count(feed, "unstored", "none")
            return None
        given = answers(message, data, *PROBLEMS["broker-away"])
        _count(feed, "unstored", _code(given))
        # who wants to hear nothing is told by the end of the connection
        return _no(given) if given else None


def _no(given: tuple[bytes, ...]) -> Reply:
    return Reply(given, taken=0, refused=1)


def _place(problem: Problem) -> str:
    return f"{problem.segment}-{problem.field}" if problem.field else problem.segment


def _code(given: tuple[bytes, ...]) -> str:
    """MSA-1 of the first answer."""
    if not given:
        return "none"
    msa = given[0].index(b"\rMSA")
    return given[0][msa + 5 : msa + 7].decode("ascii")


def _count(feed: Feed | None, kind: str, given: str) -> None:
    metrics.count("halyard_hl7v2_messages_total", feed=source_of(feed), kind=kind, answer=given)
