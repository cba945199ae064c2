"""`python -m bench.cases` with tiny numbers: it measures, prints, and writes its page."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cases_report import BEGIN, END
from halyard.embedded.process import tied

REPOSITORY = Path(__file__).parents[2]
TINY = (
    *("--http", "40", "--rate", "5", "--seconds", "2"),
    *("--topic", "40", "--held", "350"),
)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_case_bench_finds_every_notification_in_the_store(tmp_path: Path) -> None:
    """Over HTTP and at the topic, with few and with many cases, most of them copies; its tables go
    to the page, which says which are copies."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    done: subprocess.CompletedProcess[str] = subprocess.run(
        tied(
            (
                *(sys.executable, "-m", "bench.cases", *TINY),
                *("--page", str(page), "--data-dir", str(tmp_path / "data")),
            ),
            signal.SIGKILL,
        ),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = page.read_text()
    assert "| connector-ncmd " in written
    assert "topic, many cases" in written
    assert "**220 of the 350 cases are copies**" in written
    assert "Not whole" not in written
    assert written.startswith("before\n")
    assert written.endswith(f"{END}\nafter\n")
