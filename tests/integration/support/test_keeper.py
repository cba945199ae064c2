"""The services that the workers of one run share."""

from __future__ import annotations

from pathlib import Path

import pytest

from halyard.embedded.process import process_runs
from tests.support.keeper import Keeper, KeptServices
from tests.support.services import DatabaseServer, KafkaServer


def test_workers_are_given_the_same_services(
    kafka_server: KafkaServer, database_server: DatabaseServer, tmp_path: Path
) -> None:
    """Every worker gets the same addresses, the report names what was used, and nothing stays."""
    keeper = Keeper(
        {"kafka": kafka_server.bootstrap_servers, "database": database_server.admin_url}
    )
    try:
        first, second = KeptServices(keeper.address), KeptServices(keeper.address)
        assert list(keeper.report()) == []
        address = first.kafka(lambda: tmp_path).bootstrap_servers
        assert address == kafka_server.bootstrap_servers
        assert second.kafka(lambda: tmp_path) == first.kafka(lambda: tmp_path)
        assert second.database(lambda: tmp_path).admin_url == database_server.admin_url
        assert [line.partition(":")[0] for line in keeper.report()] == ["Kafka", "PostgreSQL"]
    finally:
        keeper.stop()
    assert not process_runs(keeper.pid)
    assert not Path(keeper.address).exists()


def test_a_service_that_does_not_start_is_told_to_the_worker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not by a worker that waits for ever."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")  # no engine
    keeper = Keeper({"kafka": None, "database": None})
    try:
        services = KeptServices(keeper.address)
        blocked = tmp_path / "file"
        blocked.write_text("")
        with pytest.raises(RuntimeError, match="keeper"):
            services.kafka(lambda: blocked / "below")
    finally:
        keeper.stop()
