"""The batch channel: whole batches to a Faust agent, and its verdict back.

Faust acknowledges an event in a ``finally``, also when an agent raises, and costs much per event.
So the records do not pass its consumer: `BatchChannel.hand_over` puts a *batch* on an in-memory
channel of which a Faust agent is the only reader, and waits for a verdict that the agent gives in
so many words. The commit of offsets is the caller's (`streams.stage`).

Rule 21 (correctness): Faust clears the queues under its flow control at every rebalance of its own
topic, and a put without subscriber returns silently. Our queue stands outside that flow control;
a batch that is not taken, or has no verdict in time, is `ChannelBroken`, which ends the process.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import faust
import orjson
from faust.types import StreamT
from mode.utils.queues import FlowControlEvent, ThrowableQueue

from halyard import telemetry
from halyard.kafka import Incoming, qualified
from halyard.service import ProcessDied, cancel_all
from halyard.settings import Settings
from schemas.topics import CONTROL

Process = Callable[[Sequence[Incoming]], Awaitable[None]]
"""Takes a batch; returns when every event of it is safe, raises if that could not be."""

Nudge = Callable[[str], None]
"""Told the action of a control message for this stage (``reload``)."""

CANCEL_SECONDS = 3.0  # a cancelled transaction ends in a round trip; more means it is stuck

log = telemetry.get_logger()


class ChannelBroken(ProcessDied):
    """The agent of this worker did not take or finish a batch in time; the worker must restart."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the agent says of a batch: done (no error), or what went wrong."""

    error: Exception | None = None

    @property
    def done(self) -> bool:
        """Every event of the batch is safe."""
        return self.error is None


@dataclass(slots=True, eq=False)
class _Handover:
    """A batch on its way; the futures are the feeder's to wait for."""

    batch: Sequence[Incoming]
    taken: asyncio.Future[asyncio.Task[None]]
    verdict: asyncio.Future[Verdict]

    def answer(self, verdict: Verdict) -> None:
        if not self.verdict.done():
            self.verdict.set_result(verdict)


class _OwnQueueChannel(faust.Channel[Any]):
    """A channel all of whose clones read one queue, which Faust's flow control does not know."""

    def _clone_args(self) -> Mapping[str, Any]:
        return {**super()._clone_args(), "queue": self._queue}


