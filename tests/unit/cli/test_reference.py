"""What a person can find: each command, setting and metric stands in the reference."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from halyard import metrics
from halyard.cli.main import app
from halyard.settings import Settings

REFERENCE = Path(__file__).parents[3] / "docs" / "reference"


def commands(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """Every command with its full name."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def test_every_command_is_in_the_reference_and_explains_itself() -> None:
    """`docs/reference/cli.md` names each command; each has a help text."""
    text = (REFERENCE / "cli.md").read_text()
    root = typer.main.get_command(app)
    missing = [name for name, one in commands(root, "halyard") if f"`{name}`" not in text]
    silent = [name for name, one in commands(root, "halyard") if not one.help]
    assert missing == []
    assert silent == []


def test_every_setting_is_in_the_reference() -> None:
    """`docs/reference/settings.md` names each variable."""
    text = (REFERENCE / "settings.md").read_text()
    names = []
    for name, item in Settings.model_fields.items():
        nested = getattr(item.annotation, "model_fields", None)
        names += [f"HALYARD_{name}__{one}" for one in nested] if nested else [f"HALYARD_{name}"]
    assert [name for name in names if f"`{name.upper()}`" not in text] == []


def test_every_metric_is_in_the_reference() -> None:
    """`docs/reference/metrics.md` names each metric."""
    text = (REFERENCE / "metrics.md").read_text()
    kinds = (metrics.CounterName, metrics.GaugeName, metrics.HistogramName)
    names = [name for kind in kinds for name in typing.get_args(kind)]
    assert [name for name in names if f"`{name}`" not in text] == []
