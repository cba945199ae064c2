"""The hub as a client of an issuer: what it takes as an ID token, and where it sends people."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import Key, OctKey, RSAKey

from flag_service.log_in import MAX_CALLS, LogIn, Secrets, _endpoints
from flag_service.sessions import HOME, cookie_value, safe_return
from halyard.errors import ConfigurationError
from halyard.issuer import make_issuer
from halyard.jwks import PublicKey, read_keys
from halyard.problems import HttpProblem
from halyard.settings import Profile, Settings
from halyard.settings_access import AccessSettings
from halyard.settings_security import SecuritySettings
from halyard.settings_sessions import SessionSettings

NOW = 1_800_000_000
KEY = RSAKey.generate_key(2048, {"kid": "one"})
OTHER = RSAKey.generate_key(2048, {"kid": "one"})
SETTINGS = Settings(
    access=AccessSettings(issuer="https://issuer.example"),
    sessions=SessionSettings(client_id="hub", public_url="https://hub.example"),
)


class Keys:
    """One key of the issuer, called `one`; published for one algorithm alone, if that is given."""

    def __init__(self, alg: str | None = None) -> None:
        more = {} if alg is None else {"alg": alg}
        self.known = read_keys({"keys": [{**KEY.as_dict(private=False), **more}]})

    async def keys_for(self, kid: str | None) -> tuple[PublicKey, ...]:
        """It has no other."""
        del kid
        return self.known


def log_in(keys: Keys | None = None) -> LogIn:
    """A client of the issuer, at `NOW`."""
    return LogIn(SETTINGS, keys or Keys(), lambda: datetime.fromtimestamp(NOW, UTC))


def token(key: Key = KEY, alg: str = "RS512", kid: str | None = "one", **changed: Any) -> str:
    """An ID token; a claim of None is left out."""
    claims = {
        "iss": "https://issuer.example",
        "sub": "p-1",
        "aud": "hub",
        "exp": NOW + 300,
        "iat": NOW,
        "nonce": "n",
        **changed,
    }
    header = {"alg": alg} | ({"kid": kid} if kid else {})
    kept = {name: value for name, value in claims.items() if value is not None}
    return jwt.encode(header, kept, key, [alg])


async def test_a_good_id_token_says_who_it_is() -> None:
    """Signed by the issuer, for this hub, now; also among several audiences, if it asked."""
    assert (await log_in()._proven(token()))["sub"] == "p-1"
    several = token(aud=["hub", "other"], azp="hub")
    assert (await log_in()._proven(several))["sub"] == "p-1"
    only = token(kid=None)  # where there is one key it need not be named
    assert (await log_in()._proven(only))["sub"] == "p-1"


@pytest.mark.parametrize(
    "wrong",
    [
        "nothing",
        token(OTHER),
        token(kid="two"),
        token(iss=["https://issuer.example"]),
        token(sub=""),
        token(sub=7),
        token(iat="1800000000"),
        token(exp=True),
        token(alg="RS256"),
        token(iss="https://issuer.example/"),
        token(iss=None),
        token(aud="another"),
        token(aud=None),
        token(aud=["hub", "other"]),
        token(aud=["hub", "other"], azp="other"),
        token(azp="other"),
        token(sub=None),
        token(exp=None),
        token(exp=NOW - 31),
        token(iat=NOW + 31),
        token(iat=None),
        token(nbf=NOW + 31),
    ],
)
async def test_an_id_token_that_is_not_what_it_must_be_is_refused(wrong: str) -> None:
    """Another key, algorithm, issuer, audience or time: nobody is logged in."""
    with pytest.raises(HttpProblem) as refused:
        await log_in()._proven(wrong)
    assert (refused.value.status_code, refused.value.rule) == (401, "session.refused")


async def test_a_key_published_for_one_algorithm_confirms_no_other() -> None:
    """The same checks as of access tokens: PS512 alone is not RS512."""
    assert (await log_in(Keys("PS512"))._proven(token(alg="PS512")))["sub"] == "p-1"
    with pytest.raises(HttpProblem):
        await log_in(Keys("PS512"))._proven(token(alg="RS512"))


async def test_keys_that_cannot_be_had_are_no_refusal() -> None:
    """503 stays 503: nobody is told that their log-in was refused."""

    class Away(Keys):
        async def keys_for(self, kid: str | None) -> tuple[PublicKey, ...]:
            raise HttpProblem(503, "away", "", rule="token.keys_unavailable")

    with pytest.raises(HttpProblem) as away:
        await log_in(Away())._proven(token())
    assert away.value.status_code == 503


ISSUER = "http://issuer.example"
PLACES = {"issuer": ISSUER, "authorization_endpoint": "http://a", "token_endpoint": "http://t"}


def test_production_logs_nobody_in_over_plain_http(tmp_path: Path) -> None:
    """Neither at an issuer whose keys stand in a file, nor at endpoints that it names."""
    access = AccessSettings(issuer=ISSUER, issuer_keys_file=tmp_path / "keys.json")
    production: dict[str, Any] = {
        "profile": Profile.PRODUCTION,
        "security": SecuritySettings(secrets_file=tmp_path / "secrets.toml"),
    }
    made = Settings(access=access, sessions=SETTINGS.sessions, **production)
    with pytest.raises(ConfigurationError, match="HALYARD_ACCESS__ISSUER must begin"):
        make_issuer(made)
    assert make_issuer(Settings(access=access, **production)) is not None  # its keys alone
    assert make_issuer(Settings(access=access, sessions=SETTINGS.sessions)) is not None
    assert _endpoints(PLACES, ISSUER, secure=False).token == "http://t"
    with pytest.raises(HttpProblem):
        _endpoints(PLACES, ISSUER, secure=True)


@pytest.mark.parametrize(
    "url", ["https://Hub.example", "https://hub.example:443", "http://127.0.0.1:80", "HTTPS://h"]
)
def test_an_address_that_no_browser_would_send_is_refused(url: str) -> None:
    """An Origin has neither upper case nor the usual port: every change would be refused."""
    with pytest.raises(ValueError, match="public_url"):
        SessionSettings(client_id="hub", public_url=url)


async def test_an_id_token_without_a_real_signature_is_refused() -> None:
    """Neither `none`, nor the public key used as a shared secret."""
    payload = base64.urlsafe_b64encode(b'{"sub":"p-1"}').decode().rstrip("=")
    header = base64.urlsafe_b64encode(b'{"alg":"none","kid":"one"}').decode().rstrip("=")
    secret = OctKey.import_key(str(KEY.as_dict(private=False)["n"]))
    shared = jws.serialize_compact({"alg": "HS256", "kid": "one"}, b"{}", secret, ["HS256"])
    for wrong in (f"{header}.{payload}.", shared):
        with pytest.raises(HttpProblem):
            await log_in()._proven(wrong)


def test_what_binds_a_log_in_is_all_different() -> None:
    """State, nonce and verifier tell nothing of each other; the challenge is of the verifier."""
    bound = Secrets("x" * 43)
    said = {bound.of(name) for name in ("state", "nonce", "verifier", "csrf")} | {bound.challenge()}
    assert len(said) == 5
    assert all(len(one) == 43 for one in said)
    digest = hashlib.sha256(bound.of("verifier").encode()).digest()
    assert bound.challenge() == base64.urlsafe_b64encode(digest).decode().rstrip("=")
    assert Secrets("y" * 43).of("state") not in said


@given(st.text(max_size=40) | st.text(alphabet="/\\.:?#%@ \r\nevil", max_size=20))
def test_wherever_somebody_asks_to_go_it_is_a_path_of_ours(asked: str) -> None:
    """One slash, then letters, digits, `-`, `_`, `/`: never a host, a query or a line."""
    place = safe_return(asked)
    assert place in (HOME, asked)
    assert place.startswith("/")
    assert not place.startswith("//")
    assert not set(place) & set("\\.:?#%@ \r\n")


@pytest.mark.parametrize(
    "asked",
    [None, "", "//evil.example", "https://evil.example", "/\\evil", "/x?y", "/p/9990000018"],
)
def test_what_is_no_path_of_ours_is_home(asked: str | None) -> None:
    """Nor is one with a number that could be a child's."""
    assert safe_return(asked) == HOME


