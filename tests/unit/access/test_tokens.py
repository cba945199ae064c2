"""Tokens: what one must be to hold, and that nothing else does."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard import tokens
from halyard.jwks import read_keys
from halyard.problems import HttpProblem
from halyard.tokens import REFUSALS, Rules
from tests.support.access import (
    AUDIENCE,
    NOW,
    base64url,
    by_hand,
    key,
    machine_claims,
    part,
    public,
    sign,
)
from tests.support.face import ROOT

ALGORITHMS = ("RS512", "PS512", "ES256", "EdDSA", "Ed25519")
RULES = Rules(AUDIENCE, frozenset(ALGORITHMS), skew=30, longest=300)
T = int(NOW.timestamp())


def verify(token: str, keys: dict[str, Any], rules: Rules = RULES, now: float = T) -> None:
    """Read and verify."""
    tokens.verify(tokens.read(token), read_keys(keys), rules, now)


def refusal_of(token: str, keys: dict[str, Any], rules: Rules) -> HttpProblem | None:
    """Why a token is refused, if it is."""
    try:
        verify(token, keys, rules)
    except HttpProblem as refused:
        return refused
    return None


def rule_of(token: str, keys: dict[str, Any] | None = None, rules: Rules = RULES) -> str:
    """The rule by which a token is refused, which repeats nothing of it; else "admitted"."""
    refused = refusal_of(token, keys or public(key("edis")), rules)
    if refused is None:
        return "admitted"
    assert refused.status_code == 401
    headers = dict(refused.headers or {})
    assert 'error="invalid_token"' in headers["WWW-Authenticate"]
    said = json.dumps([refused.message, *headers.values()])
    assert not any(len(one) > 3 and one in said for one in token.split("."))
    return refused.rule


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_each_algorithm_of_the_list_is_taken(algorithm: str) -> None:
    """Signed by its own kind of key."""
    signer = key("one", algorithm)
    verify(sign(machine_claims(), signer, algorithm), public(signer))


@pytest.mark.parametrize("algorithm", ["RS256", "ES384"])
def test_an_algorithm_that_is_not_on_the_list_is_refused(algorithm: str) -> None:
    """Although its signature is right; the list decides, so the same token is taken by another."""
    signer = key("one", algorithm)
    token = sign(machine_claims(), signer, algorithm)
    assert rule_of(token, public(signer)) == "token.algorithm"
    longer = Rules(AUDIENCE, frozenset({algorithm}), longest=300)
    assert rule_of(token, public(signer), longer) == "admitted"


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"aud": None}, "token.audience"),
        ({"aud": "https://hub.test/"}, "token.audience"),
        ({"aud": "https://hub.tes"}, "token.audience"),
        ({"aud": []}, "token.audience"),
        ({"aud": {AUDIENCE: 1}}, "token.audience"),
        ({"aud": ["https://else.test"]}, "token.audience"),
        ({"exp": None}, "token.claims"),
        ({"exp": str(T + 60)}, "token.claims"),
        ({"exp": True}, "token.claims"),
        ({"exp": T - 30}, "token.expired"),
        ({"exp": T - 31}, "token.expired"),
        ({"exp": T - 29}, "admitted"),
        ({"exp": 10**30, "iat": None}, "token.lifetime"),
        ({"exp": T + 300}, "admitted"),
        ({"exp": T + 301}, "token.lifetime"),
        ({"exp": T + 331, "iat": None}, "token.lifetime"),
        ({"exp": T + 320, "iat": T + 25}, "admitted"),
        ({"iat": T + 31, "exp": T + 200}, "token.not_yet"),
        ({"nbf": T + 31}, "token.not_yet"),
        ({"nbf": T + 29}, "admitted"),
        ({"nbf": "soon"}, "token.claims"),
        ({"iat": [T]}, "token.claims"),
        ({"nonce": "n"}, "token.kind"),
        ({"at_hash": "h"}, "token.kind"),
    ],
)
def test_claims_are_checked(changed: dict[str, Any], rule: str) -> None:
    """Audience letter by letter; times with the skew; a life of five minutes; no ID token."""
    assert rule_of(sign(machine_claims(**changed), key("edis"))) == rule


@pytest.mark.parametrize(
    ("token", "rule"),
    [
        ("", "token.malformed"),
        ("a.b", "token.malformed"),
        ("a.b.c.d", "token.malformed"),
        ("e30.e30.", "token.malformed"),
        (f"{part({'alg': 'ES256'})}.{part([1])}.AA", "token.malformed"),
        (f"{part({'alg': 7})}.{part({})}.AA", "token.malformed"),
        (f"{part({'alg': 'ES256', 'kid': 7})}.{part({})}.AA", "token.malformed"),
        (f"{part({'alg': 'ES256', 'kid': ''})}.{part({})}.AA", "token.malformed"),
        (f"{part({'alg': 'ES256', 'kid': 'k' * 257})}.{part({})}.AA", "token.malformed"),
        (f"{part({'alg': 'ES256', 'crit': ['b64'], 'b64': False})}.{part({})}.AA",
         "token.malformed"),
        (f"{part({'alg': 'ES256', 'typ': 'secevent+jwt'})}.{part({})}.AA", "token.kind"),
        (f"{part({'alg': 'ES256'})}.{'A' * 9_000}.AA", "token.malformed"),
        (f"{part({'alg': 'ES256'})}=.{part({})}.AA", "token.malformed"),
        (f"{part({'alg': 'ES256'})}.{base64url(b'{' * 5_000)}.AA", "token.malformed"),
        ("é.é.é", "token.malformed"),
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused(token: str, rule: str) -> None:
    """Without any exception but the refusal."""
    assert rule_of(token) == rule


def test_a_key_in_the_token_is_not_looked_at() -> None:
    """Nobody may bring the key by which the token is to be checked (jwk, jku, x5c)."""
    mine = key("mine")
    header = {"alg": "ES256", "jwk": mine.as_dict(private=False), "jku": "https://evil.test/k"}
    assert rule_of(by_hand(header, machine_claims(), mine, "ES256")) == "token.signature"


def test_without_kid_only_a_single_fitting_key_counts() -> None:
    """With two that fit nobody says which one it is."""
    token = sign(machine_claims(), key("edis"), kid=None)
    assert rule_of(token, public(key("edis"), key("r", "RS512"))) == "admitted"
    assert rule_of(token, public(key("edis"), key("other"))) == "token.key"


def test_a_key_that_says_what_it_is_for_is_for_nothing_else() -> None:
    """`alg` of the key must be the token's; `use` enc is no key here at all."""
    token = sign(machine_claims(), key("one", "RS512"), "RS512")
    assert rule_of(token, public(key("one", "RS512"), alg="RS512")) == "admitted"
    assert rule_of(token, public(key("one", "RS512"), alg="PS512")) == "token.key"
    with pytest.raises(ValueError, match="no key"):
        read_keys(public(key("one", "RS512"), use="enc"))


