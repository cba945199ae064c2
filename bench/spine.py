"""``python -m bench.spine``: the whole system under arrivals, beside a bare Kafka echo.

Prints tables (or one JSON document) and writes them to docs/performance.md. Exits 0 if every
arrival was accepted and every flagged one told, whatever the figures; 1 else.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from bench import report
from bench.workload import BROKER, DATABASE, Plan, Report, Workload
from halyard.cli.output import line, print_json
from halyard.cli.system import System
from halyard.clock import system_clock
from halyard.errors import HalyardError
from halyard.settings import load_settings

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "docs" / "performance.md"
TICK_SECONDS = 0.2
# The practice PDS answers as fast as it is asked: the ration is not what is measured
CALLS_PER_SECOND = "1000"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report; gives the exit code."""
    options = _options(arguments)
    plan = Plan(
        **{one.name: getattr(options, one.name) for one in fields(Plan) if one.name != "rates"},
        rates=tuple(float(rate) for rate in options.rates.split(",")),
    )
    command = shlex.join(["python", "-m", "bench.spine", *(arguments or sys.argv[1:])])
    where = report.setting(system_clock(), command, REPOSITORY)
    say = _quiet if options.json else _say
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="halyard-bench-", ignore_cleanup_errors=True) as place:
        workload = _measure(plan, options.data_dir or Path(place), say)
    if workload.failure is not None:
        sys.stderr.write(f"bench: {workload.failure.message}\n")
        return 1
    text = report.render(workload.results, where)
    if options.json:
        print_json({"setting": asdict(where), "plan": asdict(plan), **workload.results.as_dict()})
    else:
        line("")
        line(text)
    if options.page is not None:
        report.write_page(options.page, text)
        say(f"written to {options.page}")
    return 0 if workload.results.whole else 1


def _measure(plan: Plan, data_dir: Path, say: Report) -> Workload:
    """The system up, the workload beside it in a thread, everything down again."""
    journals = data_dir / "journals"
    journals.mkdir(parents=True, exist_ok=True)
    for name in [name for name in os.environ if name.startswith("HALYARD_")]:
        del os.environ[name]  # the figures are those of the defaults
    os.environ["HALYARD_PDS__CALLS_PER_SECOND"] = CALLS_PER_SECOND
    os.environ["HALYARD_SANDBOX_JOURNALS"] = str(journals)
    settings = load_settings().model_copy(update={"data_dir": data_dir})
    system = System(settings, report=say)
    try:
        system.start()
        workload = Workload(
            system,
            plan,
            services={
                BROKER: system.service_pid("kafka"),
                DATABASE: system.service_pid("postgres"),
            },
            report=say,
        )
        thread = threading.Thread(target=workload.run, name="bench", daemon=True)
        thread.start()
        while thread.is_alive():
            system.tick()
            thread.join(TICK_SECONDS)
        return workload
    finally:
        system.stop()


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.spine", description=__doc__)
    default = Plan()
    for name, kind, text in (
        ("arrivals", int, "arrivals as fast as they are answered"),
        ("seconds", float, "length of each phase at a rate"),
        ("flagged-share", float, "share of arrivals that are of flagged children"),
        ("children", int, "flagged children at least"),
        ("connections", int, "MLLP connections"),
        ("window", int, "unanswered messages on a connection, as fast as answered"),
        ("warm-up", int, "arrivals before anything is measured"),
        ("idle-seconds", float, "how long the idle system is watched"),
    ):
        value = getattr(default, name.replace("-", "_"))
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text} ({value})")
    rates = ",".join(f"{rate:g}" for rate in default.rates)
    parser.add_argument("--rates", default=rates, help=f"arrivals a second, by comma ({rates})")
    parser.add_argument("--data-dir", type=Path, help="keep data and logs there")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--page", type=Path, default=PAGE, help="the page that takes the figures (docs/…)"
    )
    parser.add_argument(
        "--no-page", dest="page", action="store_const", const=None, help="write no page"
    )
    return parser.parse_args(arguments)


def _say(text: str) -> None:
    line(f"  {text}")


def _quiet(_text: str) -> None:
    pass


if __name__ == "__main__":
    try:
        code = main()
    except HalyardError as error:
        sys.stderr.write(f"bench: {error.message}\n")
        code = 1
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
