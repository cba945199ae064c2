"""Systems of a module's own: started once, used by all its tests."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

import pytest

from sandbox.pds.people import Person
from tests.support.deaths_system import DeathsHub, MakeDeathsHub
from tests.support.services import DatabaseServer
from tests.support.system import Hub, MakeHub

H = TypeVar("H", bound=Hub)


@pytest.fixture(scope="session")
def make_hub(
    kafka_bootstrap: str,
    database_server: DatabaseServer,
    _migrated: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeHub:
    """``with make_hub(people, settings) as hub``: a system on the run's own services, not started
    yet, under a namespace and on a database that nobody else has.
    """
    return _maker(Hub, kafka_bootstrap, database_server, _migrated, tmp_path_factory)


@pytest.fixture(scope="session")
def make_deaths_hub(
    kafka_bootstrap: str,
    database_server: DatabaseServer,
    _migrated: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> MakeDeathsHub:
    """As `make_hub`, for the part of the system that deaths go through."""
    return _maker(DeathsHub, kafka_bootstrap, database_server, _migrated, tmp_path_factory)


def _maker(
    kind: type[H],
    bootstrap: str,
    server: DatabaseServer,
    template: str,
    places: pytest.TempPathFactory,
) -> Callable[..., AbstractContextManager[H]]:
    @contextlib.contextmanager
    def make(
        people: Iterable[Person] = (), settings: Mapping[str, str] | None = None
    ) -> Iterator[H]:
        database = server.create(template=template)
        try:
            with kind(
                Path(places.mktemp("hub")),
                bootstrap=bootstrap,
                database=database,
                namespace=f"t{uuid.uuid4().hex[:10]}",
                people=people,
                settings=settings,
            ) as hub:
                yield hub
        finally:
            server.drop(database)

    return make