def test_a_cookie_is_read_by_its_whole_name() -> None:
    """And is none if it stands twice."""
    assert cookie_value("a=1; halyard=v; b=2", "halyard") == "v"
    assert cookie_value("xhalyard=v; halyard-log-in=w", "halyard") is None
    assert cookie_value("halyard=v;halyard=w", "halyard") is None
    assert cookie_value(None, "halyard") is None


async def test_only_a_few_calls_to_the_issuer_are_made_at_a_time() -> None:
    """Whoever comes can begin a log-in; who has no turn in time is told to come again."""
    hub = LogIn(
        SETTINGS.model_copy(
            update={"sessions": SETTINGS.sessions.model_copy(update={"timeout_seconds": 0.2})}
        ),
        Keys(),
        lambda: datetime.fromtimestamp(NOW, UTC),
    )
    begun = 0
    ended = asyncio.Event()

    async def call(_http: httpx.AsyncClient) -> httpx.Response:
        nonlocal begun
        begun += 1
        await ended.wait()
        return httpx.Response(200)

    asked = [asyncio.create_task(hub._ask(call)) for _ in range(MAX_CALLS + 3)]
    done, _ = await asyncio.wait(asked, timeout=5, return_when=asyncio.FIRST_EXCEPTION)
    assert [type(one.exception()) for one in done] == [HttpProblem] * len(done)
    assert begun == MAX_CALLS
    ended.set()
    results = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(isinstance(one, HttpProblem) for one in results) == 3
    assert (await hub._ask(call)).status_code == 200
