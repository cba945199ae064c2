"""What `halyard doctor` says of the policies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from halyard.cli.doctor import Finding, _policies, _run
from halyard.cli.doctor_proof import guardians
from halyard.clock import system_clock
from halyard.settings import Settings
from halyard.settings_policies import PolicySettings
from policies.model import load_policies
from policies.reach import say_unreached
from policies.ruling import Flow
from tests.support.disclosing import DENY, REVIEW, changed
from tests.support.face import CONTACT, INFIRMARY, NORTH, SOUTH, directory, directory_toml
from tests.support.policies import folder, package_files


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three authorities and two hospitals that are to be told."""
    (tmp_path / "known.toml").write_text(directory_toml())
    monkeypatch.setenv("HALYARD_DIRECTORY_FILE", str(tmp_path / "known.toml"))


def found(directory: Path | None) -> Finding:
    """The finding on a folder of policies."""
    return _run("policies", _policies, Settings(policies=PolicySettings(directory=directory)))


def alerts(path: Path, **changes: Any) -> Finding:
    """The finding on the package's policies, with these changes to that of alerts."""
    files: dict[str, dict[str, Any]] = package_files()
    files["alert"].update(changes)
    return found(folder(path, *files.values()))


def test_the_doctor_says_to_whom_no_alert_can_go(tmp_path: Path) -> None:
    """A policy is in force and covers the flow: for another sector, for nobody who is restricted,
    or under a condition that always holds. Who waits for a person is a warning.
    """
    fields = package_files()["alert"]["recipients"][0]["fields"]
    other = alerts(tmp_path / "other", recipients=[{"organisation": "E99000001", "fields": fields}])
    assert (other.result, "E99000001" in other.text) == ("failed", False)
    assert "E99000002 (flow alert; policy none, rule no-policy)" in other.text
    hidden = alerts(tmp_path / "hidden", restricted=[])
    assert (hidden.result, "restricted-not-covered" in hidden.text) == ("failed", True)
    never = alerts(tmp_path / "never", **DENY)
    assert (never.result, "and 1 more" in never.text) == ("failed", True)
    waits = alerts(tmp_path / "waits", **REVIEW)
    assert (waits.result, "a person must release each" in waits.text) == ("warning", True)


def test_a_process_says_at_its_start_whom_no_alert_reaches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An error each; under the product's policies nothing."""
    say_unreached(load_policies(None), directory(), system_clock())
    assert capsys.readouterr().out == ""
    say_unreached(changed(Flow.ALERT, **DENY), directory(), system_clock())
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 6
    assert all("nobody_is_told" in one and "error" in one for one in lines)


def ending(path: Path, days: int) -> Path:
    """The package's policies, of which that of alerts ends in so many days."""
    files: dict[str, dict[str, Any]] = package_files()
    files["alert"]["end"] = system_clock().date() + timedelta(days=days)
    return folder(path, *files.values())


def test_the_doctor_says_which_flow_is_not_covered_or_soon_will_not_be(tmp_path: Path) -> None:
    """Before the day comes on which nobody is alerted any more, and after."""
    assert found(None).result == "ok"
    assert found(ending(tmp_path / "later", 90)).result == "ok"
    soon = found(ending(tmp_path / "soon", 30))
    assert (soon.result, "alert ends within 60 days" in soon.text) == ("warning", True)
    over = found(ending(tmp_path / "over", -2))
    assert (over.result, "not told, whatever happens" in over.text) == ("failed", True)


def test_the_doctor_says_what_is_wrong_with_a_file(tmp_path: Path) -> None:
    """With file, place and rule."""
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "bad.yaml").write_text("a: 1\na: 2\n")
    finding = found(tmp_path / "bad")
    assert finding.result == "failed"
    assert "bad.yaml, line 2" in finding.text


NURSES = '[[role_map]]\nclaim = "urn:nurse"\nrole = "safeguarding-nurse"\n'


def guarded(tmp_path: Path, more: str, **changed: str) -> Finding:
    """The finding on the directory with these lines as well."""
    text = directory_toml()
    for old, new in changed.items():
        text = text.replace(f'ods = "{old}"', f'ods = "{old}"\n{new}')
    (tmp_path / "known.toml").write_text(f"{text}\n{more}")
    return _run("guardians", guardians, Settings(directory_file=tmp_path / "known.toml"))


def test_the_doctor_says_whose_guardian_would_not_be_told_of_broken_glass(tmp_path: Path) -> None:
    """Before anybody breaks it: the organisations are named in which people of the issuer may, and
    no endpoint tells their Caldicott guardian. Who may not break it needs none.
    """
    assert guarded(tmp_path, "").result == "ok"
    everywhere = guarded(tmp_path, NURSES)
    assert everywhere.result == "warning"
    assert f"{NORTH}, {SOUTH}" in everywhere.text
    assert INFIRMARY in everywhere.text
    assert "caldicott_endpoint" in everywhere.text
    here = NURSES + f'organisations = ["{INFIRMARY}"]\n'
    assert guarded(tmp_path, here).text.startswith(f"{INFIRMARY} has people")
    told = {INFIRMARY: f'caldicott_endpoint = "{CONTACT}"'}
    assert guarded(tmp_path, here, **told).result == "ok"
    assert guarded(tmp_path, NURSES.replace("safeguarding-nurse", "auditor")).result == "ok"
