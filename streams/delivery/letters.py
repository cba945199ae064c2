"""Pushes letters to organisations with an endpoint for them; keeps the mailbox small.

Beside the dispatcher's alerts and apart from them: rows, connections and database pool of its own,
so that no letter makes an alert wait. Of an (endpoint, organisation) only the oldest pending letter
is tried: while it fails nothing behind it is sent, which is the destination's pause. If that lasts
for hours and may be the letter's own fault, the next is tried in its place; if that goes through,
the old one is tried once more, and parked if it fails again. A letter that the receiver refuses is
parked, and can still be fetched. What was sent and not written down is sent again under the
letter's id with the same bytes.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from connectors.sending import Message, Result, Retry, Sender, Target
from halyard import faults, metrics, telemetry
from halyard.errors import TransientError
from halyard.postgres import Pool, transaction
from halyard.settings import DeliverySettings
from stores import mailbox
from stores.directory import Directory, Endpoint
from stores.mailbox import Push
from streams.delivery.decisions import NO_ENDPOINT, Again, Complete, Decision, Park, Random, decide
from streams.delivery.dispatcher import Listen

CHANNEL = "halyard_letters"
AT_ONCE = 4
CONTENT_TYPE = "application/fhir+json"
SHAPE = "1"
"""Version of the letters' shape, in ``Halyard-Version``."""

_SHOW_SECONDS = 10.0
_PURGE_SECONDS = 600.0
_PURGE_AT_ONCE = 1_000
_TRANSIENT_WAIT = 0.5
_STOP_MARGIN = 3.5
# An error of the receiver's own, answered for so long, may be the letter's fault: it is parked then
# as if it were an answer about this letter (`decisions.MAX_ANSWERED`)
_OWN_FAULT = "status-500"

log = telemetry.get_logger()


