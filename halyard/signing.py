"""How a client shows who it is: a private key in a file, and short-lived tokens that it signs."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, KeyParameters, KeySet, OKPKey, RSAKey, import_key

from halyard.errors import ConfigurationError

ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
LONGEST_SECONDS: Final = 300
"""The hub and the NHS England API platform take no token that is good for longer."""

ALGORITHMS: Final = ("RS512", "PS512", "ES256", "Ed25519")
RSA_BITS: Final = 4096


def make_key(algorithm: str = "RS512", *, bits: int = RSA_BITS) -> Key:
    """A new private key for `algorithm` (one of `ALGORITHMS`), with an id."""
    parameters: KeyParameters = {"alg": algorithm, "use": "sig"}
    if algorithm == "ES256":
        return ECKey.generate_key("P-256", parameters, auto_kid=True)
    if algorithm == "Ed25519":
        return OKPKey.generate_key("Ed25519", parameters, auto_kid=True)
    return RSAKey.generate_key(bits, parameters, auto_kid=True)


def sign_as_client(key: Key, *, client_id: str, audience: str, now: int, seconds: int) -> str:
    """A JWT by which a client shows who it is (RFC 7523), good once and for `seconds`."""
    algorithm = algorithm_of(key)
    claims = {
        "iss": client_id,
        "sub": client_id,
        "aud": audience,
        "iat": now,
        "exp": now + seconds,
        "jti": str(uuid.uuid4()),
    }
    header = {"alg": algorithm, "typ": "JWT", "kid": key.kid or key.thumbprint()}
    return jwt.encode(header, claims, key, [algorithm])


def algorithm_of(key: Key) -> str:
    """What a private key signs with: its own `alg`, else the usual one of its kind."""
    given = key.get("alg")
    if isinstance(given, str):
        return given
    return {"RSA": "RS512", "EC": "ES256", "OKP": "Ed25519"}[key.key_type]


def load_private_key(path: Path) -> Key:
    """A private key from a JWK file (one key, or a set: its first), mode 0600.

    Raises `ConfigurationError` if it cannot be read, is not private, or can be read by others.
    """
    try:
        if path.expanduser().stat().st_mode & 0o077:
            raise ConfigurationError(f"{path} can be read by others; run: chmod 600 {path}")
        document = json.loads(path.expanduser().read_text("utf-8"))
        key = import_key(document["keys"][0] if "keys" in document else document)
    except (OSError, ValueError, KeyError, IndexError, TypeError, JoseError) as error:
        raise ConfigurationError(
            f"The key file {path} cannot be read ({type(error).__name__}); make one with "
            "`halyard token keygen`."
        ) from None
    if not key.is_private or key.key_type not in ("RSA", "EC", "OKP"):
        raise ConfigurationError(
            f"{path} holds no private key to sign with; give the private half."
        )
    return key


def public_half(key: Key) -> dict[str, Any]:
    """The JWK set of a private key's public half, with its id."""
    public = KeySet([key]).as_dict(private=False)
    return {"keys": [{**one, "alg": algorithm_of(key), "use": "sig"} for one in public["keys"]]}
