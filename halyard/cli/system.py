"""The whole system on one machine: embedded Kafka and PostgreSQL, the hub's processes, the sandbox.

`System.start` is what `halyard up` and `halyard demo` share. With
``HALYARD_KAFKA__BOOTSTRAP_SERVERS`` or ``HALYARD_DATABASE__URL`` given, that part is not started.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import SecretStr

from halyard import kafka_admin
from halyard.cli import practice, practice_access
from halyard.cli.supervisor import Specification, Supervisor
from halyard.cli.topics import wanted_topics
from halyard.embedded.datadir import (
    DirectoryLock,
    choose_port,
    free_ports,
    keep_ports,
    write_private,
)
from halyard.embedded.kafka import EmbeddedKafka
from halyard.embedded.postgres import EmbeddedPostgres
from halyard.errors import ConfigurationError, HalyardError, TransientError
from halyard.postgres import migrate
from halyard.provisioning import (
    provision,
    provision_face,
    provision_ncmd,
    provision_sealer,
)
from halyard.settings import Settings
from sandbox.pds.kept import PORT_FILE

READY_SECONDS = 60.0
REVIVE_SECONDS = 5.0  # between tries to start a service that ended

# name, arguments of `halyard`; in the order in which they are started
PROCESSES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("sandbox-pds", ("sandbox", "pds")),
    ("sandbox-authority", ("sandbox", "authority")),
    ("sandbox-contact", ("sandbox", "contact")),
    ("sandbox-ncmd", ("sandbox", "ncmd")),
    ("sandbox-issuer", ("sandbox", "issuer")),
    ("identity", ("worker", "identity")),
    ("matching", ("worker", "matching")),
    ("cases", ("worker", "cases")),
    ("tracer", ("tracer",)),
    ("dispatcher", ("dispatcher",)),
    ("journal", ("journal",)),
    ("sealer", ("sealer",)),
    ("serve", ("serve",)),
    ("connector-hl7v2", ("connector", "hl7v2")),
    ("connector-ncmd", ("connector", "ncmd")),
)

Report = Callable[[str], None]
KEPT_PORTS: Final = ("mllp", "api", "authority", "contact", "ncmd", "issuer")


class NotReady(TransientError):
    """A process did not become ready; its log says why."""


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where the parts of a running system answer (those of `halyard up` all on loopback)."""

    mllp_port: int
    api_url: str
    pds_url: str
    authority_url: str
    contact_url: str
    ncmd_url: str
    bootstrap_servers: str
    mllp_host: str = "127.0.0.1"
    issuer_url: str = ""


