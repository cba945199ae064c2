"""Asks a process of this machine (or container) whether it is well: ``python -m halyard.health``.

For health checks, which run every few seconds beside each process: nothing but the standard
library is imported. `halyard.service` gives the answers.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass

_LIMIT = 65_536  # bytes of an answer


@dataclass(frozen=True, slots=True)
class Health:
    """What a process said: `reasons` is its own JSON document, or why there is none."""

    well: bool
    reasons: str


def ask(port: int, path: str = "/readyz", *, seconds: float = 4.0) -> Health:
    """Ask the health server at loopback `port`; never raises for one that does not answer."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=seconds) as connection:
            connection.sendall(b"GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n" % path.encode())
            answer = b""
            while len(answer) < _LIMIT and (chunk := connection.recv(_LIMIT)):
                answer += chunk
    except OSError as error:
        return Health(False, f"nothing answers on loopback port {port} ({type(error).__name__})")
    head, _, body = answer.partition(b"\r\n\r\n")
    return Health(b" 200 " in head.partition(b"\r\n")[0], body.decode("utf-8", "replace"))


def main() -> int:
    """Exit code 0 if the process at ``HALYARD_HTTP__HEALTH_PORT`` is ready, else 1."""
    port = os.environ.get("HALYARD_HTTP__HEALTH_PORT", "")
    if not port.isascii() or not port.isdigit() or port == "0":
        print("set HALYARD_HTTP__HEALTH_PORT to the port of the process")
        return 1
    health = ask(int(port))
    print(health.reasons)
    return 0 if health.well else 1


if __name__ == "__main__":
    sys.exit(main())
