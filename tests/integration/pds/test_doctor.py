"""`halyard doctor` says what is wrong with the way to PDS, and asks about nobody."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halyard.cli.doctor_pds import pds as look
from halyard.settings import PdsSettings, Settings
from sandbox.pds.server import PdsThread
from sandbox.pds.settings import Faults

API_KEY = "an-app"  # pragma: allowlist secret
OTHER_APP = {"api_key": "other"}  # pragma: allowlist secret


@pytest.fixture
def directory_file(tmp_path: Path) -> Path:
    """Two authorities, one of them with its ODS code."""
    path = tmp_path / "directory.toml"
    path.write_text(
        '[[authority]]\ngss = "E08000001"\nname = "One"\n'
        '[[authority]]\ngss = "E08000002"\nname = "Two"\nods = "209"\n'
    )
    return path


def found(oauth: PdsThread, key_file: Path, directory_file: Path, **changes: Any) -> Any:
    """What the check finds with these settings."""
    whole = {
        "base_url": oauth.url,
        "token_url": oauth.token_url,
        "api_key": API_KEY,
        "private_key_file": key_file,
        "key_id": "test-1",
        "organisation": "X27",
    }
    settings = Settings(pds=PdsSettings(**{**whole, **changes}), directory_file=directory_file)
    return look(settings)


def test_all_is_well(oauth: PdsThread, key_file: Path, directory_file: Path) -> None:
    """A token is had, PDS takes it, and the authority without an ODS code is named."""
    result, text = found(oauth, key_file, directory_file)
    assert result == "ok"
    assert "signed JWT" in text
    assert "E08000001" in text
    assert "E08000002" not in text
    assert "X27" in text
    assert oauth.pds.calls()["kind"] == {"search": 1}
    assert set(oauth.pds.calls()["outcome"]) == {"UNSUPPORTED_SERVICE"}


@pytest.mark.parametrize(
    ("changes", "faults", "result", "text"),
    [
        ({"key_id": "other"}, Faults(), "failed", "HALYARD_PDS__KEY_ID"),
        (OTHER_APP, Faults(), "failed", "HALYARD_PDS__API_KEY"),
        ({}, Faults(routes={"token": Faults(status=503)}), "warning", "http_503"),
        ({}, Faults(status=401), "failed", "refuses the access token"),
        ({}, Faults(down=True), "warning", "does not answer"),
        ({}, Faults(garbage=True), "warning", "something else"),
        ({"token_url": "http://127.0.0.1:1/oauth2/token"}, Faults(), "warning", "connection"),
    ],
)
def test_what_is_wrong_is_named(
    oauth: PdsThread,
    key_file: Path,
    directory_file: Path,
    changes: dict[str, Any],
    faults: Faults,
    result: str,
    text: str,
) -> None:
    """Key id, API key, address, the access itself: each by the setting that is to be mended."""
    oauth.pds.faults = faults
    said = found(oauth, key_file, directory_file, **changes)
    assert said[0] == result
    assert text in said[1]


def test_without_credentials_it_says_which_to_set(directory_file: Path) -> None:
    """Practice may do without PDS; that is worth a warning."""
    settings = Settings(pds=PdsSettings(), directory_file=directory_file)
    result, text = look(settings)
    assert result == "warning"
    assert "HALYARD_PDS__TOKEN_URL" in text
