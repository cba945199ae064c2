"""Keys of the audit chain's checkpoints: one signs, all verify.

They stand in the secrets file, or in a file of their own that only the sealer can read
(``HALYARD_AUDIT__KEYS_FILE``)::

    [audit]                  # private: the key's name = its seed (32 bytes, hexadecimal)
    current = "2026-1"       # which of them signs
    2026-1 = "…"
    [audit_public]           # public keys of those that sign no more (32 bytes, hexadecimal)
    2025-1 = "…"

To rotate: add a key, make it `current`, replace the old private key by its public one.
"""

from __future__ import annotations

import re
import secrets
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from halyard.errors import ConfigurationError
from halyard.privacy import read_secrets
from halyard.settings import Settings

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signer:
    """The key that signs now."""

    key_id: str
    key: Ed25519PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class AuditKeys:
    """Public keys by name, and the signer where its private key is at hand."""

    public: Mapping[str, Ed25519PublicKey]
    signer: Signer | None = None

    def listed(self) -> dict[str, str]:
        """Public keys as another organisation keeps them: name to 32 bytes, hexadecimal."""
        return {name: key.public_bytes_raw().hex() for name, key in sorted(self.public.items())}


def new_seed() -> str:
    """A new private key, as the secrets file holds it."""
    return secrets.token_hex(32)


def load_audit_keys(settings: Settings) -> AuditKeys:
    """The keys of ``HALYARD_AUDIT__KEYS_FILE``, else of the secrets file; none if it has none.

    Raises `ConfigurationError` for a file or key that cannot be used.
    """
    path = settings.audit.keys_file or settings.security.secrets_file
    return audit_keys(read_secrets(path), str(path))


def audit_keys(table: Mapping[str, Any], place: str) -> AuditKeys:
    """Keys of a secrets table; as `load_audit_keys`, which names `place` in errors."""
    private = dict(table.get("audit", {}))
    current = private.pop("current", None)
    try:
        keys = {
            name: Ed25519PrivateKey.from_private_bytes(_raw(name, text))
            for name, text in private.items()
        }
        public = {
            name: Ed25519PublicKey.from_public_bytes(_raw(name, text))
            for name, text in dict(table.get("audit_public", {})).items()
        }
    except (TypeError, ValueError):
        raise ConfigurationError(
            f"{place}: a key of [audit] or [audit_public] is not a short name and 32 bytes as "
            "hexadecimal text."
        ) from None
    if (keys or current is not None) and current not in keys:
        raise ConfigurationError(f"{place}: `current` of [audit] names none of its keys.")
    if keys.keys() & public.keys():
        raise ConfigurationError(
            f"{place}: one name stands in [audit] and [audit_public]; names are used once."
        )
    signer = Signer(str(current), keys[current]) if current is not None else None
    return AuditKeys({**{name: key.public_key() for name, key in keys.items()}, **public}, signer)


def load_public_keys(path: Path) -> AuditKeys:
    """Public keys that were handed over: the JSON of ``halyard audit keys --json``.

    Raises `ConfigurationError` if it cannot be read.
    """
    try:
        text = path.read_text()
        table = orjson.loads(text) if text.lstrip().startswith("{") else tomllib.loads(text)
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"The keys file {path} cannot be read ({type(error).__name__}); give what "
            "`halyard audit keys --json` printed."
        ) from None
    return audit_keys({"audit_public": table.get("keys", table)}, str(path))


def _raw(name: str, text: object) -> bytes:
    if not isinstance(text, str) or not _NAME.fullmatch(name):
        raise ValueError
    raw = bytes.fromhex(text)
    if len(raw) != 32:
        raise ValueError
    return raw
