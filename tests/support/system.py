"""The whole hub as real `halyard` processes, against a Kafka and a PostgreSQL to share or its own.

    with Hub(directory, bootstrap=…, database=…, namespace=…) as hub:
        hub.start()
        hub.kill("identity"); hub.launch("identity", fault="identity.after_commit:kill")

Two authorities and a hospital's contact receive webhooks, each into a journal of its own.
"""

from __future__ import annotations

import json
import secrets
import signal
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import psycopg
from psycopg.rows import dict_row

from connectors.local_authority.client import HubClient
from halyard import kafka_admin
from halyard.cli.topics import wanted_topics
from halyard.embedded.datadir import write_private
from halyard.errors import BrokerUnavailable
from halyard.kafka import qualified
from halyard.kafka_admin import PartitionLag
from halyard.privacy import Keys, load_keys
from halyard.settings import DatabaseSettings, KafkaSettings, Settings
from sandbox.pds.people import Person
from schemas.topics import (
    ATTENDANCE_REPORTED,
    ATTENDANCE_VERIFIED,
    DEATH_NOTIFIED,
    DEATH_VERIFIED,
    FLAG_SUBMITTED,
    FLAG_VERIFIED,
    REPORT_SUBMITTED,
    REPORT_VERIFIED,
)
from stores.directory import Directory, load_directory
from tests.support.hub_files import (
    AUTHORITIES,
    CONTACT,
    HOSPITAL,
    directory_file,
    write_people,
    write_secrets,
)
from tests.support.loopback import fetch, post, quiet_ports
from tests.support.processes import Process, halyard
from tests.support.services import Database
from tests.support.waiting import eventually

START_SECONDS = 60.0
STOP_SECONDS = 15.0

# name of a process: arguments of `halyard`
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "pds": ("sandbox", "pds"),
    "north": ("sandbox", "authority"),
    "south": ("sandbox", "authority"),
    "contact": ("sandbox", "contact"),
    "identity": ("worker", "identity"),
    "matching": ("worker", "matching"),
    "tracer": ("tracer",),
    "dispatcher": ("dispatcher",),
    "journal": ("journal",),
    "serve": ("serve",),
    "hl7v2": ("connector", "hl7v2"),
    "cases": ("worker", "cases"),
    "ncmd": ("connector", "ncmd"),
}
DEATHS = ("cases", "ncmd")
SPINE = tuple(name for name in COMMANDS if name not in DEATHS)
READERS = {
    "identity": (ATTENDANCE_REPORTED, FLAG_SUBMITTED, DEATH_NOTIFIED, REPORT_SUBMITTED),
    "matching": (ATTENDANCE_VERIFIED, FLAG_VERIFIED),
    "cases": (DEATH_VERIFIED, REPORT_VERIFIED),
}

# Patience as short as the machine allows: a fault costs seconds, not minutes
PATIENCE = {
    "HALYARD_KAFKA__SESSION_TIMEOUT_SECONDS": "6",
    "HALYARD_PDS__CALLS_PER_SECOND": "500",
    "HALYARD_PDS__LEASE_SECONDS": "6",
    "HALYARD_PDS__BREAKER_SECONDS": "1",
    "HALYARD_PDS__TIMEOUT_SECONDS": "2",
    "HALYARD_DELIVERY__TIMEOUT_SECONDS": "2",
    "HALYARD_DELIVERY__MLLP_TIMEOUT_SECONDS": "2",
    "HALYARD_DELIVERY__LEASE_SECONDS": "4",
    "HALYARD_DELIVERY__FIRST_RETRY_SECONDS": "0.2",
    "HALYARD_DELIVERY__MAX_RETRY_SECONDS": "2",
    "HALYARD_DELIVERY__BREAKER_SECONDS": "0.5",
    "HALYARD_DELIVERY__POLL_SECONDS": "0.5",
}


MakeHub = Callable[..., AbstractContextManager["Hub"]]
"""``make_hub(people=…, settings=…)``, a fixture of the acceptance tests."""