class BatchChannel:
    """One Faust app with the stage's agent and the agent of the control topic."""

    def __init__(
        self, settings: Settings, *, name: str, group: str, process: Process, nudge: Nudge
    ) -> None:
        self._settings = settings
        self._name = name
        self._process = process
        self._nudge = nudge
        # A flow control of its own, never suspended and never cleared
        self._queue: ThrowableQueue[Any] = ThrowableQueue(
            flow_control=FlowControlEvent(initially_suspended=False)
        )
        self.app = self._make_app(group)

    def _make_app(self, group: str) -> faust.App:
        settings = self._settings
        # A group for each process: every worker hears every control message, and none waits for
        # the session of a killed one
        mine = f"{group}-control-{os.getpid()}-{secrets.token_hex(4)}"
        data_dir = settings.data_dir.expanduser()
        data_dir.mkdir(parents=True, exist_ok=True)  # Faust makes its own part of it alone
        app = faust.App(
            qualified(settings, mine),
            broker=[f"kafka://{one}" for one in settings.kafka.bootstrap_servers.split(",")],
            store="memory://",
            datadir=data_dir / "faust",
            autodiscover=False,
            web_enabled=False,
            topic_allow_declare=False,
            topic_disable_leader=True,
            worker_redirect_stdouts=False,
            loghandlers=[],
            broker_session_timeout=6,
            broker_heartbeat_interval=2,
            consumer_auto_offset_reset="latest",
        )
        self._channel = _OwnQueueChannel(app, queue=self._queue)
        app.agent(self._channel, name=f"{self._name}-batches")(self._batches)
        control = app.topic(
            qualified(settings, CONTROL), key_type=bytes, value_type=bytes, allow_empty=True
        )
        app.agent(control, name=f"{self._name}-control")(self._control)
        return app

    async def start(self) -> None:
        """Start the app in the running loop; returns when its agents are there."""
        self.app.loop = asyncio.get_running_loop()
        await self.app.start()

    async def stop(self) -> None:
        """Stop the app; the caller gives a deadline (it waits for a frozen broker for ever)."""
        await self.app.stop()

    @property
    def broken(self) -> str | None:
        """Why the app can no longer take batches, else None."""
        if self.app.crashed:
            return "the Faust app has crashed"
        if self.app.should_stop:
            return "the Faust app has stopped"
        return None

    async def hand_over(self, batch: Sequence[Incoming]) -> Verdict:
        """Give `batch` to the agent and wait for its verdict.

        Raises `ChannelBroken` if it is not taken in ``worker.take_seconds`` or gets no verdict in
        ``worker.verdict_seconds``. When this call is cancelled, so is the agent's work on the
        batch, and the call ends after that work has ended.
        """
        loop = asyncio.get_running_loop()
        limits = self._settings.worker
        item = _Handover(batch, loop.create_future(), loop.create_future())
        self._queue.put_nowait(item)
        try:
            try:
                async with asyncio.timeout(limits.take_seconds):
                    work = await asyncio.shield(item.taken)
            except TimeoutError:
                item.taken.cancel()
                raise ChannelBroken(
                    f"The agent of {self._name} did not take a batch in {limits.take_seconds:g} s; "
                    "the worker ends and must be started again."
                ) from None
            try:
                async with asyncio.timeout(limits.verdict_seconds):
                    return await asyncio.shield(item.verdict)
            except TimeoutError:
                work.cancel()
                raise ChannelBroken(
                    f"The agent of {self._name} gave no verdict in {limits.verdict_seconds:g} s; "
                    "the worker ends and must be started again."
                ) from None
        except asyncio.CancelledError:
            await self._drop(item)
            raise

    async def _drop(self, item: _Handover) -> None:
        """Cancel the work on `item` and see it end. Raises `ChannelBroken` if it does not."""
        if not item.taken.done():
            item.taken.cancel()  # the agent passes over it
            return
        if not await cancel_all([item.taken.result()], CANCEL_SECONDS):
            raise ChannelBroken(
                f"A cancelled batch of {self._name} did not end in {CANCEL_SECONDS:g} s; the "
                "worker ends and must be started again."
            )

    async def _batches(self, stream: StreamT[Any]) -> None:
        """The Faust agent of the stage. It never raises: Faust would restart it only after 5 s."""
        async for item in stream:
            handover = cast("_Handover", item)
            if handover.taken.cancelled():
                continue
            work = asyncio.get_running_loop().create_task(self._work(handover.batch))
            handover.taken.set_result(work)
            try:
                await asyncio.wait({work})
            except asyncio.CancelledError:  # the app stops
                work.cancel()
                handover.answer(Verdict(ChannelBroken()))
                raise
            if work.cancelled():
                handover.answer(Verdict(ChannelBroken()))
            elif (error := work.exception()) is None:
                handover.answer(Verdict())  # by success alone
            elif isinstance(error, Exception):
                handover.answer(Verdict(error))
            else:  # SystemExit and its like: the loop ends with it
                handover.answer(Verdict(ChannelBroken()))

    async def _work(self, batch: Sequence[Incoming]) -> None:
        await self._process(batch)

    async def _control(self, stream: StreamT[Any]) -> None:
        """The Faust agent of ``halyard.control.v1``: nudges, never commands."""
        async for value in stream:
            try:
                message = orjson.loads(value or b"")
                mine = message["stage"] in (self._name, "*")
                action = str(message["action"])
            except (orjson.JSONDecodeError, KeyError, TypeError):
                log.warning("control_unreadable", stage=self._name)
                continue
            if mine:
                self._nudge(action)


def control_message(stage: str, action: str = "reload") -> bytes:
    """Value of a record on ``halyard.control.v1``; `stage` may be ``*``."""
    return orjson.dumps({"stage": stage, "action": action})
