"""Where keys come from: one file, or each from a file or variable of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from halyard.errors import ConfigurationError
from halyard.privacy import Keys, key_id, load_keys
from halyard.settings import load_settings
from halyard.settings_security import SecuritySettings

BUS, STORE = "b1" * 32, "5e" * 32


def put(path: Path, text: str, mode: int = 0o600) -> Path:
    """A file of ours."""
    path.write_text(text)
    path.chmod(mode)
    return path


def test_each_key_may_stand_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One from a variable, one from a file, webhook secrets from both; no secrets file at all."""
    folder = tmp_path / "webhook"
    folder.mkdir()
    put(folder / "council", "new\nold\n")
    monkeypatch.setenv("HALYARD_SECURITY__BUS_KEY", BUS)
    monkeypatch.setenv(
        "HALYARD_SECURITY__STORE_KEY_FILE", str(put(tmp_path / "store", f"{STORE}\n", 0o400))
    )
    monkeypatch.setenv("HALYARD_SECURITY__WEBHOOK_DIR", str(folder))
    monkeypatch.setenv("HALYARD_SECURITY__WEBHOOK__contact", "one,two")
    keys = load_keys(load_settings().security)
    assert (keys.bus.hex(), keys.store.hex()) == (BUS, STORE)
    assert keys.webhook == {"council": ("new", "old"), "contact": ("one", "two")}


def test_what_stands_alone_wins_over_the_secrets_file(tmp_path: Path) -> None:
    """The rest comes from the file."""
    file = put(
        tmp_path / "secrets.toml",
        f'bus_key = "{"00" * 32}"\nstore_key = "{STORE}"\n[webhook]\na = "x"\nb = ["y", "z"]\n',
    )
    keys = load_keys(
        SecuritySettings.model_validate(
            {"secrets_file": file, "bus_key": BUS, "webhook": {"a": "w"}}
        )
    )
    assert keys.bus.hex() == BUS
    assert keys.webhook == {"a": ("w",), "b": ("y", "z")}


@pytest.mark.parametrize("value", ["[]", '""', '["x", ""]', "3", '["x", 3]'])
def test_a_webhook_secret_is_a_text_or_texts(tmp_path: Path, value: str) -> None:
    """An empty secret would sign nothing that means anything."""
    file = put(
        tmp_path / "s.toml", f'bus_key = "{BUS}"\nstore_key = "{STORE}"\n[webhook]\na = {value}\n'
    )
    with pytest.raises(ConfigurationError, match="webhook secret"):
        load_keys(file)


@pytest.mark.parametrize(
    "given",
    [
        {"bus_key": "short", "store_key": STORE},
        {"bus_key": BUS},
        {"bus_key_file": "open", "store_key": STORE},
        {"bus_key_file": "missing", "store_key": STORE},
        {"bus_key": BUS, "store_key": BUS},
    ],
)
def test_what_cannot_be_used_is_named_and_not_shown(tmp_path: Path, given: dict[str, Any]) -> None:
    """Short, missing, readable by others, equal."""
    put(tmp_path / "open", BUS, 0o644)
    values = {
        name: tmp_path / value if name.endswith("_file") else value for name, value in given.items()
    }
    with pytest.raises(ConfigurationError) as caught:
        load_keys(SecuritySettings.model_validate(values))
    for secret in ("short", BUS, STORE):
        assert secret not in caught.value.message


def test_two_places_for_one_key_are_refused() -> None:
    """Nobody could say which holds; and the error shows no value."""
    with pytest.raises(ValueError, match="unset one") as caught:
        SecuritySettings.model_validate({"bus_key": BUS, "bus_key_file": "/nowhere"})
    assert BUS not in str(caught.value)


def test_ids_name_keys_and_tell_nothing_of_them() -> None:
    """Different keys have different ids; those of secrets depend on the store key."""
    keys = Keys(bus=bytes.fromhex(BUS), store=bytes.fromhex(STORE))
    other = Keys(bus=bytes.fromhex(BUS), store=bytes.fromhex("5f" * 32))
    assert keys.bus_id == other.bus_id == key_id(keys.bus)
    assert keys.bus_id != key_id(keys.store)
    assert len(keys.bus_id) == 12
    assert keys.secret_id("hush") != other.secret_id("hush")


def test_digests_under_a_retired_key_can_still_be_compared() -> None:
    """Under one that is gone they cannot."""
    old, new = bytes.fromhex(BUS), bytes.fromhex("c2" * 32)
    before = Keys(bus=old, store=bytes.fromhex(STORE))
    keys = Keys(bus=new, store=before.store, retired={key_id(old): old})
    assert keys.was_digest(before.bus_id, b"body") == before.digest(b"body")
    assert keys.was_digest(keys.bus_id, b"body") == keys.digest(b"body")
    assert keys.was_digest("unknown", b"body") is None


def test_settings_show_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither repr nor JSON."""
    monkeypatch.setenv("HALYARD_SECURITY__BUS_KEY", BUS)
    monkeypatch.setenv("HALYARD_SECURITY__WEBHOOK__council", "hush-hush")
    settings = load_settings()
    for shown in (repr(settings), str(settings), settings.model_dump_json()):
        assert BUS not in shown
        assert "hush-hush" not in shown
