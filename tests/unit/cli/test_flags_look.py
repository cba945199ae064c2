"""What `halyard flags look` takes from standard input."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from halyard.cli.main import app


@pytest.mark.parametrize("given", ["", "\n", "9990000018\n9990000026\n"])
def test_one_number_at_a_time(given: str, tmp_path: Path) -> None:
    """More are not answered in silence by the first alone; who is not at a terminal is not asked
    for a number, and none is repeated.
    """
    done = CliRunner().invoke(
        app, ["flags", "look"], input=given, env={"HALYARD_DATA_DIR": str(tmp_path)}
    )
    assert done.exit_code == 2
    assert "one at a time" in " ".join(done.output.replace("│", " ").split())
    assert "NHS number:" not in done.output
    assert "999000" not in done.output