def test_shared_private_and_short_keys_are_no_keys() -> None:
    """In a set that others can read they prove nothing."""
    good = public(key("edis"))["keys"][0]
    shared = {"kty": "oct", "k": "c2VjcmV0", "kid": "s"}
    private = key("other").as_dict(private=True)
    short = {"kty": "RSA", "kid": "r", "n": "w" * 170, "e": "AQAB"}
    for bad in (shared, private, short, {**good, "x": "!"}, {**good, "crv": "P-999"}, 7, {}):
        assert [one.kid for one in read_keys({"keys": [bad, good]})] == ["edis"]
        with pytest.raises(ValueError, match="no key"):
            read_keys({"keys": [bad]})
    documents: list[object] = [{}, [], {"keys": {}}, None, {"keys": [good] * 101}]
    for document in documents:
        with pytest.raises(ValueError):
            read_keys(document)


GOOD = {
    algorithm: sign(machine_claims(jti="j"), key("one", algorithm), algorithm)
    for algorithm in ("RS512", "ES256", "EdDSA")
}
CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ "


@given(
    algorithm=st.sampled_from(sorted(GOOD)),
    edits=st.lists(
        st.tuples(
            st.integers(0, 2_000),
            st.sampled_from(("set", "cut", "add")),
            st.sampled_from(CHARACTERS),
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_no_change_of_a_good_token_is_admitted(
    algorithm: str, edits: list[tuple[int, str, str]]
) -> None:
    """Whatever characters are set, cut out or added: refused, and by a rule."""
    text = GOOD[algorithm]
    for place, what, character in edits:
        at = place % max(len(text), 1)
        text = text[:at] + ("" if what == "cut" else character) + text[at + (what != "add") :]
    if text == GOOD[algorithm]:
        return
    assert rule_of(text, public(key("one", algorithm))) in REFUSALS


@given(claims=st.dictionaries(
    st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "cnf"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=5,
    ),
))  # fmt: skip
def test_any_claims_are_admitted_or_refused(claims: dict[str, Any]) -> None:
    """Whatever their shapes: no exception but a refusal."""
    token = by_hand({"alg": "ES256", "kid": "edis"}, claims, key("edis"), "ES256")
    assert rule_of(token) in {*REFUSALS, "admitted"}
    with contextlib.suppress(HttpProblem):
        tokens.bound_to(tokens.read(token))


def test_what_is_said_of_a_refusal_fits_its_header() -> None:
    """RFC 6750 section 3: ASCII, without quotation marks and backslashes."""
    for text in REFUSALS.values():
        assert text.isascii()
        assert text.isprintable()
        assert not {'"', "\\"} & set(text)


def test_the_reference_names_every_rule() -> None:
    """With the words that the answers use."""
    text = (ROOT / "docs" / "reference" / "access.md").read_text("utf-8")
    for rule, said in REFUSALS.items():
        assert f"| `{rule}` | {said} |" in text
