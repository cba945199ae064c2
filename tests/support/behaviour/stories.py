"""The table: what happens at two hospitals, and what two authorities must be told of it."""

from __future__ import annotations

from dataclasses import replace

from tests.support.behaviour import arrivals, courses, identities
from tests.support.behaviour.story import People, Story
from tests.support.behaviour.telling import TELLERS

__all__ = ["TELLERS", "arrivals", "courses", "identities", "tell"]


def tell(name: str, people: People) -> Story:
    """The story of this name, with people of its own."""
    return replace(TELLERS[name](people), name=name)
