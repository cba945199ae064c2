"""Signed tokens (JWT, RFC 7519; JWS, RFC 7515): what one says, and whether that holds.

Every check is one function, in the order of `verify`. A refusal says which check failed, and never
anything of the token. What may sign is a list of names (RFC 8725 section 3.1): what a token says of
its own algorithm only chooses from it, and must fit the key.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from halyard.jwks import PublicKey
from halyard.problems import HttpProblem

MAX_BYTES: Final = 8_192
MAX_KID: Final = 256

REFUSALS: Final[Mapping[str, str]] = {
    "token.malformed": "It is no signed token (JWT) of at most 8,192 bytes; send one.",
    "token.kind": "It is not a token for using an API; send an access token, not an ID token.",
    "token.algorithm": "Its algorithm is not one that the hub takes; the reference lists them.",
    "token.issuer": "Nobody whom the hub knows has issued it; check its iss.",
    "token.key": "No key of its issuer has its kid and fits its algorithm; check the kid.",
    "token.signature": "Its signature is not that of its issuer's key; sign it with the right one.",
    "token.audience": "It is for somebody else; its aud must be the hub's own address.",
    "token.claims": "A claim that it needs is missing, or is not as it must be; see the reference.",
    "token.expired": "It has expired; get or sign a new one.",
    "token.not_yet": "It is not valid yet; check the clock of its issuer.",
    "token.lifetime": "It is valid for longer than the hub takes; make it shorter.",
    "token.replayed": "It was used before; a machine signs a new one for each request.",
    "token.organisation": "The hub does not know the organisation that it names.",
    "token.certificate": "It is bound to a client certificate that was not shown; show that one.",
}
"""Why a token is refused, and what to do about it, by rule."""

_PART = re.compile(r"[A-Za-z0-9_-]*", re.ASCII)
_TYPES = frozenset({"JWT", "AT+JWT", "APPLICATION/AT+JWT", "APPLICATION/JWT"})
_OF_ID_TOKENS = frozenset({"nonce", "at_hash", "c_hash"})


@dataclass(frozen=True, slots=True)
class Rules:
    """What a token must keep to. Times in seconds."""

    audience: str
    algorithms: frozenset[str]
    skew: int = 30
    longest: int = 3_600  # from iat (or now) to exp


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it was sent; nothing of it holds before `verify`."""

    header: Mapping[str, Any] = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)  # what the signature is of
    signature: bytes = field(repr=False)

    @property
    def issuer(self) -> str | None:
        """What it says of who issued it."""
        given = self.claims.get("iss")
        return given if isinstance(given, str) else None

    @property
    def kid(self) -> str | None:
        """What it says of the key."""
        given = self.header.get("kid")
        return given if isinstance(given, str) else None


def refused(rule: str) -> HttpProblem:
    """401 for the reason `rule` (a key of `REFUSALS`), as RFC 6750 section 3 says."""
    detail = REFUSALS[rule]
    return HttpProblem(
        401,
        "The token is refused",
        detail,
        rule=rule,
        headers={
            "WWW-Authenticate": (
                f'Bearer realm="halyard", error="invalid_token", error_description="{detail}"'
            )
        },
    )


def looks_like_one(text: str) -> bool:
    """Whether somebody means it as a JWT: three parts, the first of them JSON."""
    return text.count(".") == 2 and text.startswith("ey")


def read(text: str) -> Token:
    """The parts of a token. Raises `HttpProblem` ``token.malformed`` or ``token.kind``."""
    parts = text.split(".")
    if len(text) > MAX_BYTES or len(parts) != 3:
        raise refused("token.malformed")
    header, claims = _object(parts[0]), _object(parts[1])
    kid, kind = header.get("kid"), header.get("typ", "JWT")
    if not isinstance(header.get("alg"), str) or not isinstance(kid, str | None):
        raise refused("token.malformed")
    # an extension that must be understood (crit) is one that nobody here understands
    if (kid is not None and not 0 < len(kid) <= MAX_KID) or "crit" in header:
        raise refused("token.malformed")
    if not isinstance(kind, str) or kind.upper() not in _TYPES:
        raise refused("token.kind")
    return Token(
        header,
        claims,
        f"{parts[0]}.{parts[1]}".encode("ascii"),
        _decoded(parts[2]),
    )


def verify(token: Token, keys: Iterable[PublicKey], rules: Rules, now: float) -> None:
    """Whether a token holds: signed by one of `keys`, for the hub, at the time `now` (unix).

    The issuer is not compared here: who calls has chosen the keys by it. Raises `HttpProblem` 401
    with the first rule that it breaks.
    """
    algorithm = allowed(token, rules)
    key = chosen(token, keys, algorithm)
    check_signature(token, key, algorithm)
    check_kind(token)
    check_audience(token, rules)
    check_times(token, rules, now)
    check_lifetime(token, rules, now)


