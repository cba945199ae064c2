"""What `halyard flags answers` says of a file as a whole."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from connectors.local_authority.client import FileAnswer
from halyard.cli.flags import _show_file


@pytest.mark.parametrize(
    ("code", "text", "counts", "shown"),
    [
        ("CPF02", "Every record is held", {}, "CPF02 Every record is held: no record was in it"),
        ("CPF02", "Every record is held", {"CPR06": 2}, "CPF02 Every record is held: 2 CPR06"),
        (None, None, {}, "not complete: no answer"),
    ],
)
def test_a_file_is_told_in_one_line(
    code: str | None,
    text: str | None,
    counts: Mapping[str, int],
    shown: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """An empty file is not one without an answer."""
    file = FileAnswer(
        code=code,
        text=text,
        final=True,
        refused=0,
        counts=counts,
        sequence_note=None,
        repeat_of=None,
    )
    _show_file(file)
    assert capsys.readouterr().out.strip() == shown
