"""Who gives a command, and on whose records."""

from __future__ import annotations

import os
import pwd

import typer

from halyard.settings import Settings
from stores.directory import load_directory


def account() -> str:
    """The account of this machine, as the kernel knows it: variables may say anything."""
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a container's user needs no name
        return f"uid-{uid}"


def me() -> str:
    """As audit entries name it."""
    return f"cli:{account()}"


def in_directory(settings: Settings, organisation: str) -> None:
    """Raises `typer.BadParameter` for a code that is nobody's: "nothing is open" would be read as
    good news.
    """
    if not load_directory(settings.directory_file).kinds_of(organisation):
        raise typer.BadParameter(f"{organisation} is no organisation of the directory")
