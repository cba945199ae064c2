"""The door: who comes in by which credential, in which roles, and what does not start."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flag_service.door import Door, make_door
from flag_service.roles import OF_PEOPLE
from halyard.caller import Attempt, Caller
from halyard.errors import ConfigurationError
from halyard.issuer import Issuer
from halyard.problems import HttpProblem
from halyard.settings import Profile, SecuritySettings, Settings
from halyard.settings_access import AccessSettings
from stores.credentials import Client, Credential, RoleMap
from tests.support.access import (
    AUDIENCE,
    AUTHORITY,
    CERTIFICATE,
    HOSPITAL,
    ISSUER,
    NOW,
    PRACTICE_TOKEN,
    access_claims,
    attempt,
    base64url,
    directory,
    door,
    key,
    machine_claims,
    public,
    settings,
    sign,
)

T = int(NOW.timestamp())


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    """The issuer's keys as a file."""
    path = tmp_path / "keys.json"
    path.write_text(json.dumps(public(key("issuer"))))
    return path


def with_issuer(keys_file: Path, **access: Any) -> Door:
    """A door for the issuer's tokens."""
    made = settings(issuer_keys_file=keys_file, **access)
    return door(made=made, issuer=Issuer(made.access, production=False))


async def rule_of(made: Door, token: str, **more: Any) -> str:
    """By which rule a token is refused."""
    with pytest.raises(HttpProblem) as caught:
        await made(attempt(token, **more))
    return caught.value.rule


async def test_a_person_comes_in_by_an_access_token(keys_file: Path) -> None:
    """Organisation, mapped roles, name and job role are the issuer's; it may be used again."""
    made = with_issuer(keys_file)
    token = sign(access_claims(), key("issuer"), typ="at+jwt")
    for _ in range(3):
        assert await made(attempt(token)) == Caller(
            organisation=HOSPITAL,
            subject="user:7c1f",
            roles=frozenset({"safeguarding-nurse"}),
            person=True,
            name="Practice Nurse",
            job_role="R8001",
            credential="access-token",
            token_id="456789abcdef0123456789abcdef0123",
            expires_at=NOW + timedelta(seconds=900),
        )


@dataclass(slots=True)
class Times:
    """The time of day, and that of a stop-watch, of one door with the issuer's keys in a file."""

    keys_file: Path
    now: datetime = NOW
    ticks: float = 0.0

    def publish(self, *names: str) -> None:
        """These keys from now on."""
        self.keys_file.write_text(json.dumps(public(*(key(one) for one in names))))

    def door(self) -> Door:
        """That door."""
        made = settings(issuer_keys_file=self.keys_file, keys_seconds=60, keys_grace_seconds=60)
        issuer = Issuer(made.access, production=False, monotonic=lambda: self.ticks)
        return make_door(made, directory(), None, lambda: self.now, issuer=issuer)


async def test_a_token_that_was_let_in_ends_in_its_time(keys_file: Path) -> None:
    """What is remembered of it does not make it last longer."""
    times = Times(keys_file)
    made, token = times.door(), sign(access_claims(), key("issuer"))
    assert await made(attempt(token)) is not None
    times.now += timedelta(seconds=929)
    assert await made(attempt(token)) is not None
    times.now += timedelta(seconds=2)
    assert await rule_of(made, token) == "token.expired"


async def test_a_token_that_was_let_in_ends_with_its_key(keys_file: Path) -> None:
    """When the issuer takes the key back, and when its keys are too old to vouch for anybody."""
    times = Times(keys_file)
    made, token = times.door(), sign(access_claims(), key("issuer"))
    assert await made(attempt(token)) is not None
    times.publish("issuer-2")
    times.ticks += 121
    assert await rule_of(made, token) == "token.key"
    again = sign(access_claims(), key("issuer-2"))
    assert await made(attempt(again)) is not None
    times.publish()
    times.ticks += 121
    assert await rule_of(made, again) == "token.keys_unavailable"


async def test_a_bound_token_shows_its_certificate_each_time(keys_file: Path) -> None:
    """That it did once is not remembered for others (RFC 8705)."""
    made = with_issuer(keys_file)
    bound = {"x5t#S256": base64url(bytes.fromhex(CERTIFICATE))}
    token = sign(access_claims(cnf=bound), key("issuer"))
    assert await made(attempt(token, certificate=CERTIFICATE)) is not None
    assert await rule_of(made, token) == "token.certificate"
    assert await rule_of(made, token, certificate="0" * 64) == "token.certificate"


