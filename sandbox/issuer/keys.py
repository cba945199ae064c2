"""The issuer's signing keys: made at the first start, kept in one file, changed without a gap."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from joserfc.errors import JoseError
from joserfc.jwk import KeySet, RSAKey

from halyard.embedded.datadir import write_private
from halyard.errors import ConfigurationError

ALGORITHM = "RS512"
KEPT = 2  # the key that signs, and the one before it
BITS = 2048


class SigningKeys:
    """The key that signs (the first) and the one before it, which is still published."""

    def __init__(self, path: Path | None = None) -> None:
        """Read the keys in `path`, or make one there; None keeps them in memory.

        Raises `ConfigurationError` if the file cannot be read, or can be read by others.
        """
        self._path = path
        self._keys = _read(path) if path is not None and path.exists() else []
        if not self._keys:
            self.rotate()

    @property
    def current(self) -> RSAKey:
        """The key that signs now."""
        return self._keys[0]

    def rotate(self) -> str:
        """Sign with a new key from now on; gives its id. What the key before it has signed stays
        good; what the one before that has signed does not.
        """
        made = RSAKey.generate_key(BITS, {"use": "sig", "alg": ALGORITHM}, auto_kid=True)
        self._keys = [made, *self._keys][:KEPT]
        if self._path is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            keys = [key.as_dict(private=True) for key in self._keys]
            write_private(self._path, json.dumps({"keys": keys}))
        return str(made.kid)

    def published(self) -> dict[str, Any]:
        """The public halves, as a JWK set."""
        return dict(KeySet([*self._keys]).as_dict(private=False))


def _read(path: Path) -> list[RSAKey]:
    try:
        if path.stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others; run: chmod 600 {path}")
        return [RSAKey.import_key(one) for one in json.loads(path.read_text())["keys"]]
    except (OSError, ValueError, KeyError, TypeError, JoseError) as error:
        raise ConfigurationError(
            f"The issuer's keys {path} cannot be read ({type(error).__name__}); move the file away "
            "and start again: new keys are made, and tokens of the old ones are refused."
        ) from None
