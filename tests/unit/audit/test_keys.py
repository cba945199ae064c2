"""Keys of checkpoints: one signs, all verify."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from halyard.audit_keys import audit_keys, load_public_keys, new_seed
from halyard.cli import practice
from halyard.errors import ConfigurationError
from halyard.settings import Profile, Settings
from halyard.settings_audit import AuditSettings
from streams.audit.export import checkpoint_dir
from streams.audit.process import signer_of
from tests.support.audit import KEY, OTHER_KEY


def raw(key: Any) -> str:
    """A private key as the secrets file has it."""
    return str(key.private_bytes_raw().hex())


def test_the_current_key_signs_and_the_others_verify() -> None:
    """Private keys by name, public ones of keys that were retired."""
    table = {
        "audit": {"current": "new", "new": raw(KEY)},
        "audit_public": {"old": OTHER_KEY.public_key().public_bytes_raw().hex()},
    }
    keys = audit_keys(table, "file")
    assert keys.signer is not None
    assert keys.signer.key_id == "new"
    assert set(keys.public) == {"new", "old"}
    assert raw(KEY) not in repr(keys)


@pytest.mark.parametrize(
    "table",
    [
        {"audit": {"a": "00" * 32}},
        {"audit": {"current": "b", "a": "00" * 32}},
        {"audit": {"current": "a", "a": "00" * 31}},
        {"audit": {"current": "a", "a": 7}},
        {"audit": {"current": "a b", "a b": "00" * 32}},
        {"audit": {"current": "a", "a": "00" * 32}, "audit_public": {"a": "00" * 32}},
        {"audit_public": {"a": "zz"}},
    ],
)
def test_keys_that_cannot_be_used_stop_the_start(table: dict[str, Any]) -> None:
    """With the file's name, and without the key."""
    with pytest.raises(ConfigurationError) as refused:
        audit_keys(table, "file")
    assert "00" * 31 not in refused.value.message


def test_public_keys_are_handed_over_as_json(tmp_path: Path) -> None:
    """What `halyard audit keys --json` prints is what `verify --keys` reads."""
    keys = audit_keys({"audit": {"current": "a", "a": new_seed()}}, "file")
    path = tmp_path / "keys.json"
    path.write_bytes(orjson.dumps({"current": "a", "keys": keys.listed()}))
    read = load_public_keys(path)
    assert read.signer is None
    assert read.listed() == keys.listed()


def test_a_retired_practice_key_does_not_come_back(tmp_path: Path) -> None:
    """What `halyard up` adds to an older file is whole tables, where keys are concerned."""
    made = practice.prepare(tmp_path, authority_port=1, contact_port=2)
    text = made.secrets_file.read_text()
    old = practice.read_secret(made.secrets_file, "bus_key")
    head, _, tail = text.partition("[audit]")
    rest = tail.partition("\n[")[2]
    made.secrets_file.write_text(
        f'{head}[audit]\ncurrent = "two"\ntwo = "{new_seed()}"\n' + (f"[{rest}" if rest else "")
    )
    practice.prepare(tmp_path, authority_port=1, contact_port=2)
    text = made.secrets_file.read_text()
    assert "practice = " not in text.partition("[audit]")[2]
    assert practice.read_secret(made.secrets_file, "bus_key") == old


def test_the_sealer_does_not_start_without_what_it_needs(tmp_path: Path) -> None:
    """A key that signs; in production a place for checkpoints that was chosen."""
    path = tmp_path / "secrets.toml"
    path.write_text("")
    path.chmod(0o600)
    settings = Settings(audit=AuditSettings(keys_file=path))
    with pytest.raises(ConfigurationError, match=r"\[audit\]"):
        signer_of(settings)
    production = settings.model_copy(update={"profile": Profile.PRODUCTION})
    with pytest.raises(ConfigurationError, match="CHECKPOINT_DIR"):
        checkpoint_dir(production)
    assert checkpoint_dir(settings).name == "audit-checkpoints"
