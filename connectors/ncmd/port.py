"""What the sink puts versions of cases into: the port, and the store behind it.

Another database, or an interface of NCMD if one is ever published, is another adapter of `Port`;
one behaviour suite (tests/integration/ncmd/test_port.py) holds for each.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from connectors.ncmd.disclosing import asked, permitted
from halyard import faults
from halyard.clock import Clock
from halyard.errors import TransientError
from halyard.postgres import Pool, transaction
from policies.decision import NOTHING
from policies.desk import Asked, packaged
from policies.model import Policies
from schemas.codec import encode
from stores import ncmd, ncmd_submissions
from stores.ncmd import Applied, Arrived, Offset


class StoreMoved(TransientError):
    """The store stands elsewhere in the log than this sink believed: another sink wrote, or the
    store was restored. The sink reads on from where the store stands."""


class NotPermitted(TransientError):
    """The sharing policy in force does not permit a version to be stored: it waits in the log, and
    what follows it, until one does. A policy that is to withhold permits, and grants less."""


@dataclass(frozen=True, slots=True)
class Dead:
    """A record that is in the dead-letter topic; `reason` holds no value."""

    partition: int
    offset: int
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction writes.

    `expected`: where the store must stand, by partition, for the batch to follow on it;
    `following`: where it stands afterwards.
    """

    expected: Mapping[int, int]
    following: Mapping[int, int]
    arrived: Sequence[Arrived] = ()
    dead: Sequence[Dead] = ()


class Port(Protocol):
    """Takes batches, each whole or not at all, and knows where it stands."""

    async def begin(self, partitions: Iterable[int], incarnation: str) -> dict[int, Offset]:
        """Where it stands in `partitions`; 0 in those that it did not know."""

    async def go_on(self, partition: int, *, expected: int, found: int, incarnation: str) -> None:
        """Stand at `found`, and keep that what stands before it was not had."""

    async def apply(self, batch: Batch) -> Applied:
        """Write `batch` and its offsets together. Raises `StoreMoved` if it does not follow on
        what is there, `NotPermitted` if a policy does not permit all of it, `ContractError` for a
        version that cannot be kept, `DatabaseUnavailable` for what passes by itself.
        """


class StorePort:
    """The PostgreSQL store; with `submit` each change is filed for the HTTP interface too."""

    def __init__(
        self,
        pool: Pool,
        *,
        topic: str,
        clock: Clock,
        submit: bool = False,
        on_filed: Callable[[], None] = lambda: None,
        policies: Policies | None = None,
    ) -> None:
        """Without `policies`, the package's own hold. Raises `ConfigurationError`."""
        self._pool = pool
        self._topic = topic
        self._clock = clock
        self._submit = submit
        self._on_filed = on_filed
        self._policies = packaged() if policies is None else policies

    async def begin(self, partitions: Iterable[int], incarnation: str) -> dict[int, Offset]:
        """As `Port`."""
        wanted = set(partitions)
        async with transaction(self._pool) as connection:
            await ncmd.begin_offsets(connection, self._topic, sorted(wanted), incarnation)
            there = await ncmd.offsets(connection, self._topic)
        return {partition: there[partition] for partition in wanted}

    async def go_on(self, partition: int, *, expected: int, found: int, incarnation: str) -> None:
        """As `Port`."""
        async with transaction(self._pool) as connection:
            await ncmd.go_on_after_gap(
                connection,
                self._topic,
                partition,
                expected=expected,
                found=found,
                incarnation=incarnation,
            )

    async def apply(self, batch: Batch) -> Applied:
        """As `Port`."""
        async with transaction(self._pool) as connection:
            there = await ncmd.lock_offsets(connection, self._topic, batch.expected)
            stands = {partition: offset.next_offset for partition, offset in there.items()}
            if stands != dict(batch.expected):
                raise StoreMoved
            now = self._clock()
            said = {
                one.event.event_id: asked(self._policies, one.event, now) for one in batch.arrived
            }
            applied = await ncmd.apply(
                connection, [_masked(one, said[one.event.event_id]) for one in batch.arrived]
            )
            for dead in batch.dead:
                await ncmd.add_dead_letter(
                    connection, self._topic, dead.partition, dead.offset, dead.reason
                )
            if self._submit:
                filed = [one for one in applied.current if said[one.event_id].permitted]
                await ncmd_submissions.file(connection, filed, now)
            await ncmd.save_offsets(connection, self._topic, batch.following)
            faults.point("ncmd.before_commit")
        faults.point("ncmd.after_commit")
        if self._submit and applied.current:
            self._on_filed()
        return applied


def _masked(one: Arrived, said: Asked) -> Arrived:
    """What the store may keep of a version: its bytes too, if something of it is withheld."""
    # where nothing that this version holds is granted, it is kept without: no version is missing
    if not said.permitted and said.ruling.rule != NOTHING:
        raise NotPermitted(
            f"The policy {said.ruling.policy or '(none)'} does not permit cases to be stored for "
            f"NCMD ({said.ruling.rule}); they wait. Mend the policy and restart this process."
        )
    told = permitted(one.event, said)
    if told is one.event:
        return one
    digest = hashlib.sha256(one.content).digest()
    return replace(one, event=told, content=encode(told), digest=digest)