class Hub:
    """One system; a context manager that ends every process it started."""

    commands: Mapping[str, tuple[str, ...]] = COMMANDS  # that it can start

    def __init__(
        self,
        directory: Path,
        *,
        bootstrap: str,
        database: Database,
        namespace: str,
        people: Iterable[Person] = (),
        settings: Mapping[str, str] | None = None,
        organisations: Iterable[str] = (),
    ) -> None:
        self.directory = directory
        self.database = database
        self.logs = directory / "logs"
        self.journals = directory / "journals"
        self.mllp_port, self._api, self._pds, *receivers = quiet_ports(6)
        self._receivers = dict(zip((*AUTHORITIES.values(), CONTACT), receivers, strict=True))
        self._tokens = {
            code: secrets.token_urlsafe(24) for code in (*AUTHORITIES, HOSPITAL, *organisations)
        }
        self._people_file = directory / "people.jsonl"
        self.logs.mkdir(parents=True)
        for name in self._receivers:
            (self.journals / name).mkdir(parents=True)
        write_people(self._people_file, people)
        write_secrets(directory, self._receivers)
        write_private(directory / "directory.toml", self._directory_file())
        self.settings = Settings(
            data_dir=directory,
            kafka=KafkaSettings(bootstrap_servers=bootstrap, namespace=namespace),
            database=DatabaseSettings.model_validate({"url": database.url}),
        )
        self.environment = {
            "HALYARD_DATA_DIR": str(directory / "data"),
            "HALYARD_DIRECTORY_FILE": str(directory / "directory.toml"),
            "HALYARD_SECURITY__SECRETS_FILE": str(directory / "secrets.toml"),
            "HALYARD_KAFKA__BOOTSTRAP_SERVERS": bootstrap,
            "HALYARD_KAFKA__NAMESPACE": namespace,
            "HALYARD_DATABASE__URL": database.url,
            "HALYARD_HTTP__DATABASE_URL": database.face_url,
            "HALYARD_AUDIT__DATABASE_URL": database.sealer_url,
            "HALYARD_HL7V2__PORT": str(self.mllp_port),
            "HALYARD_HTTP__PORT": str(self._api),
            "HALYARD_PDS__BASE_URL": f"{self.url('pds')}/personal-demographics/FHIR/R4",
            "HALYARD_PDS__TOKEN": secrets.token_urlsafe(16),
            **PATIENCE,
            **(settings or {}),
        }
        self.processes: dict[str, Process] = {}
        self._started: list[Process] = []

    # --- processes ---------------------------------------------------------------------------

    def start(self, names: Iterable[str] = SPINE) -> Self:
        """Make the topics and start processes; returns when each says that it is ready."""
        kafka_admin.apply(
            self.settings.kafka.bootstrap_servers, wanted_topics(self.settings, embedded=True)
        )
        started = list(names)
        for name in started:
            self.launch(name)
        for name in started:
            self.wait_ready(name)
        return self

    def launch(self, name: str, *, fault: str | None = None, **settings: str) -> Process:
        """Start a process without waiting; ``identity-2`` is a second ``identity``.

        `fault` is for this start alone, and so are `settings` (``HALYARD_…``).
        """
        before = self.processes.get(name)
        assert before is None or before.exit_code is not None, f"{name} runs already"
        kind = name.partition("-")[0]
        environment = {**self.environment, **settings}
        if fault is not None:
            environment["HALYARD_FAULT"] = fault
        if kind in self._receivers:
            environment["HALYARD_SANDBOX_PORT"] = str(self._receivers[kind])
            environment["HALYARD_SANDBOX_JOURNALS"] = str(self.journals / kind)
            environment["HALYARD_SECURITY__SECRETS_FILE"] = str(
                self.directory / f"secrets-{kind}.toml"
            )
        arguments = self.commands[kind]
        if kind == "pds":
            environment["HALYARD_SANDBOX_PORT"] = str(self._pds)
            arguments = (*arguments, "--people", str(self._people_file))
        process = halyard(*arguments, directory=self.logs, env=environment, name=name)
        self.processes[name] = process
        self._started.append(process)
        return process

    def wait_ready(self, name: str, seconds: float = START_SECONDS) -> None:
        """Wait until the process says that it is ready; AssertionError if it ends instead."""
        process = self.processes[name]

        def ready() -> bool:
            if process.exit_code is not None:
                raise RuntimeError(
                    f"{name} ended with {process.exit_code}: {process.log_text()[-3000:]}"
                )
            return self.answers(name, "/readyz")

        eventually(ready, seconds, why=f"{name} is ready")

    def kill(self, name: str) -> int:
        """SIGKILL; the exit code."""
        return self.processes[name].kill()

    def stop(self, name: str) -> int:
        """SIGTERM, and wait for its end; the exit code."""
        return self.processes[name].terminate(STOP_SECONDS)

    def restart(self, name: str, *, fault: str | None = None, how: str = "kill") -> None:
        """End a process (``kill`` or ``stop``) if it still runs, and start it again, ready."""
        if self.processes[name].exit_code is None:
            getattr(self, how)(name)
        self.launch(name, fault=fault)
        self.wait_ready(name)

    def revive(self, but: Iterable[str] = ()) -> list[str]:
        """As a supervisor does: start again what has ended, without a fault; gives the names.

        Second workers (``identity-2``) and those in `but` stay away.
        """
        ended = [
            name
            for name, process in self.processes.items()
            if process.exit_code is not None and name in self.commands and name not in but
        ]
        for name in ended:
            self.launch(name)
        return ended

    def wait_ended(self, name: str, seconds: float = 30.0) -> int:
        """Wait until the process ends of itself; its exit code."""
        return self.processes[name].wait(seconds)

    def close(self) -> None:
        """End everything: first SIGTERM to all, then SIGKILL."""
        for process in self._started:
            if process.exit_code is None:
                process.send_signal(signal.SIGTERM)
        for process in self._started:
            try:
                process.wait(STOP_SECONDS)
            except AssertionError:
                process.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def health_port(self, name: str) -> int | None:
        """Port of /readyz and /metrics, as the process itself logs it; None until it has."""
        process = self.processes[name]
        for line in process.log_text().splitlines():
            if '"process_started"' in line:
                entry = json.loads(line)
                if entry["pid"] == process.pid:
                    return int(entry["health_port"])
        return None

    def answers(self, name: str, path: str) -> bool:
        """True if the process's health server answers `path` with 200."""
        return self.health(name, path)[0] == 200

    def health(self, name: str, path: str) -> tuple[int, str]:
        """Status and body of the process's health server; 0 if it does not answer."""
        port = self.health_port(name)
        return (0, "") if port is None else fetch(f"http://127.0.0.1:{port}{path}")

    # --- the outside -------------------------------------------------------------------------

    def url(self, name: str) -> str:
        """Base URL of ``serve``, ``pds`` or a receiver."""
        port = {"serve": self._api, "pds": self._pds, **self._receivers}[name]
        return f"http://127.0.0.1:{port}"

    def client(self, organisation: str) -> HubClient:
        """The hub's API as an organisation calls it."""
        return HubClient(self.url("serve"), self._tokens[organisation])

    def token(self, organisation: str) -> str:
        """The organisation's bearer token."""
        return self._tokens[organisation]

    def set_pds_faults(self, **faults: Any) -> None:
        """Put faults of the practice PDS in force (none: all is well)."""
        post(f"{self.url('pds')}/sandbox/faults", faults)

    def add_person(self, person: Person) -> None:
        """Tell the practice PDS of one more person."""
        post(f"{self.url('pds')}/sandbox/people", asdict(person))

    def misbehave(self, receiver: str, mode: str, count: int | None = None) -> None:
        """Make a receiver answer badly."""
        post(f"{self.url(receiver)}/sandbox/faults", {"mode": mode, "count": count})

    # --- the inside --------------------------------------------------------------------------

    @property
    def keys(self) -> Keys:
        """The hub's own keys."""
        return load_keys(self.directory / "secrets.toml")

    @property
    def registry(self) -> Directory:
        """The directory of organisations."""
        return load_directory(self.directory / "directory.toml")

    def topic(self, name: str) -> str:
        """A topic's name on the cluster."""
        return qualified(self.settings, name)

    def query(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run SQL as the app role."""
        with psycopg.connect(
            self.database.url,
            autocommit=True,
            options="-c search_path=halyard",
            row_factory=dict_row,
            connect_timeout=5,
        ) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def count(self, statement: str, *values: object) -> int:
        """The only number that the SQL gives."""
        (row,) = self.query(statement, *values)
        return int(next(iter(row.values())))

    def lag(self, group: str) -> int:
        """How many records a stage has still to take."""
        parts: Sequence[PartitionLag] = kafka_admin.group_lag(
            self.settings.kafka.bootstrap_servers,
            qualified(self.settings, group),
            [self.topic(name) for name in READERS[group]],
        )
        return sum(part.lag for part in parts)

    def unsettled(self) -> str:
        """What is still under way, looked at in the order of the flow; empty when nothing is."""
        if lag := self.lag("identity"):
            return f"identity has {lag} records to take"
        if waits := self.count(
            "select count(*) from claims where state in ('waiting', 'provisional')"
        ):
            return f"{waits} claims wait for PDS"
        unpublished = "select count(*) from outbox where published_at is null"
        if rows := self.count(unpublished):
            return f"{rows} outbox rows are not published"
        if lag := self.lag("matching"):
            return f"matching has {lag} records to take"
        if rows := self.count("select count(*) from deliveries where state = 'open'"):
            return f"{rows} deliveries are open"
        if rows := self.count(unpublished):
            return f"{rows} outbox rows are not published"
        return ""

    def settle(self, seconds: float = 60.0) -> None:
        """Wait until everything that was taken in has flowed to its end.

        What has ended meanwhile is started again: workers may give up on an outage.
        """

        def settled() -> bool:
            self.revive()
            reason = self.unsettled()
            assert not reason, reason
            return True

        eventually(
            settled,
            seconds,
            0.3,
            why="everything flows to its end",
            ignore=(AssertionError, psycopg.OperationalError, BrokerUnavailable),
        )

    def _directory_file(self) -> str:
        return directory_file(self._receivers, self._tokens)
