"""Fixtures of every test: where Kafka and PostgreSQL come from, and a place of one's own there.

The services are taken from the first that is there: addresses in
``HALYARD_KAFKA__BOOTSTRAP_SERVERS`` and ``HALYARD_DATABASE__ADMIN_URL`` (a superuser's), Docker
through testcontainers, our own embedded ones. Other ``HALYARD_*`` variables of the caller never
reach a test: all are removed from the environment here, and the fixtures are the way to the
addresses.

With several workers (``-n 2``) one keeper has the services for all of them, a module runs whole on
one worker, and each worker measures its own coverage if the run does.
"""

from __future__ import annotations

import gc
import logging
import os
import uuid
from collections.abc import Callable, Iterator, MutableMapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import coverage
import pytest
from hypothesis import HealthCheck, settings

from tests.support import logs
from tests.support.keeper import Keeper, KeptServices
from tests.support.services import Database, DatabaseServer, KafkaServer, Services

if TYPE_CHECKING:
    from xdist.workermanage import WorkerController

_GIVEN_KAFKA = "HALYARD_KAFKA__BOOTSTRAP_SERVERS"
_GIVEN_DATABASE = "HALYARD_DATABASE__ADMIN_URL"

_ITK_SAMPLES = "HALYARD_ITK_SAMPLES"

_GIVEN = pytest.StashKey[dict[str, str]]()
"""The caller's ``HALYARD_*`` variables, on every worker."""
_SERVICES = pytest.StashKey[Services]()
_KEEPER = pytest.StashKey[Keeper]()
_COVERAGE = pytest.StashKey[coverage.Coverage]()
_TESTS = Path(__file__).parent
_NOBODY = _TESTS / "support" / "nobody.pem"
"""A certificate authority that has signed nothing: its key was never kept."""


# `make test` must not depend on luck: the same examples each time, and no health check that a busy
# machine fails; half of them. `make test-full` draws anew, and twice as many
# (--hypothesis-profile=wide). A test that says its own number keeps it in both.
settings.register_profile(
    "wide", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100
)
settings.register_profile(
    "steady", parent=settings.get_profile("wide"), derandomize=True, max_examples=50
)
# `make mutation` runs a test thousands of times
settings.register_profile("few", parent=settings.get_profile("steady"), max_examples=25)
settings.load_profile("steady")


