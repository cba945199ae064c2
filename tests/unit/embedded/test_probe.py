"""Asking a broker who it is."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.embedded import probe
from halyard.embedded.datadir import free_ports


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that gives each of its callers one answer; its port."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def text(value: str) -> bytes:
    """A string as the protocol writes it."""
    return struct.pack(">h", len(value)) + value.encode()


def metadata(cluster_id: str | None, brokers: dict[int, int]) -> bytes:
    """A Metadata answer, version 2, without its length."""
    parts = [struct.pack(">ii", 1, len(brokers))]
    for node, port in brokers.items():
        parts.append(struct.pack(">i", node) + text("localhost") + struct.pack(">ih", port, -1))
    parts.append(struct.pack(">h", -1) if cluster_id is None else text(cluster_id))
    parts.append(struct.pack(">ii", 1, 0))
    return b"".join(parts)


def framed(body: bytes) -> bytes:
    """With its length before it."""
    return struct.pack(">i", len(body)) + body


def test_nobody_there_is_no_cluster() -> None:
    """A closed port is an answer, not an error."""
    assert probe.describe_cluster("127.0.0.1", free_ports(1)[0]) is None


def test_cluster_and_brokers_are_read() -> None:
    """The cluster's id and each live broker's port come back."""
    with answering(framed(metadata("abc", {1: 9092, 7: 9093}))) as port:
        cluster = probe.describe_cluster("127.0.0.1", port)
    assert cluster == probe.Cluster("abc", {1: 9092, 7: 9093})


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"",
        b"\x00\x00",
        framed(b""),
        framed(metadata(None, {1: 9092})),
        framed(metadata("abc", {1: 9092})[:20]),
        struct.pack(">i", 2**31 - 1),
        struct.pack(">i", -5),
    ],
)
def test_another_program_on_the_port_is_no_cluster(answer: bytes) -> None:
    """Whatever else listens there is not taken for Kafka."""
    with answering(answer) as port:
        assert probe.describe_cluster("127.0.0.1", port, timeout=1) is None


def _quietly(parse: Callable[[bytes], probe.Cluster | None], data: bytes) -> None:
    try:
        parse(data)
    except (struct.error, UnicodeDecodeError):
        return


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_surprise(data: bytes) -> None:
    """Parsing ends for every input, by an answer or by the two errors that are expected."""
    _quietly(probe._parse, data)
