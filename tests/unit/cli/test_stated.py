"""A reason, a name or a note that is given at the command line says something."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import typer

from halyard.cli.main import app

STATED = ("reason", "note", "answer")


def _options(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    for name, command in getattr(group, "commands", {}).items():
        yield from _options(command, (*path, name))
    for one in group.params:
        if one.name in STATED:
            yield " ".join(path), str(one.name)


def _found(command: str, option: str) -> tuple[Any, Any]:
    found: Any = typer.main.get_command(app)
    for name in command.split():
        found = found.commands[name]
    return found, next(one for one in found.params if one.name == option)


OPTIONS = sorted(_options(typer.main.get_command(app)))


def test_there_are_reasons_to_check() -> None:
    """The walk finds them; else the next test would check nothing."""
    assert ("reviews disclosures release", "reason") in OPTIONS
    assert ("audit report", "reason") in OPTIONS


@pytest.mark.parametrize(("command", "option"), OPTIONS)
def test_a_blank_reason_is_a_usage_error(command: str, option: str) -> None:
    """Whichever command takes it: exit code 2, before anything is done. Spaces round what is said
    are not kept.
    """
    found, parameter = _found(command, option)
    context = typer.Context(found)
    for blank in ("", "   ", "\t", "\u00a0", "\u200b"):
        with pytest.raises(typer.BadParameter) as refused:
            parameter.process_value(context, blank)
        assert refused.value.exit_code == 2
    assert parameter.process_value(context, "  Looked at ") == "Looked at"
