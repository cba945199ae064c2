"""What every bench is as a command: its options, the system beside it, its page, its exit code."""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NoReturn, Protocol, TypeVar

from bench import report
from halyard.cli.output import line, print_json
from halyard.cli.system import System
from halyard.clock import system_clock
from halyard.errors import HalyardError
from halyard.settings import load_settings

REPOSITORY = Path(__file__).parent.parent
PAGE = REPOSITORY / "docs" / "performance.md"
TICK_SECONDS = 0.2

Report = Callable[[str], None]
Size = tuple[str, type, str]
"""Name of an option, its type, what it is."""


class Workload(Protocol):
    """What is measured, in a thread of its own; afterwards `failure` or everything is there."""

    failure: HalyardError | None

    def run(self) -> None:
        """All of it."""


W = TypeVar("W", bound=Workload)


def options(
    module: str,
    about: str | None,
    arguments: Sequence[str] | None,
    *,
    sizes: Iterable[Size] = (),
    defaults: object = None,
    extend: Callable[[argparse.ArgumentParser], object] | None = None,
) -> argparse.Namespace:
    """The options of ``python -m module``: `sizes` with the values of `defaults`, whatever
    `extend` adds, and those that every bench has. `command` is how it was called.
    """
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    for name, kind, text in sizes:
        value = getattr(defaults, name.replace("-", "_"))
        shown = f"{value:g}" if isinstance(value, float) else f"{value}"
        parser.add_argument(f"--{name}", type=kind, default=value, help=f"{text} ({shown})")
    if extend is not None:
        extend(parser)
    parser.add_argument("--data-dir", type=Path, help="keep data and logs there")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that takes the figures")
    parser.add_argument(
        "--no-page", dest="page", action="store_const", const=None, help="write no page"
    )
    chosen = parser.parse_args(arguments)
    given = sys.argv[1:] if arguments is None else arguments
    chosen.command = shlex.join(["python", "-m", module, *given])
    return chosen


def setting(chosen: argparse.Namespace) -> report.Setting:
    """Where and how it is measured; to be asked before anything is started."""
    return report.setting(system_clock(), chosen.command, REPOSITORY)


def reporter(chosen: argparse.Namespace) -> Report:
    """Shows progress; silent with ``--json``."""

    def say(text: str) -> None:
        if not chosen.json:
            line(f"  {text}")

    return say


@contextmanager
def place(chosen: argparse.Namespace) -> Iterator[Path]:
    """The folder for data and logs: the one asked for, or one that goes with the bench."""
    with tempfile.TemporaryDirectory(prefix="halyard-bench-", ignore_cleanup_errors=True) as own:
        yield chosen.data_dir or Path(own)


def beside_system(
    data_dir: Path,
    say: Report,
    make: Callable[[System], W],
    *,
    environment: Mapping[str, str] | None = None,
) -> W:
    """The whole system up with default settings and `environment`, the workload beside it in a
    thread, everything down again.
    """
    for name in [name for name in os.environ if name.startswith("HALYARD_")]:
        del os.environ[name]  # the figures are those of the defaults
    os.environ.update(environment or {})
    settings = load_settings().model_copy(update={"data_dir": data_dir})
    system = System(settings, report=say)
    try:
        system.start()
        workload = make(system)
        thread = threading.Thread(target=workload.run, name="bench", daemon=True)
        thread.start()
        while thread.is_alive():
            system.tick()
            thread.join(TICK_SECONDS)
        return workload
    finally:
        system.stop()


def finish(
    chosen: argparse.Namespace,
    where: report.Setting,
    text: str,
    figures: Mapping[str, Any],
    *,
    markers: tuple[str, str],
    whole: bool,
) -> int:
    """Print the figures, put them between the markers of the page; gives the exit code."""
    if chosen.json:
        print_json({"setting": asdict(where), **figures})
    else:
        line("")
        line(text)
    if chosen.page is not None:
        begin, end = markers
        report.write_page(chosen.page, text, begin=begin, end=end)
        reporter(chosen)(f"written to {chosen.page}")
    return 0 if whole else 1


def failed(error: HalyardError) -> int:
    """Say why; gives the exit code."""
    sys.stderr.write(f"bench: {error.message}\n")
    return 1


def run(main: Callable[[], int]) -> NoReturn:
    """`main` to its end, and the process with its exit code; SIGTERM ends it as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        code = main()
    except HalyardError as error:
        code = failed(error)
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
