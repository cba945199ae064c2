"""What the dispatcher shows of the deliveries: how old, what waits for a person, what is paused."""

from __future__ import annotations

from collections.abc import Collection

from halyard import metrics
from halyard.postgres import Pool
from stores import deliveries, held


async def show(pool: Pool, before: Collection[str]) -> set[str]:
    """Set the gauges; `before` are the destinations that were shown as paused some time. Gives
    those that are paused now.
    """
    waiting = await deliveries.waiting_for_a_person(pool)
    metrics.gauge("halyard_delivery_parked", waiting.parked)
    metrics.gauge("halyard_delivery_without_endpoint", waiting.unaddressed)
    metrics.gauge("halyard_delivery_oldest_seconds", await deliveries.oldest_seconds(pool))
    _kept_back(await held.waiting(pool))
    paused = set(await deliveries.paused(pool))
    for destination in {*before, *paused}:
        metrics.gauge(
            "halyard_delivery_breaker_open", int(destination in paused), destination=destination
        )
    return paused


def _kept_back(waiting: held.Waiting) -> None:
    """What policies keep back: an alert that nobody is told of must not be silent."""
    metrics.gauge("halyard_alerts_denied", waiting.alerts_denied)
    for kind, amount, oldest in (
        ("alert", waiting.alerts_held, waiting.alerts_oldest_seconds),
        ("other", waiting.held - waiting.alerts_held, waiting.others_oldest_seconds),
    ):
        metrics.gauge("halyard_disclosures_held", amount, kind=kind)
        metrics.gauge("halyard_disclosures_held_oldest_seconds", oldest, kind=kind)
