"""X-Correlation-ID goes back as it came if it is safe to repeat, and is logged if it is a UUID."""

from __future__ import annotations

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.http_edge import _correlation_id, _logged, _Progress

UUID = str(uuid.UUID(int=7))


def progress(correlation: str | None) -> _Progress:
    """A request with this correlation id."""
    return _Progress(
        request_id=UUID, correlation_id=correlation, has_body=False, expects_continue=False
    )


@given(st.text(st.characters(codec="latin-1"), max_size=120))
def test_only_letters_digits_hyphens_and_underscores_go_back(sent: str) -> None:
    """Up to a hundred of them; anything else is as if it was not sent."""
    back = _correlation_id({b"x-correlation-id": [sent.encode("latin-1")]})
    safe = 0 < len(sent) <= 100 and all(
        one.isascii() and (one.isalnum() or one in "_-") for one in sent
    )
    assert back == (sent if safe else None)


def test_twice_is_not_at_all() -> None:
    """Two of them could be of two senders."""
    assert _correlation_id({b"x-correlation-id": [b"a", b"b"]}) is None
    assert _correlation_id({}) is None


@pytest.mark.parametrize("sent", ["9990000018", "ward-7", None])
def test_what_is_no_uuid_is_not_logged(sent: str | None) -> None:
    """It could be a person's number."""
    assert _logged(progress(sent)) == {"request_id": UUID}


def test_a_uuid_is_logged() -> None:
    """Beside the request's own id."""
    assert _logged(progress(UUID)) == {"request_id": UUID, "correlation_id": UUID}
