"""The practice PDS's token endpoint: who gets an access token, and what refuses them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from joserfc import jws
from joserfc.jwk import KeyParameters, KeySet, RSAKey

from halyard.errors import ConfigurationError
from sandbox.pds.app import BASE_PATH, PracticePds, create_app
from sandbox.pds.people import load_people
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.pds.tokens import load_apps, practice_app
from sandbox.samples.cast import CAST, PEOPLE_FILE

API_KEY = "an-app"  # pragma: allowlist secret
URL = "http://pds.test/oauth2/token"
TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
NOT_STARTED = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
_PARAMETERS: KeyParameters = {"kid": "key-1", "use": "sig", "alg": "RS512"}
KEY = RSAKey.generate_key(2048, _PARAMETERS)
OTHER_KEY = RSAKey.generate_key(2048, _PARAMETERS)
PUBLIC = KeySet([RSAKey.import_key(KEY.as_pem(private=False), _PARAMETERS)])


class Gate:
    """A practice PDS without a network, its clock, and an application's side of it."""

    def __init__(self, settings: PdsSandboxSettings) -> None:
        self.now = NOT_STARTED
        app = create_app(load_people(PEOPLE_FILE), settings, now=lambda: self.now)
        self.pds: PracticePds = app.state.pds
        self.http = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=app), base_url="http://pds.test"
        )

    def assertion(
        self, claims: dict[str, Any] | None = None, header: dict[str, Any] | None = None,
        key: RSAKey = KEY,
    ) -> str:  # fmt: skip
        """A signed JWT that is right but for what is given; None leaves a member out."""
        right = {"iss": API_KEY, "sub": API_KEY, "aud": URL, "jti": str(uuid4()),
                 "exp": int(self.now.timestamp()) + 240}  # fmt: skip
        named = {"alg": "RS512", "typ": "JWT", "kid": "key-1", **(header or {})}
        said = {name: value for name, value in {**right, **(claims or {})}.items()
                if value is not None}  # fmt: skip
        named = {name: value for name, value in named.items() if value is not None}
        return jws.serialize_compact(named, json.dumps(said), key, [named["alg"]])

    async def ask(self, assertion: str | None = None, **form: str | None) -> httpx.Response:
        """A request for a token; None leaves a field out."""
        right = {"grant_type": "client_credentials", "client_assertion_type": TYPE,
                 "client_assertion": assertion or self.assertion()}  # fmt: skip
        sent = {name: value for name, value in {**right, **form}.items() if value is not None}
        return await self.http.post("/oauth2/token", data=sent)

    async def read(self, token: str) -> tuple[int, str | None]:
        """Status and diagnostics of a retrieval with a token."""
        response = await self.http.get(
            f"{BASE_PATH}/Patient/{CAST.robin.nhs_number}",
            headers={"Authorization": f"Bearer {token}", "X-Request-ID": str(uuid4())},
        )
        body = response.json()
        return response.status_code, body.get("issue", [{}])[0].get("diagnostics")


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """A practice PDS with one application and no static token."""
    gate = Gate(PdsSandboxSettings(token=None, apps={API_KEY: PUBLIC, "keyless": KeySet([])}))
    yield gate
    await gate.http.aclose()


async def test_a_signed_assertion_gets_a_token_that_is_taken(gate: Gate) -> None:
    """The answer has the platform's members, `expires_in` is a string, and nobody may cache it."""
    response = await gate.ask()
    body = response.json()
    assert response.status_code == 200
    assert body.keys() == {"access_token", "expires_in", "token_type", "issued_at"}
    assert (body["expires_in"], body["token_type"]) == ("599", "Bearer")
    assert response.headers["cache-control"] == "no-store"
    assert (await gate.read(body["access_token"]))[0] == 200
    assert gate.pds.token_calls() == {"requested": 1, "issued": 1}


async def test_tokens_end(gate: Gate) -> None:
    """A token is good for its time and then expired; one that was never issued is invalid."""
    token = (await gate.ask()).json()["access_token"]
    gate.now += timedelta(seconds=598)
    assert (await gate.read(token))[0] == 200
    gate.now += timedelta(seconds=1)
    assert await gate.read(token) == (401, "Access token expired")
    assert await gate.read("never-issued") == (401, "Invalid Access Token")
    assert await gate.read("practice-token") == (401, "Invalid Access Token")


