"""The practice PDS's token endpoint: a signed assertion for an access token.

As the NHS England API platform does it for application-restricted APIs. The assertion is checked
by `sandbox.issuer.assertions`, and the refusals here have the platform's words too (its own
end-to-end tests state them). In which order several faults of one request are found is this
sandbox's own.
"""

from __future__ import annotations

import json
import secrets
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import parse_qsl
from uuid import uuid4

from joserfc.errors import JoseError
from joserfc.jwk import KeyParameters, KeySet, RSAKey

from halyard.embedded.datadir import write_private
from halyard.errors import ConfigurationError
from sandbox.issuer.assertions import ALGORITHM, ASSERTION_TYPE, AssertionRefused, UsedIds, check

Json = dict[str, Any]
Standing = Literal["good", "expired", "unknown"]

DEFAULT_API_KEY: Final = "practice-app"
DEFAULT_KEY_ID: Final = "practice-1"
_LEAST_BITS: Final = 2048
_BITS: Final = 4096  # what the platform asks of a key
_REMEMBERED: Final = 10_000


class TokenDesk:
    """Issues access tokens to registered applications, and knows which are good."""

    def __init__(
        self, apps: Mapping[str, KeySet], *, seconds: int, now: Callable[[], datetime]
    ) -> None:
        self._apps = apps
        self._seconds = seconds
        self._now = now
        self._used = UsedIds()
        self._until: OrderedDict[str, float] = OrderedDict()

    def issue(self, body: bytes, *, token_url: str) -> tuple[int, Json]:
        """Status and JSON for one form (``application/x-www-form-urlencoded``).

        `token_url` is what the assertion's `aud` must be, letter by letter.
        """
        try:
            self._check_form(form := _read_form(body))
            check(
                form["client_assertion"],
                token_url=token_url,
                keys_of=self._apps.get,
                used=self._used,
                now=int(self._now().timestamp()),
            )
        except AssertionRefused as refused:
            return refused.status, {
                "error": refused.error,
                "error_description": refused.description,
                "message_id": str(uuid4()),
            }
        token = secrets.token_urlsafe(24)
        self._until[token] = self._now().timestamp() + self._seconds
        while len(self._until) > _REMEMBERED:
            self._until.popitem(last=False)
        return 200, {
            "access_token": token,
            "expires_in": str(self._seconds),  # a string, as the platform has it
            "token_type": "Bearer",
            "issued_at": str(int(self._now().timestamp() * 1000)),
        }

    def standing(self, token: str) -> Standing:
        """What a presented token is worth now."""
        until = self._until.get(token)
        if until is None:
            return "unknown"
        return "good" if self._now().timestamp() < until else "expired"

    def expire(self) -> int:
        """End every token that was issued; gives how many there were."""
        ended = self._now().timestamp()
        for token in self._until:
            self._until[token] = min(self._until[token], ended)
        return len(self._until)

    @staticmethod
    def _check_form(form: Mapping[str, str]) -> None:
        if not form.get("grant_type"):
            raise AssertionRefused("grant_type is missing")
        if form["grant_type"] != "client_credentials":
            raise AssertionRefused("grant_type is invalid", error="unsupported_grant_type")
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            raise AssertionRefused(
                f"Missing or invalid client_assertion_type - must be '{ASSERTION_TYPE}'"
            )
        if not form.get("client_assertion"):
            raise AssertionRefused("Missing client_assertion")


def _read_form(body: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(body.decode("utf-8"), max_num_fields=20)
    except ValueError:
        return {}
    twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
    if twice:  # RFC 6749, section 3.2; the platform's words for it are not known
        raise AssertionRefused("A parameter was sent more than once")
    return dict(pairs)


def load_apps(path: Path) -> dict[str, KeySet]:
    """Registered applications from a JSON file: ``{api_key: JWKS}``.

    Raises `ConfigurationError` that names the file, never what it says.
    """
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        apps = {str(api_key): KeySet.import_key_set(jwks) for api_key, jwks in read.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, JoseError):
        raise ConfigurationError(
            f"{path} is no file of applications; it is a JSON object of JWK sets by API key."
        ) from None
    for keys in apps.values():
        for key in keys.keys:
            _check_key(key, path)
    return apps


def practice_app(path: Path, *, key_id: str | None = None, bits: int = _BITS) -> KeySet:
    """The public key of one application from a file: PEM or JWK, private or public.

    `key_id` is what it is registered under (default: a JWK's own, else `DEFAULT_KEY_ID`). Where
    there is no file, a private key of `bits` is made in it as PEM, for its owner alone. Raises
    `ConfigurationError` if the file cannot be read or its key is too weak.
    """
    try:
        if not path.exists():
            made = RSAKey.generate_key(bits)
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_private(path, made.as_pem(private=True).decode("ascii"))
        text = path.read_text(encoding="utf-8")
        key = RSAKey.import_key(json.loads(text) if text.lstrip().startswith("{") else text)
        parameters: KeyParameters = {
            "kid": key_id or key.kid or DEFAULT_KEY_ID,
            "use": "sig",
            "alg": ALGORITHM,
        }
        public = RSAKey.import_key(key.as_pem(private=False), parameters)
    except (OSError, ValueError, TypeError, KeyError, JoseError):
        raise ConfigurationError(
            f"{path} is no RSA key (PEM or JWK); give another, or a name where there is none yet."
        ) from None
    _check_key(public, path)
    return KeySet([public])


def _check_key(key: object, path: Path) -> None:
    bits = key.raw_value.key_size if isinstance(key, RSAKey) else 0
    if bits < _LEAST_BITS or not getattr(key, "kid", None):
        raise ConfigurationError(
            f"Keys in {path} must be RSA of {_LEAST_BITS} bits or more, each with its kid."
        )
