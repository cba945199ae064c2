"""The signature of a webhook: HMAC-SHA256 over time, delivery id and the body's bytes.

``Halyard-Signature: v1=<hex>``, where the hex digits are
``HMAC-SHA256(secret, "{Halyard-Timestamp}.{Halyard-Delivery}." + body)``. While a secret is being
changed the header lists several signatures, one for each secret, separated by commas: a receiver
that holds any of them verifies. Each attempt is signed anew with its own timestamp under the same
delivery id, so a late repeat is never taken for a replay (correctness rule 16). See
docs/reference/webhooks.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from halyard.errors import RejectedError

DELIVERY = "Halyard-Delivery"
TIMESTAMP = "Halyard-Timestamp"
SIGNATURE = "Halyard-Signature"
EVENT = "Halyard-Event"
VERSION = "Halyard-Version"

DEFAULT_TOLERANCE = timedelta(minutes=5)
_SCHEME = "v1="
_MOST = 16  # signatures that are looked at
# Unix seconds up to the year 2286; longer digits are noise, not a time
_SECONDS = re.compile(r"[0-9]{1,10}", re.ASCII)


class WebhookRefused(RejectedError):
    """The webhook cannot be trusted; check the shared secret and the clocks of both sides.

    `place` is the header, `rule` one of ``missing-header``, ``bad-delivery``, ``bad-timestamp``,
    ``too-old``, ``from-future``, ``bad-signature``.
    """


@dataclass(frozen=True, slots=True)
class Verified:
    """What a verified webhook's headers say."""

    delivery_id: uuid.UUID
    signed_at: datetime
    event: str
    version: str


def sign(
    secrets: str | Sequence[str], *, delivery_id: uuid.UUID, at: datetime, body: bytes
) -> dict[str, str]:
    """The headers that sign `body` as sent at `at` (aware), with each of `secrets`."""
    timestamp = str(int(at.timestamp()))
    each = (secrets,) if isinstance(secrets, str) else secrets
    return {
        DELIVERY: str(delivery_id),
        TIMESTAMP: timestamp,
        SIGNATURE: ",".join(
            _SCHEME + _digest(one, timestamp, str(delivery_id), body) for one in each
        ),
    }


def verify(
    headers: Mapping[str, str],
    body: bytes,
    secrets: str | Sequence[str],
    now: datetime,
    tolerance: timedelta = DEFAULT_TOLERANCE,
) -> Verified:
    """What the headers say, once a signature holds under one of `secrets`. Header names may have
    any case.

    Raises `WebhookRefused` that names the header and the rule. The signature is compared before
    the time is judged, so that only the holder of the secret learns anything of our clock.
    """
    given = {name.lower(): value for name, value in headers.items()}
    delivery = _required(given, DELIVERY)
    timestamp = _required(given, TIMESTAMP)
    signatures = _required(given, SIGNATURE)
    if not _SECONDS.fullmatch(timestamp):
        raise WebhookRefused(
            f"{TIMESTAMP} is not a count of seconds since 1970; send the time of signing.",
            place=TIMESTAMP,
            rule="bad-timestamp",
        )
    try:
        delivery_id = uuid.UUID(delivery)
    except ValueError:
        raise WebhookRefused(
            f"{DELIVERY} is not a UUID; send the delivery's id.",
            place=DELIVERY,
            rule="bad-delivery",
        ) from None
    held = (secrets,) if isinstance(secrets, str) else secrets
    wanted = [_digest(one, timestamp, delivery, body).encode() for one in held]
    matches = False
    for one in signatures.split(",")[:_MOST]:
        text = one.strip()
        if text.startswith(_SCHEME):
            # no early end: the time taken must not tell which one matched
            given_digest = text.removeprefix(_SCHEME).encode()
            for digest in wanted:
                matches |= hmac.compare_digest(given_digest, digest)
    if not matches:
        raise WebhookRefused(
            f"{SIGNATURE} does not fit body, time and id; check that both sides hold the same "
            "secret and that the body's bytes are not changed on the way.",
            place=SIGNATURE,
            rule="bad-signature",
        )
    signed_at = datetime.fromtimestamp(int(timestamp), UTC)
    if signed_at < now - tolerance:
        raise WebhookRefused(
            f"{TIMESTAMP} is older than the tolerance; check this machine's clock.",
            place=TIMESTAMP,
            rule="too-old",
        )
    if signed_at > now + tolerance:
        raise WebhookRefused(
            f"{TIMESTAMP} is in the future; check this machine's clock.",
            place=TIMESTAMP,
            rule="from-future",
        )
    return Verified(
        delivery_id=delivery_id,
        signed_at=signed_at,
        event=given.get(EVENT.lower(), ""),
        version=given.get(VERSION.lower(), ""),
    )


def _digest(secret: str, timestamp: str, delivery: str, body: bytes) -> str:
    signed = f"{timestamp}.{delivery}.".encode() + body
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def _required(given: Mapping[str, str], name: str) -> str:
    value = given.get(name.lower(), "").strip()
    if not value:
        raise WebhookRefused(
            f"{name} is missing; sign the webhook.", place=name, rule="missing-header"
        )
    return value
