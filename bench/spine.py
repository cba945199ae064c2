"""``python -m bench.spine``: the whole system under arrivals, beside a bare Kafka echo.

Prints tables (or one JSON document) and writes them to docs/performance.md. Exits 0 if every
arrival was accepted and every flagged one told, whatever the figures; 1 else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from bench import command, report
from bench.workload import BROKER, DATABASE, Plan, Workload
from halyard.cli.system import System

# The practice PDS answers as fast as it is asked: the ration is not what is measured
CALLS_PER_SECOND = "1000"
SIZES: tuple[command.Size, ...] = (
    ("arrivals", int, "arrivals as fast as they are answered"),
    ("seconds", float, "length of each phase at a rate"),
    ("flagged-share", float, "share of arrivals that are of flagged children"),
    ("children", int, "flagged children at least"),
    ("connections", int, "MLLP connections"),
    ("window", int, "unanswered messages on a connection, as fast as answered"),
    ("warm-up", int, "arrivals before anything is measured"),
    ("idle-seconds", float, "how long the idle system is watched"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; gives the exit code."""
    default = Plan()
    rates = ",".join(f"{rate:g}" for rate in default.rates)
    chosen = command.options(
        "bench.spine",
        __doc__,
        arguments,
        sizes=SIZES,
        defaults=default,
        extend=lambda parser: parser.add_argument(
            "--rates", default=rates, help=f"arrivals a second, by comma ({rates})"
        ),
    )
    plan = Plan(
        **{one.name: getattr(chosen, one.name) for one in fields(Plan) if one.name != "rates"},
        rates=tuple(float(rate) for rate in chosen.rates.split(",")),
    )
    where = command.setting(chosen)
    with command.place(chosen) as place:
        workload = _measure(plan, place, command.reporter(chosen))
    if workload.failure is not None:
        return command.failed(workload.failure)
    return command.finish(
        chosen,
        where,
        report.render(workload.results, where),
        {"plan": asdict(plan), **workload.results.as_dict()},
        markers=(report.BEGIN, report.END),
        whole=workload.results.whole,
    )


def _measure(plan: Plan, data_dir: Path, say: command.Report) -> Workload:
    journals = data_dir / "journals"
    journals.mkdir(parents=True, exist_ok=True)

    def make(system: System) -> Workload:
        services = {
            BROKER: system.service_pid("kafka"),
            DATABASE: system.service_pid("postgres"),
        }
        return Workload(system, plan, services=services, report=say)

    environment = {
        "HALYARD_PDS__CALLS_PER_SECOND": CALLS_PER_SECOND,
        "HALYARD_SANDBOX_JOURNALS": str(journals),
    }
    return command.beside_system(data_dir, say, make, environment=environment)


if __name__ == "__main__":
    command.run(main)
