"""The dispatcher: claims what is due, sends it, writes down what became of it, publishes.

Four things run side by side, and none waits for another's far side: claiming (PostgreSQL),
sending (other systems), completing (PostgreSQL) and publishing (Kafka). A dispatcher that dies
leaves leases that run out; what it had sent and not written down is sent again under the same
delivery id with the same bytes.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import orjson

from connectors.sending import Message, Result, Retry, Sender, Target
from halyard import faults, telemetry
from halyard.clock import Clock
from halyard.errors import HalyardError, PermanentError, TransientError
from halyard.kafka import Record
from halyard.postgres import Pool
from halyard.settings import DeliverySettings
from policies.desk import Desk
from stores import deliveries, outbox
from stores.deliveries import Delivery
from streams.delivery import gauges
from streams.delivery.checking import Stopped, check
from streams.delivery.completion import Finished, complete
from streams.delivery.decisions import NO_ENDPOINT, Keep, Random, decide
from streams.delivery.reconsidering import reconsider
from streams.outbox_publisher import sweep_forever

_COMPLETE_AT_ONCE = 64
_SHOW_SECONDS = 2.0
# What is sent and not yet written down may be so many times what is sent at once
_HELD_FOR_EACH = 4
_TRANSIENT_WAIT = 0.5
# Kept back of the stop time: for closing what is open
_STOP_MARGIN = 3.5
_PUBLISH_AT_STOP_SECONDS = 2.0

log = telemetry.get_logger()

Listen = Callable[[Callable[[], None]], Awaitable[None]]
"""Calls the hint it is given whenever something may be due; returns only by cancellation."""


class Dispatcher:
    """One dispatcher; several may run at once."""

    def __init__(
        self,
        *,
        pool: Pool,
        webhooks: Sender,
        hl7: Sender,
        send: outbox.Send,
        desk: Desk,
        secrets: Mapping[str, str | tuple[str, ...]],
        settings: DeliverySettings,
        clock: Clock,
        random: Random,
        listen: Listen | None = None,
    ) -> None:
        self._pool = pool
        self._webhooks = webhooks
        self._hl7 = hl7
        self._produce = send
        self._desk = desk
        self._directory = desk.directory
        self._secrets = secrets
        self._settings = settings
        self._clock = clock
        self._random = random
        self._listen = listen
        self._share = max(1, settings.concurrency // 2)
        self._wake = asyncio.Event()
        self._held: set[uuid.UUID] = set()
        self._busy: Counter[str] = Counter()
        self._sending: set[asyncio.Task[None]] = set()
        self._finished: asyncio.Queue[Finished] = asyncio.Queue()
        self._lanes: set[int] = set()
        self._publish = asyncio.Event()
        self._publishing = False
        self._settled = asyncio.Event()
        self._more_waits = False
        self._turned = time.monotonic()
        self._waits_for: str | None = "starting"

    def hint(self) -> None:
        """Something may be due."""
        self._wake.set()

    @property
    def under_way(self) -> int:
        """Deliveries that are claimed and not yet written down."""
        return len(self._held)

    def dead(self) -> str | None:
        """Why this dispatcher should be restarted, if it should."""
        silent = time.monotonic() - self._turned
        limit = 60.0 + self._settings.poll_seconds
        return f"claiming has stood still for {silent:.0f} s" if silent > limit else None

    def not_ready(self) -> str | None:
        """Why nothing is claimed now, if nothing is."""
        return self._waits_for

    async def run(self, stopping: asyncio.Event, *, stop_seconds: float) -> None:
        """Work until `stopping`, then finish what is under way within `stop_seconds`.

        Raises the first error that does not pass by itself.
        """
        claiming = asyncio.create_task(self._claim_until(stopping), name="claiming")
        parts = [
            asyncio.create_task(self._complete_always(), name="completing"),
            asyncio.create_task(self._publish_always(), name="publishing"),
            asyncio.create_task(sweep_forever(self._pool, self._produce), name="sweeping"),
            asyncio.create_task(self._keep_house(), name="housekeeping"),
        ]
        if self._listen is not None:
            parts.append(asyncio.create_task(_forever(self._listen(self.hint)), name="listening"))
        try:
            done, _ = await asyncio.wait({claiming, *parts}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
            if claiming not in done:
                raise PermanentError("A part of the dispatcher ended by itself; start it again.")
            await self._drain(max(stop_seconds - _STOP_MARGIN, 0.1))
        finally:
            everything = [claiming, *parts, *self._sending]
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    # Claiming

    async def _claim_until(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            self._wake.clear()
            self._turned = time.monotonic()
            wait = self._settings.poll_seconds
            try:
                await self._claim()
                self._waits_for = None
            except TransientError as error:
                self._waits_for = telemetry.describe(error)
                log.warning("claim_failed", reason=self._waits_for)
                wait = _TRANSIENT_WAIT
            await _first_of(stopping, self._wake, seconds=wait)

    async def _claim(self) -> None:
        room = self._settings.concurrency - self._busy.total()
        room = min(room, _HELD_FOR_EACH * self._settings.concurrency - len(self._held))
        # Whoever finishes now, or while the claim is made, makes room that may be wanted
        self._more_waits = True
        if room <= 0:
            return
        busy = self._counted()
        claim = await deliveries.claim(
            self._pool,
            room=room,
            share=self._share,
            lease_seconds=self._settings.lease_seconds,
            held=list(self._held),
            busy=busy,
        )
        faults.point("dispatcher.after_claim")
        busy.update(delivery.destination for delivery in claim.deliveries)
        # A claim that took all it was allowed may have left something
        self._more_waits = len(claim.deliveries) == room or max(busy.values(), default=0) >= (
            self._share
        )
        for delivery in claim.deliveries:
            self._held.add(delivery.delivery_id)
            self._busy[delivery.destination] += 1
            task = asyncio.create_task(self._attempt(delivery), name="sending")
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)
        if claim.superseded:
            log.info("deliveries_superseded", count=claim.superseded)

    def _counted(self) -> Counter[str]:
        """What is under way by destination, as the claim's share counts it: an HL7 v2 listener
        takes no more at a time than it may have connections.
        """
        busy = Counter(self._busy)
        for endpoint in self._directory.endpoints.values():
            if endpoint.mllp:
                busy[endpoint.name] += max(self._share - self._settings.mllp_connections, 0)
        return busy

    # Sending

    async def _attempt(self, delivery: Delivery) -> None:
        result: Result
        try:
            checked = check(delivery, self._desk, self._clock())
            if isinstance(checked, Stopped):
                kept = Keep(checked.state, checked.reason)
                self._over(Finished(delivery, kept, self._clock(), checked.entry))
                return
            result = await self._send(delivery, checked.body)
            faults.point("dispatcher.after_send")
        except Exception as error:
            # One row that cannot be sent must not stop the others: it backs off alone
            log.error("attempt_failed", delivery_id=str(delivery.delivery_id), exc_info=error)
            result = Retry("internal", destination_down=False)
        decision = decide(
            result, attempts=delivery.attempts, settings=self._settings, random=self._random
        )
        self._over(Finished(delivery, decision, self._clock()))

    def _over(self, finished: Finished) -> None:
        self._busy[finished.delivery.destination] -= 1
        self._finished.put_nowait(finished)
        if self._more_waits:
            self.hint()

    async def _send(self, delivery: Delivery, body: bytes) -> Result:
        if deliveries.is_unaddressed(delivery.destination):
            # Nothing to send to yet: it waits alone, until `_readdress` finds it an endpoint
            return Retry(NO_ENDPOINT, destination_down=False)
        endpoint = self._directory.endpoints.get(delivery.destination)
        secret = self._secrets.get(endpoint.secret) if endpoint and endpoint.secret else None
        if endpoint is None or (secret is None and not endpoint.mllp):
            # Mended by whoever keeps the directory; until then the row waits, it is not lost
            log.error("endpoint_missing", destination=delivery.destination)
            return Retry(NO_ENDPOINT, destination_down=True)
        sender = self._hl7 if endpoint.mllp else self._webhooks
        return await sender.send(
            Target(
                endpoint.name,
                endpoint.url,
                secret,
                endpoint.receiving_application,
                endpoint.receiving_facility,
            ),
            Message(
                delivery_id=delivery.delivery_id,
                event=delivery.kind,
                version=payload_version(body),
                body=body,
                traceparent=delivery.traceparent,
            ),
        )

    # Completing

    async def _complete_always(self) -> None:
        while True:
            batch = [await self._finished.get()]
            while not self._finished.empty() and len(batch) < _COMPLETE_AT_ONCE:
                batch.append(self._finished.get_nowait())
            await self._complete(batch)

    async def _complete(self, batch: Sequence[Finished]) -> None:
        while True:
            try:
                completed = await complete(self._pool, batch, self._desk)
                faults.point("dispatcher.after_commit")
                break
            except TransientError as error:
                log.warning("completion_failed", reason=telemetry.describe(error))
                await asyncio.sleep(_TRANSIENT_WAIT)
            except HalyardError as error:
                if len(batch) > 1:
                    for finished in batch:
                        await self._complete([finished])
                    return
                # Its lease runs out and it is sent again: a repeat, not a loss
                log.error(
                    "completion_refused",
                    delivery_id=str(batch[0].delivery.delivery_id),
                    exc_info=error,
                )
                self._held.discard(batch[0].delivery.delivery_id)
                self._settled.set()
                return
        for finished in batch:
            self._held.discard(finished.delivery.delivery_id)
        if completed.lanes:
            self._lanes |= completed.lanes
            self._publish.set()
        self._settled.set()
        if completed.more or self._more_waits:
            self.hint()

    # Publishing

    async def _publish_always(self) -> None:
        while True:
            await self._publish.wait()
            self._publish.clear()
            lanes, self._lanes = self._lanes, set()
            self._publishing = True
            try:
                await outbox.publish_lanes(self._pool, self._produced, lanes)
            except TransientError as error:
                # the sweeper comes back to them
                log.warning("publish_failed", reason=telemetry.describe(error))
            finally:
                self._publishing = False
                self._settled.set()

    async def _produced(self, records: Sequence[Record]) -> Sequence[bool | outbox.Never]:
        confirmed = await self._produce(records)
        faults.point("dispatcher.after_produce")
        return confirmed

    async def _keep_house(self) -> None:
        """Gives waiting rows the endpoint that is registered now; shows how old the oldest delivery
        is, how many wait for a person, and which destinations are paused.
        """
        shown: set[str] = set()
        while True:
            try:
                await self._readdress()
                shown |= await gauges.show(self._pool, shown)
            except TransientError as error:
                log.warning("gauges_failed", reason=telemetry.describe(error))
            await asyncio.sleep(_SHOW_SECONDS)

    async def _readdress(self) -> None:
        """Rows from before a receiver had an endpoint go to the one that it has now."""
        registered = {
            unaddressed: endpoint
            for authority in self._directory.authorities.values()
            for unaddressed, endpoint in (
                (f"{deliveries.UNADDRESSED}{authority.gss}", authority.alert_endpoint),
                (
                    f"{deliveries.UNADDRESSED_RESTRICTED}{authority.gss}",
                    authority.restricted_endpoint,
                ),
            )
            if endpoint is not None
        }
        registered |= {
            f"{deliveries.UNADDRESSED_CALDICOTT}{code}": endpoint
            for code, endpoint in self._directory.caldicott_endpoints().items()
        }
        if count := await reconsider(self._pool, self._desk, self._clock()):
            log.info("deliveries_reconsidered", count=count)
        if count := await deliveries.readdress(self._pool, registered):
            log.info("deliveries_addressed", count=count)
            self.hint()

    # Stopping

    async def _drain(self, seconds: float) -> None:
        """Wait until every attempt is written down, but not for ever; then for the bus, not long:
        what Kafka does not take now the next sweeper publishes.
        """
        try:
            async with asyncio.timeout(seconds):
                while self._held:
                    self._settled.clear()
                    await self._settled.wait()
            async with asyncio.timeout(min(seconds, _PUBLISH_AT_STOP_SECONDS)):
                while self._lanes or self._publishing:
                    self._settled.clear()
                    await self._settled.wait()
        except TimeoutError:
            log.warning("stopped_early", under_way=len(self._held), publishing=self._publishing)


def payload_version(body: bytes) -> str:
    """The version that the body names in its schema (``halyard.alert.v1`` is 1)."""
    try:
        schema = orjson.loads(body)["schema"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "0"
    return str(schema).rpartition(".v")[2]


async def _forever(part: Awaitable[Any]) -> None:
    await part


async def _first_of(*events: asyncio.Event, seconds: float) -> None:
    """Wait until one of `events` is set, at most `seconds`."""
    waiting = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()
