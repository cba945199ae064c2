"""Pseudonyms: keyed digests that stand for people where a number must not stand.

Two keys (DESIGN, keys): the bus key makes Kafka keys and rotates by drain; the store key makes
the pseudonyms in PostgreSQL and does not rotate. HMAC-SHA256, cut to 128 bits.
"""

from __future__ import annotations

import hmac
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from halyard.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Keys:
    """The hub's keys; the repr shows none of them."""

    bus: bytes = field(repr=False)
    store: bytes = field(repr=False)
    webhook: Mapping[str, str] = field(default_factory=dict, repr=False)

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
        return hmac.digest(self.bus, b"body:" + body, "sha256").hex()[:32]


def _first(local_id: str | None, visit: str | None, number: str | None) -> tuple[str, str]:
    if local_id:
        return "local", local_id
    if visit:
        return "visit", visit
    return "number", number or ""


def _pseudonym(key: bytes, *parts: str) -> str:
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return hmac.digest(key, text.encode(), "sha256").hex()[:32]


def load_keys(path: Path | None) -> Keys:
    """Keys from the secrets file (TOML: ``bus_key``, ``store_key``, ``[webhook]``).

    Raises `ConfigurationError` if the file is missing, readable by others, or a key is short.
    """
    if path is None:
        raise ConfigurationError(
            "No secrets file is set; point HALYARD_SECURITY__SECRETS_FILE at one (`halyard up` "
            "makes one for practice)."
        )
    path = path.expanduser()
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others; run: chmod 600 {path}")
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"The secrets file {path} cannot be read: {type(error).__name__}."
        ) from None
    try:
        bus, store = bytes.fromhex(table["bus_key"]), bytes.fromhex(table["store_key"])
    except (KeyError, TypeError, ValueError):
        raise ConfigurationError(
            f"{path} needs bus_key and store_key as hexadecimal text."
        ) from None
    if min(len(bus), len(store)) < 32 or bus == store:
        raise ConfigurationError(
            f"{path}: bus_key and store_key must differ and have 32 bytes each."
        )
    return Keys(bus=bus, store=store, webhook=dict(table.get("webhook", {})))
