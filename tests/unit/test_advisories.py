"""`.ci/advisories`: a finding fails the build, no network does not, and a clean answer is kept."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[2] / ".ci" / "advisories"


def run(tmp_path: Path, answer: str, *, code: int = 0) -> subprocess.CompletedProcess[str]:
    """The script with a service that answers so."""
    service = tmp_path / "service.py"
    service.write_text(f"import sys\nprint({answer!r})\nsys.exit({code})\n")
    command = [sys.executable, str(SCRIPT), "--audit", f"{sys.executable} {service}"]
    cache = ["--cache", str(tmp_path / "kept.json"), "--ignore", str(tmp_path / "ignored.txt")]
    return subprocess.run([*command, *cache], capture_output=True, text=True, check=False)


def packages(*found: dict[str, Any]) -> str:
    """As pip-audit prints them."""
    return json.dumps({"dependencies": list(found), "fixes": []})


CLEAN = {"name": "good", "version": "1", "vulns": []}
BAD = {"name": "bad", "version": "1", "vulns": [{"id": "PYSEC-1"}]}
UNKNOWN = {"name": "odd", "skip_reason": "Dependency not found on PyPI"}


def test_a_known_vulnerability_fails_each_time(tmp_path: Path) -> None:
    """It is named, and never remembered."""
    for _ in range(2):
        ended = run(tmp_path, packages(CLEAN, BAD), code=1)
        assert ended.returncode == 1
        assert "bad 1: PYSEC-1" in ended.stdout


def test_without_a_service_it_passes_and_says_so(tmp_path: Path) -> None:
    """No answer, or a mirror that knows no advisory."""
    offline = "requests.exceptions.ConnectionError: Max retries exceeded"
    for answer in (offline, packages(UNKNOWN)):
        ended = run(tmp_path, answer, code=1)
        assert ended.returncode == 0
        assert "not checked: no advisory service reachable" in ended.stdout
        (tmp_path / "kept.json").unlink()


def test_a_clean_answer_is_kept(tmp_path: Path) -> None:
    """For the same lock file nobody is asked again."""
    first = run(tmp_path, packages(CLEAN, UNKNOWN))
    assert "1 packages, no known vulnerability (1 not known to the service)" in first.stdout
    again = run(tmp_path, packages(BAD), code=1)
    assert again.returncode == 0
    assert "as of the last run" in again.stdout


def test_a_crash_is_no_answer(tmp_path: Path) -> None:
    """What pip-audit fails of is shown, and fails the build: it was not for want of a service."""
    ended = run(tmp_path, "usage: pip-audit [-h]; error: unrecognized arguments", code=2)
    assert ended.returncode == 1
    assert "unrecognized arguments" in ended.stdout


def test_a_finding_passes_for_a_reason_and_a_time(tmp_path: Path) -> None:
    """Named in the ignore file until a day; then it fails, as a line without a reason does."""
    ignored = tmp_path / "ignored.txt"
    ignored.write_text("# why\nPYSEC-1 until 2999-01-01: the hub never calls it\n")
    ended = run(tmp_path, packages(CLEAN, BAD), code=1)
    assert (ended.returncode, "let pass: the hub never calls it" in ended.stdout) == (0, True)
    for line in ("PYSEC-1 until 2020-01-01: long ago\n", "PYSEC-1\n"):
        ignored.write_text(line)
        assert run(tmp_path, packages(CLEAN, BAD), code=1).returncode == 1
