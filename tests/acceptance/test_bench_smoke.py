"""`python -m bench.spine` with tiny numbers: it measures, prints, and writes its page."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.report import BEGIN, END
from halyard.embedded.process import tied

REPOSITORY = Path(__file__).parents[2]
TINY = (
    *("--arrivals", "60", "--rates", "20", "--seconds", "1", "--warm-up", "20"),
    *("--children", "10", "--idle-seconds", "0.5"),
)


def bench(*arguments: str) -> str:
    """Standard output of a run that must succeed."""
    done: subprocess.CompletedProcess[str] = subprocess.run(
        tied((sys.executable, "-m", "bench.spine", *TINY, *arguments), signal.SIGKILL),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_bench_prints_its_tables_and_puts_them_between_the_markers_of_the_page(
    tmp_path: Path,
) -> None:
    """Every process has its CPU, every phase its echo; text around the markers stays."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold figures\n{END}\nafter\n")
    shown = bench("--page", str(page), "--data-dir", str(tmp_path / "data"))
    for part in ("connector-hl7v2", "identity", "matching", "dispatcher", "Kafka", "PostgreSQL"):
        assert f"| {part} " in shown
    assert "arrival to webhook ÷ echo" in shown
    assert "20 a second" in shown
    written = page.read_text()
    assert written.startswith("before\n")
    assert written.endswith(f"{END}\nafter\n")
    assert "old figures" not in written
    assert "**Where an alert's time goes**" in written


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_bench_gives_one_json_document(tmp_path: Path) -> None:
    """With --json: every flagged arrival was told, and both sides of each ratio are there."""
    figures: dict[str, Any] = json.loads(
        bench("--json", "--no-page", "--data-dir", str(tmp_path / "data"))
    )
    at_once, at_rate = figures["phases"]
    assert (at_once["flagged"], at_once["missing"], at_once["refused"]) == (12, 0, 0)
    assert at_rate["webhook"]["count"] == at_rate["flagged"] == 4
    assert [echo["records"] for echo in figures["echoes"]] == [60, 20]
    assert figures["echoes"][1]["back"]["p99"] > 0
