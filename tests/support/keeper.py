"""One Kafka and one PostgreSQL for all workers of a test run.

The run's own process starts this module as a program, and each worker asks it for what it needs,
when it needs it: a run of unit tests starts nothing. A program, and not a thread, because what is
embedded is started from a main thread and lives no longer than that. It ends, with what it
started, when its standard input does.

One line of JSON each way: ``{"ask": "kafka", "place": "/tmp/…"}``; the answer has the fields of
the server, or `error`.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.services import DatabaseServer, KafkaServer, Services

_STDIN = 0
START_SECONDS = 300.0
STOP_SECONDS = 60.0


class Keeper:
    """The program as the run sees it; started at the first worker."""

    def __init__(self, given: Mapping[str, str | None]) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="halyard-tests-"))  # mode 0700
        self.address = str(self._directory / "keeper")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        with listener:
            listener.bind(self.address)  # bound here: no worker can come too early
            listener.listen()
            self._process = subprocess.Popen(
                (sys.executable, "-m", "tests.support.keeper", str(listener.fileno())),
                stdin=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
                pass_fds=(listener.fileno(),),
                start_new_session=True,  # Ctrl-C is for the run, which then ends it
            )
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(dict(given)).encode() + b"\n")
        self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def report(self) -> Iterator[str]:
        """A line for each service that was used."""
        yield from _ask(self.address, "report")["lines"]

    def stop(self) -> None:
        """End it and what it started."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()  # what is embedded is tied to it, and goes too
            self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)


class KeptServices(Services):
    """The services as a worker sees them: asked from the keeper, once each."""

    def __init__(self, address: str) -> None:
        super().__init__(given_kafka=None, given_database=None)
        self._address = address

    def _find_kafka(self, directory: Callable[[], Path]) -> KafkaServer:
        return KafkaServer(**_ask(self._address, "kafka", directory()))

    def _find_database(self, directory: Callable[[], Path]) -> DatabaseServer:
        return DatabaseServer(**_ask(self._address, "database", directory()))


def _ask(address: str, what: str, place: Path | None = None) -> dict[str, Any]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(START_SECONDS)
        connection.connect(address)
        connection.sendall(json.dumps({"ask": what, "place": str(place)}).encode() + b"\n")
        with connection.makefile("rb") as answers:
            answer: dict[str, Any] = json.loads(answers.readline() or b'{"error": "it has ended"}')
    if "error" in answer:
        raise RuntimeError(f"The keeper of the test services: {answer['error']}")
    return answer


def _serve(listener: socket.socket, services: Services) -> None:
    while True:
        ready, _, _ = select.select([_STDIN, listener.fileno()], (), ())
        if _STDIN in ready:
            return
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as questions:
            try:
                answer = _answer(services, json.loads(questions.readline()))
            except Exception as error:  # noqa: BLE001 - whatever it is, the worker shows it
                answer = {"error": f"{type(error).__name__}: {error}"}
            try:
                connection.sendall(json.dumps(answer).encode() + b"\n")
            except OSError:
                pass  # the worker has ended


def _answer(services: Services, question: dict[str, str]) -> dict[str, Any]:
    def place() -> Path:
        return Path(question["place"])

    match question["ask"]:
        case "kafka":
            return asdict(services.kafka(place))
        case "database":
            return asdict(services.database(place))
    return {"lines": list(services.report())}


def main() -> None:
    """Serve until standard input ends."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with open(_STDIN, "rb", buffering=0, closefd=False) as told:  # nothing read ahead of select
        given = json.loads(told.readline())
    services = Services(given_kafka=given["kafka"], given_database=given["database"])
    try:
        with socket.socket(fileno=int(sys.argv[1])) as listener:
            _serve(listener, services)
    finally:
        services.stop()


if __name__ == "__main__":
    main()
