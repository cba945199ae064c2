"""A toy system for each test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.plumbing import Plumbing
from tests.support.services import Database


@pytest.fixture
def make_plumbing(
    kafka_bootstrap: str, namespace: str, database: Database, tmp_path: Path
) -> Callable[..., Plumbing]:
    """A function that makes the toy system with other limits than usual."""

    def make(**limits: float) -> Plumbing:
        return Plumbing.make(
            bootstrap=kafka_bootstrap,
            namespace=namespace,
            database=database,
            directory=tmp_path,
            **limits,  # type: ignore[arg-type] # partitions is an int
        )

    return make


@pytest.fixture
def plumbing(make_plumbing: Callable[..., Plumbing]) -> Plumbing:
    """The toy system with its usual limits."""
    return make_plumbing()
