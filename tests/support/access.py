"""Keys, tokens and doors of tests. Keys are made once a run: RSA keys take their time."""

from __future__ import annotations

import base64
import functools
import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from flag_service.door import Door, make_door
from halyard.caller import Attempt
from halyard.clock import Clock
from halyard.issuer import Issuer
from halyard.postgres import Pool
from halyard.settings import Settings
from halyard.settings_access import AccessSettings
from stores.credentials import Client, RoleMap
from stores.directory import Authority, Credential, Directory, Hospital

AUDIENCE = "https://hub.test"
ISSUER = "https://issuer.test"
HOSPITAL, AUTHORITY = "RX901", "E99000001"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
CERTIFICATE = hashlib.sha256(b"a certificate").hexdigest()
PRACTICE_TOKEN = "a-practice-token"

KINDS: Mapping[str, tuple[str, str | int]] = {
    "RS256": ("RSA", 2048),
    "RS512": ("RSA", 2048),
    "PS512": ("RSA", 2048),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "EdDSA": ("OKP", "Ed25519"),
    "Ed25519": ("OKP", "Ed25519"),
}


@functools.cache
def key(name: str, algorithm: str = "ES256") -> Key:
    """The private key called `name` (its kid) for an algorithm."""
    kind, size = KINDS[algorithm]
    if kind == "RSA":
        return RSAKey.generate_key(int(size), {"kid": name})
    if kind == "EC":
        return ECKey.generate_key(str(size), {"kid": name})
    return OKPKey.generate_key(str(size), {"kid": name})  # type: ignore[arg-type]


def public(*keys: Key, **more: Any) -> dict[str, Any]:
    """The set of the public halves."""
    return {"keys": [{**one.as_dict(private=False), **more} for one in keys]}


def base64url(raw: bytes) -> str:
    """As RFC 7515 writes it."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def part(content: object) -> str:
    """One part of a token, made by hand."""
    return base64url(json.dumps(content).encode())


def machine_claims(client: str = "rx901-edis", **changed: Any) -> dict[str, Any]:
    """Claims of a machine's token that holds at `NOW`; None drops one."""
    now = int(NOW.timestamp())
    claims = {
        "iss": client,
        "sub": client,
        "aud": AUDIENCE,
        "iat": now,
        "exp": now + 240,
        "jti": str(uuid.uuid4()),
    }
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def access_claims(**changed: Any) -> dict[str, Any]:
    """Claims of a nurse's access token that holds at `NOW`; None drops one."""
    now = int(NOW.timestamp())
    claims = {
        "iss": ISSUER,
        "sub": "7c1f",
        "client_id": "the-app",
        "aud": [AUDIENCE, "https://else.test"],
        "iat": now,
        "exp": now + 900,
        "jti": "0123456789abcdef0123456789abcdef0123",
        "organisation": HOSPITAL,
        "roles": ["urn:nurse", "urn:unmapped"],
        "name": "Practice Nurse",
        "job_role": "R8001",
        "auth_time": now - 60,
    }
    return {name: value for name, value in {**claims, **changed}.items() if value is not None}


def sign(
    claims: Mapping[str, Any],
    signer: Key,
    algorithm: str = "ES256",
    *,
    kid: object = "",
    **header: Any,
) -> str:
    """A token; with the signer's own kid, if none is given (None: without)."""
    if kid == "":
        kid = signer.kid
    named = {} if kid is None else {"kid": kid}
    # joserfc calls EdDSA deprecated (RFC 9864); others still write it
    name = "Ed25519" if algorithm == "EdDSA" else algorithm
    if name == algorithm:
        return jwt.encode({"alg": algorithm, **named, **header}, dict(claims), signer, [algorithm])
    return by_hand({"alg": algorithm, "typ": "JWT", **named, **header}, claims, signer, name)


def by_hand(
    header: Mapping[str, Any], claims: Mapping[str, Any], signer: Key | None, algorithm: str
) -> str:
    """A token whose header joserfc would not write; unsigned without a signer."""
    from joserfc.jws import JWSRegistry

    head = f"{part(dict(header))}.{part(dict(claims))}"
    if signer is None:
        return f"{head}."
    made = JWSRegistry.algorithms[algorithm].sign(head.encode(), signer)
    return f"{head}.{base64url(made)}"


def attempt(token: str | None, *, certificate: str | None = None, method: str = "GET") -> Attempt:
    """A request that shows this bearer token."""
    authorization = None if token is None else f"Bearer {token}"
    return Attempt(method, "/", authorization=authorization, certificate=certificate)


def directory(**more: Any) -> Directory:
    """A hospital with two machines, an authority with one, and what codes mean."""
    clients = {
        "rx901-edis": Client(
            id="rx901-edis", organisation=HOSPITAL, jwks=public(key("edis"), key("edis-2"))
        ),
        "e99-case": Client(id="e99-case", organisation=AUTHORITY, jwks=public(key("case"))),
    }
    made: dict[str, Any] = {
        "hospitals": {HOSPITAL: Hospital(ods=HOSPITAL, name="Infirmary")},
        "feeds": (),
        "authorities": {AUTHORITY: Authority(gss=AUTHORITY, name="North")},
        "endpoints": {},
        "credentials": (
            Credential(
                organisation=AUTHORITY, sha256=hashlib.sha256(PRACTICE_TOKEN.encode()).hexdigest()
            ),
        ),
        "clients": clients,
        "role_maps": (
            RoleMap(claim="urn:nurse", role="safeguarding-nurse"),
            RoleMap(claim="urn:social", role="social-worker", organisations=(AUTHORITY,)),
        ),
        **more,
    }
    return Directory(**made)


def settings(**access: Any) -> Settings:
    """Settings of a hub that knows the issuer of tests."""
    return Settings(access=AccessSettings(**{"audience": AUDIENCE, "issuer": ISSUER, **access}))


def door(
    *,
    made: Settings | None = None,
    known: Directory | None = None,
    pool: Pool | None = None,
    clock: Clock = lambda: NOW,
    issuer: Issuer | None = None,
) -> Door:
    """A door of these; an issuer that is not given has nothing to say."""
    return make_door(made or settings(), known or directory(), pool, clock, issuer=issuer)