def pytest_configure(config: pytest.Config) -> None:
    """Take the given addresses and leave no HALYARD_* variable behind."""
    given = {
        name: os.environ.pop(name) for name in tuple(os.environ) if name.startswith("HALYARD_")
    }
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is not None:
        given = worker["halyard_given"]
        config.stash[_SERVICES] = KeptServices(worker["halyard_services"])
        if worker["halyard_coverage"]:
            config.stash[_COVERAGE] = coverage.Coverage(data_suffix=True)
            config.stash[_COVERAGE].start()
    else:
        config.stash[_SERVICES] = Services(
            given_kafka=given.get(_GIVEN_KAFKA), given_database=given.get(_GIVEN_DATABASE)
        )
    config.stash[_GIVEN] = given
    # Tests call nobody outside; reading the web's authorities costs each client 50 ms of CPU
    os.environ["SSL_CERT_FILE"] = str(_NOBODY)
    logs.plain()
    # Refused connections are part of many tests; the client's own lines say nothing new.
    logging.getLogger("kafka").setLevel(logging.ERROR)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: WorkerController) -> None:
    """Tell a worker where the services are (pytest-xdist)."""
    stash = node.config.stash
    if _KEEPER not in stash:
        given = stash[_GIVEN]
        stash[_KEEPER] = Keeper(
            {"kafka": given.get(_GIVEN_KAFKA), "database": given.get(_GIVEN_DATABASE)}
        )
    node.workerinput["halyard_given"] = stash[_GIVEN]
    node.workerinput["halyard_services"] = stash[_KEEPER].address
    node.workerinput["halyard_coverage"] = coverage.Coverage.current() is not None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    """Whole modules, the heavy ones on one worker (pytest-xdist)."""
    from tests.support.spread import Spread

    return Spread(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for no garbage in what is collected: all of it stays to the end."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test by its folder."""
    for item in items:
        if item.path.is_relative_to(_TESTS):
            folder = item.path.relative_to(_TESTS).parts[0]
            if folder in {"unit", "contract", "integration", "acceptance"}:
                item.add_marker(getattr(pytest.mark, folder))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which services the tests ran against."""
    services = config.stash.get(_KEEPER, None) or config.stash[_SERVICES]
    for line in services.report():
        terminalreporter.write_line(line)
    if not config.stash[_GIVEN].get(_ITK_SAMPLES):
        terminalreporter.write_line(
            f"ITK samples: not read; {_ITK_SAMPLES} names no folder of the published messages"
        )


def pytest_unconfigure(config: pytest.Config) -> None:
    """Stop what was started for this run."""
    for started in (config.stash.get(_KEEPER, None), config.stash.get(_SERVICES, None)):
        if started is not None:
            started.stop()
    if (measured := config.stash.get(_COVERAGE, None)) is not None:
        measured.stop()
        measured.save()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's own HALYARD_* variables (set by monkeypatch) start from none."""
    for name in tuple(os.environ):
        if name.startswith("HALYARD_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def itk_samples(request: pytest.FixtureRequest) -> Path:
    """The folder of the published ITK messages (``A01.hl7``, …), which are not ours to ship."""
    given = request.config.stash[_GIVEN].get(_ITK_SAMPLES)
    if not given:
        pytest.skip(f"{_ITK_SAMPLES} names no folder of the published ITK messages")
    return Path(given)


@pytest.fixture(scope="session")
def kafka_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> KafkaServer:
    """The Kafka of this run."""
    return request.config.stash[_SERVICES].kafka(lambda: tmp_path_factory.mktemp("kafka"))


@pytest.fixture(scope="session")
def kafka_bootstrap(kafka_server: KafkaServer) -> str:
    """Its address, ``host:port``. Share it: put everything under the `namespace`."""
    return kafka_server.bootstrap_servers


@pytest.fixture(scope="session")
def database_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> DatabaseServer:
    """The PostgreSQL of this run."""
    return request.config.stash[_SERVICES].database(lambda: tmp_path_factory.mktemp("postgres"))


@pytest.fixture(scope="session")
def postgres_admin_url(database_server: DatabaseServer) -> str:
    """The superuser's URL. Share it: make databases of your own."""
    return database_server.admin_url


@pytest.fixture
def namespace() -> str:
    """A prefix for topics and groups that no other test has (``HALYARD_KAFKA__NAMESPACE``)."""
    return f"t{uuid.uuid4().hex[:10]}"  # not `random`: pytest-randomly gives that one seed


@pytest.fixture(scope="session")
def _migrated(database_server: DatabaseServer) -> Iterator[str]:
    with database_server.migrated_template() as name:
        yield name


@pytest.fixture
def make_database(
    database_server: DatabaseServer, _migrated: str
) -> Iterator[Callable[[], Database]]:
    """A function that makes migrated databases, dropped after the test."""
    made: list[Database] = []

    def make() -> Database:
        made.append(database_server.create(template=_migrated))
        return made[-1]

    yield make
    for database in made:
        database_server.drop(database)


@pytest.fixture
def database(make_database: Callable[[], Database]) -> Database:
    """A fresh migrated database of the test's own: name and the URLs of its roles."""
    return make_database()


@pytest.fixture
def database_url(database: Database) -> str:
    """The app role's URL of a fresh migrated database (``HALYARD_DATABASE__URL``)."""
    return database.url


@pytest.fixture
def child_environment() -> MutableMapping[str, str]:
    """What a subprocess inherits: the caller's variables without any HALYARD_* one."""
    return {name: value for name, value in os.environ.items() if not name.startswith("HALYARD_")}
