"""Attempts that are over, written down: several in one transaction.

For each: the alert's rung and its receipt (rule 17: facts with times, the alert's row locked by
the change), the delivery's own row, and last the pause of its destination. Alerts come in the
order of their ids and destinations in the order of their names, so that two dispatchers cannot
hold each other up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from halyard import metrics, telemetry
from halyard.postgres import Connection, Pool, transaction
from policies.desk import Desk
from schemas.events import Rung
from stores import alerts, audit, deliveries, delivery_rows, outbox
from stores.alerts import AlertRow
from stores.audit import AuditEntry
from stores.deliveries import Delivery
from streams.delivery.decisions import NO_ENDPOINT, Again, Complete, Decision, Keep, Park
from streams.matching.receipts import receipt_entries

SOURCE = "dispatcher"
_FLAG_LATER = "flag-after-arrival"

log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Finished:
    """One attempt that is over; `denied`: a policy or a restriction stopped it before it left."""

    delivery: Delivery
    decision: Decision
    at: datetime
    denied: AuditEntry | None = None


@dataclass(slots=True)
class Completed:
    """What a completion leaves to do: lanes to publish, and whether more can be claimed now."""

    lanes: set[int] = field(default_factory=set)
    entries: list[outbox.Entry] = field(default_factory=list)
    more: bool = False
    paused: dict[str, bool] = field(default_factory=dict)
    first: list[tuple[AlertRow, datetime]] = field(default_factory=list)


async def complete(pool: Pool, batch: Sequence[Finished], desk: Desk) -> Completed:
    """Write down what became of `batch`, in one transaction.

    Doing it twice changes nothing more. Raises what `halyard.postgres.transaction` raises.
    """
    done = Completed()
    async with transaction(pool) as connection:
        for finished in sorted(
            batch, key=lambda one: (one.delivery.alert_id, one.delivery.version)
        ):
            match finished.decision:
                case Complete():
                    await _delivered(connection, finished, desk, done)
                case Again(reason, after_seconds):
                    await deliveries.retry(
                        connection, finished.delivery, reason=reason, after_seconds=after_seconds
                    )
                case Park(reason):
                    parked = await deliveries.park(connection, finished.delivery, reason=reason)
                    done.more |= parked.more
                case Keep(state, reason):
                    kept = await deliveries.keep_back(
                        connection, finished.delivery, state=state, reason=reason
                    )
                    done.more |= kept.more
        await audit.append(connection, [one.denied for one in batch if one.denied is not None])
        # every alert's row is locked by now, so ids of one key follow its decisions
        done.lanes = await outbox.add(connection, done.entries)
        await _destinations(connection, batch, done)
    for finished in batch:
        _tell(finished)
    for row, at in done.first:
        if row.rule == _FLAG_LATER:
            continue  # its wait was the flag's, not ours
        waited = (at - row.arrival_received_at).total_seconds()
        metrics.observe("halyard_arrival_to_delivery_seconds", max(waited, 0.0))
    for destination, is_paused in done.paused.items():
        log.info(
            "destination_paused" if is_paused else "destination_resumed", destination=destination
        )
    return done


async def _delivered(
    connection: Connection, finished: Finished, desk: Desk, done: Completed
) -> None:
    delivery = finished.delivery
    if delivery.kind == "alert":
        # True also when the row was superseded meanwhile: the authority has been told, but of no
        # round that opened while this was on its way
        row = await alerts.mark_delivered(
            connection, delivery.alert_id, finished.at, of_round=delivery.round
        )
        if row is not None:
            entry, told = receipt_entries(
                row, Rung.DELIVERED, at=finished.at, source=SOURCE, desk=desk
            )
            done.entries.append(entry)
            if told is not None:
                await delivery_rows.add(connection, [told.row])
                await audit.append(connection, [told.entry])
            done.first.append((row, finished.at))
    marked = await deliveries.mark_delivered(connection, delivery.delivery_id)
    done.more |= marked.more


async def _destinations(connection: Connection, batch: Sequence[Finished], done: Completed) -> None:
    """Pause destinations that are down, resume those whose probe was answered."""
    for destination in sorted({finished.delivery.destination for finished in batch}):
        here = [one for one in batch if one.delivery.destination == destination]
        pauses = [
            one.decision.pause_seconds
            for one in here
            if isinstance(one.decision, Again) and one.decision.pause_seconds is not None
        ]
        if pauses:
            await deliveries.pause(
                connection, destination, seconds=max(pauses), failures=len(pauses)
            )
            done.paused[destination] = True
        elif any(one.delivery.probe for one in here) and await deliveries.resume(
            connection, destination
        ):
            done.paused[destination] = False
            done.more = True


def _tell(finished: Finished) -> None:
    delivery = finished.delivery
    result, reason = "delivered", ""
    match finished.decision:
        case Again(why):
            result, reason = "retry", why
        case Park(why):
            result, reason = "parked", why
        case Keep(state, why):
            result, reason = state, why
        case Complete():
            pass
    metrics.count("halyard_delivery_attempts_total", kind=delivery.kind, result=result)
    quiet = result == "delivered" or (
        reason == NO_ENDPOINT and deliveries.is_unaddressed(delivery.destination)
    )
    kept = isinstance(finished.decision, Keep)
    # an authority that is not told protects nobody: an error, whoever wrote the policy
    severe = kept and delivery.kind == "alert"
    (log.info if quiet else log.error if severe else log.warning)(
        f"delivery_{result}",
        delivery_id=str(delivery.delivery_id),
        alert_id=str(delivery.alert_id),
        destination=delivery.destination,
        kind=delivery.kind,
        version=delivery.version,
        attempt=delivery.attempts,
        traceparent=delivery.traceparent,
        **({"reason": reason} if reason else {}),
    )
