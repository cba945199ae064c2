"""Practice asks its PDS as a registered application, as production does."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

from connectors.pds.tokens import load_signing_key
from halyard.cli import containers, practice, practice_access
from halyard.settings import PdsSettings
from sandbox.pds.process import Options, practice_settings


def test_the_first_start_makes_the_hubs_key_for_its_owner_alone(tmp_path: Path) -> None:
    """A key that the hub signs with and the practice PDS knows; a second start keeps it."""
    practice.prepare(tmp_path, authority_port=1, contact_port=2)
    path = practice_access.key_file(tmp_path, practice_access.PDS_CLIENT)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_text()
    practice.prepare(tmp_path, authority_port=1, contact_port=2)
    assert path.read_text() == before
    key = load_signing_key(path, practice_access.PDS_KEY_ID)
    hub = PdsSettings(
        token_url="http://127.0.0.1:1/oauth2/token",
        api_key=practice_access.PDS_API_KEY,
        private_key_file=path,
        key_id=practice_access.PDS_KEY_ID,
    )
    sandbox = practice_settings(Options(), hub)
    assert sandbox.token is None  # a signed JWT is the only way in
    (known,) = sandbox.apps[practice_access.PDS_API_KEY].keys
    assert known.kid == practice_access.PDS_KEY_ID
    assert known.thumbprint() == key.thumbprint()


def test_containers_sign_too(tmp_path: Path) -> None:
    """The configuration volume has the key, and the settings that go with it."""
    volumes = [tmp_path / name for name in ("configuration", "admin", "practice", "audit")]
    containers.files(*volumes)
    configuration = volumes[0]
    pds = tomllib.loads((configuration / "halyard.toml").read_text())["pds"]
    here = configuration / Path(pds["private_key_file"]).name
    assert stat.S_IMODE(here.stat().st_mode) == 0o600
    hub = PdsSettings(**{**pds, "private_key_file": here})
    assert hub.signs
    assert load_signing_key(here, hub.key_id or "").kid == hub.key_id
    assert set(practice_settings(Options(), hub).apps) == {practice_access.PDS_API_KEY}
