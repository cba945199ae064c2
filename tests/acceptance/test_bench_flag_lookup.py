"""`python -m bench.flag_lookup` with tiny numbers: it measures, prints, and writes its page."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.flag_lookup_report import BEGIN, END
from halyard.embedded.process import tied

REPOSITORY = Path(__file__).parents[2]
TINY = ("--flags", "400", "--looks", "90", "--connections", "4", "--turns", "20")


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_look_up_bench_has_every_look_on_record(tmp_path: Path) -> None:
    """Answered as it must be, of every kind of number, and each with its access and audit entry;
    its tables go to the page.
    """
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    done: subprocess.CompletedProcess[str] = subprocess.run(
        tied(
            (
                *(sys.executable, "-m", "bench.flag_lookup", *TINY),
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
    assert "**a second ÷ bare**" in written
    assert "400 plans are held" in written
    assert "| restricted plan " in written
    assert "Not whole" not in written
    assert written.startswith("before\n")
    assert written.endswith(f"{END}\nafter\n")
