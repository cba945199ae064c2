"""Many notifications at once: none lost, none doubled, none merged by the hub; and the same store
comes of it whatever is killed meanwhile.

They are fed at the topic ``death.notified``, and the children are in the local index already, as if
PDS had verified them lately: at its ration of five calls a second nothing else would be tried.
Nobody traces the others, so a child without a usable number stays without.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest

from halyard import postgres
from halyard.embedded.postgres import EmbeddedPostgres
from halyard.kafka import make_producer
from schemas.topics import DEATH_VERIFIED, registry
from tests.support import death_backfill
from tests.support.death_backfill import Backfill, Found, make_backfill
from tests.support.deaths_system import BACKFILL, STAGES, DeathsHub, MakeDeathsHub
from tests.support.journals import OnWire, on_wire
from tests.support.ncmd_canonical import canonical
from tests.support.services import DatabaseServer
from tests.support.waiting import eventually

SMALL, LARGE = 500, 10_000
SEED = 20_260_401
PRECISION, RECALL = 0.95, 0.90
HISTORY = "select count(*) as n from history"

pytestmark = pytest.mark.timeout(3_000)


@dataclass(frozen=True, slots=True)
class Undisturbed:
    """A run that nothing happened to; its processes and database are gone."""

    backfill: Backfill
    secrets: Path  # of the hub that ran
    verified: tuple[OnWire, ...]  # what identity said, partition by partition
    store: dict[str, Any]
    cases: int
    threads: int
    merged: int
    doubled: int
    histories: int
    dead: int
    voided: int
    found: Found


@pytest.fixture(scope="module", params=[SMALL, pytest.param(LARGE, marks=pytest.mark.slow)])
def undisturbed(
    request: pytest.FixtureRequest, make_deaths_hub: MakeDeathsHub
) -> Iterator[Undisturbed]:
    """A backfill through identity, cases and the store."""
    count: int = request.param
    with make_deaths_hub() as hub:
        backfill = make_backfill(count, SEED, keys=hub.keys, directory=hub.registry)
        hub.start(BACKFILL)
        death_backfill.run(hub, backfill, 60 + count / 10)
        yield Undisturbed(
            backfill=backfill,
            secrets=hub.directory / "secrets.toml",
            verified=tuple(on_wire(hub, DEATH_VERIFIED)),
            store=_store(hub),
            cases=_number(hub, "select count(*) as n from cases"),
            threads=hub.count("select count(*) from case_notifications"),
            merged=_number(hub, "select count(*) as n from cases where merged_into is not null"),
            doubled=_number(
                hub,
                "select count(*) as n from (select source, key from links"
                " where kind = 'notification' group by source, key having count(*) > 1) twice",
            ),
            histories=_number(hub, "select count(distinct case_id) as n from history"),
            dead=_dead(hub),
            voided=_number(
                hub, "select count(*) as n from tombstones where lifted_version is null"
            ),
            found=death_backfill.proposals(hub, backfill),
        )


def test_of_many_notifications_none_is_lost_doubled_or_merged(undisturbed: Undisturbed) -> None:
    """Each sender's reference is one case in the store, however often and in whatever order its
    messages came; the void ones are tombstones; nothing was merged, since no person did it.
    """
    run, count = undisturbed, len(undisturbed.backfill.threads)
    assert (run.doubled, run.merged, run.dead) == (0, 0, 0)
    assert (run.cases, run.threads, run.histories) == (count, count, count)
    assert run.voided == len(run.backfill.voided)


def test_proposals_find_what_is_one_child_and_leave_twins_apart(
    undisturbed: Undisturbed, capsys: pytest.CaptureFixture[str]
) -> None:
    """Precision and recall of what a person is shown, printed; twins only with a difference."""
    found = undisturbed.found
    with capsys.disabled():
        print(f"\n{len(undisturbed.backfill.threads)} notifications: {found}")
    assert found.twins_without_difference == 0
    assert found.precision >= PRECISION
    assert found.recall >= RECALL


def test_a_store_filled_under_kills_equals_the_undisturbed_one(
    undisturbed: Undisturbed, kafka_bootstrap: str, tmp_path: Path
) -> None:
    """SIGKILL and SIGTERM of the sink, the cases worker and PostgreSQL while the same messages
    come: the same facts, links, history and tombstones.
    """
    with _own(tmp_path, kafka_bootstrap, undisturbed.secrets) as (hub, database):
        hub.start(STAGES)
        disturbances: list[Callable[[], None]] = [
            lambda: _end(hub, "ncmd", "kill"),
            lambda: _end(hub, "cases", "stop"),
            lambda: _kill_database(database),
            lambda: _end(hub, "cases", "kill"),
            lambda: _end(hub, "ncmd", "stop"),
            lambda: _stop_database(database),
        ]
        parts = _slices(undisturbed.verified, len(disturbances) + 1)
        for part, disturb in zip(parts, [*disturbances, None], strict=True):
            before = _number(hub, HISTORY)
            asyncio.run(_again(hub, part))
            if disturb is not None:
                _wait_for_more(hub, before)
                disturb()
        seconds = 120 + len(undisturbed.verified) / 10
        hub.settle_deaths(seconds, threads=len(undisturbed.backfill.threads))
        assert _dead(hub) == 0
        assert _store(hub) == undisturbed.store


@contextlib.contextmanager
def _own(home: Path, bootstrap: str, secrets: Path) -> Iterator[tuple[DeathsHub, EmbeddedPostgres]]:
    """A hub with a PostgreSQL of its own, and the keys of the undisturbed one."""
    database = EmbeddedPostgres(home / "postgres")
    try:
        database.start()
        owned = DatabaseServer(database.admin_url, "own").create()
        postgres.migrate(owned.owner_url)
        with DeathsHub(
            home / "hub",
            bootstrap=bootstrap,
            database=owned,
            namespace=f"t{uuid.uuid4().hex[:10]}",
            keys_of=secrets,
        ) as hub:
            yield hub, database
    finally:
        database.stop()


def _slices(records: Sequence[OnWire], count: int) -> list[list[OnWire]]:
    """`count` parts, of every partition alike and each partition in its order."""
    parts: list[list[OnWire]] = [[] for _ in range(count)]
    by_partition: dict[int, list[OnWire]] = defaultdict(list)
    for one in records:
        by_partition[one.partition].append(one)
    for several in by_partition.values():
        for place, one in enumerate(several):
            parts[place * count // len(several)].append(one)
    return parts


async def _again(hub: DeathsHub, records: Sequence[OnWire]) -> None:
    """The same records, each on the partition where it was."""
    producer = make_producer(hub.settings, client_id="again", linger_ms=5)
    await producer.start()
    try:
        waiting = [
            await producer.send(
                hub.topic(one.topic),
                one.value,
                key=one.key,
                partition=one.partition,
                headers=[(name, text.encode()) for name, text in one.headers.items()],
            )
            for one in records
        ]
        await asyncio.gather(*waiting)
    finally:
        await producer.stop()


def _end(hub: DeathsHub, name: str, how: str) -> None:
    """SIGKILL or SIGTERM; `settle_deaths` would start it again too, but later."""
    getattr(hub, how)(name)
    hub.launch(name)


def _kill_database(database: EmbeddedPostgres) -> None:
    database.kill()
    database.start()


def _stop_database(database: EmbeddedPostgres) -> None:
    """SIGTERM: no new session is let in; then, since the hub's sessions stay, the fast stop."""
    os.kill(database.pid, signal.SIGTERM)
    database.stop()
    database.start()


def _wait_for_more(hub: DeathsHub, before: int) -> None:
    eventually(
        lambda: _number(hub, HISTORY) > before,
        60,
        why="the store takes more",
        ignore=(AssertionError, psycopg.OperationalError),
    )


def _dead(hub: DeathsHub) -> int:
    """Records that a stage or the store set aside."""
    letters = [topic.name for topic in registry() if topic.name.endswith(".dlq")]
    return len(on_wire(hub, *letters)) + _number(hub, "select count(*) as n from dead_letters")


def _store(hub: DeathsHub) -> dict[str, Any]:
    """The store by business key. Which of two notifications on two partitions comes first is
    settled by nobody, and with it which case is proposed to the other: a proposal counts among
    the links that stand, not in the history before.
    """
    with psycopg.connect(hub.database.ncmd_url) as connection:
        store = canonical(connection)
    for case in store.values():
        case["history"] = [
            {**said, "links": [link for link in said["links"] if link[0] != "duplicate"]}
            for said in case["history"]
            if said["rule"] != "duplicates"
        ]
    return store


def _number(hub: DeathsHub, statement: str) -> int:
    (row,) = hub.store(statement)
    return int(row["n"])
