"""``python -m bench.floods``: a good sender beside a flood, on one MLLP connector.

The same sender at the same rate: quiet, under slow, idle and garbage connections, quiet again.
Prints its latencies and the connector's memory, and writes them to docs/performance.md. Exits 0 if
every good message was accepted, whatever the figures; 1 else.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from bench import command, report
from bench.cpu import cpu_seconds
from bench.flood import ADDRESSES
from bench.load import Sent, at_rate
from bench.quantiles import Latency, latency
from halyard import kafka_admin
from halyard.embedded.datadir import free_ports, write_private
from halyard.embedded.kafka import EmbeddedKafka
from halyard.embedded.process import tied
from halyard.errors import ConfigurationError
from halyard.kafka_admin import TopicSpec
from schemas.topics import ATTENDANCE_REPORTED, MESSAGE_REJECTED

BEGIN, END = "<!-- bench.floods: begin -->", "<!-- bench.floods: end -->"
SIZES: tuple[command.Size, ...] = (
    ("slow", int, "connections that send a byte now and then"),
    ("idle", int, "connections that send nothing"),
    ("garbage", int, "connections that send rubbish"),
    ("rate", float, "good messages a second"),
    ("connections", int, "connections of the good sender"),
    ("seconds", float, "length of each phase"),
)
_FACILITY = "RTEST"
_MESSAGE = (
    "MSH|^~\\&|EDIS|RTEST|ROUTE|ROUTE|20260314214233||ADT^A04^ADT_A01|{serial}|P|2.4|||||GBR"
    "|UNICODE|EN||ITKv1.0\r"
    "EVN||20260314214230|||CLERK01^JONES^ANN|20260314214105\r"
    "PID|1||9990000018^^^NHS~{serial}^^^RTEST||TESTCHILD^ROBIN^^^^^L||20190602|1|||"
    "1 TEST STREET^^YORK^^YO1 1AA^GBR^H|||||||||||||||||||||NSTS01\r"
    "PV1|1|E|ED^PAEDS^BAY1^RTES5|21||||||180||||19|||||V{serial}^^^VISITID"
    "|||||||||||||||||||||||||20260314214105\r"
    "PV2|||^Fall at home|||||||||||||||||||||||||||||||||||Ambulance\r"
)
_SAMPLE_SECONDS = 0.5
_START_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Sizes."""

    slow: int = 100
    idle: int = 100
    garbage: int = 100
    rate: float = 50.0  # good messages a second
    connections: int = 4
    seconds: float = 35.0  # of each phase: longer than the read time-out


@dataclass(slots=True)
class Phase:
    """One stretch of good messages. Memory in MiB, CPU in ms a second."""

    name: str
    sent: int
    refused: int
    answers: Latency | None
    rss_highest: float
    rss_last: float
    cpu: float
    connections: int  # open at the listener, at the end of the phase


@dataclass(slots=True)
class Results:
    """What was measured."""

    phases: list[Phase] = field(default_factory=list)
    flood: dict[str, int] = field(default_factory=dict)
    ended: dict[str, int] = field(default_factory=dict)
    """Connections that the listener refused or ended, by reason."""

    @property
    def whole(self) -> bool:
        """Whether every good message was accepted."""
        return all(one.sent and not one.refused for one in self.phases)


class Memory(threading.Thread):
    """Resident memory of a process over time."""

    def __init__(self, pid: int) -> None:
        super().__init__(name="memory", daemon=True)
        self._status = Path(f"/proc/{pid}/status")
        self._stopped = threading.Event()
        self.samples: list[float] = []

    def run(self) -> None:
        """Sample until told to stop."""
        while not self._stopped.wait(_SAMPLE_SECONDS):
            self.samples.append(self.now())

    def now(self) -> float:
        """MiB."""
        for entry in self._status.read_text().splitlines():
            if entry.startswith("VmRSS"):
                return int(entry.split()[1]) / 1024
        return 0.0

    def stop(self) -> None:
        """No more samples."""
        self._stopped.set()
        self.join()


