"""Senders: as fast as the receiver answers, or at a rate that does not wait for it.

At a rate, a message has its moment on a schedule made beforehand, and its latency counts from
that moment: a receiver that stalls is charged for every message that had to wait meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from connectors.hl7v2.client import MllpClient

_ACCEPTED = b"\rMSA|AA|"
ANSWER_SECONDS = 60.0


@dataclass(slots=True)
class Sent:
    """What a phase sent. Moments are seconds since 1970: other processes' clocks compare."""

    began: float
    ended: float = 0.0  # the last answer
    moments: list[float] = field(default_factory=list)  # of each message, in the order given
    answer_seconds: list[float] = field(default_factory=list)
    refused: int = 0

    @property
    def per_second(self) -> float:
        """Messages a second from the first send to the last answer."""
        return len(self.moments) / max(self.ended - self.began, 1e-9)


async def on_schedule(count: int, rate: float, send: Callable[[int, float], None]) -> None:
    """Call ``send(index, moment)`` at each moment of the schedule (at once if it has passed)."""
    began = time.time()
    for index in range(count):
        moment = began + index / rate
        if (wait := moment - time.time()) > 0:
            await asyncio.sleep(wait)
        send(index, moment)


async def as_fast_as_answered(
    port: int, messages: Sequence[bytes], *, connections: int, window: int
) -> Sent:
    """All `messages` over `connections`, each with up to `window` unanswered.

    Raises `MllpError` if a connection is lost.
    """
    sent = Sent(began=time.time(), moments=[0.0] * len(messages))

    async def one(first: int, client: MllpClient) -> None:
        room = asyncio.Semaphore(window)
        answers: list[Awaitable[None]] = []
        for index in range(first, len(messages), connections):
            await room.acquire()
            sent.moments[index] = time.time()
            submitted = client.submit(messages[index])
            submitted.add_done_callback(lambda _: room.release())
            answers.append(asyncio.create_task(_answered(sent, index, client, submitted)))
        await asyncio.gather(*answers)

    async with AsyncExitStack() as stack:
        clients = await _connect(stack, port, connections)
        sent.began = time.time()
        await asyncio.gather(*(one(first, client) for first, client in enumerate(clients)))
    return sent


async def at_rate(port: int, messages: Sequence[bytes], *, rate: float, connections: int) -> Sent:
    """All `messages` at `rate` a second, round and round over `connections`, waiting for no answer.

    Raises `MllpError` if a connection is lost.
    """
    async with AsyncExitStack() as stack:
        clients = await _connect(stack, port, connections)
        sent = Sent(began=time.time(), moments=[0.0] * len(messages))
        answers: list[Awaitable[None]] = []

        def send(index: int, moment: float) -> None:
            client = clients[index % connections]
            sent.moments[index] = moment
            submitted = client.submit(messages[index])
            answers.append(asyncio.create_task(_answered(sent, index, client, submitted)))

        await on_schedule(len(messages), rate, send)
        await asyncio.gather(*answers)
    return sent


async def _connect(stack: AsyncExitStack, port: int, connections: int) -> list[MllpClient]:
    return [
        await stack.enter_async_context(MllpClient("127.0.0.1", port, timeout=ANSWER_SECONDS))
        for _ in range(connections)
    ]


async def _answered(
    sent: Sent, index: int, client: MllpClient, submitted: asyncio.Future[bytes]
) -> None:
    answer = await client.answer(submitted)
    sent.ended = time.time()
    sent.answer_seconds.append(sent.ended - sent.moments[index])
    if _ACCEPTED not in answer:
        sent.refused += 1
