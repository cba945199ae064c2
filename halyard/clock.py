"""Time, passed in: decisions take `now`, processes take a `Clock`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present moment as an aware UTC datetime."""


def system_clock() -> datetime:
    """The machine's time in UTC."""
    return datetime.now(UTC)
