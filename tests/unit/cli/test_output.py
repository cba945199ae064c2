"""Tables of the command line."""

from __future__ import annotations

import uuid

import pytest

from halyard.cli.deliveries import _COLUMNS
from halyard.cli.output import table


def test_ids_are_shown_whole_however_narrow_the_place(capsys: pytest.CaptureFixture[str]) -> None:
    """`deliveries redrive` needs the id that `deliveries list` showed."""
    ids = [str(uuid.uuid4()) for _ in range(2)]
    row = dict.fromkeys(_COLUMNS, "some words that are long enough to need a line of their own")
    table(_COLUMNS, [row | {"delivery_id": ids[0], "alert_id": ids[1]}])
    shown = capsys.readouterr().out
    assert all(one in shown for one in ids)
