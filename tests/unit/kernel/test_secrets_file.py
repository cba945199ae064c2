"""A secrets file is changed whole or not at all, and stays its owner's."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.errors import ConfigurationError
from halyard.secrets_file import as_toml, changing

_TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f"))
_VALUES = _TEXTS | st.integers(-(2**40), 2**40) | st.booleans() | st.lists(_TEXTS, max_size=3)
_INNER = st.dictionaries(_TEXTS, _VALUES, max_size=4)


@given(st.dictionaries(_TEXTS, _VALUES | _INNER, max_size=5))
def test_what_is_written_is_what_is_read(table: dict[str, object]) -> None:
    """Whatever names and texts it holds."""
    assert tomllib.loads(as_toml(table)) == table


@pytest.mark.parametrize("value", [{"a": {"b": {"c": 1}}}, {"a": None}, {"a": object()}])
def test_what_would_not_come_back_is_refused(value: dict[str, object]) -> None:
    """Rather than lost."""
    with pytest.raises(ConfigurationError, match="by hand"):
        as_toml(value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A secrets file."""
    path = tmp_path / "secrets.toml"
    path.write_text('a = "1"\n')
    path.chmod(0o600)
    return path


def test_a_change_is_for_its_owner_alone(file: Path) -> None:
    """Mode 0600, and nothing of the writing is left."""
    os.umask(os.umask(0o000))
    with changing(file) as table:
        table["b"] = {"c": ["2"]}
    assert tomllib.loads(file.read_text()) == {"a": "1", "b": {"c": ["2"]}}
    assert file.stat().st_mode & 0o777 == 0o600
    assert sorted(one.name for one in file.parent.iterdir()) == [
        ".secrets.toml.lock",
        "secrets.toml",
    ]


def test_an_error_on_the_way_leaves_the_file(file: Path) -> None:
    """As if nobody had begun."""

    def fail() -> None:
        with changing(file) as table:
            table["a"] = "2"
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert file.read_text() == 'a = "1"\n'


def test_a_link_is_followed(file: Path, tmp_path: Path) -> None:
    """The file that it names is changed; the link stays one."""
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    with changing(link) as table:
        table["a"] = "2"
    assert link.is_symlink()
    assert tomllib.loads(file.read_text()) == {"a": "2"}


def test_a_file_that_others_can_read_is_not_changed(file: Path) -> None:
    """It would look as if it had been safe."""
    file.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"), changing(file):
        pass
