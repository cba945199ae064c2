"""Credentials that anybody can make up and that only the database can tell: strangers' do not keep
from it those that were good before.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from halyard.rates import too_many

MAX_LOOK_UPS: Final = 2
"""Of the database's connections, which are everybody's, so many at a time look up strangers."""
REMEMBERED: Final = 10_000


class Strangers:
    """Who was good when last looked up, by digest; all others wait for each other."""

    def __init__(self, *, at_a_time: int = MAX_LOOK_UPS, remembered: int = REMEMBERED) -> None:
        self._turns = asyncio.Semaphore(at_a_time)
        self._remembered = remembered
        self._good: OrderedDict[str, None] = OrderedDict()

    @asynccontextmanager
    async def turn(self, digest: str, *, suspect: Callable[[], bool]) -> AsyncIterator[None]:
        """A turn to look somebody up, at once for who is known. Raises `HttpProblem` 429 for a
        stranger of an address that has failed too often when its turn comes: it is not looked up.
        """
        if digest in self._good:
            yield
            return
        async with self._turns:  # asked inside: of many that came together the first ones count
            if suspect():
                raise too_many(1.0, "failures")
            yield

    def note(self, digest: str, *, good: bool) -> None:
        """What a look-up has found."""
        self._good.pop(digest, None)
        if good:
            self._good[digest] = None
            if len(self._good) > self._remembered:
                self._good.popitem(last=False)
