"""`halyard up`, `halyard demo`, `halyard migrate`."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from halyard import postgres
from halyard.cli.demo import Demo
from halyard.cli.demo_steps import StepFailed
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.system import System
from halyard.errors import ConfigurationError, HalyardError
from halyard.settings import Settings, load_settings

TICK_SECONDS = 0.2


def migrate(json: Json = False) -> None:
    """Bring the database to this version's shape, as its owner (HALYARD_DATABASE__OWNER_URL)."""
    settings = load_settings()
    if settings.database.owner_url is None:
        raise ConfigurationError("Migrations run as the owner: set HALYARD_DATABASE__OWNER_URL.")
    applied = postgres.migrate(settings.database.owner_url.get_secret_value())
    if json:
        print_json({"applied": applied})
    else:
        line("\n".join(f"applied {name}" for name in applied) or "nothing to do")


def up(
    data_dir: Annotated[
        Path | None, typer.Option(help="Where everything is kept; default: HALYARD_DATA_DIR.")
    ] = None,
) -> None:
    """Run the whole system on this machine until Ctrl-C: Kafka, PostgreSQL, hub and sandbox."""
    settings = _settings(data_dir)
    system = System(settings, report=_report)
    stop = _stop_on_signal()
    try:
        with stop.at_once():
            system.start()
        _show_addresses(system)
        while not stop.is_set():
            system.tick()
            stop.wait(TICK_SECONDS)
        line("stopping")
    finally:
        system.stop()


def demo(
    data_dir: Annotated[
        Path | None, typer.Option(help="Keep the data there; default: a new temporary directory.")
    ] = None,
    json: Json = False,
) -> None:
    """Run the main jobs in view: flags and arrivals in, alerts out; a death in, a case out."""
    with tempfile.TemporaryDirectory(prefix="halyard-demo-", ignore_cleanup_errors=True) as place:
        report = _quiet if json else _report
        system = System(_settings(data_dir or Path(place)), report=report)
        stop = _stop_on_signal()
        failure: HalyardError | None = None
        started = time.monotonic()
        demo_run: Demo | None = None
        try:
            with stop.at_once():
                system.start()
            demo_run = Demo(
                system.addresses,
                system.running_settings(),
                tokens_file=system.data_dir / "tokens.toml",
                report=report,
            )
            thread = threading.Thread(target=demo_run.run, name="demo", daemon=True)
            thread.start()
            while thread.is_alive() and not stop.is_set():
                system.tick()
                thread.join(TICK_SECONDS)
            failure = demo_run.failure
            if stop.is_set():
                failure = failure or StepFailed("interrupted", "a signal asked to stop")
        except HalyardError as error:
            failure = error
        finally:
            logs = _keep_logs(system) if failure else None
            system.stop()
        if json:
            print_json(
                {
                    "ok": failure is None,
                    "failure": failure.message if failure else None,
                    "seconds": round(time.monotonic() - started, 1),
                    "steps": demo_run.results if demo_run else {},
                }
            )
    if failure is not None:
        sys.stderr.write(f"halyard: {failure.message}\n")
        if logs is not None:
            sys.stderr.write(f"halyard: logs are kept in {logs}\n")
        raise typer.Exit(Exit.FAILED)
    report(f"done in {time.monotonic() - started:.0f} s")


def _settings(data_dir: Path | None) -> Settings:
    settings = load_settings()
    return settings.model_copy(update={"data_dir": data_dir}) if data_dir else settings


def _report(text: str) -> None:
    line(f"  {text}")


def _quiet(_text: str) -> None:
    pass


class _Stop(threading.Event):
    """Set by SIGINT or SIGTERM; inside `at_once` a signal ends what runs."""

    def __init__(self) -> None:
        super().__init__()
        self._at_once = False

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For a long start that looks at no event: a signal raises KeyboardInterrupt."""
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def ask(self, _number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        self.set()
        if self._at_once:
            self._at_once = False  # once: the clean-up must not be interrupted too
            line("stopping")
            raise KeyboardInterrupt


def _stop_on_signal() -> _Stop:
    stop = _Stop()
    signal.signal(signal.SIGINT, stop.ask)
    signal.signal(signal.SIGTERM, stop.ask)
    return stop


def _keep_logs(system: System) -> Path:
    """Copy the logs to where they outlive a temporary data directory."""

    kept = Path(tempfile.mkdtemp(prefix="halyard-logs-"))
    shutil.copytree(system.logs, kept, dirs_exist_ok=True)
    for name in ("kafka/kafka.log", "postgres/postgres.log"):
        if (system.data_dir / name).exists():
            shutil.copy(system.data_dir / name, kept)
    return kept


def _show_addresses(system: System) -> None:
    addresses = system.addresses
    line("")
    line(f"  MLLP        127.0.0.1:{addresses.mllp_port}")
    line(f"  API         {addresses.api_url}")
    line(f"  Kafka       {addresses.bootstrap_servers}")
    line(f"  authority   {addresses.authority_url}/received")
    line(f"  contact     {addresses.contact_url}/received")
    line(f"  NCMD        {addresses.ncmd_url}/cases")
    line(f"  log in      {addresses.api_url}/session/login")
    line(f"  data, logs  {system.data_dir}")
    line("")
    line("Running until Ctrl-C. Try: halyard flags upload, halyard send, halyard alerts follow,")
    line("halyard deaths send sandbox/samples/deaths/notification.json.")
