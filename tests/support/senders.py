"""Senders of a hospital's messages that give up nothing.

They are pipelined, keep a journal of what was answered AA, and send again, with the same bytes,
whatever got no answer.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Self

from connectors.hl7v2.ack import parse_ack
from connectors.hl7v2.client import MllpClient, MllpError
from tests.support.journals import SentJournal

WINDOW = 8
_ANSWER_SECONDS = 15.0


class Senders:
    """Eight connections in a thread of their own. A context manager; leaving it stops them."""

    def __init__(
        self, port: int, lanes: Sequence[Sequence[bytes]], *, rate: float, window: int = WINDOW
    ) -> None:
        self.journal = SentJournal()
        self._port = port
        self._lanes = lanes
        self._pause = len(lanes) / rate
        self._window = window
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="senders", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    @property
    def done(self) -> bool:
        """True when every message is answered AA."""
        if self._failure is not None:
            raise AssertionError("the senders failed") from self._failure
        return not self._thread.is_alive()

    def join(self, seconds: float) -> None:
        """Wait until every message is answered AA."""
        self._thread.join(seconds)
        assert self.done, f"{len(self.journal.acked)} distinct messages were answered in time"

    def _run(self) -> None:
        async def everything() -> None:
            await asyncio.gather(*(self._lane(lane) for lane in self._lanes))

        try:
            asyncio.run(everything())
        except Exception as error:  # noqa: BLE001 - shown by `done`, in the test's thread
            self._failure = error

    async def _lane(self, lane: Sequence[bytes]) -> None:
        left = list(lane)
        while left and not self._stop.is_set():
            try:
                async with MllpClient("127.0.0.1", self._port, timeout=_ANSWER_SECONDS) as client:
                    await self._connection(client, left)
            except MllpError:
                self.journal.cut()
                await asyncio.sleep(0.2)  # as an engine does before it connects again

    async def _connection(self, client: MllpClient, left: list[bytes]) -> None:
        """Send what is `left` in order; what is answered is taken off it."""
        waiting: deque[tuple[bytes, asyncio.Future[bytes]]] = deque()
        following: Iterator[bytes] = iter(list(left))
        try:
            while not self._stop.is_set():
                while len(waiting) < self._window and (body := next(following, None)) is not None:
                    self.journal.attempt(body)
                    waiting.append((body, client.submit(body)))
                    await asyncio.sleep(self._pause)
                if not waiting:
                    return
                body, submitted = waiting[0]
                ack = parse_ack(await client.answer(submitted), body)
                waiting.popleft()
                left.remove(body)
                self.journal.answer(body, ack.code)
        finally:
            for _, submitted in waiting:
                submitted.cancel()
                if submitted.done() and not submitted.cancelled():
                    submitted.exception()  # seen: it is sent again
