"""The yardstick: a bare two-hop Kafka echo with aiokafka, on the same broker in the same run.

This process produces to the first topic; a process of its own (``python -m bench.echo …``) reads
it and produces the same bytes to the second; this process reads that. Both hops wait for
``acks=all`` from the same idempotent producer as the hub's, without linger.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from bench.load import Sent, on_schedule
from halyard import kafka_admin
from halyard.errors import TransientError
from halyard.kafka import make_producer
from halyard.kafka_admin import TopicSpec
from halyard.settings import KafkaSettings, Settings

OUT, BACK = "bench.echo.out", "bench.echo.back"
PARTITIONS = 4  # as the hub's topics have when everything is embedded
RECORD_BYTES = 1000
START_SECONDS = 30.0
LAST_SECONDS = 30.0


class EchoFailed(TransientError):
    """The echo gave no answer in time; see that Kafka runs, and measure again."""


@dataclass(slots=True)
class Echo:
    """A running echo; one measurement at a time."""

    hop_pid: int
    _producer: AIOKafkaProducer
    _back: dict[int, float]
    _arrived: asyncio.Event

    async def at_rate(self, count: int, rate: float) -> tuple[Sent, list[float]]:
        """`count` records at `rate` a second; the seconds each took there and back."""
        self._back.clear()
        sent = Sent(began=time.time(), moments=[0.0] * count)
        confirmed: list[asyncio.Task[None]] = []

        def send(index: int, moment: float) -> None:
            sent.moments[index] = moment
            confirmed.append(asyncio.create_task(self._send(index, sent)))

        await on_schedule(count, rate, send)
        await asyncio.gather(*confirmed)
        await self._all_back(count)
        return sent, [self._back[index] - sent.moments[index] for index in range(count)]

    async def at_once(self, count: int, window: int) -> tuple[Sent, float]:
        """`count` records with `window` unconfirmed; also the moment when the last was back."""
        self._back.clear()
        sent = Sent(began=time.time(), moments=[0.0] * count)
        left = iter(range(count))

        async def one() -> None:
            for index in left:
                sent.moments[index] = time.time()
                await self._send(index, sent)

        await asyncio.gather(*(one() for _ in range(window)))
        await self._all_back(count)
        return sent, max(self._back.values())

    async def _send(self, index: int, sent: Sent) -> None:
        value = str(index).encode().ljust(RECORD_BYTES)
        await self._producer.send_and_wait(OUT, value, key=str(index).encode())
        sent.ended = time.time()
        sent.answer_seconds.append(sent.ended - sent.moments[index])

    async def _all_back(self, count: int) -> None:
        try:
            async with asyncio.timeout(LAST_SECONDS):
                while len(self._back) < count:
                    self._arrived.clear()
                    await self._arrived.wait()
        except TimeoutError:
            raise EchoFailed from None


@contextlib.asynccontextmanager
async def run_echo(bootstrap: str) -> AsyncIterator[Echo]:
    """Topics, the hop's process, and both ends. Raises `EchoFailed` if the hop does not start."""
    kafka_admin.apply(bootstrap, [TopicSpec(name, PARTITIONS, 1) for name in (OUT, BACK)])
    hop = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.echo",
        bootstrap,
        stdin=asyncio.subprocess.PIPE,  # its end is ours
        stdout=asyncio.subprocess.PIPE,
    )
    back: dict[int, float] = {}
    arrived = asyncio.Event()
    try:
        if hop.stdout is None:
            raise EchoFailed
        try:
            async with asyncio.timeout(START_SECONDS):
                await hop.stdout.readline()
        except TimeoutError:
            raise EchoFailed from None
        async with _ends(bootstrap, "bench-echo", BACK) as (producer, consumer):

            async def collect() -> None:
                while True:
                    for records in (await consumer.getmany(timeout_ms=200)).values():
                        now = time.time()
                        back.update((int(record.value), now) for record in records)
                        arrived.set()

            collecting = asyncio.create_task(collect())
            try:
                yield Echo(hop.pid, producer, back, arrived)
            finally:
                collecting.cancel()
                await asyncio.gather(collecting, return_exceptions=True)
    finally:
        if hop.returncode is None:
            hop.terminate()
        await hop.wait()


@contextlib.asynccontextmanager
async def _ends(
    bootstrap: str, name: str, topic: str
) -> AsyncIterator[tuple[AIOKafkaProducer, AIOKafkaConsumer]]:
    settings = Settings(kafka=KafkaSettings(bootstrap_servers=bootstrap))
    producer = make_producer(settings, client_id=name)
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, client_id=name)
    await producer.start()
    try:
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            consumer.assign(partitions)
            await consumer.seek_to_end(*partitions)
            for partition in partitions:
                await consumer.position(partition)
            yield producer, consumer
        finally:
            await consumer.stop()
    finally:
        await producer.stop()


async def _hop(bootstrap: str) -> None:
    """Until the parent ends: what comes in on one topic goes out on the other."""
    async with _ends(bootstrap, "bench-echo-hop", OUT) as (producer, consumer):

        async def turn() -> None:
            while True:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    waiting = [
                        await producer.send(BACK, record.value, key=record.key)
                        for record in records
                    ]
                    await asyncio.gather(*waiting)

        turning = asyncio.create_task(turn())
        parent = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        done, _ = await asyncio.wait({turning, parent}, return_when=asyncio.FIRST_COMPLETED)
        turning.cancel()
        for task in done:
            task.result()


if __name__ == "__main__":
    asyncio.run(_hop(sys.argv[1]))
