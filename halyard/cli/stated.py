"""What a person states with a command, a reason or a name: it says something."""

from __future__ import annotations

import typer


def stated(value: str | None) -> str | None:
    """The value without the spaces round it; the callback of every option that takes a reason, so
    that all refuse a blank one alike. Raises `typer.BadParameter` (exit code 2).
    """
    if value is None:
        return None
    said = value.strip()
    if not said:
        raise typer.BadParameter("it is blank; say it in words")
    return said
