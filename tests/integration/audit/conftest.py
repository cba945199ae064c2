"""A chain of two organisations, sealed, signed twice and exported."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from tests.support.audit import COUNCIL, HOSPITAL, Chain, chain, entry
from tests.support.services import Database


@pytest.fixture
async def sealed(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """Ten links of the hospital (checkpoints at 6 and 10), four of the council (at 4)."""
    async with chain(database, tmp_path / "checkpoints") as made:
        await made.append(*(entry(number) for number in range(1, 7)))
        await made.append(*(entry(number, COUNCIL) for number in range(1, 5)))
        made.now += timedelta(seconds=20)
        await made.seal_all()
        await made.append(*(entry(number, HOSPITAL) for number in range(7, 11)))
        made.now += timedelta(seconds=20)
        await made.seal_all()
        yield made
