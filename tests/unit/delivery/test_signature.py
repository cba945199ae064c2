"""The webhook signature: what holds verifies, anything changed does not."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.webhook.signature import (
    DELIVERY,
    SIGNATURE,
    TIMESTAMP,
    WebhookRefused,
    sign,
    verify,
)

SECRET = "practice"  # pragma: allowlist secret
NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
ID = uuid.UUID("7b0c1f5e-7c1d-5d3e-8f5a-0a4b5c6d7e8f")
MINUTES = timedelta(minutes=5)


def signed(body: bytes = b"{}", *, at: datetime = NOW) -> dict[str, str]:
    """Headers of a webhook that is in order."""
    return sign(SECRET, delivery_id=ID, at=at, body=body)


@given(body=st.binary(max_size=200), secret=st.text(min_size=1), delivery_id=st.uuids())
def test_what_was_signed_verifies(body: bytes, secret: str, delivery_id: uuid.UUID) -> None:
    """Any body under any secret and id; header names in any case."""
    headers = sign(secret, delivery_id=delivery_id, at=NOW, body=body)
    shouted = {name.upper(): value for name, value in headers.items()}
    assert verify(shouted, body, secret, NOW).delivery_id == delivery_id


def test_the_signature_is_the_documented_one() -> None:
    """HMAC-SHA256 over time, id and body as docs/reference/webhooks.md states it."""
    text = f"{int(NOW.timestamp())}.{ID}.".encode() + b'{"a":1}'
    wanted = hmac.new(SECRET.encode(), text, hashlib.sha256).hexdigest()
    assert signed(b'{"a":1}')[SIGNATURE] == f"v1={wanted}"


@given(body=st.binary(min_size=1, max_size=60), data=st.data())
def test_any_changed_byte_of_the_body_is_refused(body: bytes, data: st.DataObject) -> None:
    """One bit of the body differs: bad-signature."""
    place = data.draw(st.integers(0, len(body) - 1))
    changed = bytearray(body)
    changed[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(WebhookRefused) as refused:
        verify(signed(body), bytes(changed), SECRET, NOW)
    assert refused.value.rule == "bad-signature"


@pytest.mark.parametrize("name", [DELIVERY, TIMESTAMP, SIGNATURE])
def test_a_missing_header_is_named(name: str) -> None:
    """Without one of the three headers nothing is compared."""
    headers = signed()
    del headers[name]
    with pytest.raises(WebhookRefused) as refused:
        verify(headers, b"{}", SECRET, NOW)
    assert (refused.value.rule, refused.value.place) == ("missing-header", name)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        (TIMESTAMP, "yesterday", "bad-timestamp"),
        (TIMESTAMP, "-1", "bad-timestamp"),
        (TIMESTAMP, "1e9", "bad-timestamp"),
        (TIMESTAMP, "9" * 400, "bad-timestamp"),
        (TIMESTAMP, "١٢٣", "bad-timestamp"),
        (TIMESTAMP, "1772366401", "bad-signature"),
        (DELIVERY, "one", "bad-delivery"),
        (DELIVERY, "00000000-0000-0000-0000-000000000000", "bad-signature"),
        (SIGNATURE, "v1=", "bad-signature"),
        (SIGNATURE, "v2=" + "0" * 64, "bad-signature"),
        (SIGNATURE, "v1=é", "bad-signature"),
    ],
)
def test_a_changed_header_is_refused(name: str, value: str, rule: str) -> None:
    """Time and id are under the signature; odd text is an answer, not a crash."""
    with pytest.raises(WebhookRefused) as refused:
        verify({**signed(), name: value}, b"{}", SECRET, NOW)
    assert refused.value.rule == rule


@given(st.dictionaries(st.sampled_from([DELIVERY, TIMESTAMP, SIGNATURE]), st.text()), st.binary())
def test_noise_is_always_refused_and_never_crashes(headers: dict[str, str], body: bytes) -> None:
    """Whatever the headers say, the only error is the one with a rule."""
    with pytest.raises(WebhookRefused) as refused:
        verify(headers, body, SECRET, NOW)
    assert refused.value.rule


@pytest.mark.parametrize(
    ("offset", "rule"),
    [
        (-MINUTES, None),
        (MINUTES, None),
        (-MINUTES - timedelta(seconds=1), "too-old"),
        (MINUTES + timedelta(seconds=1), "from-future"),
    ],
)
def test_the_time_of_signing_must_be_near(offset: timedelta, rule: str | None) -> None:
    """Five minutes either way, the bound included."""
    headers = signed(at=NOW + offset)
    if rule is None:
        assert verify(headers, b"{}", SECRET, NOW).signed_at == NOW + offset
        return
    with pytest.raises(WebhookRefused) as refused:
        verify(headers, b"{}", SECRET, NOW)
    assert refused.value.rule == rule


def test_a_wrong_secret_is_refused_before_the_clock_is_told() -> None:
    """A stranger's old webhook says bad-signature, not too-old."""
    headers = sign("other", delivery_id=ID, at=NOW - timedelta(days=1), body=b"{}")
    with pytest.raises(WebhookRefused) as refused:
        verify(headers, b"{}", SECRET, NOW)
    assert refused.value.rule == "bad-signature"


def test_while_a_secret_changes_either_of_two_signatures_holds() -> None:
    """Several signatures, separated by commas: one that fits is enough."""
    headers = signed()
    headers[SIGNATURE] = f"v1={'0' * 64}, {headers[SIGNATURE]}"
    assert verify(headers, b"{}", SECRET, NOW).delivery_id == ID


def test_no_error_carries_the_body_or_the_secret() -> None:
    """What is logged of a refusal tells neither."""
    with pytest.raises(WebhookRefused) as refused:
        verify(signed(b"9990000018"), b"9990000018 ", SECRET, NOW)
    assert "9990000018" not in str(refused.value)
    assert SECRET not in str(refused.value)
