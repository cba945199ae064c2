"""Pseudonyms: keyed digests that stand for people where a number must not stand.

Two keys: the bus key makes Kafka keys and digests and rotates by drain (docs/adr/0041); the store
key makes the pseudonyms in PostgreSQL and does not rotate. HMAC-SHA256, cut to 128 bits.

Each key has an id, a digest that tells no one the key: it names the key in the database, in the
audit chain and in `halyard keys list`.
"""

from __future__ import annotations

import hashlib
import hmac
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from halyard.errors import ConfigurationError
from halyard.settings_security import SecuritySettings


@dataclass(frozen=True, slots=True)
class Keys:
    """The hub's keys; the repr shows none of them."""

    bus: bytes = field(repr=False)
    store: bytes = field(repr=False)
    # the secrets of each name, the newest first: all of them sign
    webhook: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    # bus keys of before, by id: what was digested under them can still be compared
    retired: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @property
    def bus_id(self) -> str:
        """Id of the bus key (12 hex digits)."""
        return key_id(self.bus)

    def secret_id(self, secret: str) -> str:
        """Id of a webhook secret (12 hex digits): keyed, as a secret may be short."""
        return _pseudonym(self.store, "secret-id", secret)[:12]

    def was_digest(self, key: str, body: bytes) -> str | None:
        """`digest` under the bus key with the id `key`; None if that key is not there any more."""
        old = self.bus if key == self.bus_id else self.retired.get(key)
        return None if old is None else _digest(old, body)

    def source_person(
        self, source: str, local_id: str | None, visit: str | None, number: str | None
    ) -> str:
        """Kafka key of an event as its source knows the person (32 hex digits).

        Local patient id, else visit number, else NHS number, so that a visit stays in order
        even when its number becomes known half way.
        """
        return _pseudonym(self.bus, "source-person", source, *_first(local_id, visit, number))

    def source_patient(
        self, source: str, local_id: str | None, visit: str | None, number: str | None
    ) -> str:
        """As `source_person`, under the store key: for rows that outlive the bus key."""
        return _pseudonym(self.store, "source-patient", source, *_first(local_id, visit, number))

    def bus_person(self, nhs_number: str) -> str:
        """Kafka key of a verified (or candidate) person (32 hex digits)."""
        return _pseudonym(self.bus, "person", nhs_number)

    def person(self, nhs_number: str) -> str:
        """Person in PostgreSQL (32 hex digits)."""
        return _pseudonym(self.store, "person", nhs_number)

    def token(self, kind: str, *parts: str) -> str:
        """A keyed token for equality look-ups and locks on personal facts (32 hex digits)."""
        return _pseudonym(self.store, f"token-{kind}", *parts)

    def digest(self, body: bytes) -> str:
        """Keyed digest of a message body (32 hex digits): comparable, not guessable."""
        return _digest(self.bus, body)


def key_id(key: bytes) -> str:
    """Id of a key of 32 random bytes or more (12 hex digits)."""
    return hashlib.sha256(b"halyard key id:" + key).hexdigest()[:12]


def _digest(key: bytes, body: bytes) -> str:
    return hmac.digest(key, b"body:" + body, "sha256").hex()[:32]


def _first(local_id: str | None, visit: str | None, number: str | None) -> tuple[str, str]:
    if local_id:
        return "local", local_id
    if visit:
        return "visit", visit
    return "number", number or ""


def _pseudonym(key: bytes, *parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hmac.digest(key, text.encode(), "sha256").hex()[:32]


class NoSecrets(ConfigurationError):
    """No secrets file is set; point HALYARD_SECURITY__SECRETS_FILE at one (`halyard up` makes one
    for practice).
    """


def read_secrets(path: Path | None) -> dict[str, Any]:
    """The table of a secrets file (TOML).

    Raises `ConfigurationError` if the file is missing or readable by others.
    """
    if path is None:
        raise NoSecrets
    path = path.expanduser()
    try:
        return tomllib.loads(read_private(path))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(
            f"The secrets file {path} cannot be read: {type(error).__name__}."
        ) from None


def load_keys(place: SecuritySettings | Path | None) -> Keys:
    """Keys from the settings' places, or from one secrets file (TOML: ``bus_key``, ``store_key``,
    ``[webhook]``, ``[retired]``).

    Raises `ConfigurationError` if a file is missing or readable by others, or a key is missing,
    short or not hexadecimal. No message shows any part of one.
    """
    security = (
        place if isinstance(place, SecuritySettings) else SecuritySettings(secrets_file=place)
    )
    table: dict[str, Any] = {}
    if security.secrets_file is not None or not security.given:
        table = read_secrets(security.secrets_file)
    where = security.secrets_file or "HALYARD_SECURITY__…"
    bus_text = _alone(security.bus_key, security.bus_key_file)
    store_text = _alone(security.store_key, security.store_key_file)
    try:
        bus = bytes.fromhex(table["bus_key"] if bus_text is None else bus_text)
        store = bytes.fromhex(table["store_key"] if store_text is None else store_text)
        retired = {
            key_id(raw): raw for raw in map(bytes.fromhex, dict(table.get("retired", {})).values())
        }
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(
            f"{where} needs bus_key and store_key as hexadecimal text."
        ) from None
    if min(len(bus), len(store)) < 32 or bus == store:
        raise ConfigurationError(
            f"{where}: bus_key and store_key must differ and have 32 bytes each."
        )
    return Keys(bus=bus, store=store, webhook=_webhook(security, table), retired=retired)


def _alone(value: SecretStr | None, path: Path | None) -> str | None:
    if value is not None:
        return value.get_secret_value()
    return None if path is None else read_private(path.expanduser()).strip()


def _webhook(security: SecuritySettings, table: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    found: dict[str, object] = dict(table.get("webhook", {}))
    if security.webhook_dir is not None:
        folder = security.webhook_dir.expanduser()
        try:
            files = sorted(one for one in folder.iterdir() if not one.name.startswith("."))
        except OSError as error:
            raise ConfigurationError(
                f"The directory {folder} cannot be read: {type(error).__name__}."
            ) from None
        found |= {one.name: read_private(one).split() for one in files}
    found |= {name: value.get_secret_value().split(",") for name, value in security.webhook.items()}
    return {name: _secrets_of(name, given) for name, given in found.items()}


def _secrets_of(name: str, given: object) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts:
        raise ConfigurationError(
            f"The webhook secret {name} is neither a text nor a list of texts; correct it."
        )
    found = [one.strip() for one in texts if isinstance(one, str)]
    if len(found) != len(texts) or not all(found):
        raise ConfigurationError(f"A webhook secret of {name} is empty, or no text; correct it.")
    return tuple(found)


def read_private(path: Path) -> str:
    """A file's text. Raises `ConfigurationError` if it is missing or readable by others."""
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others; run: chmod 600 {path}")
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The secrets file {path} cannot be read: {type(error).__name__}."
        ) from None
