"""What a person states with a command, a reason or a name: it says something."""

from __future__ import annotations

from typing import Final

import typer

from halyard.errors import PermanentError
from halyard.wording import says_something

_HUB: Final = "hub"


def stated(value: str | None) -> str | None:
    """The value without the spaces round it; the callback of every option that takes a reason, so
    that all refuse a blank one alike. Raises `typer.BadParameter` (exit code 2).
    """
    if value is None:
        return None
    said = value.strip()
    if not says_something(said):
        raise typer.BadParameter("it is blank; say it in words")
    return said


def decider(whose: str, by: str | None, for_: str | None, *, people: str, route: str) -> str:
    """Who decides what the people of `whose` must. Raises `PermanentError` where that is an
    organisation and nobody says that one of them has, `typer.BadParameter` where it is the hub's.
    """
    if whose != _HUB:
        if for_ != whose or by is None:
            raise PermanentError(
                f"This is for the people of {whose} to decide ({people}), by `POST {route}`. If "
                "one of them has decided and cannot say so there, record it with "
                f"--for {whose} --by NAME."
            )
        return by
    if for_ is not None:
        raise typer.BadParameter("this belongs to the hub's operator; leave --for out")
    if by is None:
        raise typer.BadParameter("give --by with the name of whoever decides; it is kept and shown")
    return by
