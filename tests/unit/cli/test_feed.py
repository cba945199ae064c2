"""`halyard feed replay`: a dry run that says which messages arrive, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from halyard.cli.main import app
from halyard.errors import ConfigurationError
from sandbox.samples.render import DIALECTS, MORNING

DIRECTORY = """
[[hospital]]
ods = "RZ9"
name = "Practice General Hospital"

[[feed]]
source = "rz9-edis"
organisation = "RZ9"
facility = "RZ9"
arrival_rule = "open-doors"

[[feed]]
source = "rz9-pas"
organisation = "RZ9"
facility = "RZ9"
application = "PAS"

[[arrival_rule]]
name = "open-doors"

[[arrival_rule.arrive]]
name = "walk-in"
departments = ["WIC"]

[[arrival_rule.arrive]]
name = "emergency"
classes = ["E"]

[[arrival_rule.never]]
name = "site"
sites = ["RZ901"]
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A hospital with two feeds, one of them with a rule of its own."""
    path = tmp_path / "directory.toml"
    path.write_text(DIRECTORY)
    return path


def _replay(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["feed", "replay", *map(str, arguments)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    assert result.exit_code == code
    return result.stdout


def _words(line: str) -> str:
    return " ".join(line.split())


def _json(*arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_replay(*arguments, "--json"))
    return found


def test_the_sample_of_dialects_says_what_each_message_is() -> None:
    """A line a message, the clause that decides, the marks; a total."""
    lines = _replay(DIALECTS).splitlines()
    assert lines[0] == "feed any, arrival rule default"
    assert _words(lines[1]) == "1 replay-D01 A04 REGISTER arrival default.emergency-class"
    assert _words(lines[10]) == "10 replay-D10 A04 REGISTER - default.no-arrival"
    assert _words(lines[12]) == "12 replay-D12 A06 ADMIT arrival default.admission-method"
    assert lines[14].endswith("default.emergency-class [message-type-odd]")
    assert _words(lines[25]) == "24 replay-D24 A01 BIRTH arrival birth"
    assert _words(lines[-2]) == "33 replay-D33 Z99 NOT_USED - trigger.unknown"
    assert lines[-1] == "33 messages, 15 arrivals, 1 births, 2 not used, 0 refused"


def test_the_rule_of_the_feed_decides_or_another_that_is_tried(directory: Path) -> None:
    """--feed takes its rule, --rule one of the directory, on the same file."""
    own = _json(DIALECTS, "--feed", "rz9-edis", "--directory", directory)
    assert own["rule"] == "open-doors"
    assert own["messages"][0]["rule"] == "open-doors.never.site"
    assert own["messages"][4]["rule"] == "open-doors.emergency"  # tells no site
    assert own["messages"][9]["rule"] == "open-doors.walk-in"
    plain = _json(DIALECTS, "--feed", "rz9-pas", "--directory", directory)
    assert plain["messages"][9]["rule"] == "default.no-arrival"
    tried = _json(DIALECTS, "--feed", "rz9-pas", "--rule", "open-doors", "--directory", directory)
    assert tried["messages"] == own["messages"]
    assert _json(DIALECTS, "--rule", "open-doors", "--directory", directory)["feed"] is None


def test_nothing_personal_is_printed() -> None:
    """No number, name, birth date, postcode, local id or reason of anybody in the file."""
    shown = _replay(DIALECTS) + _replay(DIALECTS, "--json") + _replay(MORNING)
    for secret in ("99900", "TESTCHILD", "ROBIN", "2017", "ZZ1", "T01014", "Fall", "Pain"):
        assert secret not in shown


def test_a_folder_is_read_and_refusals_are_told(tmp_path: Path) -> None:
    """With file names; a message that would be refused is one line, and the exit code is 1."""
    (tmp_path / "a.hl7").write_bytes(MORNING.read_bytes().split(b"\n\n")[0])
    (tmp_path / "b.txt").write_bytes(b"\x0bMSH|^~\\&|A|B\r\x1c\rPID|\r")
    (tmp_path / "c.er7").write_bytes(b"nothing\n")
    lines = _replay(tmp_path, code=1).splitlines()
    assert lines[1].startswith("a.hl7:   1 replay-0001")
    assert lines[2].startswith("b.txt:   1 ")
    assert "NOT_USED" in lines[2]
    assert lines[3].split() == ["c.er7:", "1", "REFUSED", "-", "AE", "no-msh"]
    assert lines[-1].endswith("1 refused")


def test_what_is_not_there_is_named(directory: Path, tmp_path: Path) -> None:
    """A feed or rule that the directory has not, with those it has; a file without a message."""
    with pytest.raises(ConfigurationError, match="no feed x; it has: rz9-edis, rz9-pas"):
        _replay(DIALECTS, "--feed", "x", "--directory", directory)
    with pytest.raises(ConfigurationError, match="no arrival rule x; it has: default, open-doors"):
        _replay(DIALECTS, "--rule", "x", "--directory", directory)
    (tmp_path / "empty.hl7").write_text("\n")
    with pytest.raises(ConfigurationError, match="no message"):
        _replay(tmp_path / "empty.hl7")
