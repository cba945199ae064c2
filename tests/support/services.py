"""Kafka and PostgreSQL for tests: given addresses, Docker, or embedded, in that order.

Docker is passed over, and the run says so, if its engine answers but an image is neither there nor
to be had, or a container does not start. Clients are imported where they are used: unit tests load
this module and need none of them.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.support.docker_engine import DockerEngine

if TYPE_CHECKING:
    from testcontainers.core.container import DockerContainer

# One cluster serves several runs at a time, and roles belong to the cluster: no random ones.
OWNER_PASSWORD = "practice-owner"
APP_PASSWORD = "practice-app"
NCMD_PASSWORD = "practice-ncmd"
FACE_PASSWORD = "practice-face"
SEALER_PASSWORD = "practice-sealer"

NCMD_ROLE, FACE_ROLE, SEALER_ROLE = "halyard_ncmd", "halyard_face", "halyard_sealer"

_MEMORY = Path("/dev/shm")
_PREFIX = "halyard-tests-"
_ROOM = 4 * 1024**3
_STARTING_SECONDS = 60

KAFKA_IMAGE = "apache/kafka:4.3.1"
POSTGRES_IMAGE = "postgres:18"


@dataclass(frozen=True, slots=True)
class KafkaServer:
    """A broker to share."""

    bootstrap_servers: str
    source: str


@dataclass(frozen=True, slots=True)
class Database:
    """One database and the URLs of the roles in it; `url` is the app role's."""

    name: str
    url: str = field(repr=False)
    owner_url: str = field(repr=False)
    admin_url: str = field(repr=False)
    ncmd_url: str = field(repr=False)  # of the NCMD store's role
    face_url: str = field(repr=False)  # of the role of `halyard serve`
    sealer_url: str = field(repr=False)  # of the role of `halyard sealer`


@dataclass(frozen=True, slots=True)
class DatabaseServer:
    """A PostgreSQL to share; `admin_url` is a superuser's."""

    admin_url: str = field(repr=False)
    source: str

    @contextlib.contextmanager
    def migrated_template(self) -> Iterator[str]:
        """A migrated database to copy from (30 ms a copy), for as long as the context lasts."""
        from halyard import postgres

        template = self._provision()
        try:
            postgres.migrate(template.owner_url)
            yield template.name
        finally:
            self.drop(template)

    def create(self, *, template: str | None = None) -> Database:
        """A new database, empty or a copy of `template`."""
        return self._provision() if template is None else self._copy(template)

    def drop(self, database: Database) -> None:
        """Remove it, whoever is still connected."""
        import psycopg
        from psycopg import sql

        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            statement = sql.SQL("drop database if exists {} with (force)")
            connection.execute(statement.format(sql.Identifier(database.name)))

    def _provision(self) -> Database:
        from halyard import provisioning

        name, admin = _new_name(), self.admin_url
        provisioning.provision(
            admin, database=name, owner_password=OWNER_PASSWORD, app_password=APP_PASSWORD
        )
        provisioning.provision_ncmd(admin, database=name, password=NCMD_PASSWORD)
        provisioning.provision_face(admin, database=name, password=FACE_PASSWORD)
        provisioning.provision_sealer(admin, database=name, password=SEALER_PASSWORD)
        return self._named(name)

    def _copy(self, template: str) -> Database:
        # The roles are there, with their rights in the template: making them again for each of a
        # thousand databases costs three times the copy. Files are copied, as nothing is flushed.
        import psycopg
        from psycopg import sql

        name = _new_name()
        statement = sql.SQL("create database {} owner halyard_owner template {} strategy file_copy")
        with psycopg.connect(self.admin_url, autocommit=True) as connection:
            connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self._named(name)

    def _named(self, name: str) -> Database:
        head, _, _ = self.admin_url.rpartition("/")
        place = head.rpartition("@")[2]

        def url(role: str, password: str) -> str:
            return f"postgresql://{role}:{password}@{place}/{name}"

        return Database(
            name=name,
            url=url("halyard_app", APP_PASSWORD),
            owner_url=url("halyard_owner", OWNER_PASSWORD),
            admin_url=f"{head}/{name}",
            ncmd_url=url(NCMD_ROLE, NCMD_PASSWORD),
            face_url=url(FACE_ROLE, FACE_PASSWORD),
            sealer_url=url(SEALER_ROLE, SEALER_PASSWORD),
        )


def _remove_if_ended(lock: Path) -> None:
    """Free the memory of a run that was killed: nobody holds its lock any more."""
    with contextlib.suppress(OSError), lock.open("rb") as file:
        if time.time() - lock.parent.parent.stat().st_mtime < _STARTING_SECONDS:
            return  # it may be about to take its lock
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(lock.parent.parent, ignore_errors=True)


def _check_password_fast(admin_url: str) -> None:
    """Store the superuser's password again, under the server's settings: the one that initdb stored
    costs each connection 20 ms.
    """
    import psycopg
    from psycopg import sql

    with psycopg.connect(admin_url, autocommit=True) as connection:
        password = sql.Literal(connection.info.password)
        connection.execute(sql.SQL("alter role current_user password {}").format(password))


def _new_name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def face_url(app_url: str) -> str:
    """The URL of the role of `halyard serve`, of a database of which the app role's is known."""
    return app_url.replace(f"//halyard_app:{APP_PASSWORD}@", f"//{FACE_ROLE}:{FACE_PASSWORD}@")


