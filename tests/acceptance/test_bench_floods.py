"""`python -m bench.floods`, small: the good sender is served, memory is shown, the page written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.floods import BEGIN, END
from halyard.embedded.process import tied

REPOSITORY = Path(__file__).parents[2]
TINY = ("--slow", "30", "--idle", "30", "--garbage", "30", "--rate", "30", "--seconds", "1")


@pytest.mark.timeout(120)
def test_a_good_sender_is_served_beside_a_flood(kafka_bootstrap: str, tmp_path: Path) -> None:
    """Every good message is accepted while 90 bad connections are open, within a bounded memory;
    the figures stand between the markers of the page."""
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{BEGIN}\nold figures\n{END}\nafter\n")
    done: subprocess.CompletedProcess[str] = subprocess.run(
        tied(
            (
                *(sys.executable, "-m", "bench.floods", *TINY, "--json"),
                *("--kafka", kafka_bootstrap, "--page", str(page)),
            ),
            signal.SIGKILL,
        ),
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    figures: dict[str, Any] = json.loads(done.stdout)
    quiet, flooded, again = figures["phases"]
    assert [one["refused"] for one in (quiet, flooded, again)] == [0, 0, 0]
    assert quiet["sent"] == flooded["sent"] == again["sent"] == 30
    assert flooded["connections"] >= 60
    assert figures["flood"]["opened"] >= 90
    assert flooded["rss_highest"] < quiet["rss_highest"] + 150  # MiB
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "p99 flooded ÷ quiet" in text
