"""The headers of a dead letter."""

from __future__ import annotations

from datetime import UTC, datetime

from halyard.errors import ContractError
from halyard.kafka import Incoming
from streams.dead_letter import ATTEMPTS, FIRST_FAILED_AT, PREFIX, error_headers
from streams.resolution import Poison

AT = datetime(2026, 1, 1, tzinfo=UTC)


def poison(error: Exception) -> Poison:
    """A poison event at t/3/17."""
    return Poison(Incoming("t", 3, 17, "k", b"v"), error, attempts=4, first_failed_at=AT)


def test_a_dead_letter_says_where_it_came_from() -> None:
    """Kafka Connect's names, as text, and two of our own."""
    headers = dict(error_headers(poison(ContractError("Mend it.")), topic="ns.t", stage="toy"))
    assert headers[PREFIX + "topic"] == b"ns.t"
    assert headers[PREFIX + "partition"] == b"3"
    assert headers[PREFIX + "offset"] == b"17"
    assert headers[PREFIX + "exception.message"] == b"Mend it."
    assert headers[ATTEMPTS] == b"4"
    assert headers[FIRST_FAILED_AT] == b"2026-01-01T00:00:00+00:00"


def test_a_foreign_error_is_told_by_its_class_alone() -> None:
    """Texts of other people's errors quote values."""
    headers = error_headers(poison(ValueError("secret 9990000018")), topic="t", stage="toy")
    assert dict(headers)[PREFIX + "exception.message"] == b"ValueError"
    assert not any(b"9990000018" in value for _, value in headers)
