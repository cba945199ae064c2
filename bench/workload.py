"""What is measured, phase by phase, against a running `System`; runs in a thread of its own."""

from __future__ import annotations

import asyncio
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import httpx

from bench import figures
from bench.cpu import cpu_seconds, own_seconds
from bench.echo import Echo, run_echo
from bench.figures import Left, Pace
from bench.load import Sent, as_fast_as_answered, at_rate
from bench.people import Arrival, Crowd, flag_file, flagged_of, make_crowd, message
from bench.quantiles import Latency, latency
from connectors.hl7v2.client import MllpError
from connectors.local_authority.client import HubClient
from halyard.cli import practice
from halyard.cli.system import System
from halyard.clock import system_clock
from halyard.errors import HalyardError, TransientError
from halyard.postgres import Pool, make_pool

Report = Callable[[str], None]

BROKER, DATABASE, HOP, SENDER = "Kafka", "PostgreSQL", "echo hop", "this bench"
VERIFIED = "CPR06"
FLAG_SECONDS = 120.0
DRAIN_SECONDS = 180.0
_ASK_SECONDS = 0.2
_PUT_AT_ONCE = 8


class NotMeasured(TransientError):
    """The system did not come to rest; see its logs, and measure again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    arrivals: int = 5000  # as fast as they are answered
    rates: tuple[float, ...] = (50.0, 200.0)  # arrivals a second
    seconds: float = 20.0  # at each rate
    flagged_share: float = 0.2
    children: int = 2000  # flagged; more if the phases need them
    connections: int = 8
    window: int = 32  # unanswered on one connection
    warm_up: int = 400
    idle_seconds: float = 5.0

    def phases(self) -> list[int]:
        """Arrivals of every phase, the warm-up first."""
        return [
            self.warm_up,
            self.arrivals,
            *(round(rate * self.seconds) for rate in self.rates),
        ]


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase of the hub. CPU in ms per 1,000 arrivals, from the first arrival until nothing is
    under way; `rate` None is as fast as the arrivals were answered."""

    rate: float | None
    arrivals: int
    flagged: int
    answered_per_second: float
    answer: Latency | None
    webhook: Latency | None  # from the moment an arrival is due
    to_last_webhook_seconds: float | None
    refused: int  # answered, but not AA
    missing: int  # flagged arrivals of which the authority heard nothing
    restarts: tuple[str, ...]
    cpu: Mapping[str, float]
    stages: Mapping[str, Pace]
    hops: Mapping[str, Latency | None]


@dataclass(frozen=True, slots=True)
class EchoPhase:
    """The same records through the bare echo."""

    rate: float | None
    records: int
    per_second: float  # confirmed on the first hop
    round_trips_per_second: float
    confirmed: Latency | None
    back: Latency | None
    cpu: Mapping[str, float]


