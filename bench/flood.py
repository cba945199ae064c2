"""The flood: connections that are slow, idle, or send rubbish as fast as they are read.

``python -m bench.flood PORT SLOW IDLE GARBAGE``: opens them from several loopback addresses (Linux:
all of 127/8), opens anew whatever is closed, and prints on SIGTERM what it did, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any

ADDRESSES = ("127.0.0.11", "127.0.0.12", "127.0.0.13")
_SLOW_SECONDS = 0.25  # between two bytes
_AGAIN_SECONDS = 0.2  # before a closed connection is opened anew
_FRAME = (
    b"\x0bMSH|^~\\&|NOBODY|NOWHERE|||||ADT^A04|G%d|P|2.4\rPID|1||9990000026^^^NHS\r\x1c\r"
    b"\x0bnot HL7 at all\x1c\r"
)
_LARGE = b"\x0bMSH|^~\\&|NOBODY|NOWHERE|||||ADT^A04|L|P|2.4\rPID|1||" + b"9" * 400_000

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Flood:
    """What is sent, and what was counted."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.counted: Counter[str] = Counter()
        self.open = 0

    async def keep(
        self, number: int, send: Callable[[int, Stream], Coroutine[Any, Any, None]]
    ) -> None:
        """One connection for ever, opened anew whenever it is closed."""
        source = ADDRESSES[number % len(ADDRESSES)]
        while True:
            with suppress(OSError):
                stream = await asyncio.open_connection(
                    "127.0.0.1", self._port, local_addr=(source, 0)
                )
                self.counted["opened"] += 1
                self.open += 1
                try:
                    await send(number, stream)
                finally:
                    self.open -= 1
                    stream[1].transport.abort()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def slow(self, number: int, stream: Stream) -> None:
        """A message, a byte at a time; every fourth one begins with 400 kB at once."""
        reader, writer = stream
        writer.write(_LARGE if number % 4 == 0 else b"\x0bMSH|^~\\&|SLOW|NOWHERE")
        ended = asyncio.ensure_future(self._end(reader))
        while not ended.done():
            writer.write(b"x")
            self.counted["slow bytes"] += 1
            await asyncio.wait((ended,), timeout=_SLOW_SECONDS)

    async def idle(self, number: int, stream: Stream) -> None:
        """Nothing at all."""
        await stream[0].read(1)

    async def garbage(self, number: int, stream: Stream) -> None:
        """Frames that must be refused, and every third connection noise without end."""
        reader, writer = stream
        noise = b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n" * 40
        reading = asyncio.ensure_future(self._count(reader))
        while not reading.done():
            writer.write(noise if number % 3 == 0 else _FRAME % number * 10)
            self.counted["garbage writes"] += 1
            await asyncio.wait_for(writer.drain(), None)
            await asyncio.sleep(0.01)

    @staticmethod
    async def _end(reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            await reader.read(1)

    async def _count(self, reader: asyncio.StreamReader) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                self.counted["refused"] += data.count(b"\rMSA|A")


async def run(arguments: Sequence[str]) -> Flood:
    """Flood until SIGTERM."""
    port, slow, idle, garbage = (int(one) for one in arguments)
    flood, stop = Flood(port), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    kinds = [flood.slow] * slow + [flood.idle] * idle + [flood.garbage] * garbage
    tasks = [asyncio.create_task(flood.keep(number, kind)) for number, kind in enumerate(kinds)]
    sys.stdout.write("flooding\n")
    sys.stdout.flush()
    await stop.wait()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return flood


if __name__ == "__main__":
    done = asyncio.run(run(sys.argv[1:]))
    sys.stdout.write(json.dumps(dict(done.counted)) + "\n")