async def test_tokens_can_be_ended_on_demand(gate: Gate) -> None:
    """Every issued token can be ended at once, so that a client can be seen to get another."""
    token = (await gate.ask()).json()["access_token"]
    assert (await gate.http.post("/sandbox/tokens/expire")).json() == {"expired": 1}
    assert await gate.read(token) == (401, "Access token expired")
    assert (await gate.read((await gate.ask()).json()["access_token"]))[0] == 200


async def test_a_static_token_is_taken_beside_issued_ones() -> None:
    """With applications and a static token both are taken."""
    gate = Gate(PdsSandboxSettings(token="fixed", apps={API_KEY: PUBLIC}))
    assert (await gate.read("fixed"))[0] == 200
    assert (await gate.read((await gate.ask()).json()["access_token"]))[0] == 200
    await gate.http.aclose()


async def test_an_assertion_is_good_once(gate: Gate) -> None:
    """The same `jti` again is refused."""
    assertion = gate.assertion()
    assert (await gate.ask(assertion)).status_code == 200
    again = await gate.ask(assertion)
    assert again.json()["error_description"] == "Non-unique 'jti' claim in client_assertion JWT"


ALG = "Invalid 'alg' header in client_assertion JWT - unsupported JWT algorithm - must be 'RS512'"
JTI = "Invalid 'jti' claim in client_assertion JWT - must be a unique string value such as a GUID"
MISSING_OR_OTHER = "Missing or non-matching 'iss'/'sub' claims in client_assertion JWT"
AUDIENCE = "Missing or invalid 'aud' claim in client_assertion JWT"


@pytest.mark.parametrize(
    ("claims", "status", "description"),
    [
        ({"iss": "x", "sub": "x"}, 401, "Invalid 'iss'/'sub' claims in client_assertion JWT"),
        ({"sub": "x"}, 400, MISSING_OR_OTHER),
        ({"sub": None}, 400, MISSING_OR_OTHER),
        ({"iss": "x"}, 400, MISSING_OR_OTHER),
        ({"iss": None}, 400, MISSING_OR_OTHER),
        ({"jti": 1234567890}, 400, JTI),
        ({"jti": None}, 400, "Missing 'jti' claim in client_assertion JWT"),
        ({"aud": "invalid"}, 401, AUDIENCE),
        ({"aud": None}, 401, AUDIENCE),
        ({"aud": [URL]}, 401, AUDIENCE),
        ({"aud": URL + "/"}, 401, AUDIENCE),
        ({"exp": "1795176240"}, 400,
         "Invalid 'exp' claim in client_assertion JWT - must be an integer"),
        ({"exp": int(NOT_STARTED.timestamp()) - 20}, 400,
         "Invalid 'exp' claim in client_assertion JWT - JWT has expired"),
        ({"exp": int(NOT_STARTED.timestamp()) + 360}, 400,
         "Invalid 'exp' claim in client_assertion JWT - more than 5 minutes in future"),
        ({"exp": None}, 400, "Missing 'exp' claim in client_assertion JWT"),
    ],
)  # fmt: skip
async def test_wrong_claims(
    gate: Gate, claims: dict[str, Any], status: int, description: str
) -> None:
    """Each wrong claim has the platform's status and words, and no token."""
    response = await gate.ask(gate.assertion(claims))
    body = response.json()
    assert body.pop("message_id")
    assert (response.status_code, body) == (
        status,
        {"error": "invalid_request", "error_description": description},
    )


@pytest.mark.parametrize(
    ("header", "status", "description"),
    [
        ({"kid": None}, 400, "Missing 'kid' header in client_assertion JWT"),
        ({"kid": "invalid"}, 401,
         "Invalid 'kid' header in client_assertion JWT - no matching public key"),
        ({"typ": "invalid"}, 400, "Invalid 'typ' header in client_assertion JWT - must be 'JWT'"),
        ({"typ": None}, 400, "Invalid 'typ' header in client_assertion JWT - must be 'JWT'"),
        ({"alg": "RS256"}, 400, ALG),
        ({"alg": "PS512"}, 400, ALG),
    ],
)  # fmt: skip
async def test_wrong_headers(
    gate: Gate, header: dict[str, Any], status: int, description: str
) -> None:
    """Each wrong header has the platform's status and words; `typ` is of any case."""
    key = RSAKey.import_key(
        KEY.as_pem(private=True), {"kid": "key-1"}
    )  # no `alg`, so that it signs with any
    response = await gate.ask(gate.assertion(header=header, key=key))
    assert (response.status_code, response.json()["error_description"]) == (status, description)
    assert (await gate.ask(gate.assertion(header={"typ": "jwt"}))).status_code == 200


