"""Commands are imported when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest
import typer

from halyard.cli.lazy import Commands
from halyard.cli.main import app

HEAVY = ("aiokafka", "fastapi", "faust", "fhir", "hl7apy", "kafka", "psycopg")


def test_the_command_line_alone_imports_no_heavy_library() -> None:
    """A process pays for what it uses: every start of the others' would cost seconds."""
    program = (
        f"import sys, halyard.cli.main\nprint(*[name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("", "")


def test_a_command_is_made_once_and_only_when_it_is_asked_for() -> None:
    """A place that cannot be imported harms nobody until then; an unknown name is no command."""
    commands = Commands({"topics": "halyard.cli.acls:app", "broken": "halyard.cli.nowhere:app"})
    assert list(commands) == ["topics", "broken"]
    assert commands["topics"] is commands["topics"]
    assert "apply" in commands["topics"].commands
    assert commands.get("unknown") is None
    with pytest.raises(ModuleNotFoundError):
        commands["broken"]


def test_every_command_of_the_table_is_there() -> None:
    """Each place in the table can be imported, and says what it does."""
    root = typer.main.get_command(app)
    assert all(one.get_short_help_str() for one in root.commands.values())  # type: ignore[attr-defined]
