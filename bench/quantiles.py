"""Quantiles of samples, by the nearest rank: a figure that was measured, never one between two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds."""

    count: int
    p50: float
    p99: float
    highest: float


def latency(seconds: Sequence[float]) -> Latency | None:
    """Of samples in seconds; None if there are none."""
    if not seconds:
        return None
    ordered = sorted(seconds)

    def rank(quantile: float) -> float:
        return round(ordered[max(math.ceil(quantile * len(ordered)) - 1, 0)] * 1000, 1)

    return Latency(len(ordered), rank(0.5), rank(0.99), rank(1.0))
