# ruff: noqa: ASYNC109 - the time-out is the condition's deadline, not that of one call
"""Waiting on conditions, with a deadline, instead of sleeping and hoping."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, overload

T = TypeVar("T")


def eventually(
    probe: Callable[[], T],
    timeout: float = 10.0,
    interval: float = 0.05,
    *,
    why: str = "",
    ignore: tuple[type[Exception], ...] = (AssertionError,),
) -> T:
    """Call `probe` until it gives something true, and give that.

    An exception of `ignore` counts as "not yet". After `timeout` seconds: AssertionError with
    `why` and the last answer or exception.
    """
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            answer = probe()
            if answer:
                return answer
            last = answer
        except ignore as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(_late(why, timeout, last))
        time.sleep(interval)


@overload
async def aeventually(
    probe: Callable[[], Awaitable[T]],
    timeout: float = ...,
    interval: float = ...,
    *,
    why: str = ...,
    ignore: tuple[type[Exception], ...] = ...,
) -> T: ...
@overload
async def aeventually(
    probe: Callable[[], T],
    timeout: float = ...,
    interval: float = ...,
    *,
    why: str = ...,
    ignore: tuple[type[Exception], ...] = ...,
) -> T: ...
async def aeventually(
    probe: Callable[[], Any],
    timeout: float = 10.0,
    interval: float = 0.05,
    *,
    why: str = "",
    ignore: tuple[type[Exception], ...] = (AssertionError,),
) -> Any:
    """`eventually` for asyncio; `probe` may be a coroutine function."""
    deadline = time.monotonic() + timeout
    last: object = None
    while True:
        try:
            given = probe()
            answer = await given if inspect.isawaitable(given) else given
            if answer:
                return answer
            last = answer
        except ignore as error:
            last = error
        if time.monotonic() >= deadline:
            raise AssertionError(_late(why, timeout, last))
        await asyncio.sleep(interval)


def _late(why: str, timeout: float, last: object) -> str:
    return f"{why or 'the condition'} did not hold within {timeout:g} s; last: {last!r}"
