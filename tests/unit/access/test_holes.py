"""Deliberate holes: each attack is refused, and is let in as soon as its check is taken out.

The second half shows that the first could fail: a test that refuses an attack for another reason
proves nothing of the check that it names.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from flag_service import door
from halyard import tokens
from halyard.caller import Caller
from halyard.jwks import PublicKey, read_keys
from halyard.problems import HttpProblem
from stores.directory import Directory
from stores.used_tokens import UsedTokens
from tests.support import access
from tests.support.access import (
    AUDIENCE,
    AUTHORITY,
    CERTIFICATE,
    HOSPITAL,
    NOW,
    access_claims,
    attempt,
    by_hand,
    key,
    machine_claims,
    part,
    sign,
)

T = int(NOW.timestamp())
Patch = Callable[[pytest.MonkeyPatch], None]


class Known:
    """An issuer whose keys are there."""

    name = access.ISSUER
    generation = 1

    async def keys(self) -> tuple[PublicKey, ...]:
        """Always the same."""
        return read_keys(access.public(key("issuer")))

    async def keys_for(self, _kid: str | None) -> tuple[PublicKey, ...]:
        """The same."""
        return await self.keys()


@dataclass(frozen=True, slots=True)
class Hole:
    """An attack, the rule that refuses it, and how to take its check out."""

    token: Callable[[], str]
    rule: str
    taken_out: Patch
    times: int = 1  # shown so often; the last one is the attack


def without(module: Any, name: str, instead: Any = lambda *_: None) -> Patch:
    """Takes a function out."""
    return lambda patch: patch.setattr(module, name, instead)


def both(*patches: Patch) -> Patch:
    """Takes several out: what stands behind each other."""

    def taken_out(patch: pytest.MonkeyPatch) -> None:
        for one in patches:
            one(patch)

    return taken_out


def any_algorithm(token: tokens.Token, *_: object) -> str:
    """What a verifier without an allow-list does: it believes the header."""
    return str(token.header["alg"])


class Believing:
    """What a verifier without bound algorithms does: it uses whatever key is there, as bytes."""

    def confirms(self, algorithm: str, signed: bytes, signature: bytes) -> bool:
        """By the algorithm that the header names."""
        return signature == {"none": b"", "HS256": hmac.digest(PEM, signed, "sha256")}[algorithm]


def hmac_token() -> str:
    """Signed with what everybody can read: the public key of the machine."""
    head = f"{part({'alg': 'HS256', 'typ': 'JWT', 'kid': 'edis'})}.{part(machine_claims())}"
    return f"{head}.{access.base64url(hmac.digest(PEM, head.encode(), 'sha256'))}"


PEM = key("edis").public_key.public_bytes(  # type: ignore[union-attr]
    Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
)
BELIEVED = both(
    without(tokens, "allowed", any_algorithm), without(tokens, "chosen", lambda *_: Believing())
)


def all_keys(_token: object, _keys: object, algorithm: str) -> PublicKey:
    """What a verifier with one pot of keys does."""
    pot = read_keys(access.public(key("edis"), key("case")))
    return next(one for one in pot if one.kid == "case" and one.fits(algorithm))


class Forgetful(UsedTokens):
    """A store that has never seen anything."""

    async def use(self, *_: object) -> Any:
        return "first"


def other_issuer(*_: object) -> str:
    """Reads every token as the issuer's."""
    return access.ISSUER


