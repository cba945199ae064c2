"""Asks a broker who it is, with one Metadata request by hand.

A client library would leave a thread and sockets behind for each attempt that is refused, and
while a broker starts most are.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_METADATA = 3
_VERSION = 2  # the first that names the cluster
_LARGEST = 1024 * 1024  # bytes; an answer without topics is far smaller


@dataclass(frozen=True, slots=True)
class Cluster:
    """What a broker says: the cluster's id and the ports of its live brokers by node id."""

    cluster_id: str
    brokers: dict[int, int]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def int16(self) -> int:
        return self._number(">h")

    def int32(self) -> int:
        return self._number(">i")

    def string(self) -> str | None:
        length = self.int16()
        if length < 0:
            return None
        self._at += length
        return self._data[self._at - length : self._at].decode("utf-8")

    def _number(self, form: str) -> int:
        (value,) = struct.unpack_from(form, self._data, self._at)
        self._at += struct.calcsize(form)
        return int(value)


def describe_cluster(host: str, port: int, *, timeout: float = 2.0) -> Cluster | None:
    """What the broker at an address (without TLS) says; None if none answers in `timeout` s."""
    client = b"halyard"
    request = struct.pack(">hhih", _METADATA, _VERSION, 1, len(client)) + client
    request += struct.pack(">i", 0)  # no topics
    try:
        with socket.create_connection((host, port), timeout=timeout) as connection:
            connection.sendall(struct.pack(">i", len(request)) + request)
            (size,) = struct.unpack(">i", _exactly(connection, 4))
            if not 0 < size <= _LARGEST:
                return None
            return _parse(_exactly(connection, size))
    except (OSError, struct.error, UnicodeDecodeError):
        return None


def _exactly(connection: socket.socket, size: int) -> bytes:
    received = b""
    while len(received) < size:
        part = connection.recv(size - len(received))
        if not part:
            raise ConnectionError("closed in the middle of an answer")
        received += part
    return received


def _parse(answer: bytes) -> Cluster | None:
    reader = _Reader(answer)
    reader.int32()  # correlation id
    brokers = {}
    for _ in range(reader.int32()):
        node = reader.int32()
        reader.string()  # host
        brokers[node] = reader.int32()
        reader.string()  # rack
    cluster_id = reader.string()
    return Cluster(cluster_id, brokers) if cluster_id else None
