"""What `halyard up` does when a service that it runs ends."""

from __future__ import annotations

import socket
from pathlib import Path

from halyard.cli.system import System
from halyard.embedded.kafka import EmbeddedKafka
from halyard.settings import Settings


def test_a_broker_that_ended_comes_back_on_its_port_or_is_tried_again(tmp_path: Path) -> None:
    """While another program holds the port nothing is started elsewhere: every process of the hub
    knows only that port. Once it is free the broker is back there."""
    said: list[str] = []
    system = System(Settings(data_dir=tmp_path), report=said.append)
    with EmbeddedKafka(tmp_path / "kafka") as kafka:
        port = int(kafka.bootstrap_servers.rpartition(":")[2])
        system._kafka = kafka
        system.kill_service("kafka")
        with socket.socket() as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            thief.bind(("127.0.0.1", port))
            thief.listen()
            system.tick()
        assert any("Trying again" in line for line in said)
        system._restart_at = 0.0
        system.tick()
        assert system._kafka is not None
        assert system._kafka.alive()
        assert system._kafka.bootstrap_servers == f"127.0.0.1:{port}"
        system._kafka.stop()
