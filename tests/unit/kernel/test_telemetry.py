"""Logs of a process: JSON lines, and nothing of what a library or an exception says.

Each test runs a process of its own: logging is set for the whole process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from halyard import telemetry
from halyard.errors import BrokerUnavailable, RejectedError

ROOT = Path(__file__).parents[3]
CANARY = "9990000018"
START = f"""
import logging, sys, threading, warnings
from halyard import telemetry
CANARY = "{CANARY}"
telemetry.configure("test", "INFO")
log = telemetry.get_logger()
"""


def run(script: str) -> list[dict[str, Any]]:
    """The log lines of `script`; nothing may hold the canary, nor be no JSON."""
    done = subprocess.run(
        (sys.executable, "-c", START + textwrap.dedent(script)),
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert CANARY not in done.stdout + done.stderr
    return [json.loads(line) for line in done.stderr.splitlines()]


def test_a_line_has_event_time_level_and_process() -> None:
    """What our own code passes is there, as JSON."""
    (line,) = run('log.info("batch_done", stage="identity", count=3)')
    assert line["event"] == "batch_done"
    assert (line["stage"], line["count"], line["level"]) == ("identity", 3, "info")
    assert line["process"] == "test"
    assert line["timestamp"].endswith("Z")


def test_what_libraries_say_is_cut_to_their_name() -> None:
    """Text and arguments of a library's record are dropped, its place is kept; INFO is silent."""
    lines = run(
        """
        for name in ("httpx", "httpcore", "aiokafka", "kafka.net", "uvicorn.error", "psycopg.pool",
                     "asyncio", "faust", "unheard.of"):
            logging.getLogger(name).info("GET /Patient/%s", CANARY)
            logging.getLogger(name).debug("GET /Patient/%s", CANARY)
            logging.getLogger(name).warning("GET /Patient/%s", CANARY)
        logging.getLogger("uvicorn.access").error(CANARY)
        """
    )
    assert [line["event"] for line in lines] == ["library_warning"] * 9
    assert lines[0]["library"] == "httpx"
    assert "<string>" in lines[0]["place"] or ":" in lines[0]["place"]


def test_a_library_that_repeats_itself_is_told_once_a_second() -> None:
    """An outage of the broker is some lines, not thousands; the next line counts what was not
    told. Another place, or another error at it, has a line of its own."""
    lines = run(
        """
        from halyard import telemetry
        now = [10.0]
        (handler,) = logging.getLogger().handlers
        handler.clock = lambda: now[0]
        def warn(times, error=None):
            for _ in range(times):
                logging.getLogger("aiokafka").warning("%s", CANARY, exc_info=error)
        warn(1000)
        warn(1, ValueError(CANARY))
        now[0] += 1.0
        warn(1)
        now[0] += 1.0
        warn(1)
        """
    )
    assert [line.get("suppressed") for line in lines] == [None, None, 999, None]
    assert lines[1]["error"] == "ValueError"


def test_an_exception_is_shown_by_class_and_place() -> None:
    """Neither its text nor that of its cause is in the line."""
    (line,) = run(
        """
        def decide():
            try:
                raise KeyError(CANARY)
            except KeyError as cause:
                raise ValueError(f"no such child {CANARY}") from cause
        try:
            decide()
        except ValueError:
            log.error("failed", exc_info=True)
        """
    )
    assert line["error"] == "ValueError"
    assert any("decide" in place for place in line["places"])


def test_a_library_that_logs_an_exception_shows_its_class() -> None:
    """`logger.exception` of a library goes the same way."""
    (line,) = run(
        """
        try:
            raise RuntimeError(CANARY)
        except RuntimeError:
            logging.getLogger("faust").exception("crashed on %s", CANARY)
        """
    )
    assert (line["library"], line["error"]) == ("faust", "RuntimeError")


def test_pydantic_input_is_not_shown() -> None:
    """A validation error quotes its input; the line does not."""
    (line,) = run(
        """
        from pydantic import BaseModel
        class Child(BaseModel):
            age: int
        try:
            Child(age=CANARY + "x")
        except ValueError as error:
            log.error("failed", exc_info=error)
        """
    )
    assert line["error"] == "ValidationError"


def test_warnings_are_shown_without_their_text() -> None:
    """pydantic's serializer warns with the value; the line names the source only."""
    (line,) = run('warnings.warn(f"unexpected value {CANARY}")')
    assert line["library"] == "py.warnings"


def test_a_thread_that_dies_shows_no_text() -> None:
    """Python prints a thread's traceback with its text; here it is a line."""
    (line,) = run(
        """
        def work():
            raise RuntimeError(CANARY)
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        """
    )
    assert (line["event"], line["error"]) == ("thread_died", "RuntimeError")


def test_an_error_that_nobody_can_catch_shows_no_text() -> None:
    """An exception in a destructor, and one that an asyncio task kept to itself."""
    lines = run(
        """
        import asyncio, gc
        class Thing:
            def __del__(self):
                raise RuntimeError(CANARY)
        del Thing
        class Other:
            def __del__(self):
                raise RuntimeError(CANARY)
        Other()
        async def fail():
            raise LookupError(CANARY)
        async def main():
            asyncio.ensure_future(fail())
            await asyncio.sleep(0)
            gc.collect()
        asyncio.run(main())
        gc.collect()
        """
    )
    assert [line["error"] for line in lines] == ["RuntimeError", "LookupError"]


def test_our_own_errors_bring_their_advice() -> None:
    """The message of a HalyardError says what to do and holds no value."""
    text = telemetry.describe(BrokerUnavailable())
    assert text.startswith("BrokerUnavailable: Kafka did not confirm in time")
    assert telemetry.describe(RejectedError("No PID.", place="PID", rule="no-pid")).endswith(
        "No PID."
    )


@pytest.mark.parametrize("error", [ValueError(CANARY), KeyError(CANARY), OSError(2, CANARY)])
def test_a_foreign_error_is_described_by_its_class(error: Exception) -> None:
    """Its text may quote anything."""
    assert telemetry.describe(error) == type(error).__name__


def test_a_traceparent_is_new_and_well_formed() -> None:
    """W3C trace context, version 00, sampled."""
    first, second = telemetry.new_traceparent(), telemetry.new_traceparent()
    assert first != second
    version, trace, span, flags = first.split("-")
    assert (version, flags) == ("00", "01")
    assert (len(trace), len(span)) == (32, 16)
    assert int(trace, 16) != 0
    assert int(span, 16) != 0
