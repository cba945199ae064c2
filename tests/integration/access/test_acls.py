"""Rights on topics at a real broker."""

from __future__ import annotations

import pytest

from halyard import kafka_acls
from halyard.errors import ConfigurationError
from halyard.kafka_acls import Right

RIGHT = Right("User:test", "TOPIC", "test", "READ")


def test_a_broker_without_an_authorizer_says_so(kafka_bootstrap: str) -> None:
    """Rights there would protect nothing; the message names the setting."""
    with pytest.raises(ConfigurationError, match=r"authorizer\.class\.name"):
        kafka_acls.plan(kafka_bootstrap, [RIGHT])
    with pytest.raises(ConfigurationError, match=r"authorizer\.class\.name"):
        kafka_acls.apply(kafka_bootstrap, [RIGHT])