@dataclass(slots=True)
class LetterPusher:
    """One pusher; several may run at once."""

    pool: Pool
    webhooks: Sender
    directory: Directory
    secrets: Mapping[str, str | tuple[str, ...]]
    settings: DeliverySettings
    keep_days: int
    random: Random
    listen: Listen | None = None
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _pushing: dict[uuid.UUID, asyncio.Task[None]] = field(default_factory=dict)
    _waits_for: str | None = "starting"

    def hint(self) -> None:
        """Something may be due."""
        self._wake.set()

    def not_ready(self) -> str | None:
        """Why nothing is pushed now, if nothing is."""
        return self._waits_for

    async def run(self, stopping: asyncio.Event, *, stop_seconds: float) -> None:
        """Push until `stopping`, then finish what is under way within `stop_seconds`.

        Raises the first error that does not pass by itself.
        """
        parts = [asyncio.create_task(self._keep_house(), name="letters-housekeeping")]
        if self.listen is not None:
            parts.append(asyncio.ensure_future(self.listen(self.hint)))
        try:
            while not stopping.is_set():
                self._wake.clear()
                wait = await self._claim()
                await self._rest(stopping, wait)
                for task in [*parts, *self._pushing.values()]:
                    if task.done():
                        task.result()
                self._forget()
            if self._pushing:
                left = max(stop_seconds - _STOP_MARGIN, 0.1)
                await asyncio.wait(self._pushing.values(), timeout=left)
        finally:
            everything = [*parts, *self._pushing.values()]
            for task in everything:
                task.cancel()
            await asyncio.gather(*everything, return_exceptions=True)

    async def _claim(self) -> float:
        """Start what is due; gives the seconds until it is looked again."""
        room = AT_ONCE - len(self._pushing)
        if room <= 0:
            return self.settings.poll_seconds
        try:
            pushes = await mailbox.claim(
                self.pool,
                room=room,
                lease_seconds=self.settings.lease_seconds,
                held=list(self._pushing),
            )
        except TransientError as error:
            self._waits_for = telemetry.describe(error)
            log.warning("letter_claim_failed", reason=self._waits_for)
            return _TRANSIENT_WAIT
        self._waits_for = None
        faults.point("letters.after_claim")
        for push in pushes:
            task = asyncio.create_task(self._push(push), name="pushing")
            self._pushing[push.letter_id] = task
            task.add_done_callback(lambda _: self.hint())
        return self.settings.poll_seconds

    async def _rest(self, stopping: asyncio.Event, seconds: float) -> None:
        waits = [asyncio.create_task(event.wait()) for event in (stopping, self._wake)]
        try:
            await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()

    def _forget(self) -> None:
        for letter_id in [one for one, task in self._pushing.items() if task.done()]:
            del self._pushing[letter_id]

    async def _push(self, push: Push) -> None:
        result: Result
        try:
            result = await self._send(push)
        except Exception as error:  # one letter that cannot be sent must not stop the others
            log.error("letter_failed", letter_id=str(push.letter_id), exc_info=error)
            result = Retry("internal", destination_down=False)
        faults.point("letters.after_send")
        if isinstance(result, Retry) and result.reason == _OWN_FAULT:
            result = replace(result, answered=True)
        decision = decide(
            result, attempts=push.attempts, settings=self.settings, random=self.random
        )
        try:
            async with transaction(self.pool) as connection:
                match decision:
                    case Again(reason) if (
                        push.attempts >= mailbox.MAX_ATTEMPTS
                        and reason != NO_ENDPOINT
                        and await mailbox.overtaken(connection, push)
                    ):
                        decision = Park(reason)
                match decision:
                    case Complete():
                        await mailbox.mark_pushed(connection, push)
                    case Again(reason, after_seconds):
                        await mailbox.retry(
                            connection, push, reason=reason, after_seconds=after_seconds
                        )
                    case Park(reason):
                        await mailbox.park(connection, push, reason=reason)
        except TransientError as error:
            # its lease runs out and it is sent again: a repeat, not a loss
            log.warning("letter_not_marked", reason=telemetry.describe(error))
            return
        _tell(push, decision)

    async def _send(self, push: Push) -> Result:
        endpoint = self._endpoint(push)
        secret = self.secrets.get(endpoint.secret) if endpoint and endpoint.secret else None
        if endpoint is None or endpoint.mllp or secret is None:
            # Mended by whoever keeps the directory; until then it waits, and can be fetched
            return Retry(NO_ENDPOINT, destination_down=True)
        return await self.webhooks.send(
            Target(endpoint.name, endpoint.url, secret),
            Message(
                delivery_id=push.letter_id,
                event=push.kind,
                version=SHAPE,
                body=push.body,
                traceparent=push.traceparent,
                content_type=CONTENT_TYPE,
            ),
        )

    def _endpoint(self, push: Push) -> Endpoint | None:
        """The one that the organisation has now, wherever it was when the letter was written: a
        former place may be somebody else's.
        """
        now = self.directory.message_endpoint(push.organisation)
        return self.directory.endpoints.get(now) if now else None

    async def _keep_house(self) -> None:
        """Shows what waits, and deletes what is old."""
        purged_at: float | None = None
        while True:
            try:
                waiting = await mailbox.waiting(self.pool)
                metrics.gauge("halyard_letters_parked", waiting.parked)
                metrics.gauge("halyard_letters_oldest_seconds", waiting.oldest_seconds)
                metrics.gauge("halyard_letters_unacknowledged", waiting.awaited)
                if purged_at is None or time.monotonic() - purged_at > _PURGE_SECONDS:
                    await self._purge()
                    purged_at = time.monotonic()
            except TransientError as error:
                log.warning("letter_housekeeping_failed", reason=telemetry.describe(error))
            await asyncio.sleep(_SHOW_SECONDS)

    async def _purge(self) -> None:
        deleted = _PURGE_AT_ONCE
        while deleted == _PURGE_AT_ONCE:
            deleted = await mailbox.purge(self.pool, keep_days=self.keep_days, limit=_PURGE_AT_ONCE)
            if deleted:
                log.info("letters_purged", count=deleted)


def _tell(push: Push, decision: Decision) -> None:
    result, reason = "pushed", ""
    match decision:
        case Again(why):
            result, reason = "retry", why
        case Park(why):
            result, reason = "parked", why
        case Complete():
            pass
    metrics.count("halyard_letter_pushes_total", kind=push.kind, result=result)
    (log.info if result == "pushed" else log.warning)(
        f"letter_{result}",
        letter_id=str(push.letter_id),
        organisation=push.organisation,
        kind=push.kind,
        attempt=push.attempts,
        traceparent=push.traceparent,
        **({"reason": reason} if reason else {}),
    )
