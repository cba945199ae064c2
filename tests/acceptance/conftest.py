"""Systems of a module's own: started once, used by all its tests."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from sandbox.pds.people import Person
from tests.support.services import DatabaseServer
from tests.support.system import Hub, MakeHub


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

    @contextlib.contextmanager
    def make(
        people: Iterable[Person] = (), settings: Mapping[str, str] | None = None
    ) -> Iterator[Hub]:
        database = database_server.create(template=_migrated)
        try:
            with Hub(
                Path(tmp_path_factory.mktemp("hub")),
                bootstrap=kafka_bootstrap,
                database=database,
                namespace=f"t{uuid.uuid4().hex[:10]}",
                people=people,
                settings=settings,
            ) as hub:
                yield hub
        finally:
            database_server.drop(database)

    return make
