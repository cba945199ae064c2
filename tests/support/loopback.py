"""Loopback: ports that stay free, and plain calls to what listens there."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import urllib.error
import urllib.request
from typing import Any


def quiet_ports(count: int) -> list[int]:
    """Free loopback ports below those that outgoing connections take: a process that is started
    again must find its port as it left it.
    """
    found: list[int] = []
    while len(found) < count:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in found:
                found.append(port)
    return found


def fetch(url: str, **headers: str) -> tuple[int, str]:
    """Status and text of a GET on loopback; 0 if nobody answers."""
    request = urllib.request.Request(url, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")
    except (urllib.error.URLError, OSError):
        return 0, ""


def post(url: str, body: Any) -> str:
    """The text of a POST of JSON on loopback; raises `OSError` for anything but success."""
    request = urllib.request.Request(
        url, json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        text: str = answer.read().decode("utf-8", "replace")
        return text