def allowed(token: Token, rules: Rules) -> str:
    """Its algorithm, if that is on the list."""
    algorithm = token.header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in rules.algorithms:
        raise refused("token.algorithm")
    return algorithm


def chosen(token: Token, keys: Iterable[PublicKey], algorithm: str) -> PublicKey:
    """The key that it names and that fits; without a name the only one that fits."""
    fitting = [key for key in keys if key.fits(algorithm)]
    named = [key for key in fitting if token.kid is not None and key.kid == token.kid]
    if named:
        return named[0]
    if token.kid is None and len(fitting) == 1:
        return fitting[0]
    raise refused("token.key")


def check_signature(token: Token, key: PublicKey, algorithm: str) -> None:
    """Whether the owner of `key` has signed it."""
    if not key.confirms(algorithm, token.signed, token.signature):
        raise refused("token.signature")


def check_kind(token: Token) -> None:
    """Whether it is for using an API: an ID token tells a log-in page who somebody is."""
    if not _OF_ID_TOKENS.isdisjoint(token.claims):
        raise refused("token.kind")


def check_audience(token: Token, rules: Rules) -> None:
    """Whether it is meant for the hub."""
    given = token.claims.get("aud")
    audiences = [given] if isinstance(given, str) else given
    if not isinstance(audiences, list) or rules.audience not in audiences:
        raise refused("token.audience")


def check_times(token: Token, rules: Rules, now: float) -> None:
    """Whether it is valid at this time."""
    expires = _time(token.claims, "exp")
    if expires is None:
        raise refused("token.claims")
    if expires <= now - rules.skew:
        raise refused("token.expired")
    for name in ("nbf", "iat"):
        begins = _time(token.claims, name)
        if begins is not None and begins > now + rules.skew:
            raise refused("token.not_yet")


def check_lifetime(token: Token, rules: Rules, now: float) -> None:
    """Whether it is short enough: who finds it later can do nothing with it."""
    expires, issued = _time(token.claims, "exp"), _time(token.claims, "iat")
    if expires is None or expires > now + rules.longest + rules.skew:
        raise refused("token.lifetime")
    if issued is not None and expires - issued > rules.longest:
        raise refused("token.lifetime")


def bound_to(token: Token) -> str | None:
    """SHA-256 (hex) of the certificate that must come with it (RFC 8705 section 3), if any.

    Raises `HttpProblem` ``token.certificate`` if it is bound to something else: that cannot be
    checked here.
    """
    if "cnf" not in token.claims:
        return None
    confirmation = token.claims["cnf"]
    given = confirmation.get("x5t#S256") if isinstance(confirmation, Mapping) else None
    if not isinstance(given, str):
        raise refused("token.certificate")
    digest = _decoded(given)
    if len(digest) != 32:
        raise refused("token.certificate")
    return digest.hex()


def check_certificate(bound: str | None, shown: str | None) -> None:
    """Whether the certificate that it is bound to, if any, was shown (both SHA-256 in hex)."""
    if bound is not None and bound != shown:
        raise refused("token.certificate")


def expiry(token: Token) -> float:
    """When a token that holds expires (unix time)."""
    expires = _time(token.claims, "exp")
    if expires is None:
        raise refused("token.claims")
    return expires


def text_claim(claims: Mapping[str, Any], name: str, longest: int) -> str:
    """A text that must be there. Raises `HttpProblem` ``token.claims``."""
    given = claims.get(name)
    if not isinstance(given, str) or not 0 < len(given) <= longest or not given.isprintable():
        raise refused("token.claims")
    return given


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    given = claims.get(name)
    if given is None:
        return None
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        raise refused("token.claims")
    return float(given)


def _object(part: str) -> dict[str, Any]:
    try:
        found = orjson.loads(_decoded(part))
    except orjson.JSONDecodeError:
        raise refused("token.malformed") from None
    if not isinstance(found, dict):
        raise refused("token.malformed")
    return found


def _decoded(part: str) -> bytes:
    """base64url as RFC 7515 writes it, and in no second way: no padding, no loose bits."""
    if not _PART.fullmatch(part):
        raise refused("token.malformed")
    try:
        found = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise refused("token.malformed") from None
    if base64.urlsafe_b64encode(found).rstrip(b"=") != part.encode("ascii"):
        raise refused("token.malformed")
    return found