HOLES = {
    "alg none": Hole(
        lambda: by_hand({"alg": "none", "kid": "edis"}, machine_claims(), None, "none"),
        "token.algorithm",
        BELIEVED,
    ),
    "HMAC with the public key": Hole(
        hmac_token,
        "token.algorithm",
        BELIEVED,
    ),
    "no signature check": Hole(
        lambda: sign(machine_claims(), key("stranger"), kid="edis"),
        "token.signature",
        without(tokens, "check_signature"),
    ),
    "key of another client": Hole(
        lambda: sign(machine_claims("rx901-edis"), key("case"), kid="edis"),
        "token.signature",
        without(tokens, "chosen", all_keys),
    ),
    "kid of another client": Hole(
        lambda: sign(machine_claims("rx901-edis"), key("case"), kid="case"),
        "token.key",
        without(tokens, "chosen", all_keys),
    ),
    "expired": Hole(
        lambda: sign(machine_claims(iat=T - 400, exp=T - 200), key("edis")),
        "token.expired",
        without(tokens, "check_times"),
    ),
    "not valid yet": Hole(
        lambda: sign(machine_claims(nbf=T + 60), key("edis")),
        "token.not_yet",
        without(tokens, "check_times"),
    ),
    "a life of a year": Hole(
        lambda: sign(machine_claims(exp=T + 31_536_000), key("edis")),
        "token.lifetime",
        without(tokens, "check_lifetime"),
    ),
    "another audience": Hole(
        lambda: sign(machine_claims(aud="https://else.test"), key("edis")),
        "token.audience",
        without(tokens, "check_audience"),
    ),
    "an ID token": Hole(
        lambda: sign(access_claims(nonce="n"), key("issuer")),
        "token.kind",
        without(tokens, "check_kind"),
    ),
    "another issuer": Hole(
        lambda: sign(access_claims(iss="https://evil.test"), key("issuer")),
        "token.issuer",
        lambda patch: patch.setattr(tokens.Token, "issuer", property(other_issuer)),
    ),
    "replayed": Hole(
        lambda: sign(machine_claims(jti="used-twice"), key("edis")),
        "token.replayed",
        without(door, "UsedTokens", Forgetful),
        times=2,
    ),
    "bound, without its certificate": Hole(
        lambda: sign(
            machine_claims(cnf={"x5t#S256": access.base64url(bytes.fromhex(CERTIFICATE))}),
            key("edis"),
        ),
        "token.certificate",
        without(tokens, "check_certificate"),
    ),
    "an organisation that is not there": Hole(
        lambda: sign(access_claims(organisation="RQ9ZZ"), key("issuer")),
        "token.organisation",
        lambda patch: patch.setattr(Directory, "kinds_of", lambda *_: ("hospital",)),
    ),
}


async def last_of(hole: Hole) -> Caller | None:
    """Shows the token as often as the attack needs, to a new door."""
    made = access.door(issuer=Known())  # type: ignore[arg-type]
    token = hole.token()
    for _ in range(hole.times - 1):
        assert await made(attempt(token)) is not None
    return await made(attempt(token))


@pytest.mark.parametrize("name", HOLES)
async def test_an_attack_is_refused(name: str) -> None:
    """By the rule of the check that it is aimed at."""
    with pytest.raises(HttpProblem) as caught:
        await last_of(HOLES[name])
    assert (caught.value.status_code, caught.value.rule) == (401, HOLES[name].rule)


@pytest.mark.parametrize("name", HOLES)
async def test_without_its_check_the_same_attack_is_let_in(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the test above does notice when the check is missing."""
    HOLES[name].taken_out(monkeypatch)
    assert isinstance(await last_of(HOLES[name]), Caller)


async def test_the_organisation_is_the_registered_one_whatever_a_machine_claims() -> None:
    """A machine of the hospital that says it is the authority's stays the hospital's."""
    caller = await access.door()(
        attempt(sign(machine_claims(organisation=AUTHORITY, roles=["la-system"]), key("edis")))
    )
    assert caller is not None
    assert caller.organisation == HOSPITAL
    assert caller.roles == {"hospital-system"}


async def test_a_machine_speaks_for_nobody_else() -> None:
    """`sub` is the machine itself."""
    with pytest.raises(HttpProblem) as caught:
        await access.door()(attempt(sign(machine_claims(sub="e99-case"), key("edis"))))
    assert caught.value.rule == "token.claims"


async def test_nobody_signs_for_the_issuer_but_the_issuer() -> None:
    """A registered machine's key under the issuer's name is no key of the issuer."""
    made = access.door(issuer=Known())  # type: ignore[arg-type]
    for kid in ("edis", "issuer"):
        with pytest.raises(HttpProblem) as caught:
            await made(attempt(sign(access_claims(), key("edis"), kid=kid)))
        assert caught.value.rule in {"token.key", "token.signature"}


def test_an_audience_is_one_of_this_test() -> None:
    """The attacks above differ from a good token in one thing alone."""
    good = tokens.read(sign(machine_claims(), key("edis")))
    tokens.verify(
        good,
        read_keys(access.public(key("edis"))),
        tokens.Rules(AUDIENCE, frozenset({"ES256"})),
        T,
    )