class Connector:
    """`halyard connector hl7v2` with default limits, in front of `bootstrap`."""

    def __init__(self, bootstrap: str, folder: Path) -> None:
        self.port, self._health = free_ports(2)
        namespace = f"floods{secrets.token_hex(4)}"
        kafka_admin.apply(
            bootstrap,
            [
                TopicSpec(f"{namespace}.{name}", 4, 1, {"max.message.bytes": "1500000"})
                for name in (ATTENDANCE_REPORTED, MESSAGE_REJECTED)
            ],
        )
        keys = folder / "secrets.toml"
        write_private(
            keys, f'bus_key = "{secrets.token_hex(32)}"\nstore_key = "{secrets.token_hex(32)}"\n'
        )
        directory = folder / "directory.toml"
        directory.write_text(
            f'[[hospital]]\nods = "{_FACILITY}"\nname = "Test Hospital"\n'
            f'[[feed]]\nsource = "rtest-ed"\norganisation = "{_FACILITY}"\n'
            f'facility = "{_FACILITY}"\npeers = ["127.0.0.1/32"]\n'
        )
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("HALYARD_")}
        with (folder / "connector.log").open("ab") as log:
            self.process = subprocess.Popen(
                tied((str(Path(sys.executable).with_name("halyard")), "connector", "hl7v2"),
                     signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={
                    **inherited,
                    "HALYARD_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
                    "HALYARD_KAFKA__NAMESPACE": namespace,
                    "HALYARD_SECURITY__SECRETS_FILE": str(keys),
                    "HALYARD_DIRECTORY_FILE": str(directory),
                    "HALYARD_HL7V2__PORT": str(self.port),
                    "HALYARD_HTTP__HEALTH_PORT": str(self._health),
                },
            )  # fmt: skip

    def wait_ready(self) -> None:
        """Until /readyz says so. Raises `ConfigurationError` if it does not come to that."""
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/readyz", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise ConfigurationError("The connector did not become ready; see connector.log.")

    def metric(self, name: str) -> dict[str, int]:
        """Values of a metric by its labels, as /metrics writes them."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self._health}/metrics", timeout=5) as page:
            text = page.read().decode()
        found = {}
        for entry in text.splitlines():
            head, _, value = entry.rpartition(" ")
            if head == name or head.startswith(name + "{"):
                found[head[len(name):].strip("{}")] = int(float(value))  # fmt: skip
        return found

    def stop(self) -> None:
        """SIGTERM, and wait."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def flooding(port: int, plan: Plan, results: Results) -> Iterator[None]:
    """The flood beside what is done meanwhile."""
    program = (sys.executable, "-m", "bench.flood")
    counts = [str(one) for one in (port, plan.slow, plan.idle, plan.garbage)]
    flood: subprocess.Popen[str] = subprocess.Popen(
        tied((*program, *counts), signal.SIGKILL),
        cwd=command.REPOSITORY,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert flood.stdout is not None
    flood.stdout.readline()
    try:
        yield
    finally:
        flood.terminate()
        said, _ = flood.communicate(timeout=30)
        results.flood = json.loads(said or "{}")


def measure(plan: Plan, bootstrap: str, folder: Path, say: Callable[[str], None]) -> Results:
    """Quiet, flooded, quiet again."""
    results = Results()
    connector = Connector(bootstrap, folder)
    try:
        connector.wait_ready()
        asyncio.run(_good(connector, plan, "W", min(2.0, plan.seconds)))  # warm
        say(f"quiet, {plan.seconds:g} s")
        results.phases.append(_phase(connector, plan, "quiet"))
        with flooding(connector.port, plan, results):
            time.sleep(min(3.0, plan.seconds))  # it comes up
            say(f"flooded, {plan.seconds:g} s")
            results.phases.append(_phase(connector, plan, "flooded"))
        time.sleep(min(2.0, plan.seconds))
        say(f"quiet again, {plan.seconds:g} s")
        results.phases.append(_phase(connector, plan, "quiet again"))
        results.ended = {
            name.split('"')[1]: count
            for name, count in connector.metric("halyard_hl7v2_connections_ended_total").items()
        }
    finally:
        connector.stop()
    return results


async def _good(connector: Connector, plan: Plan, name: str, seconds: float) -> Sent:
    count = max(1, round(plan.rate * seconds))
    messages = [_MESSAGE.format(serial=f"{name}{number}").encode() for number in range(count)]
    return await at_rate(connector.port, messages, rate=plan.rate, connections=plan.connections)


def _phase(connector: Connector, plan: Plan, name: str) -> Phase:
    memory = Memory(connector.process.pid)
    memory.start()
    before, began = cpu_seconds({"it": connector.process.pid})["it"], time.monotonic()
    sent = asyncio.run(_good(connector, plan, name[0].upper() + name[-1], plan.seconds))
    took = time.monotonic() - began
    spent = cpu_seconds({"it": connector.process.pid})["it"] - before
    memory.stop()
    samples = memory.samples or [memory.now()]
    return Phase(
        name=name,
        sent=len(sent.answer_seconds),
        refused=sent.refused,
        answers=latency(sent.answer_seconds),
        rss_highest=max(samples),
        rss_last=samples[-1],
        cpu=spent / took * 1000,
        connections=next(iter(connector.metric("halyard_hl7v2_connections").values()), 0),
    )


def render(plan: Plan, results: Results, where: report.Setting) -> str:
    """The figures as Markdown."""
    rows = [
        [
            one.name,
            f"{one.sent:,}",
            "–" if one.answers is None else f"{one.answers.p50:,.1f} / {one.answers.p99:,.1f}",
            "–" if one.answers is None else f"{one.answers.highest:,.1f}",
            f"{one.rss_highest:,.0f}",
            f"{one.rss_last:,.0f}",
            f"{one.cpu:,.0f}",
            f"{one.connections:,}",
        ]
        for one in results.phases
    ]
    head = [
        *("", "good messages", "ACK, p50 / p99 ms", "longest", "RSS, highest MiB", "at the end"),
        *("CPU, ms/s", "connections"),
    ]
    quiet, flooded, again = (one.answers for one in results.phases)
    ratio = _ratio(flooded, quiet)
    ended = ", ".join(f"{name} {count:,}" for name, count in sorted(results.ended.items()))
    counted = ", ".join(f"{name} {count:,}" for name, count in sorted(results.flood.items()))
    whole = "" if results.whole else "**Not whole: good messages were not accepted.**\n\n"
    return (
        f"{where.text()}\n\n{whole}{plan.slow} slow, {plan.idle} idle and {plan.garbage} garbage "
        f"connections from {len(ADDRESSES)} addresses; {plan.rate:g} good messages a second over "
        f"{plan.connections} connections from another.\n\n{report.table(head, rows)}\n\n"
        f"**p99 flooded ÷ quiet: {ratio}** (goal: at most 2); ÷ quiet again: "
        f"{_ratio(flooded, again)}. The flood: {counted or 'nothing'}. "
        f"Connections refused or ended by the listener: {ended or 'none'}.\n"
    )


def _ratio(one: Latency | None, other: Latency | None) -> str:
    return "–" if not one or not other else f"{one.p99 / other.p99:.1f}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; gives the exit code."""
    chosen = command.options(
        "bench.floods",
        __doc__,
        arguments,
        sizes=SIZES,
        defaults=Plan(),
        extend=lambda parser: parser.add_argument(
            "--kafka", help="addresses of a broker; default: an embedded one"
        ),
    )
    plan = Plan(*(getattr(chosen, name) for name in Plan.__slots__))
    where = command.setting(chosen)
    with ExitStack() as stack:
        folder = stack.enter_context(command.place(chosen))
        folder.mkdir(parents=True, exist_ok=True)
        bootstrap = chosen.kafka
        if bootstrap is None:
            bootstrap = stack.enter_context(EmbeddedKafka(folder / "kafka")).bootstrap_servers
        results = measure(plan, bootstrap, folder, command.reporter(chosen))
    return command.finish(
        chosen,
        where,
        render(plan, results, where),
        {"plan": asdict(plan), **asdict(results)},
        markers=(BEGIN, END),
        whole=results.whole,
    )


if __name__ == "__main__":
    command.run(main)
