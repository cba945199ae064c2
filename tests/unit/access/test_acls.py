"""Rights on topics: what the registry implies for the principals that the directory lists."""

from __future__ import annotations

import pytest

from halyard.cli.acls import wanted_rights
from halyard.errors import ConfigurationError
from halyard.kafka_acls import Right
from halyard.settings import KafkaSettings, Settings
from stores.credentials import KafkaPrincipal
from tests.support.access import HOSPITAL, directory

SETTINGS = Settings(kafka=KafkaSettings(namespace="ns"))


def rights(*principals: KafkaPrincipal) -> tuple[Right, ...]:
    """What they get."""
    return wanted_rights(SETTINGS, directory(kafka_principals=principals))


def test_a_process_may_read_and_write_what_its_stage_does() -> None:
    """With the namespace, in its own group, and nothing of other stages."""
    found = rights(KafkaPrincipal(principal="User:CN=ncmd", stages=("ncmd",)))
    topic = "ns.child-death.case.changed.v1"
    assert set(found) == {
        Right("User:CN=ncmd", "GROUP", "ns.ncmd", "READ"),
        Right("User:CN=ncmd", "TOPIC", topic, "DESCRIBE"),
        Right("User:CN=ncmd", "TOPIC", topic, "READ"),
        Right("User:CN=ncmd", "TOPIC", f"{topic}.ncmd.dlq", "DESCRIBE"),
        Right("User:CN=ncmd", "TOPIC", f"{topic}.ncmd.dlq", "WRITE"),
    }


def test_a_worker_hears_control_messages_and_empties_the_outbox() -> None:
    """Each process has a group of its own; what waits in the outbox is anybody's to publish."""
    found = rights(KafkaPrincipal(principal="User:m", stages=("matching",)))
    assert Right("User:m", "GROUP", "ns.matching-control-", "READ", prefixed=True) in found
    assert Right("User:m", "TOPIC", "ns.halyard.control.v1", "READ") in found
    written = {one.name for one in found if one.operation == "WRITE"}
    assert "ns.child-death.case.changed.v1" in written
    assert not any(one.endswith(".identity.dlq") for one in written)
    read = {one.name for one in found if one.operation == "READ" and one.kind == "TOPIC"}
    assert "ns.safeguarding.attendance.reported.v1" not in read


def test_no_other_organisation_reads_personal_data_off_the_bus() -> None:
    """No sharing policy holds there."""
    with pytest.raises(ConfigurationError, match="HTTP interface"):
        rights(KafkaPrincipal(principal="User:x", organisation=HOSPITAL, stages=("journal",)))


def test_a_stage_that_is_none_is_named() -> None:
    """With those that there are."""
    with pytest.raises(ConfigurationError, match="nothing, which no topic has"):
        rights(KafkaPrincipal(principal="User:x", stages=("nothing",)))
