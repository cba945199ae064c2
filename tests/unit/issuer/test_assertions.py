"""Client assertions: what is taken, and the description of each refusal."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import Key, KeySet, OctKey, RSAKey

from sandbox.issuer.assertions import AssertionRefused, UsedIds, check

TOKEN_URL = "https://issuer.example/oauth2/token"
NOW = 1_800_000_000
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})  # says the same id, is not the same


def keys_of(client_id: str) -> KeySet | None:
    """One registered client."""
    return KeySet([RSAKey.import_key(KEY.as_dict(private=False))]) if client_id == "pas" else None


def claims(**changed: Any) -> dict[str, Any]:
    """Good claims; None drops one."""
    good = {"iss": "pas", "sub": "pas", "aud": TOKEN_URL, "jti": "a-1", "exp": NOW + 300}
    return {name: value for name, value in {**good, **changed}.items() if value is not None}


def signed(said: dict[str, Any] | None = None, *, key: Key = KEY, **header: Any) -> str:
    """An assertion; a header of None drops it."""
    whole = {"alg": "RS512", "typ": "JWT", "kid": "one", **header}
    kept = {name: value for name, value in whole.items() if value is not None}
    return jwt.encode(
        kept, claims() if said is None else said, key, [kept["alg"]], default_type=None
    )


def asked(assertion: str, used: UsedIds | None = None, now: int = NOW) -> str:
    """`check` with what stays the same."""
    return check(assertion, token_url=TOKEN_URL, keys_of=keys_of, used=used or UsedIds(), now=now)


def test_a_good_assertion_names_its_client() -> None:
    """RS512, a registered key, everything said: the client."""
    assert asked(signed()) == "pas"


@pytest.mark.parametrize(
    ("assertion", "status", "description"),
    [
        ("not a token", 400, "Malformed JWT in client_assertion"),
        (
            signed(kid=None),
            400,
            "Missing 'kid' header in client_assertion JWT",
        ),
        (
            signed(kid="two"),
            401,
            "Invalid 'kid' header in client_assertion JWT - no matching public key",
        ),
        (
            signed(typ="JOSE"),
            400,
            "Invalid 'typ' header in client_assertion JWT - must be 'JWT'",
        ),
        (
            signed(alg="RS256"),
            400,
            (
                "Invalid 'alg' header in client_assertion JWT - unsupported JWT algorithm - "
                "must be 'RS512'"
            ),
        ),
        (
            signed(claims(iss="pas", sub="another")),
            400,
            "Missing or non-matching 'iss'/'sub' claims in client_assertion JWT",
        ),
        (
            signed(claims(iss=None)),
            400,
            "Missing or non-matching 'iss'/'sub' claims in client_assertion JWT",
        ),
        (
            signed(claims(iss="nobody", sub="nobody")),
            401,
            "Invalid 'iss'/'sub' claims in client_assertion JWT",
        ),
        (
            signed(claims(aud="https://issuer.example/oauth2/token/")),
            401,
            "Missing or invalid 'aud' claim in client_assertion JWT",
        ),
        (
            signed(claims(aud=None)),
            401,
            "Missing or invalid 'aud' claim in client_assertion JWT",
        ),
        (signed(claims(jti=None)), 400, "Missing 'jti' claim in client_assertion JWT"),
        (
            signed(claims(jti=7)),
            400,
            (
                "Invalid 'jti' claim in client_assertion JWT - must be a unique string value "
                "such as a GUID"
            ),
        ),
        (signed(claims(exp=None)), 400, "Missing 'exp' claim in client_assertion JWT"),
        (
            signed(claims(exp=str(NOW + 60))),
            400,
            "Invalid 'exp' claim in client_assertion JWT - must be an integer",
        ),
        (
            signed(claims(exp=NOW)),
            400,
            "Invalid 'exp' claim in client_assertion JWT - JWT has expired",
        ),
        (
            signed(claims(exp=NOW + 311)),
            400,
            "Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future",
        ),
        (signed(key=OTHER), 401, "JWT signature verification failed"),
    ],
)
def test_each_refusal_has_its_description(assertion: str, status: int, description: str) -> None:
    """What is wrong is said as the platform says it, with its status."""
    with pytest.raises(AssertionRefused) as refused:
        asked(assertion)
    assert (refused.value.status, refused.value.description) == (status, description)


def test_a_public_key_used_as_a_shared_secret_signs_nothing() -> None:
    """HS512 with the public key's text, and `none`, are refused by their algorithm."""
    secret = OctKey.import_key(json.dumps(KEY.as_dict(private=False)))
    forged = jws.serialize_compact(
        {"alg": "HS512", "typ": "JWT", "kid": "one"}, json.dumps(claims()), secret, ["HS512"]
    )
    unsigned = "eyJhbGciOiJub25lIn0." + forged.split(".")[1] + "."
    for one in (forged, unsigned):
        with pytest.raises(AssertionRefused, match="must be 'RS512'"):
            asked(one)


def test_an_id_is_good_once_while_its_assertion_is() -> None:
    """A replay is refused; an id whose signature was wrong is not spent."""
    used = UsedIds()
    with pytest.raises(AssertionRefused, match="signature"):
        asked(signed(key=OTHER), used)
    assert asked(signed(), used) == "pas"
    with pytest.raises(AssertionRefused, match="Non-unique 'jti' claim in client_assertion JWT"):
        asked(signed(), used, now=NOW + 10)


def test_used_ids_stay_bounded() -> None:
    """More ids than are kept push out the oldest, and those that are over are forgotten."""
    used = UsedIds(most=3)
    assert all(used.use("pas", str(number), until=NOW + 9, now=NOW) for number in range(10))
    assert not used.use("pas", "9", until=NOW + 9, now=NOW)
    assert used.use("pas", "9", until=NOW + 99, now=NOW + 50)


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode()))
def test_no_bytes_break_it(given_bytes: bytes) -> None:
    """Whatever is sent is refused as an assertion, and nothing else is raised."""
    with pytest.raises(AssertionRefused):
        asked(given_bytes.decode("utf-8", "replace"))