async def test_the_signature_is_checked(gate: Gate) -> None:
    """Another key under the registered `kid`, and a changed claim, are refused."""
    refused = (401, "public_key error", "JWT signature verification failed")
    head, _, signature = gate.assertion().split(".")
    changed = ".".join((head, gate.assertion({"exp": 9}).split(".")[1], signature))
    for assertion in (gate.assertion(key=OTHER_KEY), changed):
        response = await gate.ask(assertion)
        body = response.json()
        assert (response.status_code, body["error"], body["error_description"]) == refused


@pytest.mark.parametrize(
    ("form", "error", "description"),
    [
        ({"grant_type": None}, "invalid_request", "grant_type is missing"),
        ({"grant_type": "x"}, "unsupported_grant_type", "grant_type is invalid"),
        ({"client_assertion_type": None}, "invalid_request",
         f"Missing or invalid client_assertion_type - must be '{TYPE}'"),
        ({"client_assertion_type": "x"}, "invalid_request",
         f"Missing or invalid client_assertion_type - must be '{TYPE}'"),
        ({"client_assertion": None}, "invalid_request", "Missing client_assertion"),
        ({"client_assertion": "x"}, "invalid_request", "Malformed JWT in client_assertion"),
        ({"client_assertion": "é.x.x"}, "invalid_request", "Malformed JWT in client_assertion"),
    ],
)  # fmt: skip
async def test_wrong_forms(
    gate: Gate, form: dict[str, str | None], error: str, description: str
) -> None:
    """Each wrong field of the form has the platform's words."""
    response = await gate.ask(**form)
    body = response.json()
    assert (response.status_code, body["error"]) == (400, error)
    assert body["error_description"] == description


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"a=" * 50_000, b"grant_type=x&grant_type=y"])
async def test_bodies_that_are_no_form(gate: Gate, body: bytes) -> None:
    """Whatever comes, the answer is a refusal."""
    response = await gate.http.post("/oauth2/token", content=body)
    assert (response.status_code, response.json()["error"]) == (400, "invalid_request")


async def test_the_token_endpoint_has_faults_of_its_own(gate: Gate) -> None:
    """Faults of the API leave it alone; its own leave the API alone."""
    await gate.http.post("/sandbox/faults", json={"down": True})
    token = (await gate.ask()).json()["access_token"]
    await gate.http.post("/sandbox/faults", json={"routes": {"token": {"down": True, "times": 1}}})
    assert (await gate.ask()).status_code == 503
    assert (await gate.read(token))[0] == 200
    await gate.http.post("/sandbox/faults", json={"routes": {"token": {"status": 429, "times": 1}}})
    limited = await gate.ask()
    assert (limited.status_code, limited.json()["error"]) == (429, "ratelimit_exceeded")
    assert (await gate.ask()).status_code == 200


def test_a_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    """Where there is no file a key is made, mode 0600; PEM and JWK of either half are read."""
    path = tmp_path / "app.pem"
    made = practice_app(path, key_id="mine", bits=2048)
    assert path.stat().st_mode & 0o777 == 0o600
    again = practice_app(path, key_id="mine", bits=2048)
    assert made.as_dict(private=False) == again.as_dict(private=False)
    assert made.keys[0].kid == "mine"
    assert not made.keys[0].is_private
    for text in (KEY.as_pem(private=False).decode(), json.dumps(KEY.as_dict(private=True))):
        path.write_text(text)
        assert practice_app(path).keys[0].as_dict()["n"] == KEY.as_dict()["n"]


@pytest.mark.filterwarnings("ignore:Key size")
def test_files_of_applications(tmp_path: Path) -> None:
    """A JSON file of key sets is read; anything else is refused without what it says."""
    path = tmp_path / "apps.json"
    path.write_text(json.dumps({API_KEY: PUBLIC.as_dict(private=False)}))
    assert [key.kid for key in load_apps(path)[API_KEY].keys] == ["key-1"]
    weak = RSAKey.generate_key(1024, _PARAMETERS)
    for text in ("[]", "{", '{"canary": 1}', json.dumps({"canary": {"keys": [weak.as_dict()]}})):
        path.write_text(text)
        with pytest.raises(ConfigurationError) as caught:
            load_apps(path)
        assert "canary" not in str(caught.value)
    path.write_text("canary")
    with pytest.raises(ConfigurationError, match="no RSA key") as caught:
        practice_app(path)
    assert "canary" not in str(caught.value)
