"""A rig for each test, with every topic of the registry."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.journal.rig import Rig
from tests.support.services import Database


@pytest.fixture
def make_rig(
    kafka_bootstrap: str, namespace: str, database: Database, tmp_path: Path
) -> Callable[..., Rig]:
    """A function that makes the rig without topics and with other limits than usual."""

    def make(**worker: float) -> Rig:
        return Rig.make(kafka_bootstrap, namespace, database, tmp_path, **worker)

    return make


@pytest.fixture
def rig(make_rig: Callable[..., Rig]) -> Rig:
    """The rig with its usual limits and every topic."""
    made = make_rig()
    made.make_topics()
    return made
