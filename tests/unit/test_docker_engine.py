"""How tests find a Docker engine, and do without one that cannot serve."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support import docker_engine
from tests.support.docker_engine import DockerEngine
from tests.support.services import KAFKA_IMAGE, Services

Answer = Callable[[str], bytes | None]


@contextmanager
def engine(directory: Path, answer: Answer) -> Iterator[tuple[str, list[str]]]:
    """A socket that answers each request as `answer` says (None: never), and what was asked."""
    asked: list[str] = []
    held: list[socket.socket] = []
    path = str(directory / "docker.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen()

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                line = connection.recv(4096).decode().partition("\r\n")[0]
                asked.append(line.removesuffix(" HTTP/1.0"))
                reply = answer(asked[-1])
                if reply is None:
                    held.append(connection)
                    continue
                connection.sendall(b"HTTP/1.0 " + reply)
                connection.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield f"unix://{path}", asked
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(5)
            for connection in held:
                connection.close()


@pytest.mark.parametrize(
    "place", ["unix:///nowhere/docker.sock", "ssh://host", "tcp://127.0.0.1:1"]
)
def test_no_engine_is_no_engine(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address at which nothing answers, or of a kind that is not asked, is passed over."""
    monkeypatch.setenv("DOCKER_HOST", place)
    assert not DockerEngine.of_environment().answers()


def test_an_image_that_is_there_is_not_pulled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine that has the image is asked for nothing else."""
    with engine(tmp_path, lambda line: b"200 OK\r\n\r\n{}") as (place, asked):
        monkeypatch.setenv("DOCKER_HOST", place)
        found = DockerEngine.of_environment()
        assert found.answers()
        assert found.has(KAFKA_IMAGE)
    assert asked == ["GET /_ping", f"GET /images/{KAFKA_IMAGE}/json"]


@pytest.mark.parametrize(
    "pull",
    [
        pytest.param(b'200 OK\r\n\r\n{"errorDetail":{"message":"no such host"}}', id="refused"),
        pytest.param(None, id="stands-still"),
    ],
)
def test_an_image_that_cannot_be_had_makes_the_run_do_without_docker(
    pull: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One failed pull, by an error or by silence, is enough; the reason is in what the run says."""

    def answer(line: str) -> bytes | None:
        if line == "GET /_ping":
            return b"200 OK\r\n\r\nOK"
        return pull if line.startswith("POST") else b"404 Not Found\r\n\r\n{}"

    monkeypatch.setattr(docker_engine, "PULL_SECONDS", 0.2)
    with engine(tmp_path, answer) as (place, asked):
        monkeypatch.setenv("DOCKER_HOST", place)
        services = Services(given_kafka=None, given_database=None)
        for _ in range(2):
            address, why_not = services._in_docker(KAFKA_IMAGE, lambda: "never")
            assert address == ""
            assert "neither there nor to be pulled" in why_not
    assert sum(line.startswith("POST") for line in asked) == 1


def test_a_container_that_does_not_start_makes_the_run_do_without_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken engine is passed over by the kind of its error, not a failure of the run."""

    def start() -> str:
        raise RuntimeError("no space left on device")

    with engine(tmp_path, lambda line: b"200 OK\r\n\r\n{}") as (place, _):
        monkeypatch.setenv("DOCKER_HOST", place)
        services = Services(given_kafka=None, given_database=None)
        address, why_not = services._in_docker(KAFKA_IMAGE, start)
    assert (address, "did not start (RuntimeError)" in why_not) == ("", True)
