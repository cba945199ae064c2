"""What `halyard doctor` finds before anything is started."""

from __future__ import annotations

from pathlib import Path

from halyard.cli.doctor import _hl7v2, _run
from halyard.settings import Settings

_DIRECTORY = """
[[hospital]]
ods = "RTEST"
name = "Test Hospital"
contact_endpoint = "contact"

[[endpoint]]
name = "contact"
url = "https://contact.test/webhook"
secret = "contact"

[[feed]]
source = "rtest-ed"
organisation = "RTEST"
facility = "RTEST"
CERTIFICATES
"""


def _found(directory: Path, certificates: str) -> tuple[str, str]:
    path = directory / "directory.toml"
    path.write_text(_DIRECTORY.replace("CERTIFICATES", certificates))
    found = _run("hl7v2", _hl7v2, Settings(directory_file=path))
    return found.result, found.text


def test_what_would_stop_the_connector_is_told(tmp_path: Path) -> None:
    """A feed with certificates, and no authority by which to ask for them."""
    result, text = _found(tmp_path, f'certificates = ["{"a" * 64}"]')
    assert result == "failed"
    assert "HALYARD_HL7V2__TLS_CLIENT_CA" in text
    assert _found(tmp_path, "")[0] == "ok"
