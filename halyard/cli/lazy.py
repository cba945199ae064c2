"""Commands that are imported when they are asked for: most need libraries that the others do not.

Importing all of them costs seconds of CPU and a hundred megabytes at the start of every process.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator, Mapping, MutableMapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup


@contextlib.contextmanager
def importing() -> Iterator[None]:
    """Look for no garbage meanwhile: modules stay, and looking is a quarter of an import's time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


class Commands(MutableMapping[str, Any]):
    """A group's commands by name, each made at its first use.

    `places` names for each command where it is: ``module:attribute``, of a `typer.Typer` or of a
    function.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)
        self._made: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._made:
            self._made[name] = _made(self._places[name], name)
        return self._made[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self._places.setdefault(name, "")
        self._made[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]
        self._made.pop(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


def group_of(places: Mapping[str, str]) -> type[TyperGroup]:
    """The class of a group (`typer.Typer(cls=…)`) whose commands are at `places`."""

    class LazyGroup(TyperGroup):
        def __init__(self, **attributes: Any) -> None:
            attributes["commands"] = Commands(places)
            super().__init__(**attributes)

    return LazyGroup


def _made(place: str, name: str) -> Any:
    module, _, attribute = place.partition(":")
    with importing():
        found = getattr(import_module(module), attribute)
    if not isinstance(found, typer.Typer):
        only = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        only.command(name)(found)
        return typer.main.get_command(only)
    command = typer.main.get_group(found)
    command.name = name
    return command
