"""Client assertions (private_key_jwt, RFC 7523) as the NHS England API platform takes them.

RS512 alone, `kid` of a registered key, `iss` = `sub` = the client, `aud` the exact token URL, `jti`
used once, `exp` at most five minutes ahead (ten seconds more are forgiven). The descriptions are
those that the platform gives; they are for people, and may change there.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import Key, KeySet
from joserfc.util import to_bytes

from halyard.errors import RejectedError

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHM = "RS512"
LONGEST_SECONDS = 310  # five minutes, and ten seconds for clocks that differ
MAX_REMEMBERED = 100_000

KeysOf = Callable[[str], KeySet | None]
"""The registered public keys of a client; None if there is no such client."""


class AssertionRefused(RejectedError):
    """An assertion that proves nothing; the message says why, as the platform does."""

    def __init__(
        self, description: str, *, status: int = 400, error: str = "invalid_request"
    ) -> None:
        super().__init__(description, rule="issuer.assertion")
        self.description = description
        self.status = status
        self.error = error


class UsedIds:
    """Ids that were used and could still be replayed; bounded: the oldest go first."""

    def __init__(self, most: int = MAX_REMEMBERED) -> None:
        self._most = most
        self._until: OrderedDict[tuple[str, str], int] = OrderedDict()

    def use(self, client_id: str, jti: str, *, until: int, now: int) -> bool:
        """Whether `jti` is used for the first time (by this client, while it is good)."""
        while self._until and (
            len(self._until) >= self._most or next(iter(self._until.values())) < now
        ):
            self._until.popitem(last=False)
        if self._until.get((client_id, jti), -1) >= now:
            return False
        self._until[client_id, jti] = until
        return True


def check(assertion: str, *, token_url: str, keys_of: KeysOf, used: UsedIds, now: int) -> str:
    """The client that has signed `assertion`; its `jti` is spent. `now` in seconds since 1970.

    Raises `AssertionRefused` with the platform's description and status.
    """
    header, claims = _opened(assertion)
    _check_header(header)
    client_id = claims.get("iss")
    if not isinstance(client_id, str) or not client_id or client_id != claims.get("sub"):
        raise AssertionRefused("Missing or non-matching 'iss'/'sub' claims in client_assertion JWT")
    keys = keys_of(client_id)
    if keys is None:
        raise AssertionRefused("Invalid 'iss'/'sub' claims in client_assertion JWT", status=401)
    _check_signature(assertion, _key(keys, header["kid"]))
    if claims.get("aud") != token_url:
        raise AssertionRefused("Missing or invalid 'aud' claim in client_assertion JWT", status=401)
    until = _check_times(claims, now)
    jti = claims.get("jti")
    if jti is None or jti == "":
        raise AssertionRefused("Missing 'jti' claim in client_assertion JWT")
    if not isinstance(jti, str) or len(jti) > 200:
        raise AssertionRefused(
            "Invalid 'jti' claim in client_assertion JWT - must be a unique string value such as "
            "a GUID"
        )
    if not used.use(client_id, jti, until=until, now=now):
        raise AssertionRefused("Non-unique 'jti' claim in client_assertion JWT")
    return client_id


def _opened(assertion: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Header and claims, before anything is proven."""
    try:
        opened = jws.extract_compact(to_bytes(assertion))
        claims = json.loads(opened.payload)
    except (JoseError, ValueError, RecursionError):
        raise AssertionRefused("Malformed JWT in client_assertion") from None
    if not isinstance(claims, dict):
        raise AssertionRefused("Malformed JWT in client_assertion")
    return dict(opened.headers()), claims


def _check_header(header: dict[str, Any]) -> None:
    if not header.get("alg"):
        raise AssertionRefused("Missing 'alg' header in client_assertion JWT")
    if header["alg"] != ALGORITHM:
        raise AssertionRefused(
            "Invalid 'alg' header in client_assertion JWT - unsupported JWT algorithm - must be "
            "'RS512'"
        )
    if not header.get("kid") or not isinstance(header["kid"], str):
        raise AssertionRefused("Missing 'kid' header in client_assertion JWT")
    if not isinstance(header.get("typ"), str) or header["typ"].lower() != "jwt":
        raise AssertionRefused("Invalid 'typ' header in client_assertion JWT - must be 'JWT'")


def _key(keys: KeySet, kid: str) -> Key:
    for key in keys.keys:
        if key.kid == kid:
            return key
    raise AssertionRefused(
        "Invalid 'kid' header in client_assertion JWT - no matching public key", status=401
    )


def _check_signature(assertion: str, key: Key) -> None:
    try:
        jws.deserialize_compact(to_bytes(assertion), key, [ALGORITHM])
    except (JoseError, ValueError):
        raise AssertionRefused(
            "JWT signature verification failed", status=401, error="public_key error"
        ) from None


def _check_times(claims: dict[str, Any], now: int) -> int:
    until = claims.get("exp")
    if until is None:
        raise AssertionRefused("Missing 'exp' claim in client_assertion JWT")
    if not isinstance(until, int) or isinstance(until, bool):
        raise AssertionRefused("Invalid 'exp' claim in client_assertion JWT - must be an integer")
    if until <= now:
        raise AssertionRefused("Invalid 'exp' claim in client_assertion JWT - JWT has expired")
    if until > now + LONGEST_SECONDS:
        raise AssertionRefused(
            "Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future"
        )
    return until