@dataclass(slots=True)
class Results:
    """Everything that was measured."""

    flags: int = 0
    flag_seconds: float = 0.0
    idle: dict[str, float] = field(default_factory=dict)  # CPU ms a second
    phases: list[Phase] = field(default_factory=list)
    echoes: list[EchoPhase] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Every arrival was taken, and every flagged one told."""
        return bool(self.phases) and not any(one.refused or one.missing for one in self.phases)

    def as_dict(self) -> dict[str, object]:
        """For ``--json``."""
        return asdict(self)


class Workload:
    """Measures; afterwards `failure` or the whole of `results` is there."""

    def __init__(self, system: System, plan: Plan, *, services: Mapping[str, int], report: Report):
        self.failure: HalyardError | None = None
        self.results = Results()
        self._system = system
        self._plan = plan
        self._report = report
        self._services = services
        self._run = uuid.uuid4().hex[:6]
        self._serial = 0
        phases = plan.phases()
        needed = sum(flagged_of(count, plan.flagged_share) for count in phases)
        self._crowd: Crowd = make_crowd(max(plan.children, needed), sum(phases) - needed)

    def run(self) -> None:
        """All of it."""
        try:
            asyncio.run(self._measure())
        except (HalyardError, MllpError) as error:
            self.failure = error
        except (httpx.HTTPError, OSError, KeyError, ValueError, TypeError) as error:
            self.failure = NotMeasured(f"The measurement broke off ({type(error).__name__}).")

    async def _measure(self) -> None:
        await self._load_flags()
        deadline = time.monotonic() + FLAG_SECONDS
        pool = make_pool(self._system.running_settings(), name="bench", size=1)
        await pool.open()
        bootstrap = self._system.addresses.bootstrap_servers
        async with pool, run_echo(bootstrap) as echo:
            while await figures.flags(pool) < self.results.flags:
                if time.monotonic() > deadline:
                    raise NotMeasured("Matching does not hold every flag; see its log.")
                await asyncio.sleep(_ASK_SECONDS)
            self._report("warm-up")
            await self._hub(pool, self._plan.warm_up, self._plan.rates[-1])
            await echo.at_rate(self._plan.warm_up, self._plan.rates[-1])
            self._report(f"idle for {self._plan.idle_seconds:g} s")
            before = self._cpu(echo)
            await asyncio.sleep(self._plan.idle_seconds)
            spent = _spent(before, self._cpu(echo))
            self.results.idle = _each(spent, self._plan.idle_seconds * 1000)
            await self._pair(pool, echo, self._plan.arrivals, None)
            for rate in self._plan.rates:
                await self._pair(pool, echo, round(rate * self._plan.seconds), rate)

    async def _load_flags(self) -> None:
        children = self._crowd.children
        self._report(f"{len(children)} flagged children")
        room = asyncio.Semaphore(_PUT_AT_ONCE)
        place = httpx.URL(self._system.addresses.pds_url).copy_with(path="/sandbox/people")
        async with httpx.AsyncClient(timeout=30.0, trust_env=False) as http:

            async def put(index: int) -> None:
                async with room:
                    child = {k: v for k, v in asdict(children[index]).items() if v is not None}
                    (await http.post(place, json=child)).raise_for_status()

            await asyncio.gather(*(put(index) for index in range(len(children))))
        tokens = practice.read_tokens(self._system.data_dir / "tokens.toml")
        began = time.monotonic()
        async with HubClient(
            self._system.addresses.api_url, tokens[practice.AUTHORITY], timeout=30.0
        ) as authority:
            upload = await authority.upload(flag_file(children, system_clock().date()))
            codes = [
                answer.code
                async for answer in authority.follow_answers(
                    upload.upload_id, seconds=FLAG_SECONDS, interval=0.5
                )
            ]
        self.results.flags = len(children)
        self.results.flag_seconds = round(time.monotonic() - began, 1)
        if codes != [VERIFIED] * len(children):
            raise NotMeasured("Not every flag was verified; see the logs of identity and tracer.")

    async def _pair(self, pool: Pool, echo: Echo, count: int, rate: float | None) -> None:
        how = "as fast as answered" if rate is None else f"at {rate:g} a second"
        self._report(f"{count} arrivals {how}, then the echo")
        pids, before = self._pids(), self._cpu(echo)
        phase = await self._hub(pool, count, rate)
        spent = _spent(before, self._cpu(echo))
        del spent[HOP]
        restarts = tuple(name for name, pid in self._pids().items() if pids[name] != pid)
        self.results.phases.append(replace(phase, cpu=_each(spent, count), restarts=restarts))
        self.results.echoes.append(await self._echo(echo, count, rate))

    async def _hub(self, pool: Pool, count: int, rate: float | None) -> Phase:
        arrivals = self._crowd.take(count, self._plan.flagged_share)
        messages = self._messages(arrivals)
        since = system_clock()
        port = self._system.addresses.mllp_port
        connections = self._plan.connections
        sent: Sent
        if rate is None:
            sent = await as_fast_as_answered(
                port, messages, connections=connections, window=self._plan.window
            )
        else:
            sent = await at_rate(port, messages, rate=rate, connections=connections)
        flagged = sum(arrival.flagged for arrival in arrivals)
        await self._rest(pool, since, count - sent.refused, flagged)
        told = figures.told(self._journal(), since.timestamp())
        due = [
            (told[arrival.person.nhs_number], moment)
            for arrival, moment in zip(arrivals, sent.moments, strict=True)
            if arrival.flagged and arrival.person.nhs_number in told
        ]
        last = max((alert.at for alert, _ in due), default=None)
        return Phase(
            rate=rate,
            arrivals=count,
            flagged=flagged,
            answered_per_second=round(sent.per_second, 1),
            answer=latency(sent.answer_seconds),
            webhook=latency([alert.at - moment for alert, moment in due]),
            to_last_webhook_seconds=None if last is None else round(last - sent.began, 2),
            refused=sent.refused,
            missing=flagged - len(due),
            restarts=(),
            cpu={},
            stages=await figures.stages(pool, since),
            hops=await figures.hops(pool, since, due),
        )

    async def _echo(self, echo: Echo, count: int, rate: float | None) -> EchoPhase:
        before = self._cpu(echo)
        round_trips: list[float] = []
        if rate is None:
            sent, last = await echo.at_once(count, self._plan.connections * self._plan.window)
        else:
            sent, round_trips = await echo.at_rate(count, rate)
            last = sent.moments[-1] + round_trips[-1]
        spent = _spent(before, self._cpu(echo))
        return EchoPhase(
            rate=rate,
            records=count,
            per_second=round(sent.per_second, 1),
            round_trips_per_second=round(count / (last - sent.began), 1),
            confirmed=latency(sent.answer_seconds),
            back=latency(round_trips),
            cpu=_each({name: spent[name] for name in (HOP, BROKER, SENDER)}, count),
        )

    def _messages(self, arrivals: list[Arrival]) -> list[bytes]:
        now = datetime.now(UTC)
        first = self._serial + 1
        self._serial += len(arrivals)
        return [
            message(arrival, run=self._run, serial=serial, now=now)
            for serial, arrival in enumerate(arrivals, start=first)
        ]

    async def _rest(self, pool: Pool, since: datetime, count: int, flagged: int) -> None:
        """Wait until every arrival is decided, every alert told, and nothing is under way."""
        deadline = time.monotonic() + DRAIN_SECONDS
        before: Left | None = None
        while time.monotonic() < deadline:
            now = await figures.left(pool, since)
            done = now.decided >= count and now.alerted >= flagged
            still = not now.deliveries and not now.outbox and now == before
            if done and still:
                return
            before = now
            await asyncio.sleep(_ASK_SECONDS)
        self._report(f"not at rest after {DRAIN_SECONDS:.0f} s: {before}")

    def _journal(self) -> Path:
        return Path(os.environ["HALYARD_SANDBOX_JOURNALS"]) / "authority.jsonl"

    def _pids(self) -> dict[str, int]:
        supervisor = self._system.supervisor
        return {name: supervisor.pid(name) for name in supervisor.names()}

    def _cpu(self, echo: Echo) -> dict[str, float]:
        spent = cpu_seconds({**self._pids(), **self._services, HOP: echo.hop_pid})
        return {**spent, SENDER: own_seconds()}


def _spent(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: after[name] - before[name] for name in after}


def _each(seconds: Mapping[str, float], amount: float) -> dict[str, float]:
    """Seconds as ms for each 1,000 of `amount`."""
    return {name: round(spent / amount * 1_000_000, 1) for name, spent in seconds.items()}
