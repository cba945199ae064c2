"""The local index of a measurement: people in it as if PDS had verified them lately."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, TypeVar

from connectors.pds.outcomes import PdsRecord
from halyard.postgres import Pool, transaction
from halyard.privacy import Keys
from sandbox.pds.people import Person
from stores import identities
from streams.identity.evidence import known_person

T = TypeVar("T")
_AT_ONCE: Final = 1_000


def batched(items: Iterable[T], amount: int) -> Iterator[tuple[T, ...]]:
    """`items` in order, `amount` at a time."""
    rest = iter(items)
    while some := tuple(islice(rest, amount)):
        yield some


async def warm(pool: Pool, keys: Keys, who: Iterable[Person], now: datetime) -> None:
    """Put people into the local index."""
    for some in batched(who, _AT_ONCE):
        known = [
            known_person(
                _record(one), keys=keys, verified_at=now, keep_until=now + timedelta(days=2)
            )
            for one in some
        ]
        async with transaction(pool) as connection:
            await identities.put(connection, known)


def _record(one: Person) -> PdsRecord:
    return PdsRecord(
        nhs_number=one.nhs_number,
        family=one.family,
        given=one.given,
        birth_date=one.birth_date,
        gender=one.gender,
        postcode=one.postcode,
        restricted=False,
    )
