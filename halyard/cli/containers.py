"""`halyard containers files|services|demo`, `halyard health`: what docker-compose.yml runs.

`files` makes keys and passwords at the first start, each in the volume of those who need it:

- configuration, for every process: ``halyard.toml`` (the app role's database, where PDS is asked),
  ``keys.toml`` (bus, store and webhook keys), ``directory.toml``;
- audit, for the sealer: the key of checkpoints, and the checkpoints themselves;
- admin, for PostgreSQL and the one job that provisions it: the superuser's and owner's passwords;
- practice, for the demo: bearer tokens of invented organisations.

What is there already stays: an organisation's own directory is never written over.
"""

from __future__ import annotations

import json
import secrets
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer

from halyard import health as probe
from halyard import kafka_admin, postgres, provisioning
from halyard.cli import practice, practice_access
from halyard.cli.demo import Demo
from halyard.cli.output import Exit, Json, line, print_json
from halyard.cli.system import Addresses
from halyard.cli.topics import wanted_topics
from halyard.embedded.datadir import write_private
from halyard.errors import BrokerUnavailable, ConfigurationError, TransientError
from halyard.settings import load_settings

WAIT_SECONDS = 90.0
SMALLEST_CLUSTER = 3  # brokers; below, sizes are those of a single node

# Names and ports are those of docker-compose.yml
SANDBOX_PORT = 8200
DATABASE = "postgres:5432"
ADDRESSES = Addresses(
    mllp_host="connector-hl7v2",
    mllp_port=2575,
    api_url="http://serve:8080",
    pds_url=f"http://sandbox-pds:{SANDBOX_PORT}/personal-demographics/FHIR/R4",
    authority_url=f"http://sandbox-authority:{SANDBOX_PORT}",
    contact_url=f"http://sandbox-contact:{SANDBOX_PORT}",
    ncmd_url=f"http://sandbox-ncmd:{SANDBOX_PORT}",
    issuer_url=f"http://sandbox-issuer:{SANDBOX_PORT}",
    bootstrap_servers="kafka:9092",
)

# Containers have addresses of networks that the engine chooses among these; a sender at a published
# port has the gateway's
PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")

app = typer.Typer(help="What docker-compose.yml runs beside the processes.", no_args_is_help=True)

Configuration = Annotated[Path, typer.Option(help="Volume of every process.")]
Admin = Annotated[Path, typer.Option(help="Volume of PostgreSQL's passwords.")]
Audit = Annotated[Path, typer.Option(help="Volume of the sealer.")]
PracticeFiles = Annotated[Path, typer.Option(help="Volume of the practice tokens.")]

CONFIGURATION = Path("/etc/halyard")
ADMIN = Path("/var/lib/halyard/admin")
AUDIT = Path("/var/lib/halyard/audit")
PRACTICE = Path("/var/lib/halyard/practice")


class ServiceAway(TransientError):
    """A service did not answer in time; look at its container's log and start again."""


@app.command()
def files(
    configuration: Configuration = CONFIGURATION,
    admin: Admin = ADMIN,
    practice_files: PracticeFiles = PRACTICE,
    audit: Audit = AUDIT,
) -> None:
    """Make keys, passwords, practice tokens and a practice directory, where there are none."""
    made = practice.prepare(
        admin,
        authority_host="sandbox-authority",
        authority_port=SANDBOX_PORT,
        contact_host="sandbox-contact",
        contact_port=SANDBOX_PORT,
        peers=PRIVATE_NETWORKS,
    )
    secret = tomllib.loads(made.secrets_file.read_text())
    wanted = {
        admin / "postgres_password": secrets.token_hex(16),
        configuration / "keys.toml": _keys(secret),
        audit / "keys.toml": _audit_keys(secret),
        audit / "halyard.toml": _settings(secret) + _sealer_settings(secret),
        configuration / "halyard.toml": _settings(secret),
        configuration / "directory.toml": made.directory_file.read_text(),
        practice_files / "tokens.toml": made.tokens_file.read_text(),
        configuration / "session-key.json": practice_access.key_file(
            admin, practice_access.HUB_CLIENT
        ).read_text(),
    }
    wanted[configuration / "pds-key.json"] = practice_access.key_file(
        admin, practice_access.PDS_CLIENT
    ).read_text()
    for client in practice_access.MACHINES:
        key = practice_access.key_file(practice_files, client)
        wanted[key] = practice_access.key_file(admin, client).read_text()
    for path, text in wanted.items():
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            line(f"{path} is there")
        else:
            write_private(path, text)
            line(f"{path} was made")


def _keys(secret: dict[str, Any]) -> str:
    """The keys file: what `halyard.privacy.load_keys` reads, without passwords and tokens."""
    keys = [f'{name} = "{secret[name]}"' for name in ("bus_key", "store_key")]
    webhook = [f"{name} = {json.dumps(text)}" for name, text in secret["webhook"].items()]
    return "\n".join([*keys, "[webhook]", *webhook]) + "\n"


def _audit_keys(secret: dict[str, Any]) -> str:
    """The sealer's keys file: what `halyard.audit_keys` reads."""
    return (
        "\n".join(["[audit]", *(f'{n} = "{text}"' for n, text in secret["audit"].items())]) + "\n"
    )


