"""What makes an upload the same upload, and what orders two of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from connectors.local_authority.intake import identify
from tests.support.face import NORTH, SOUTH

NOW = datetime(2026, 3, 10, 12, 0, 0, 123_456, tzinfo=UTC)
MICROS = 1_773_144_000_123_456


def test_a_senders_sequence_makes_the_id_and_the_order() -> None:
    """A repeat, at any time and under any request id, is the same upload."""
    first = identify(gss=NORTH, given=7, sender_orders=True, received_at=NOW, request_id="a")
    again = identify(
        gss=NORTH, given=7, sender_orders=True, received_at=NOW + timedelta(days=1), request_id="b"
    )
    assert first == again
    assert first[1] == 7


def test_sequences_of_two_authorities_are_two_uploads() -> None:
    """Everybody counts from one."""
    assert (
        identify(gss=NORTH, given=1, sender_orders=True, received_at=NOW, request_id="a")[0]
        != identify(gss=SOUTH, given=1, sender_orders=True, received_at=NOW, request_id="a")[0]
    )


def test_order_of_receipt_stays_the_measure_where_the_directory_says_so() -> None:
    """A number given without being asked for makes the id, but small numbers and microseconds
    are never compared."""
    upload_id, sequence = identify(
        gss=NORTH, given=7, sender_orders=False, received_at=NOW, request_id="a"
    )
    assert sequence == MICROS
    assert (
        upload_id
        == identify(gss=NORTH, given=7, sender_orders=True, received_at=NOW, request_id="x")[0]
    )


def test_uploads_without_a_number_are_new_ones_each_time() -> None:
    """Also two in the same microsecond."""
    ids = {
        identify(gss=NORTH, given=None, sender_orders=False, received_at=at, request_id=request)[0]
        for at in (NOW, NOW + timedelta(microseconds=1))
        for request in ("a", "b")
    }
    assert len(ids) == 4
