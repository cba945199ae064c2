"""Worker processes: how they end, and that nothing is lost when they do."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import urllib.request
from collections.abc import Callable

from halyard.service import EXIT_DIED, EXIT_STUCK
from tests.support.plumbing import Plumbing
from tests.support.toy_stage import DEAD_LETTERS, TARGET, output
from tests.support.waiting import eventually

START = 30.0


async def test_sigterm_under_load_loses_nothing_and_exits_zero(plumbing: Plumbing) -> None:
    """Three workers in turn are stopped while batches flow; each exits 0, and every event has one
    effect and is on the bus."""
    everything = list(range(1_500))
    await plumbing.send_events(*everything[:500])
    for turn in range(3):
        with plumbing.worker(f"toy-{turn}") as worker:
            before = len(plumbing.done())
            await asyncio.to_thread(
                eventually, lambda before=before: len(plumbing.done()) > before, START
            )
            if turn < 2:
                await plumbing.send_events(*everything[500 * (turn + 1) : 500 * (turn + 2)])
            assert await asyncio.to_thread(worker.terminate) == 0, worker.log_text()
    with plumbing.worker("toy-last"):
        await plumbing.until_committed(len(everything), 60)
    assert sorted(plumbing.done()) == everything
    assert sorted(set(await plumbing.outputs())) == everything
    assert await plumbing.records(DEAD_LETTERS) == []


async def test_a_transient_failure_for_too_long_exits_non_zero(
    make_plumbing: Callable[..., Plumbing],
) -> None:
    """The process ends with nothing committed and says why; a new one does the work."""
    plumbing = make_plumbing(transient_seconds=1)
    plumbing.switch("transient")
    await plumbing.send_events(*range(10))
    with plumbing.worker() as worker:
        assert await asyncio.to_thread(worker.wait, START) == EXIT_DIED, worker.log_text()
        assert "TransientTooLong" in worker.log_text()
    assert plumbing.committed() == 0
    plumbing.switch("transient", on=False)
    with plumbing.worker("toy-again"):
        await plumbing.until_committed(10)
    assert sorted(plumbing.done()) == list(range(10))


async def test_c21_a_batch_that_is_not_taken_ends_the_process(
    make_plumbing: Callable[..., Plumbing],
) -> None:
    """Rule 21: an agent that takes no batch is found out in take_seconds; nothing is committed."""
    plumbing = make_plumbing(take_seconds=1)
    await plumbing.send_events(*range(3))
    with plumbing.worker(TOY_DEAF="1") as worker:
        assert await asyncio.to_thread(worker.wait, START) == EXIT_DIED, worker.log_text()
        assert "did not take a batch" in worker.log_text()
    assert plumbing.committed() == 0


async def test_c21_a_batch_without_a_verdict_ends_the_process(
    make_plumbing: Callable[..., Plumbing],
) -> None:
    """Rule 21: a batch that never ends is given up after verdict_seconds; nothing is committed."""
    plumbing = make_plumbing(verdict_seconds=1)
    plumbing.switch("hang")
    await plumbing.send_events(*range(3))
    with plumbing.worker() as worker:
        assert await asyncio.to_thread(worker.wait, START) == EXIT_DIED, worker.log_text()
        assert "gave no verdict" in worker.log_text()
    assert plumbing.committed() == 0


async def test_a_loop_that_hangs_ends_the_process(make_plumbing: Callable[..., Plumbing]) -> None:
    """When the whole loop stands still no probe is answered; the process ends from a thread."""
    plumbing = make_plumbing(verdict_seconds=1, take_seconds=1)
    await plumbing.send_events(1)
    with plumbing.worker(HALYARD_FAULT="identity.before_commit:hang:1") as worker:
        assert await asyncio.to_thread(worker.wait, START) == EXIT_STUCK
    assert plumbing.committed() == 0


async def test_a_stop_never_hangs(make_plumbing: Callable[..., Plumbing]) -> None:
    """SIGTERM while the loop stands still: the process is gone in stop_seconds, non-zero."""
    plumbing = make_plumbing(stop_seconds=2, verdict_seconds=60)
    await plumbing.send_events(1)
    with plumbing.worker(HALYARD_FAULT="identity.before_commit:hang:1") as worker:
        # the event's transaction stands open when the loop stops turning
        await asyncio.to_thread(eventually, lambda: _in_transaction(plumbing), START)
        worker.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(worker.wait, 10) == EXIT_STUCK


async def test_killed_between_commit_and_produce_loses_nothing(plumbing: Plumbing) -> None:
    """SIGKILL after the commit: the outbox holds what the bus lacks, and the next worker's sweeper
    sends it, with the id and bytes of the row."""
    await plumbing.send_events(*range(6))
    with plumbing.worker(HALYARD_FAULT="identity.after_commit:kill:1") as worker:
        assert await asyncio.to_thread(worker.wait, START) == -signal.SIGKILL
    rows = plumbing.query("select event_id, value from outbox where published_at is null")
    assert rows
    assert await plumbing.records(TARGET) == []
    with plumbing.worker("toy-again"):
        await plumbing.until_committed(6)
        await asyncio.to_thread(eventually, lambda: _published(plumbing), 20)
    sent = {json.loads(r.value)["id"]: r.value for r in await plumbing.records(TARGET)}
    assert {str(row[0]): row[1] for row in rows}.items() <= sent.items()
    assert sorted(await plumbing.outputs()) == list(range(6)), "each once: nothing was sent before"
    assert sorted(plumbing.done()) == list(range(6))


async def test_killed_between_produce_and_commit_of_offsets_repeats_nothing_new(
    plumbing: Plumbing,
) -> None:
    """SIGKILL before the offsets are committed: the next worker takes the batch again, finds it in
    the inbox, and nothing has a second effect."""
    await plumbing.send_events(*range(6))
    with plumbing.worker(HALYARD_FAULT="channel.before_commit_offsets:kill:1") as worker:
        assert await asyncio.to_thread(worker.wait, START) == -signal.SIGKILL
    assert plumbing.committed() == 0
    with plumbing.worker("toy-again"):
        await plumbing.until_committed(6)
    assert sorted(plumbing.done()) == list(range(6))
    assert sorted(await plumbing.outputs()) == list(range(6))


async def test_killed_between_produce_and_mark_repeats_the_same_bytes(plumbing: Plumbing) -> None:
    """What was sent but not marked is sent again: the repeat carries the same id and bytes."""
    await plumbing.send_events(*range(6))
    with plumbing.worker(HALYARD_FAULT="identity.after_commit:kill:1") as worker:
        assert await asyncio.to_thread(worker.wait, START) == -signal.SIGKILL
    numbers = [row[0] for row in plumbing.query("select number from toy_done")]
    # the records reach the bus, their mark does not
    await plumbing.send([output(number, f"key-{number % 7}") for number in numbers])
    with plumbing.worker("toy-again"):
        await plumbing.until_committed(6)
        await asyncio.to_thread(eventually, lambda: _published(plumbing), 20)
    seen: dict[str, set[bytes]] = {}
    repeats = 0
    for record in await plumbing.records(TARGET):
        bodies = seen.setdefault(json.loads(record.value)["id"], set())
        repeats += bool(bodies)
        bodies.add(record.value)
    assert repeats == len(numbers)
    assert len(seen) == 6
    assert all(len(bodies) == 1 for bodies in seen.values())


async def test_health_tells_of_readiness_and_metrics(plumbing: Plumbing) -> None:
    """/livez and /readyz pass while it works; /metrics shows the stage's counters."""
    await plumbing.send_events(*range(3))
    with plumbing.worker() as worker:
        await plumbing.until_committed(3)
        found = re.search(r'"health_port": (\d+)', worker.log_text())
        assert found
        for path in ("livez", "readyz"):
            status, body = await asyncio.to_thread(_get, int(found[1]), path)
            assert (status, json.loads(body)["status"]) == (200, "pass")
        _, body = await asyncio.to_thread(_get, int(found[1]), "metrics")
        assert 'halyard_stage_batches_total{stage="toy",verdict="done"}' in body
        assert await asyncio.to_thread(worker.terminate) == 0


async def test_a_missing_topic_is_named(plumbing: Plumbing) -> None:
    """A worker whose topics are missing names the command that makes them; it exits with 78."""
    with plumbing.worker(HALYARD_KAFKA__NAMESPACE="nothing-here") as worker:
        assert await asyncio.to_thread(worker.wait, START) == 78
        assert "halyard topics apply" in worker.log_text()


def _get(port: int, path: str) -> tuple[int, str]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=5) as answer:
        return answer.status, answer.read().decode()


def _in_transaction(plumbing: Plumbing) -> bool:
    return bool(
        plumbing.query(
            "select 1 from pg_stat_activity where datname = current_database() "
            "and state = 'idle in transaction' and application_name = 'halyard-toy' "
            "and state_change < clock_timestamp() - interval '1 second'"
        )
    )


def _published(plumbing: Plumbing) -> bool:
    return plumbing.query("select count(*) from outbox where published_at is null") == [(0,)]
