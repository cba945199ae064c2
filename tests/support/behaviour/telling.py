"""How stories are collected: a function a story, its name the story's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.support.behaviour.story import Again, Alert, Flag, Move, People, Someone, Story

ED: Final = "Emergency department"

Teller = Callable[[People], Story]

TELLERS: dict[str, Teller] = {}


def tells(teller: Teller) -> Teller:
    """Put a story into the table."""
    TELLERS[teller.__name__.strip("_").replace("_", "-")] = teller
    return teller


def story(
    flags: tuple[Flag, ...],
    steps: tuple[Move, ...],
    alerts: tuple[Alert, ...] = (),
    *more: Someone,
    unknown: tuple[Someone, ...] = (),
) -> Story:
    """A story whose people are whoever stands in it; `more` beside those of flags and steps."""
    named = [one.who for one in (*flags, *steps, *alerts) if not isinstance(one, Again)]
    people = tuple(dict.fromkeys((*named, *more)))
    return Story("", flags, steps, alerts, people, unknown)
