"""``python -m bench.upload``: flag files of 15,000 and 150,000 records, in each format.

The whole system is started; the people of the files are in its local index already, so that PDS
is not asked (its ration is printed beside it). Prints a table and writes it to
docs/performance.md. Exits 0 if every record was taken and is held.
"""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Final

import httpx

from bench import command, upload_files
from bench.cpu import cpu_seconds
from bench.known import warm
from bench.memory import forget_peak, memory
from bench.upload_report import render
from connectors.local_authority.client import HubClient
from connectors.local_authority.reading import Format
from halyard.cli import practice
from halyard.cli.system import System
from halyard.clock import system_clock
from halyard.errors import HalyardError, TransientError
from halyard.postgres import Pool, load_queries, make_pool, one, transaction
from halyard.privacy import load_keys

BEGIN, END = "<!-- bench.upload: begin -->", "<!-- bench.upload: end -->"
SIZES: Final = (15_000, 150_000)
WATCHED: Final = ("serve", "identity", "matching")
_ASK_SECONDS: Final = 0.5
_LONGEST_SECONDS: Final = 1_800.0
_SQL = load_queries("bench", "upload.sql")


class NotMeasured(TransientError):
    """The system did not answer every record; see its logs, and measure again."""


@dataclass(frozen=True, slots=True)
class Run:
    """One file. Seconds run from the first byte sent; CPU in ms for 1,000 records; memory in MiB,
    the most that the process held meanwhile (`before`: when it began)."""

    format: Format
    records: int
    megabytes: float
    accepted: int
    taken_seconds: float  # to the 202
    answered_seconds: float  # to the last record's answer
    folded_seconds: float  # until matching held the last
    held: int
    cpu: dict[str, float]
    peak: dict[str, float]
    before: dict[str, float]


@dataclass(slots=True)
class Results:
    """Everything that was measured."""

    calls_per_second: float  # PDS's ration, as the settings have it by default
    runs: list[Run] = field(default_factory=list)

    @property
    def whole(self) -> bool:
        """Every record was taken and is held."""
        return bool(self.runs) and all(one.accepted == one.held == one.records for one in self.runs)


class Workload:
    """Measures; afterwards `failure` or the whole of `results` is there."""

    def __init__(self, system: System, sizes: Sequence[int], ration: float, report: command.Report):
        self.failure: HalyardError | None = None
        self.results = Results(calls_per_second=ration)
        self._system = system
        self._sizes = sizes
        self._report = report

    def run(self) -> None:
        """All of it."""
        try:
            asyncio.run(self._measure())
        except HalyardError as error:
            self.failure = error
        except (httpx.HTTPError, OSError, KeyError, ValueError, TypeError) as error:
            self.failure = NotMeasured(f"The measurement broke off ({type(error).__name__}).")

    async def _measure(self) -> None:
        pool = make_pool(self._system.running_settings(), name="bench", size=1)
        await pool.open()
        keys = load_keys(self._system.data_dir / "secrets.toml")
        first = 0
        async with pool:
            for size in sorted(self._sizes):
                for format_ in upload_files.FORMATS:
                    self._report(f"{size:,} records as {format_}")
                    who = upload_files.people(first, size)
                    await warm(pool, keys, who, system_clock())
                    self.results.runs.append(await self._one(pool, format_, first, size))
                    first += size

    async def _one(self, pool: Pool, format_: Format, first: int, count: int) -> Run:
        today = system_clock().date()
        length = upload_files.size_of(format_, first, count, today)
        pids = {name: self._system.supervisor.pid(name) for name in WATCHED}
        before = {name: memory(pid) for name, pid in pids.items()}
        for pid in pids.values():
            forget_peak(pid)
        since, spent = system_clock(), cpu_seconds(pids)
        tokens = practice.read_tokens(self._system.data_dir / "tokens.toml")
        began = time.monotonic()
        url = self._system.addresses.api_url
        async with HubClient(url, tokens[practice.AUTHORITY], timeout=30.0) as hub:
            receipt = await hub.upload(
                upload_files.file(format_, first, count, today), file_format=format_
            )
        taken = time.monotonic() - began
        answered, folded, held = await self._rest(pool, receipt.upload_id, since, began, count)
        after = cpu_seconds(pids)
        return Run(
            format=format_,
            records=count,
            megabytes=round(length / 1e6, 1),
            accepted=receipt.accepted,
            taken_seconds=round(taken, 2),
            answered_seconds=round(answered, 1),
            folded_seconds=round(folded, 1),
            held=held,
            cpu={name: round((after[name] - spent[name]) / count * 1e6, 1) for name in WATCHED},
            peak={name: memory(pid, peak=True) for name, pid in pids.items()},
            before=before,
        )

    async def _rest(
        self, pool: Pool, upload_id: uuid.UUID, since: datetime, began: float, count: int
    ) -> tuple[float, float, int]:
        """Wait until every record is answered and folded: when each was so, and how many hold."""
        answered: float | None = None
        while time.monotonic() - began < _LONGEST_SECONDS:
            async with transaction(pool) as connection:
                cursor = await connection.execute(
                    _SQL["progress"], {"upload_id": upload_id, "since": since}
                )
                row = one(await cursor.fetchone())
            now = time.monotonic() - began
            if answered is None and row["answered"] >= count:
                answered = now
            if answered is not None and row["folded"] >= row["held"]:
                return answered, now, row["held"]
            await asyncio.sleep(_ASK_SECONDS)
        raise NotMeasured


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; gives the exit code."""
    default = ",".join(str(size) for size in SIZES)
    chosen = command.options(
        "bench.upload",
        __doc__,
        arguments,
        extend=lambda parser: parser.add_argument(
            "--sizes", default=default, help=f"records of the files, by comma ({default})"
        ),
    )
    sizes = [int(size) for size in chosen.sizes.split(",")]
    where, say = command.setting(chosen), command.reporter(chosen)

    def make(system: System) -> Workload:
        return Workload(system, sizes, system.settings.pds.calls_per_second, say)

    with command.place(chosen) as place:
        workload = command.beside_system(place, say, make)
    if workload.failure is not None:
        return command.failed(workload.failure)
    return command.finish(
        chosen,
        where,
        render(workload.results, where),
        asdict(workload.results),
        markers=(BEGIN, END),
        whole=workload.results.whole,
    )


if __name__ == "__main__":
    command.run(main)