def _sealer_settings(secret: dict[str, Any]) -> str:
    """What the sealer has beside the settings of every process: its role's password."""
    password = secret["sealer_password"]
    return (
        f'\n[audit]\ndatabase_url = "postgresql://halyard_sealer:{password}@{DATABASE}/halyard"\n'
    )


def _settings(secret: dict[str, Any]) -> str:
    return (
        "# Written by `halyard containers files`; variables of docker-compose.yml win over it\n\n"
        "[database]\n"
        f'url = "postgresql://halyard_app:{secret["app_password"]}@{DATABASE}/halyard"\n\n'
        "[http]\n"
        f'database_url = "postgresql://halyard_face:{secret["face_password"]}@{DATABASE}/halyard"\n\n'
        f'[sessions]\nclient_key_file = "{CONFIGURATION}/session-key.json"\n\n'
        "[pds]\n"
        f'token_url = "http://sandbox-pds:{SANDBOX_PORT}/oauth2/token"\n'
        f'api_key = "{practice_access.PDS_API_KEY}"\n'
        f'private_key_file = "{CONFIGURATION}/pds-key.json"\n'
        f'key_id = "{practice_access.PDS_KEY_ID}"\n\n'
        "[ncmd]\n"
        f'database_url = "postgresql://halyard_ncmd:{secret["ncmd_password"]}@{DATABASE}/halyard"\n'
        f'submit_token = "{secret["ncmd_token"]}"\n'
    )


@app.command()
def services(admin: Admin = ADMIN, json: Json = False) -> None:
    """Wait for PostgreSQL and Kafka; make roles and database, migrate, apply the topics."""
    settings = load_settings()
    try:
        password = (admin / "postgres_password").read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"{admin}/postgres_password cannot be read ({type(error).__name__}); run "
            "`halyard containers files` first."
        ) from None
    admin_url = f"postgresql://postgres:{password}@{DATABASE}/postgres"
    _wait("PostgreSQL", lambda: _database_answers(admin_url))
    owner, _ = provisioning.provision(
        admin_url,
        database="halyard",
        owner_password=practice.read_secret(admin / "secrets.toml", "owner_password"),
        app_password=practice.read_secret(admin / "secrets.toml", "app_password"),
    )
    provisioning.provision_ncmd(
        admin_url,
        database="halyard",
        password=practice.read_secret(admin / "secrets.toml", "ncmd_password"),
    )
    provisioning.provision_face(
        admin_url,
        database="halyard",
        password=practice.read_secret(admin / "secrets.toml", "face_password"),
    )
    provisioning.provision_sealer(
        admin_url,
        database="halyard",
        password=practice.read_secret(admin / "secrets.toml", "sealer_password"),
    )
    applied = postgres.migrate(owner)
    bootstrap = settings.kafka.bootstrap_servers
    _wait("Kafka", lambda: _kafka_answers(bootstrap))
    single = len(kafka_admin.describe(bootstrap).brokers) < SMALLEST_CLUSTER
    plan = kafka_admin.apply(bootstrap, wanted_topics(settings, embedded=single))
    if json:
        print_json({"migrations": applied, "topics": plan.lines()})
    else:
        line(f"database: {len(applied)} migrations applied")
        line(f"topics: {len(plan.lines())} changes" + (" (sizes of one broker)" if single else ""))


def _wait(name: str, answers: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not answers():
        if time.monotonic() > deadline:
            raise ServiceAway(
                f"{name} did not answer in {WAIT_SECONDS:.0f} s; look at its container's log."
            )
        time.sleep(0.5)


def _database_answers(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _kafka_answers(bootstrap: str) -> bool:
    try:
        return bool(kafka_admin.describe(bootstrap).brokers)
    except BrokerUnavailable:
        return False


@app.command()
def demo(practice_files: PracticeFiles = PRACTICE, json: Json = False) -> None:
    """Run the main job against the containers, with the practice ones beside them."""
    started = time.monotonic()
    run = Demo(
        ADDRESSES,
        load_settings(),
        tokens_file=practice_files / "tokens.toml",
        report=(lambda text: None) if json else (lambda text: line(f"  {text}")),
    )
    run.run()
    seconds = round(time.monotonic() - started, 1)
    if json:
        failure = run.failure.message if run.failure else None
        print_json(
            {"ok": not failure, "failure": failure, "seconds": seconds, "steps": run.results}
        )
    if run.failure is not None:
        raise run.failure
    if not json:
        line(f"  done in {seconds:.0f} s")


def health(
    port: Annotated[
        int | None,
        typer.Option(help="Health port on loopback; default: HALYARD_HTTP__HEALTH_PORT."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Ask /livez (alive?) instead of /readyz (at work?).")
    ] = False,
) -> None:
    """Ask a process on this machine whether it is ready; exits 1 with its reasons if not."""
    port = port or load_settings().http.health_port
    if not port:
        raise ConfigurationError("Give --port, or set HALYARD_HTTP__HEALTH_PORT.")
    answer = probe.ask(port, "/livez" if live else "/readyz")
    line(answer.reasons)
    if not answer.well:
        raise typer.Exit(Exit.FAILED)