class Services:
    """Finds or starts the services once, at first need, and stops what it started."""

    def __init__(self, *, given_kafka: str | None, given_database: str | None) -> None:
        self._given_kafka = given_kafka
        self._given_database = given_database
        self._kafka: KafkaServer | None = None
        self._database: DatabaseServer | None = None
        self._stop: list[Callable[[], object]] = []
        self._no_pull = False  # one pull has failed: no second one is waited for

    def kafka(self, directory: Callable[[], Path]) -> KafkaServer:
        """The broker; `directory` gives a place for an embedded one."""
        if self._kafka is None:
            self._kafka = self._find_kafka(directory)
        return self._kafka

    def database(self, directory: Callable[[], Path]) -> DatabaseServer:
        """The PostgreSQL; `directory` gives a place for an embedded one."""
        if self._database is None:
            self._database = self._find_database(directory)
        return self._database

    def report(self) -> Iterator[str]:
        """A line for each service that was used."""
        if self._kafka is not None:
            yield f"Kafka: {self._kafka.source}"
        if self._database is not None:
            yield f"PostgreSQL: {self._database.source}"

    def stop(self) -> None:
        """Stop what was started here."""
        while self._stop:
            self._stop.pop()()

    def _find_kafka(self, directory: Callable[[], Path]) -> KafkaServer:
        if self._given_kafka:
            return KafkaServer(self._given_kafka, f"given ({self._given_kafka})")
        address, why_not = self._in_docker(KAFKA_IMAGE, self._start_kafka_container)
        if address:
            return KafkaServer(address, f"Docker, {KAFKA_IMAGE} ({address})")
        from halyard.embedded.kafka import EmbeddedKafka

        broker = EmbeddedKafka(directory())
        broker.start()
        self._stop.append(broker.stop)
        served = f"embedded ({broker.bootstrap_servers}){why_not}"
        return KafkaServer(broker.bootstrap_servers, served)

    def _find_database(self, directory: Callable[[], Path]) -> DatabaseServer:
        if self._given_database:
            return DatabaseServer(self._given_database, "given")
        url, why_not = self._in_docker(POSTGRES_IMAGE, self._start_postgres_container)
        if url:
            return DatabaseServer(url, f"Docker, {POSTGRES_IMAGE}")
        from halyard.embedded.postgres import EmbeddedPostgres

        server = EmbeddedPostgres(self._in_memory() or directory(), lasting=False)
        server.start()
        _check_password_fast(server.admin_url)
        self._stop.append(server.stop)
        return DatabaseServer(server.admin_url, f"embedded (port {server.port}){why_not}")

    def _in_memory(self) -> Path | None:
        """A place where making and dropping a database of a thousand files is cheap (a fifth of the
        time), if there is one with room.
        """
        if not os.access(_MEMORY, os.W_OK) or shutil.disk_usage(_MEMORY).free < _ROOM:
            return None
        for left in _MEMORY.glob(f"{_PREFIX}*/postgres/halyard.lock"):
            _remove_if_ended(left)
        place = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=_MEMORY))
        self._stop.append(lambda: shutil.rmtree(place, ignore_errors=True))
        return place / "postgres"

    def _in_docker(self, image: str, start: Callable[[], str]) -> tuple[str, str]:
        """The address of a container of `image`; or none, and why an engine did not serve."""
        engine = DockerEngine.of_environment()
        if not engine.answers():
            return "", ""
        if not engine.has(image) and (self._no_pull or not engine.get(image)):
            self._no_pull = True
            return "", f"; Docker answers, but {image} is neither there nor to be pulled"
        from docker.errors import DockerException
        from requests.exceptions import RequestException

        # We stop what we started; the reaper would be one more image to pull. Containers of a run
        # that is killed stay until `docker rm`.
        os.environ.setdefault("TESTCONTAINERS_RYUK_DISABLED", "true")
        try:
            return start(), ""
        except (DockerException, RequestException, RuntimeError, TimeoutError) as error:
            return "", f"; Docker answers, but {image} did not start ({type(error).__name__})"

    def _start_postgres_container(self) -> str:
        from testcontainers.community.postgres import PostgresContainer

        container = PostgresContainer(POSTGRES_IMAGE, driver=None)
        # As many connections as the embedded server takes
        container.with_command(
            "postgres -c max_connections=200 -c log_error_verbosity=terse -c fsync=off"
            " -c scram_iterations=1"
        )
        self._start_container(container)
        url: str = container.get_connection_url()
        return url

    def _start_kafka_container(self) -> str:
        from testcontainers.community.kafka import KafkaContainer

        class ApacheKafkaContainer(KafkaContainer):
            """`KafkaContainer` speaks to Confluent's image; this one to apache/kafka."""

            MIN_KRAFT_TAG = "3.7.0"

            def tc_start(self) -> None:
                # The published port is known only now, so the container waits for this script.
                host, port = self.get_container_host_ip(), self.get_exposed_port(self.port)
                listeners = (
                    f"{self.listener_name}://{host}:{port},"
                    "BROKER://$(hostname -i | cut -d' ' -f1):9092"
                )
                script = (
                    "#!/bin/sh\n"
                    f"export KAFKA_ADVERTISED_LISTENERS={listeners}\n"
                    "exec /etc/kafka/docker/run\n"
                )
                self.create_file(script.encode(), self.TC_START_SCRIPT)

        container = ApacheKafkaContainer(KAFKA_IMAGE).with_kraft()
        for name, value in (
            ("KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR", "1"),
            ("KAFKA_TRANSACTION_STATE_LOG_MIN_ISR", "1"),
            ("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false"),
            ("KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS", "0"),
        ):
            container.with_env(name, value)
        self._start_container(container)
        address: str = container.get_bootstrap_server()
        return address

    def _start_container(self, container: DockerContainer) -> None:
        from docker.errors import DockerException

        try:
            container.start()
        except BaseException:
            with contextlib.suppress(DockerException, RuntimeError):  # what was made of it goes
                container.stop()
            raise
        self._stop.append(container.stop)
