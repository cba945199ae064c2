"""``python -m bench.flag_lookup``: look-ups of flags, beside a bare route and plain reads.

The whole system is started and holds 150,000 plans. Each look-up is authenticated (access tokens
of the practice issuer), decided by the sharing policies, and on record, with its entry in the audit
chain, before it is answered. In the same run and with as many connections: a bare FastAPI route
that parses the same body, the same behind the hub's edge, the same with one row committed, and
single reads of a plan from PostgreSQL. Then numbers that are flagged, restricted and unknown are
looked up in turn, the known ones with a history of looks and visits: the answers must take the same
time. Prints tables and whether the goals are met, and writes them to docs/performance.md. Exits 0
if every answer was right and is on record.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import date, timedelta
from functools import partial
from itertools import cycle, islice
from statistics import median
from typing import Any, Final

import httpx
import orjson
import psycopg

from bench import command
from bench.bare_route import PATH, Bare, run_bare
from bench.cpu import cpu_seconds, own_seconds
from bench.flag_lookup_report import BEGIN, END, render
from bench.wire import Taken, in_turn, post, side_by_side
from bench.workload import BROKER, DATABASE, SENDER
from halyard.cli import practice
from halyard.cli.system import System
from halyard.clock import system_clock
from halyard.errors import HalyardError, TransientError
from halyard.ids import derive
from halyard.postgres import Pool, load_queries, make_pool, one, transaction
from halyard.privacy import Keys, load_keys
from sandbox.issuer.client import person_token
from sandbox.pds.people import generate
from stores import uploads
from stores.uploads import Line

PEOPLE: Final = ("p-1001", "p-1002", "p-1101")
"""Who asks: a clinician and a nurse of one hospital, a clinician of another."""
KINDS: Final = ("unknown", "restricted", "restricted plan", "flagged")
"""Numbers looked up in turn: nobody knows it; a restricted person's, without and with a plan; a
plan's."""
ROUNDS: Final = 3
HISTORY: Final = 1_000
"""Numbers of a kind that are looked up in turn, each with eighty earlier looks and 25 visits."""
_CHUNK: Final = 25_000
_SQL = load_queries("bench", "flag_lookup.sql")

SIZES: tuple[command.Size, ...] = (
    ("flags", int, "plans that are held"),
    ("looks", int, "look-ups as fast as they are answered, in three rounds"),
    ("connections", int, "connections with a look-up under way at a time"),
    ("turns", int, "look-ups of each kind of number, one after another"),
)


