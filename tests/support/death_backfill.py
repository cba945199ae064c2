"""Many generated notifications, put on the bus at once, and what must have become of them.

They are produced to the topic, as the FHIR connector would have: the way through HTTP is not what
is tried here. Corrections (a second version) and voids (a third) come with them; everything is
shuffled, and some of it comes twice.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from connectors.pds.outcomes import PdsRecord
from halyard.clock import system_clock
from halyard.kafka import Record, make_producer, produce
from halyard.postgres import make_pool, transaction
from halyard.privacy import Keys
from sandbox.deaths import bundles
from sandbox.deaths.feeding import by_source, notified, record
from sandbox.deaths.population import Labelled, Population, Sender, generate
from sandbox.pds.people import Person
from stores import identities
from stores.directory import Directory
from streams.identity.evidence import known_person
from tests.support.deaths_system import SECOND_HOSPITAL, SURGERY, DeathsHub
from tests.support.hub_files import HOSPITAL, NORTH, SOUTH

SENDING = (
    Sender("rz9-fhir", HOSPITAL),
    Sender("rz8-fhir", SECOND_HOSPITAL),
    Sender("y00001-fhir", SURGERY, hospital=False),
    Sender(f"{NORTH.lower()}-fhir", NORTH, hospital=False),
)
CORRECTED = 0.10
VOIDED = 0.04
REPEATED = 0.20

Thread = tuple[str, str]
"""Source and pseudonym of the reference: a notification, whatever its version."""


@dataclass(frozen=True, slots=True)
class Backfill:
    """What is sent. `records` stand in the order in which they are produced."""

    population: Population
    threads: Mapping[Thread, Labelled]
    corrected: frozenset[Thread]
    voided: frozenset[Thread]
    records: tuple[Record, ...]

    def pairs(self) -> set[frozenset[Thread]]:
        """Two notifications of one child each: what a person should be shown."""
        by_child: dict[int, list[Thread]] = defaultdict(list)
        for thread, told in self.threads.items():
            by_child[told.child].append(thread)
        return {
            frozenset(pair)
            for several in by_child.values()
            for pair in itertools.combinations(several, 2)
        }


def make_backfill(count: int, seed: int, *, keys: Keys, directory: Directory) -> Backfill:
    """`count` notifications with 8 % duplicates, 5 % twins, 10 % without a number; one in ten is
    corrected later, and some of those that are a child's only one are voided.
    """
    chance = random.Random(seed)
    population = generate(count, seed, senders=SENDING, areas=(NORTH, SOUTH))
    several = {one.child for one in population.notifications if one.duplicate}
    threads: dict[Thread, Labelled] = {}
    corrected: set[Thread] = set()
    voided: set[Thread] = set()
    made: list[Record] = []
    feeds = by_source(directory.feeds)
    for told in population.notifications:
        messages = [told.message()]
        alone = told.child not in several and told.twin_of is None
        correct, void = chance.random() < CORRECTED, alone and chance.random() < VOIDED
        if correct:
            messages.append(_correction(told))
        if void:
            messages.append(
                bundles.void(
                    reference=told.reference,
                    version=3,
                    reason="not-a-death",
                    at=told.received_at + timedelta(days=2),
                )
            )
        for number, message in enumerate(messages):
            event = notified(
                message,
                feed=feeds[told.source],
                keys=keys,
                received_at=told.received_at + timedelta(days=number),
            )
            made.append(record(event))
        thread = (told.source, event.source_patient)
        threads[thread] = told
        corrected |= {thread} if correct else set()
        voided |= {thread} if void else set()
    again = [one for one in made if chance.random() < REPEATED]
    everything = [*made, *again]
    chance.shuffle(everything)
    return Backfill(population, threads, frozenset(corrected), frozenset(voided), tuple(everything))


def _correction(told: Labelled) -> bundles.Json:
    return bundles.update(
        reference=told.reference,
        version=2,
        child=told.patient,
        answers={**told.answers, "death.circumstances": f"Corrected {told.reference}"},
        rows=told.rows,
        at=told.received_at + timedelta(days=1),
    )


async def feed(hub: DeathsHub, records: Sequence[Record]) -> None:
    """Put them on the bus, each confirmed."""
    producer = make_producer(hub.settings, client_id="backfill", linger_ms=5)
    await producer.start()
    try:
        for start in range(0, len(records), 500):
            sent = await produce(producer, hub.settings, records[start : start + 500])
            assert not any(isinstance(one, Exception) for one in sent)
    finally:
        await producer.stop()


async def introduce(hub: DeathsHub, people: Iterable[Person]) -> None:
    """Put people into the local index, as if PDS had verified them lately: its ration of five
    calls a second would be all that is measured.
    """
    now = system_clock()
    known = [
        known_person(
            PdsRecord(
                nhs_number=one.nhs_number,
                family=one.family,
                given=one.given,
                birth_date=one.birth_date,
                gender=one.gender,
                postcode=one.postcode,
                restricted=False,
            ),
            keys=hub.keys,
            verified_at=now,
            keep_until=now + timedelta(days=2),
        )
        for one in people
    ]
    async with make_pool(hub.settings, name="backfill", size=1) as pool:
        for start in range(0, len(known), 1000):
            async with transaction(pool) as connection:
                await identities.put(connection, known[start : start + 1000])


@dataclass(frozen=True, slots=True)
class Found:
    """How the proposals compare with the truth."""

    proposed: int
    right: int
    pairs: int
    twins: int  # proposals of two children who are twins
    twins_without_difference: int

    @property
    def precision(self) -> float:
        """Of the proposals, those that are of one child."""
        return self.right / self.proposed if self.proposed else 1.0

    @property
    def recall(self) -> float:
        """Of the pairs that are of one child, those that were proposed."""
        return self.right / self.pairs if self.pairs else 1.0

    def __str__(self) -> str:
        return (
            f"{self.proposed} proposals for {self.pairs} pairs of notifications of one child: "
            f"precision {self.precision:.3f}, recall {self.recall:.3f}; {self.twins} are of twins"
        )


def proposals(hub: DeathsHub, backfill: Backfill) -> Found:
    """What was proposed to people, against the truth."""
    thread_of = cases(hub)
    wanted = backfill.pairs()
    right = twins = bare = 0
    rows = hub.query("select one, other, differences from case_proposals where state = 'proposed'")
    for row in rows:
        pair = frozenset((thread_of[row["one"]], thread_of[row["other"]]))
        right += pair in wanted
        one, other = (backfill.threads[thread] for thread in pair)
        if one.child != other.child and one.twin_of is not None and _twins(one, other, backfill):
            twins += 1
            bare += not row["differences"]
    return Found(len(rows), right, len(wanted), twins, bare)


def _twins(one: Labelled, other: Labelled, backfill: Backfill) -> bool:
    return one.twin_of == other.child or other.twin_of == one.child


def cases(hub: DeathsHub) -> dict[uuid.UUID, Thread]:
    """The notification that opened each case."""
    rows = hub.query("select case_id, source, source_patient from case_notifications")
    return {row["case_id"]: (row["source"], row["source_patient"]) for row in rows}


def run(hub: DeathsHub, backfill: Backfill, seconds: float) -> None:
    """Everything through identity, cases and the store, undisturbed."""
    asyncio.run(introduce(hub, backfill.population.people()))
    asyncio.run(feed(hub, backfill.records))
    hub.settle_deaths(seconds, threads=len(backfill.threads))
