"""Public keys as JSON Web Keys (RFC 7517): what of a set can check a signature, and how.

Only asymmetric keys are taken in. A shared key ("oct") in a set would let whoever reads the set
sign; a private key that somebody published is no longer anybody's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, cast

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

MAX_KEYS: Final = 100
RSA_BITS: Final = 2_048
_PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_MATERIAL: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("kty", "n", "e"),
    "EC": ("kty", "crv", "x", "y"),
    "OKP": ("kty", "crv", "x"),
}
_VALUE = re.compile(r"[A-Za-z0-9_-]{1,2048}", re.ASCII)

# By the name in a token's header: the model of joserfc, and the keys that fit it. joserfc's own
# "EdDSA" would take Ed448 too
_SIGNERS: Final[Mapping[str, tuple[str, str, str | None]]] = {
    **{name: (name, "RSA", None) for name in ("RS256", "RS384", "RS512")},
    **{name: (name, "RSA", None) for name in ("PS256", "PS384", "PS512")},
    "ES256": ("ES256", "EC", "P-256"),
    "ES384": ("ES384", "EC", "P-384"),
    "ES512": ("ES512", "EC", "P-521"),
    "EdDSA": ("Ed25519", "OKP", "Ed25519"),
    "Ed25519": ("Ed25519", "OKP", "Ed25519"),
}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One key that can check signatures."""

    kid: str | None
    kind: str  # kty: RSA, EC, OKP
    curve: str | None
    algorithm: str | None  # the only one that it is for, if it says so
    key: Key = field(repr=False, compare=False)

    def fits(self, algorithm: str) -> bool:
        """Whether signatures by `algorithm` can be checked with this key."""
        signer = _SIGNERS.get(algorithm)
        if signer is None:
            return False
        _, kind, curve = signer
        if self.algorithm is not None and _SIGNERS.get(self.algorithm, ("",))[0] != signer[0]:
            return False
        return self.kind == kind and curve in (None, self.curve)

    def confirms(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """Whether the key's owner has signed `signed` so; the key must fit the algorithm."""
        model = JWSRegistry.algorithms[_SIGNERS[algorithm][0]]
        try:
            return model.verify(signed, signature, self.key)
        except (JoseError, ValueError, TypeError, KeyError):
            return False  # a signature of another shape


def read_keys(document: object) -> tuple[PublicKey, ...]:
    """The keys of a set (``{"keys": […]}``) that can check signatures.

    Keys of kinds or for uses that are not for that are passed over (RFC 7517 section 5), as are
    private, shared and short ones. Raises `ValueError`, without any value, if it is no set, has too
    many keys or none that can be used.
    """
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list):
        raise ValueError("no set of keys")
    if len(keys) > MAX_KEYS:
        raise ValueError("too many keys")
    found = [key for key in map(_public_key, keys) if key is not None]
    if not found:
        raise ValueError("no key in it can check signatures")
    return tuple(found)


def _public_key(given: object) -> PublicKey | None:
    if not isinstance(given, Mapping) or not _PRIVATE.isdisjoint(given):
        return None
    kind, kid, algorithm = given.get("kty"), given.get("kid"), given.get("alg")
    if not isinstance(kind, str) or kind not in _MATERIAL:
        return None
    if given.get("use", "sig") != "sig" or "verify" not in _operations(given):
        return None
    if not isinstance(kid, str | None) or not isinstance(algorithm, str | None):
        return None
    material = {name: given.get(name) for name in _MATERIAL[kind]}
    if not all(isinstance(value, str) and _VALUE.fullmatch(value) for value in material.values()):
        return None
    imported = _imported(kind, cast("dict[str, Any]", material))
    if imported is None:
        return None
    return PublicKey(kid, kind, given.get("crv"), algorithm, imported)


def _operations(given: Mapping[str, Any]) -> tuple[Any, ...]:
    operations = given.get("key_ops", ["verify"])
    return tuple(operations) if isinstance(operations, list) else ()


def _imported(kind: str, material: dict[str, Any]) -> Key | None:
    try:
        if kind == "RSA":
            # before joserfc sees it, which only warns
            if len(material["n"]) * 6 < RSA_BITS:
                return None
            rsa = RSAKey.import_key(material)
            return rsa if rsa.public_key.key_size >= RSA_BITS else None
        made: Key = ECKey.import_key(material) if kind == "EC" else OKPKey.import_key(material)
    except (JoseError, ValueError, KeyError):
        return None
    return made
