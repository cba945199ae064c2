"""Pseudonyms: keyed, stable, kept apart by purpose; and the file that holds the keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.errors import ConfigurationError
from halyard.privacy import Keys, load_keys

KEYS = Keys(bus=bytes(range(32)), store=bytes(range(32, 64)), webhook={"authority": ("hush",)})
NUMBER = "9990000018"
TEXT = st.text(max_size=8)


def _file(directory: Path, text: str, mode: int = 0o600) -> Path:
    path = directory / "secrets.toml"
    path.write_text(text)
    path.chmod(mode)
    return path


def _secrets(bus: str = "11" * 32, store: str = "22" * 32) -> str:
    return f'bus_key = "{bus}"\nstore_key = "{store}"\n[webhook]\nauthority = "hush"\n'


def test_pseudonyms_stay_as_they_were() -> None:
    """Rows and records are found again by them: golden values."""
    assert KEYS.source_person("feed", "L1", None, None) == "bec3a26fc976b9b72a5935a11d916b0d"
    assert KEYS.source_person("feed", None, "V1", NUMBER) == "73b8d21c40579328d10af264daed9362"
    assert KEYS.source_person("feed", None, None, NUMBER) == "1adc991155f95f6f46dd9d32d6b07e25"
    assert KEYS.source_patient("feed", "L1", None, None) == "767dc8a9d3a08efa23838957ba994e92"
    assert KEYS.bus_person(NUMBER) == "39b0df848d79e575136c84c5159921c8"
    assert KEYS.person(NUMBER) == "15b454e5f97b3c5a47dfd2e40fb9d5ab"
    assert KEYS.token("dob", "2019") == "8c7f951632374b6c2fce418b4f2c56d2"
    assert KEYS.digest(b"body") == "c390a1a3741e7a615aae71cdb6f2bcc2"


def test_purposes_do_not_meet() -> None:
    """Bus and store, source and person, number and token never give the same pseudonym."""
    made = [
        KEYS.source_person("feed", NUMBER, None, None),
        KEYS.source_person("feed", None, NUMBER, None),
        KEYS.source_person("feed", None, None, NUMBER),
        KEYS.source_patient("feed", NUMBER, None, None),
        KEYS.bus_person(NUMBER),
        KEYS.person(NUMBER),
        KEYS.token("nhs-number", NUMBER),
        KEYS.token("local-id", NUMBER),
        KEYS.digest(NUMBER.encode()),
    ]
    assert len(set(made)) == len(made)


def test_a_visit_keeps_its_key_when_its_number_becomes_known() -> None:
    """Local id before visit before number: what is learned later does not move the events."""
    early = KEYS.source_person("feed", "L1", "V1", None)
    assert early == KEYS.source_person("feed", "L1", "V1", NUMBER)
    early = KEYS.source_person("feed", None, "V1", None)
    assert early == KEYS.source_person("feed", None, "V1", NUMBER)


@given(st.tuples(TEXT, TEXT), st.tuples(TEXT, TEXT))
def test_parts_do_not_run_together(one: tuple[str, str], other: tuple[str, str]) -> None:
    """("ab", "c") and ("a", "bc") have different tokens."""
    assert (KEYS.token("k", *one) == KEYS.token("k", *other)) == (one == other)


@given(st.text(alphabet="0123456789", min_size=10, max_size=10))
def test_a_pseudonym_shows_nothing_of_the_number(number: str) -> None:
    """32 hex digits, under another key another one."""
    made = KEYS.person(number)
    assert len(made) == 32
    assert set(made) <= set("0123456789abcdef")
    assert made != Keys(bus=KEYS.bus, store=b"x" * 32).person(number)


def test_a_repr_shows_no_key() -> None:
    """Keys may end in a traceback or a log line."""
    assert repr(KEYS) == "Keys()"


def test_keys_are_read_from_their_file(tmp_path: Path) -> None:
    """Both keys and the webhook secrets."""
    keys = load_keys(_file(tmp_path, _secrets()))
    assert (keys.bus, keys.store) == (b"\x11" * 32, b"\x22" * 32)
    assert keys.webhook == {"authority": ("hush",)}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o777])
def test_a_file_that_others_can_read_is_refused(tmp_path: Path, mode: int) -> None:
    """And the message says how to mend it."""
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_keys(_file(tmp_path, _secrets(), mode))


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        "",
        'bus_key = "' + "11" * 32 + '"',
        _secrets(bus="zz" * 32),
        _secrets(bus="11" * 31),
        _secrets(store="11" * 32),
        "bus_key = 1\nstore_key = 2",
    ],
    ids=["not toml", "empty", "one key", "not hex", "short", "equal", "numbers"],
)
def test_a_file_without_two_good_keys_is_refused(tmp_path: Path, text: str) -> None:
    """Nothing starts with a weak or missing key, and the message shows no part of one."""
    with pytest.raises(ConfigurationError) as caught:
        load_keys(_file(tmp_path, text))
    assert "11" * 8 not in caught.value.message
    assert caught.value.__cause__ is None


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    """No setting, or a path where nothing is."""
    with pytest.raises(ConfigurationError, match="HALYARD_SECURITY__SECRETS_FILE"):
        load_keys(None)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_keys(tmp_path / "absent.toml")