class System:
    """Everything, started in order and stopped in reverse; use it from the main thread."""

    def __init__(self, settings: Settings, *, report: Report) -> None:
        self.settings = settings
        self.data_dir = settings.data_dir.expanduser().absolute()
        self.logs = self.data_dir / "logs"
        self.supervisor = Supervisor(report)
        self._report = report
        self._kafka: EmbeddedKafka | None = None
        self._postgres: EmbeddedPostgres | None = None
        self._lock = DirectoryLock(self.data_dir)
        self._addresses: Addresses | None = None
        self.environment: dict[str, str] = {}
        self._restart_at = 0.0
        self._kafka_port = 0
        self._postgres_port = 0
        self._held = False  # our lock on the data directory

    @property
    def addresses(self) -> Addresses:
        """Known once the system was started."""
        if self._addresses is None:
            raise ConfigurationError("The system is not started.")
        return self._addresses

    def start(self) -> None:
        """Bring everything up and return when every process says that it is ready.

        Raises `EmbeddedError` or `NotReady`, each with what to do.
        """
        self._lock.acquire(5.0)
        self._held = True
        self.logs.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._launch_services()
        pds = choose_port(self.data_dir / PORT_FILE, wanted=None)
        busy = {pds, *self._service_ports()}
        # where others look for the hub it is found again
        kept = keep_ports(self.data_dir / "ports", KEPT_PORTS, beside=busy)
        mllp, api, authority, contact, ncmd, issuer = (kept[name] for name in KEPT_PORTS)
        busy |= {*kept.values()}
        free = [one for one in free_ports(len(PROCESSES) + len(busy)) if one not in busy]
        files = practice.prepare(self.data_dir, authority_port=authority, contact_port=contact)
        environment = self._environment(
            files, mllp=mllp, api=api, pds=pds, ncmd=ncmd, issuer=issuer
        )
        self._wait_services(environment, files)
        self.environment = environment
        tokens = practice.read_tokens(files.tokens_file)
        own = {
            "sandbox-pds": {"HALYARD_SANDBOX_PORT": str(pds)},
            "sandbox-authority": {
                "HALYARD_SANDBOX_PORT": str(authority),
                "HALYARD_SANDBOX_HUB_URL": f"http://127.0.0.1:{api}",
                "HALYARD_SANDBOX_TOKEN": tokens[practice.AUTHORITY],
            },
            "sandbox-contact": {"HALYARD_SANDBOX_PORT": str(contact)},
            "sandbox-ncmd": {"HALYARD_SANDBOX_PORT": str(ncmd)},
            "sandbox-issuer": {"HALYARD_SANDBOX_PORT": str(issuer)},
        }
        for (name, arguments), health in zip(PROCESSES, free[: len(PROCESSES)], strict=True):
            self.supervisor.start(
                Specification(
                    name=name,
                    argv=(sys.executable, "-m", "halyard.cli.main", *arguments),
                    environment={
                        **environment,
                        **own.get(name, {}),
                        "HALYARD_HTTP__HEALTH_PORT": str(health),
                    },
                    log_file=self.logs / f"{name}.log",
                    ready_url=f"http://127.0.0.1:{health}/readyz",
                )
            )
        self._addresses = Addresses(
            mllp_port=mllp,
            api_url=f"http://127.0.0.1:{api}",
            pds_url=environment["HALYARD_PDS__BASE_URL"],
            authority_url=f"http://127.0.0.1:{authority}",
            contact_url=f"http://127.0.0.1:{contact}",
            ncmd_url=f"http://127.0.0.1:{ncmd}",
            issuer_url=environment["HALYARD_ACCESS__ISSUER"],
            bootstrap_servers=environment["HALYARD_KAFKA__BOOTSTRAP_SERVERS"],
        )
        self._wait_processes()
        self._write_addresses()

    def running_settings(self) -> Settings:
        """Settings for a client of this system, as its processes have them."""
        return self.settings.model_copy(
            update={
                "database": self.settings.database.model_copy(
                    update={"url": SecretStr(self.environment["HALYARD_DATABASE__URL"])}
                ),
                "ncmd": self.settings.ncmd.model_copy(
                    update={"database_url": SecretStr(self._ncmd_database())}
                ),
            }
        )

    def _ncmd_database(self) -> str:
        own = self.settings.ncmd.database_url.get_secret_value()
        return self.environment.get("HALYARD_NCMD__DATABASE_URL", own)

    def tick(self) -> None:
        """Restart what died; call it a few times a second."""
        self.supervisor.tick()
        if time.monotonic() < self._restart_at:
            return
        if self._kafka is not None and not self._kafka.alive():
            self._revive("Kafka", self._revive_kafka)
        if self._postgres is not None and not self._postgres.alive():
            self._revive("PostgreSQL", self._revive_postgres)

    def _revive(self, name: str, start: Callable[[], None]) -> None:
        """Start an embedded service again, on its old port: every process knows only that."""
        self._report(f"{name} ended; it is started again")
        try:
            start()
        except HalyardError as error:
            self._restart_at = time.monotonic() + REVIVE_SECONDS
            self._report(f"{name} could not be started: {error.message} Trying again.")

    def _revive_kafka(self) -> None:
        assert self._kafka is not None
        # remembered: an object whose start failed knows no port
        self._kafka_port = self._kafka_port or int(self._kafka.bootstrap_servers.rpartition(":")[2])
        self._kafka.kill()  # lets go of the lock
        self._kafka = EmbeddedKafka(
            self.data_dir / "kafka", port=self._kafka_port, progress=self._report
        )
        self._kafka.start()

    def _revive_postgres(self) -> None:
        assert self._postgres is not None
        self._postgres_port = self._postgres_port or self._postgres.port
        self._postgres.kill()
        self._postgres = EmbeddedPostgres(
            self.data_dir / "postgres", port=self._postgres_port, progress=self._report
        )
        self._postgres.start()

    def stop(self) -> None:
        """Stop all: first those who take messages in, last the database."""
        self.supervisor.stop()
        if self._kafka is not None:
            self._kafka.stop()
        if self._postgres is not None:
            self._postgres.stop()
        if self._held:  # another system may hold the directory: its addresses are not ours
            (self.data_dir / "addresses.env").unlink(missing_ok=True)
            self._lock.release()
            self._held = False

    def kill_service(self, name: str) -> None:
        """SIGKILL an embedded service (``kafka`` or ``postgres``), for drills and tests."""
        service = self._kafka if name == "kafka" else self._postgres
        if service is not None:
            service.kill()

    def service_pid(self, name: str) -> int:
        """Process id of an embedded service (``kafka`` or ``postgres``), for measurements."""
        service = self._kafka if name == "kafka" else self._postgres
        if service is None:
            raise ConfigurationError(f"{name} was not started here; unset its address.")
        return service.pid

    def _launch_services(self) -> None:
        if "HALYARD_KAFKA__BOOTSTRAP_SERVERS" not in os.environ:
            self._kafka = EmbeddedKafka(self.data_dir / "kafka", progress=self._report)
            self._kafka.launch()
        if "HALYARD_DATABASE__URL" not in os.environ:
            self._postgres = EmbeddedPostgres(self.data_dir / "postgres", progress=self._report)
            self._postgres.launch()

    def _service_ports(self) -> list[int]:
        """Of what was launched: it may not listen yet, so that its port looks free."""
        ports = [] if self._postgres is None else [self._postgres.port]
        if self._kafka is not None:
            ports.append(int(self._kafka.bootstrap_servers.rpartition(":")[2]))
        return ports

    def _wait_services(self, environment: dict[str, str], files: practice.Practice) -> None:
        settings = self.settings
        if self._postgres is not None:
            self._postgres.wait_ready()
            owner, app = provision(
                self._postgres.admin_url,
                database="halyard",
                owner_password=practice.read_secret(files.secrets_file, "owner_password"),
                app_password=practice.read_secret(files.secrets_file, "app_password"),
            )
            environment["HALYARD_DATABASE__URL"] = app
            environment["HALYARD_DATABASE__OWNER_URL"] = owner
            environment["HALYARD_NCMD__DATABASE_URL"] = provision_ncmd(
                self._postgres.admin_url,
                database="halyard",
                password=practice.read_secret(files.secrets_file, "ncmd_password"),
            )
            environment["HALYARD_HTTP__DATABASE_URL"] = provision_face(
                self._postgres.admin_url,
                database="halyard",
                password=practice.read_secret(files.secrets_file, "face_password"),
            )
            environment["HALYARD_AUDIT__DATABASE_URL"] = provision_sealer(
                self._postgres.admin_url,
                database="halyard",
                password=practice.read_secret(files.secrets_file, "sealer_password"),
            )
            self._report("PostgreSQL answers")
        elif settings.database.owner_url is not None:
            owner = settings.database.owner_url.get_secret_value()
        else:
            raise ConfigurationError(
                "HALYARD_DATABASE__URL is given, so HALYARD_DATABASE__OWNER_URL is needed too: "
                "migrations run as the owner."
            )
        if applied := migrate(owner):
            self._report(f"database migrated ({len(applied)} new)")
        if self._kafka is not None:
            self._kafka.wait_ready()
            # again: the port may be another than at its launch
            environment["HALYARD_KAFKA__BOOTSTRAP_SERVERS"] = self._kafka.bootstrap_servers
            self._report("Kafka answers")
        bootstrap = environment["HALYARD_KAFKA__BOOTSTRAP_SERVERS"]
        kafka_admin.apply(bootstrap, wanted_topics(settings, embedded=self._kafka is not None))
        self._report("topics are as the registry says")

    def _environment(
        self, files: practice.Practice, *, mllp: int, api: int, pds: int, ncmd: int, issuer: int
    ) -> dict[str, str]:
        environment = dict(os.environ)
        environment.update(
            HALYARD_DATA_DIR=str(self.data_dir),
            HALYARD_DIRECTORY_FILE=str(files.directory_file),
            HALYARD_SECURITY__SECRETS_FILE=str(files.secrets_file),
            HALYARD_HL7V2__PORT=str(mllp),
            HALYARD_HTTP__PORT=str(api),
            HALYARD_PDS__BASE_URL=f"http://127.0.0.1:{pds}/personal-demographics/FHIR/R4",
            HALYARD_PDS__TOKEN_URL=f"http://127.0.0.1:{pds}/oauth2/token",
            HALYARD_PDS__API_KEY=practice_access.PDS_API_KEY,
            HALYARD_PDS__PRIVATE_KEY_FILE=str(
                practice_access.key_file(self.data_dir, practice_access.PDS_CLIENT)
            ),
            HALYARD_PDS__KEY_ID=practice_access.PDS_KEY_ID,
            HALYARD_ACCESS__ISSUER=f"http://127.0.0.1:{issuer}",
            HALYARD_SESSIONS__CLIENT_ID=practice_access.HUB_CLIENT,
            HALYARD_SESSIONS__CLIENT_KEY_FILE=str(
                practice_access.key_file(self.data_dir, practice_access.HUB_CLIENT)
            ),
            HALYARD_SESSIONS__PUBLIC_URL=f"http://127.0.0.1:{api}",
            HALYARD_NCMD__SUBMIT_URL=f"http://127.0.0.1:{ncmd}",
            HALYARD_NCMD__SUBMIT_TOKEN=practice.read_secret(files.secrets_file, "ncmd_token"),
        )
        if self._kafka is not None:
            environment["HALYARD_KAFKA__BOOTSTRAP_SERVERS"] = self._kafka.bootstrap_servers
        return environment

    def _wait_processes(self) -> None:
        waiting = list(self.supervisor.names())
        deadline = time.monotonic() + READY_SECONDS
        while waiting:
            self.supervisor.tick()
            for name in list(waiting):
                if self.supervisor.is_ready(name):
                    waiting.remove(name)
                    self._report(f"{name} is ready")
            if waiting and time.monotonic() > deadline:
                raise NotReady(
                    f"{waiting[0]} did not become ready in {READY_SECONDS:.0f} s; its log is "
                    f"{self.supervisor.log_file(waiting[0])}."
                )
            if waiting:
                time.sleep(0.05)

    def _write_addresses(self) -> None:
        """So that `halyard alerts`, `flags`, `send` and `trace` find the running system."""
        keep = {
            key: value
            for key, value in self.environment.items()
            if key.startswith("HALYARD_") and key != "HALYARD_FAULT"
        }
        write_private(
            self.data_dir / "addresses.env",
            "".join(f"{key}={value}\n" for key, value in keep.items()),
        )