async def test_a_code_that_is_not_mapped_gives_no_right(keys_file: Path) -> None:
    """Nor does one that is mapped in another organisation alone, or a list that is none."""
    made = with_issuer(keys_file)
    for roles in (["urn:unmapped"], ["urn:social"], None, {"urn:nurse": 1}, 7, ["a"] * 300):
        caller = await made(attempt(sign(access_claims(roles=roles, jti=None), key("issuer"))))
        assert caller is not None
        assert caller.roles == frozenset()
    claims = access_claims(organisation=AUTHORITY, roles="urn:other urn:social")
    caller = await made(attempt(sign(claims, key("issuer"))))
    assert caller is not None
    assert caller.roles == {"social-worker"}


async def test_claims_may_have_other_names(keys_file: Path) -> None:
    """By a path into an object, as some issuers have it."""
    made = with_issuer(
        keys_file, organisation_claim="org.ods", roles_claim="https://issuer.test/roles"
    )
    claims = access_claims(org={"ods": HOSPITAL}, **{"https://issuer.test/roles": ["urn:nurse"]})
    caller = await made(attempt(sign(claims, key("issuer"))))
    assert caller is not None
    assert caller.roles == {"safeguarding-nurse"}


async def test_a_system_with_an_access_token_is_no_person(keys_file: Path) -> None:
    """Its `sub` is its `client_id`."""
    claims = access_claims(sub="the-app", name=None)
    caller = await with_issuer(keys_file)(attempt(sign(claims, key("issuer"))))
    assert caller is not None
    assert (caller.subject, caller.person) == ("client:the-app", False)


@pytest.mark.parametrize(
    ("changed", "rule"),
    [
        ({"organisation": None}, "token.organisation"),
        ({"organisation": "RX999"}, "token.organisation"),
        ({"organisation": [HOSPITAL]}, "token.organisation"),
        ({"sub": None}, "token.claims"),
        ({"sub": "a\nb"}, "token.claims"),
        ({"sub": "x" * 300}, "token.claims"),
        ({"exp": T + 3_601}, "token.lifetime"),
        ({"cnf": {"jkt": "x"}}, "token.certificate"),
        ({"cnf": {"x5t#S256": "AA"}}, "token.certificate"),
    ],
)
async def test_an_access_token_of_nobody_here_is_refused(
    keys_file: Path, changed: dict[str, Any], rule: str
) -> None:
    """An unknown organisation, no subject, too long a life, bound to what cannot be checked."""
    token = sign(access_claims(**changed), key("issuer"))
    assert await rule_of(with_issuer(keys_file), token) == rule


async def test_a_machine_comes_in_once_by_each_of_its_tokens() -> None:
    """As its organisation's system, by either of its keys; the second time is a replay."""
    made = door()
    for name in ("edis", "edis-2"):
        token = sign(machine_claims(), key(name))
        caller = await made(attempt(token))
        assert caller is not None
        assert (caller.organisation, caller.subject) == (HOSPITAL, "client:rx901-edis")
        assert caller.roles == {"hospital-system"}
        assert caller.credential == "machine-token"
        assert await rule_of(made, token) == "token.replayed"


async def test_the_same_jti_of_two_machines_is_two_tokens() -> None:
    """An id is its own machine's."""
    made = door()
    assert await made(attempt(sign(machine_claims(jti="same"), key("edis")))) is not None
    assert (
        await made(attempt(sign(machine_claims("e99-case", jti="same"), key("case")))) is not None
    )


async def test_a_token_that_was_refused_was_not_used() -> None:
    """So that nobody can use up another's ids, and a mended request is taken."""
    made = door()
    forged = sign(machine_claims(jti="mine"), key("case"), kid="edis")
    assert await rule_of(made, forged) == "token.signature"
    assert await made(attempt(sign(machine_claims(jti="mine"), key("edis")))) is not None


@pytest.mark.parametrize("jti", [None, "", 7, "x" * 257, "a\0b"])
async def test_a_machines_token_has_an_id(jti: object) -> None:
    """Without one it could be used again."""
    claims = {**machine_claims(), "jti": jti}
    if jti is None:
        del claims["jti"]
    assert await rule_of(door(), sign(claims, key("edis"))) == "token.claims"


async def test_a_machine_with_certificates_shows_one_of_them() -> None:
    """With each token."""
    client = Client(
        id="m", organisation=HOSPITAL, jwks=public(key("edis")), certificates=(CERTIFICATE,)
    )
    made = door(known=directory(clients={"m": client}))
    token = sign(machine_claims("m"), key("edis"))
    assert await rule_of(made, token) == "token.certificate"
    assert await made(attempt(token, certificate=CERTIFICATE)) is not None


