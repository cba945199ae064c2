"""`python -m bench.upload` with tiny files: it measures, prints, and writes its page."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.upload import BEGIN, END
from halyard.embedded.process import tied

REPOSITORY = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_upload_bench_holds_every_record_and_writes_its_figures(tmp_path: Path) -> None:
    """Both formats; identity and matching take every record without PDS."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    done: subprocess.CompletedProcess[str] = subprocess.run(
        tied(
            (
                *(sys.executable, "-m", "bench.upload", "--sizes", "40"),
                *("--page", str(page), "--data-dir", str(tmp_path / "data")),
            ),
            signal.SIGKILL,
        ),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    written = page.read_text()
    assert "40 jsonl" in written
    assert "40 csv" in written
    assert written.startswith("before\n")
    assert written.endswith(f"{END}\nafter\n")