class NotMeasured(TransientError):
    """The system did not answer every look-up; see its logs, and measure again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    flags: int = 150_000
    looks: int = 12_000
    connections: int = 32
    turns: int = 5_000


@dataclass(slots=True)
class Load:
    """As fast as it is answered. CPU in ms for 1,000."""

    answered: int
    per_second: float
    p50: float  # milliseconds
    p99: float
    cpu: dict[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class Results:
    """Everything that was measured."""

    flags: int = 0
    bare: Load | None = None
    guarded: Load | None = None
    recorded: Load | None = None
    silent: Load | None = None
    unscheduled: Load | None = None
    reads: Load | None = None
    medians: dict[str, float] = field(default_factory=dict)  # by kind, in milliseconds
    turns: int = 0
    looks: int = 0  # that were asked
    kept: int = 0  # that stand in the table
    audited: int = 0  # that have an entry in the audit chain

    @property
    def whole(self) -> bool:
        """Every look is on record."""
        return 0 < self.looks == self.kept == self.audited


@dataclass(frozen=True, slots=True)
class Numbers:
    """NHS numbers by what is held under them; no two lists share one."""

    flagged: Sequence[str]
    by_kind: dict[str, Sequence[str]]


class Workload:
    """Measures; afterwards `failure` or the whole of `results` is there."""

    def __init__(self, system: System, plan: Plan, report: command.Report) -> None:
        self.failure: HalyardError | None = None
        self.results = Results(turns=plan.turns)
        self._system, self._plan, self._report = system, plan, report
        self._url = system.addresses.api_url
        self._tokens: Sequence[str] = ()
        self._chance = random.Random(1)

    def run(self) -> None:
        """All of it."""
        try:
            asyncio.run(self._measure())
        except HalyardError as error:
            self.failure = error
        except (httpx.HTTPError, OSError, KeyError, ValueError, TypeError) as error:
            self.failure = NotMeasured(f"The measurement broke off ({type(error).__name__}).")

    async def _measure(self) -> None:
        plan = self._plan
        keys = load_keys(self._system.data_dir / "secrets.toml")
        pool = make_pool(self._system.running_settings(), name="bench", size=plan.connections)
        await pool.open()
        hub = self._system.environment
        async with (
            pool,
            run_bare() as bare,
            run_bare("guarded", hub) as guarded,
            run_bare("recorded", hub) as recorded,
        ):
            numbers = _numbers(plan)
            self._report(f"{plan.flags:,} plans are put in place")
            await _fill(pool, keys, numbers)
            await self._prepare()
            since = system_clock()
            await self._log_in()
            rungs = {"bare": bare, "guarded": guarded, "recorded": recorded}
            await self._loads(pool, keys, rungs, numbers)
            await self._log_in()
            await self._in_turn(numbers)
            async with transaction(pool) as connection:
                cursor = await connection.execute(_SQL["amounts"], {"since": since})
                row = one(await cursor.fetchone())
            results = self.results
            results.flags = row["flags"]
            results.kept, results.audited = row["looks"], row["entries"]

    async def _log_in(self) -> None:
        async with httpx.AsyncClient(timeout=20.0, trust_env=False) as http:
            issuer = self._system.addresses.issuer_url
            self._tokens = [await person_token(http, issuer, person) for person in PEOPLE]

    async def _prepare(self) -> None:
        owner = self._system.environment["HALYARD_DATABASE__OWNER_URL"]
        async with await psycopg.AsyncConnection.connect(owner, autocommit=True) as connection:
            await connection.execute(_SQL["make_rows"])
            await connection.execute(
                "vacuum analyze halyard.flags, halyard.identities, halyard.accesses, halyard.visits"
            )

    # --- as fast as they are answered --------------------------------------------------------

    async def _loads(
        self, pool: Pool, keys: Keys, rungs: Mapping[str, Bare], numbers: Numbers
    ) -> None:
        plan, results = self._plan, self.results
        count = max(plan.looks // ROUNDS, 1)
        chosen = self._chance.choices(numbers.flagged, k=count)

        async def at_rung(rung: Bare) -> Taken:
            requests = self._requests(rung.url, chosen)
            return await side_by_side(rung.url, requests, plan.connections, _flagged)

        async def at_hub(*, unscheduled: bool = False) -> Taken:
            results.looks += len(chosen)
            requests = self._requests(self._url, chosen, unscheduled=unscheduled)
            return await side_by_side(self._url, requests, plan.connections, _flagged)

        async def at_store() -> Taken:
            return await _reads(pool, [keys.person(one) for one in chosen], plan.connections)

        self._report("warm-up")
        for rung in rungs.values():
            await at_rung(rung)
        await at_hub()
        await at_store()
        whole: dict[str, Taken] = {}
        spent: dict[str, dict[str, float]] = {}
        parts: dict[str, Callable[[], Awaitable[Taken]]] = {
            **{name: partial(at_rung, rung) for name, rung in rungs.items()},
            "silent": at_hub,
            "reads": at_store,
            "unscheduled": lambda: at_hub(unscheduled=True),
        }
        for round_ in range(ROUNDS):
            for name, part in parts.items():
                self._report(f"round {round_ + 1} of {ROUNDS}: {name}")
                chosen = self._chance.choices(numbers.flagged, k=count)
                await self._quiet(pool)
                before = self._cpu(rungs)
                whole.setdefault(name, Taken()).add(await part())
                after = self._cpu(rungs)
                sums = spent.setdefault(name, dict.fromkeys(after, 0.0))
                for process, seconds in after.items():
                    sums[process] += seconds - before[process]
        for name, taken in whole.items():
            setattr(results, name, _load(taken, spent[name]))

    async def _quiet(self, pool: Pool) -> None:
        """Wait until nothing follows from the looks before: events, notices, webhooks."""
        deadline = time.monotonic() + 120.0
        while time.monotonic() < deadline:
            async with transaction(pool) as connection:
                cursor = await connection.execute(_SQL["under_way"])
                if one(await cursor.fetchone())["amount"] == 0:
                    await asyncio.sleep(0.5)  # what was sealed or answered last
                    return
            await asyncio.sleep(0.2)
        raise NotMeasured("What follows from look-ups did not come to an end; see the logs.")

    def _requests(
        self, url: str, numbers: Sequence[str], *, unscheduled: bool = False
    ) -> Iterator[bytes]:
        for number, token in zip(numbers, cycle(self._tokens), strict=False):
            yield _request(url, number, token, unscheduled=unscheduled)

    # --- in turn -----------------------------------------------------------------------------

    async def _in_turn(self, numbers: Numbers) -> None:
        self._report(f"{self._plan.turns:,} numbers of each kind, in turn")

        def turns(count: int) -> Iterator[Sequence[tuple[str, bytes]]]:
            sources = {kind: cycle(some) for kind, some in numbers.by_kind.items()}
            tokens = cycle(self._tokens)
            for _ in range(count):
                token = next(tokens)
                turn = [
                    (kind, _request(self._url, next(source), token))
                    for kind, source in sources.items()
                ]
                self._chance.shuffle(turn)
                yield turn

        for count in (min(self._plan.turns, 200), self._plan.turns):  # the first to warm up
            taken = await in_turn(self._url, turns(count), _as_it_must)
            self.results.looks += count * len(numbers.by_kind)
        self.results.medians = {
            kind: round(median(seconds) * 1000, 4) for kind, seconds in sorted(taken.items())
        }

    def _cpu(self, rungs: Mapping[str, Bare]) -> dict[str, float]:
        supervisor = self._system.supervisor
        watched = {
            "serve": supervisor.pid("serve"),
            "sealer": supervisor.pid("sealer"),
            **{f"{name} route": rung.pid for name, rung in rungs.items()},
            DATABASE: self._system.service_pid("postgres"),
            BROKER: self._system.service_pid("kafka"),
        }
        others = {name: supervisor.pid(name) for name in supervisor.names() if name not in watched}
        spent = cpu_seconds({**watched, **others})
        rest = sum(spent.pop(name) for name in others)
        return {**spent, "the hub's other processes": rest, SENDER: own_seconds()}


def _request(url: str, number: str, token: str, *, unscheduled: bool = False) -> bytes:
    body = {"nhs_number": number, "purpose": "urgent-care", "unscheduled": unscheduled}
    return post(url, PATH, body, token)


def _flagged(body: bytes) -> bool:
    return body.startswith(b'{"answer":"flagged"')


def _as_it_must(kind: str, body: bytes) -> bool:
    """Whether that is the answer for such a number."""
    answer: dict[str, Any] = orjson.loads(body)
    if kind in ("unknown", "restricted"):
        return bool(answer["answer"] == "none-held")
    (plan,) = answer["flags"]
    return bool(plan["restricted"]) is (kind == "restricted plan")


async def _reads(pool: Pool, persons: Sequence[str], connections: int) -> Taken:
    left, taken = iter(persons), Taken()

    async def reader() -> None:
        async with pool.connection() as connection:
            for person in left:
                began = time.perf_counter()
                await (await connection.execute(_SQL["point"], {"person": person})).fetchall()
                taken.seconds.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(reader() for _ in range(connections)))
    taken.whole = time.perf_counter() - began
    return taken


def _load(taken: Taken, cpu: dict[str, float]) -> Load:
    ordered, count = sorted(taken.seconds), len(taken.seconds)
    return Load(
        answered=count,
        per_second=taken.per_second,
        p50=round(ordered[(count - 1) // 2] * 1000, 3),
        p99=round(ordered[max(-(-count * 99 // 100) - 1, 0)] * 1000, 3),
        cpu={name: round(seconds / count * 1e6, 1) for name, seconds in cpu.items()},
    )


def _numbers(plan: Plan) -> Numbers:
    each = max(min(plan.turns, plan.flags // 10, HISTORY), 1)
    made = (person.nhs_number for person in generate(plan.flags + 2 * each))
    flagged = list(islice(made, plan.flags - each))  # the others' plans are restricted
    by_kind: dict[str, Sequence[str]] = {kind: list(islice(made, each)) for kind in KINDS[:-1]}
    by_kind["flagged"] = flagged[:each]
    return Numbers(flagged, by_kind)


async def _fill(pool: Pool, keys: Keys, numbers: Numbers) -> None:
    now = system_clock()
    groups = (
        (numbers.flagged, True, False),
        (numbers.by_kind["restricted plan"], True, True),
        (numbers.by_kind["restricted"], False, True),
    )
    for some, planned, restricted in groups:
        for start in range(0, len(some), _CHUNK):
            chunk = some[start : start + _CHUNK]
            values = {
                "persons": [keys.person(one) for one in chunk],
                "numbers": list(chunk),
                "now": now,
                "restricted": restricted,
                "flagged": planned,
                "authority": practice.AUTHORITY,
                "start": date(now.year - 1, 1, 1),
            }
            async with transaction(pool) as connection:
                await connection.execute(_SQL["add_people"], values)
                if planned:
                    await connection.execute(_SQL["add_flags"], values)
    known = [keys.person(one) for kind in KINDS[1:] for one in numbers.by_kind[kind]]
    history = {"persons": known, "now": now, "hospital": practice.SECOND_HOSPITAL}
    async with transaction(pool) as connection:
        await connection.execute("set local statement_timeout = '5min'")
        await connection.execute(_SQL["add_looks"], history)
        await connection.execute(_SQL["add_visits"], history)
    # a file came an hour ago: that nothing is held may be believed
    upload, at = derive("upload", "bench"), now - timedelta(hours=1)
    line = Line(upload, 1, derive("line", "bench"), practice.AUTHORITY, 1, at)
    async with transaction(pool) as connection:
        await uploads.register(connection, [line], [])


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; gives the exit code."""
    chosen = command.options("bench.flag_lookup", __doc__, arguments, sizes=SIZES, defaults=Plan())
    plan = Plan(**{one.name: getattr(chosen, one.name) for one in fields(Plan)})
    where, say = command.setting(chosen), command.reporter(chosen)
    with command.place(chosen) as place:
        workload = command.beside_system(place, say, lambda system: Workload(system, plan, say))
    if workload.failure is not None:
        return command.failed(workload.failure)
    return command.finish(
        chosen,
        where,
        render(workload.results, where),
        {"plan": asdict(plan), **asdict(workload.results)},
        markers=(BEGIN, END),
        whole=workload.results.whole,
    )


if __name__ == "__main__":
    command.run(main)