async def test_a_practice_token_has_the_roles_it_lists_or_its_organisations() -> None:
    """Anything that is no token at all shows nobody."""
    made = door()
    caller = await made(attempt(PRACTICE_TOKEN))
    assert caller is not None
    assert (caller.organisation, caller.roles) == (AUTHORITY, frozenset({"la-system"}))
    listed = Credential(
        organisation=AUTHORITY,
        sha256=hashlib.sha256(b"other").hexdigest(),
        roles=("auditor", "social-worker"),
    )
    caller = await door(known=directory(credentials=(listed,)))(attempt("other"))
    assert caller is not None
    assert caller.roles == {"auditor", "social-worker"}
    for nobody in (None, "", "else", "x" * 400):
        assert await made(attempt(nobody)) is None
    assert await made(Attempt("GET", "/", authorization="Basic eDp5")) is None


async def test_a_session_is_asked_for_only_without_a_token() -> None:
    """A browser's cookie beside somebody's token counts for nothing."""
    nurse = Caller(HOSPITAL, "user:1", credential="session")

    async def sessions(_attempt: Attempt) -> Caller | None:
        return nurse

    made = make_door(settings(), directory(), None, lambda: NOW, sessions)
    assert await made(attempt(None)) == nurse
    assert await made(attempt("else")) is None


def production(**access: Any) -> Settings:
    """Settings of a hub in production."""
    return Settings(
        profile=Profile.PRODUCTION,
        security=SecuritySettings(secrets_file=Path("secrets.toml")),
        access=AccessSettings(**access),
    )


@pytest.mark.parametrize(
    ("access", "more", "named"),
    [
        ({}, {"credentials": (), "clients": {}}, "HALYARD_ACCESS__ISSUER"),
        ({}, {}, "PRACTICE_TOKENS"),
        ({}, {"credentials": ()}, "HALYARD_ACCESS__AUDIENCE"),
        ({"issuer": ISSUER}, {"credentials": (), "clients": {}}, "HALYARD_ACCESS__AUDIENCE"),
        ({"issuer": "http://i", "audience": AUDIENCE}, {"credentials": ()}, "https"),
        ({"issuer_keys_url": "https://i"}, {}, "HALYARD_ACCESS__ISSUER"),
        ({"issuer": "rx901-edis", "audience": AUDIENCE}, {"credentials": ()}, "another"),
    ],
)
def test_a_door_that_would_be_open_to_the_wrong_ones_does_not_start(
    access: dict[str, Any], more: dict[str, Any], named: str
) -> None:
    """In production, and it says what to set."""
    with pytest.raises(ConfigurationError, match=named):
        make_door(production(**access), directory(**more), None, lambda: NOW)


async def test_production_takes_shared_tokens_only_if_told_to() -> None:
    """Otherwise it does not start with any; and with none nothing is one."""
    made = make_door(
        production(audience=AUDIENCE, practice_tokens=True), directory(), None, lambda: NOW
    )
    assert await made(attempt(PRACTICE_TOKEN)) is not None
    closed = make_door(production(audience=AUDIENCE), directory(credentials=()), None, lambda: NOW)
    assert await closed(attempt(PRACTICE_TOKEN)) is None
    assert await closed(attempt(sign(machine_claims(), key("edis")))) is not None


@pytest.mark.parametrize(
    "more",
    [
        {"credentials": (Credential(organisation=HOSPITAL, sha256="0" * 64, roles=("king",)),)},
        {"role_maps": (RoleMap(claim="x", role="king"),)},
        {
            "clients": {
                "m": Client(
                    id="m", organisation=HOSPITAL, roles=("king",), jwks=public(key("edis"))
                )
            }
        },
    ],
)
def test_a_role_that_is_none_does_not_start(more: dict[str, Any]) -> None:
    """It would be a right that nobody has, or a typing error in one that somebody needs."""
    with pytest.raises(ConfigurationError, match="king"):
        door(known=directory(**more))


@pytest.mark.parametrize("role", sorted(OF_PEOPLE))
def test_a_machine_in_a_persons_role_does_not_start(role: str) -> None:
    """A machine that breaks the glass, or releases what a person was to decide."""
    client = Client(id="bot", organisation=HOSPITAL, roles=(role,), jwks=public(key("edis")))
    with pytest.raises(ConfigurationError, match=f"client bot has role {role}"):
        door(known=directory(clients={"bot": client}))


def test_a_machine_without_a_usable_key_does_not_start() -> None:
    """It could never come in."""
    client = Client(id="m", organisation=HOSPITAL, jwks={"keys": [{"kty": "EC"}]})
    with pytest.raises(ConfigurationError, match="client m"):
        door(known=directory(clients={"m": client}))
