"""What a person states with a command, a reason or a name: it says something."""

from __future__ import annotations

from typing import Annotated

import typer

from halyard.errors import PermanentError
from halyard.wording import says_something
from stores.audit import HUB


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


def named(value: str) -> str:
    """Who somebody says they are. Raises `typer.BadParameter` if it is blank or was left out."""
    said = value.strip()
    if not says_something(said):
        raise typer.BadParameter("give --by with a role or work name; it is kept and shown")
    return said


Name = Annotated[
    str,
    typer.Option(help="Needed. Who you are: a role or work name, kept and shown.", callback=named),
]
"""`--by` of a command that nobody gives without saying who they are; its default is ""."""

Why = Annotated[
    str,
    typer.Option(
        "--reason", help="Why; kept in the audit chain. No personal data.", callback=stated
    ),
]
"""`--reason` of a decision."""

By = Annotated[
    str | None,
    typer.Option(help="Needed. Whose decision it is: a name, kept and shown.", callback=stated),
]
For = Annotated[
    str | None,
    typer.Option(
        "--for",
        help="On behalf of this organisation, whose people decide; with --by, one of them.",
        callback=stated,
    ),
]
"""Beside `By`: checked by `both` before anything is read, by `decider` against whose it is."""


def both(by: str | None, for_: str | None) -> None:
    """Raises `typer.BadParameter` if an organisation is named and none of its people."""
    if for_ is not None and by is None:
        raise typer.BadParameter("give --by with the name of whoever decided, beside --for")


def decider(whose: str, by: str | None, for_: str | None, *, people: str, route: str) -> str:
    """Who decides what the people of `whose` must. Raises `PermanentError` where that is an
    organisation and nobody says that one of them has, `typer.BadParameter` where it is the hub's.
    """
    if whose != HUB:
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
