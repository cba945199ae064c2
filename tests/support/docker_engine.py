"""A Docker engine as the tests ask for it: does it answer, has it an image, can it get it?

Asked by hand over its socket: the client library leaves sockets open when nobody answers, and
waits for minutes for a registry that cannot be reached.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

ANSWER_SECONDS = 2.0
# A registry that shows no progress for so long is taken for one that cannot be reached
PULL_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class DockerEngine:
    """Where an engine listens: ``unix`` and a path, or ``tcp`` and host:port."""

    scheme: str
    address: str

    @classmethod
    def of_environment(cls) -> DockerEngine:
        """The engine of ``DOCKER_HOST``, else of the usual socket."""
        place = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
        scheme, _, address = place.partition("://")
        return cls(scheme, address.rstrip("/") if scheme == "tcp" else address)

    def answers(self) -> bool:
        """True if an engine answers within two seconds."""
        return self._status("GET", "/_ping", ANSWER_SECONDS) == 200

    def has(self, image: str) -> bool:
        """True if the engine has `image` (``name:tag``)."""
        return self._status("GET", f"/images/{image}/json", PULL_SECONDS) == 200

    def get(self, image: str) -> bool:
        """Have the engine pull `image`; False as soon as that fails or stands still."""
        name, _, tag = image.rpartition(":")
        self._status("POST", f"/images/create?fromImage={name}&tag={tag}", PULL_SECONDS)
        return self.has(image)

    def _status(self, method: str, path: str, seconds: float) -> int | None:
        """The status of a request whose body was read to its end; None if there is none."""
        try:
            with self._connection(seconds) as connection:
                connection.sendall(f"{method} {path} HTTP/1.0\r\nHost: docker\r\n\r\n".encode())
                head = b""
                while chunk := connection.recv(65536):
                    head = (head + chunk)[:4096]
            return int(head.split(b" ", 2)[1])
        except (OSError, ValueError, IndexError):
            return None

    @contextmanager
    def _connection(self, seconds: float) -> Iterator[socket.socket]:
        if self.scheme == "unix":
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        elif self.scheme == "tcp":
            connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        else:
            raise OSError("only unix and tcp addresses are asked")
        with connection:
            connection.settimeout(seconds)
            if self.scheme == "unix":
                connection.connect(self.address)
            else:
                host, _, port = self.address.partition(":")
                connection.connect((host, int(port or 2375)))
            yield connection
