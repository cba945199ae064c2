"""What docs/howto/change-a-policy.md tells somebody to type works as it stands there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from halyard.cli import practice
from halyard.cli.main import app
from tests.support.policies import folder, package_files

TEXT = (Path(__file__).parents[3] / "docs" / "howto" / "change-a-policy.md").read_text("utf-8")
COMMANDS = re.findall(r"^ *(halyard policy test .*)$", TEXT, re.MULTILINE)
_BODY = re.search(r"for one `(\{.*?\})`", TEXT)


@pytest.fixture
def _practice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory of practice, a folder ``new`` of the package's policies, and ``event.json``."""
    files = practice.prepare(tmp_path / "data", authority_port=1, contact_port=2)
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("HALYARD_DIRECTORY_FILE", str(files.directory_file))
    monkeypatch.chdir(tmp_path)
    folder(tmp_path / "new", *package_files().values())
    assert _BODY is not None
    (tmp_path / "event.json").write_text(_BODY[1])


@pytest.mark.usefixtures("_practice")
def test_every_example_shows_what_would_leave() -> None:
    """Each is PERMIT, with what is seen, in practice as anywhere; none shows the number to those
    who never see one.
    """
    assert len(COMMANDS) == 4
    for command in COMMANDS:
        done = CliRunner().invoke(app, shlex.split(command)[1:])
        assert done.exit_code == 0, f"{command}: {done.output}"
        assert "permit" in done.stdout
        assert "seen" in done.stdout
        assert "social-care" in command or "9990000018" not in done.stdout


@pytest.mark.usefixtures("_practice")
def test_what_is_left_to_a_person_needs_the_word_released() -> None:
    """As the how-to says: REVIEW ends with 1."""
    (command,) = [one for one in COMMANDS if "--released" in one]
    done = CliRunner().invoke(app, shlex.split(command.replace("--released ", ""))[1:])
    assert (done.exit_code, "decision: review" in done.stdout) == (1, True)
