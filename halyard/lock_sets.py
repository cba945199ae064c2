"""Transactions that learn only under their locks what else they must lock.

Locks are taken in one order, so none is added to those that are held: the transaction starts again
with all of them (correctness rule 6).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from halyard.errors import TransientError
from halyard.postgres import Connection, Pool, transaction

_T = TypeVar("_T")

_ATTEMPTS: Final = 6


class LockSetGrew(TransientError):
    """What may be touched grew while locks were taken; it is taken again with more."""

    def __init__(self, names: frozenset[str] = frozenset()) -> None:
        super().__init__()
        self.names = names


async def growing(pool: Pool, decide: Callable[[Connection, frozenset[str]], Awaitable[_T]]) -> _T:
    """Run `decide` in a transaction, with no locks but those it takes itself; from the start, with
    more, while what it may touch grows. Raises `LockSetGrew` if it grows for ever.
    """
    locks: frozenset[str] = frozenset()
    for _ in range(_ATTEMPTS - 1):
        try:
            async with transaction(pool) as connection:
                return await decide(connection, locks)
        except LockSetGrew as grew:
            locks |= grew.names
    async with transaction(pool) as connection:
        return await decide(connection, locks)
