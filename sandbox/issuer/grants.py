"""The OAuth 2.0 grants of the issuer, on authlib: client credentials, and code with PKCE.

authlib knows the order of checks of RFC 6749, 7636 and OpenID Connect; here stands what is ours:
who may ask, what is remembered, what a token says. Machines show a signed assertion, public
clients the verifier of their challenge; there are no shared secrets and no refresh tokens.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from authlib.oauth2.rfc6749 import (
    AuthorizationServer,
    ClientMixin,
    InvalidClientError,
    InvalidRequestError,
    OAuth2Error,
    OAuth2Payload,
    OAuth2Request,
)
from authlib.oauth2.rfc6749.grants import AuthorizationCodeGrant, ClientCredentialsGrant
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core.grants import OpenIDCode
from authlib.oidc.core.util import create_half_hash
from joserfc import jwt
from starlette.responses import JSONResponse, Response

from sandbox.issuer.assertions import ASSERTION_TYPE, AssertionRefused, check
from sandbox.issuer.keys import ALGORITHM
from sandbox.issuer.model import CODE_SECONDS, MACHINE_SECONDS, PERSON_SECONDS, Granted, Issuer
from sandbox.issuer.people import PracticePerson

ASSERTION_METHOD = "private_key_jwt"
SCOPES = ("openid", "profile")


class _Payload(OAuth2Payload):  # type: ignore[misc]  # authlib ships no types
    def __init__(self, pairs: list[tuple[str, str]]) -> None:
        self._lists: dict[str, list[str]] = {}
        for name, value in pairs:
            self._lists.setdefault(name, []).append(value)

    @property
    def data(self) -> dict[str, str]:
        return {name: values[0] for name, values in self._lists.items()}

    @property
    def datalist(self) -> dict[str, list[str]]:
        return self._lists


class Asked(OAuth2Request):  # type: ignore[misc]  # authlib ships no types
    """A request as authlib reads it; `certificate` is the SHA-256 (hex) of the one shown."""

    def __init__(
        self, method: str, pairs: list[tuple[str, str]], *, certificate: str | None = None
    ) -> None:
        # authlib refuses any address without TLS and uses it for nothing else; on loopback there
        # is none
        super().__init__(method, "https://issuer.invalid/")
        self.payload = _Payload(pairs)
        self.certificate = certificate

    @property
    def args(self) -> dict[str, str]:
        """Parameters, wherever they stood."""
        return dict(self.payload.data)

    @property
    def form(self) -> dict[str, str]:
        """Parameters, wherever they stood."""
        return dict(self.payload.data)


@dataclass(frozen=True, slots=True)
class _Client(ClientMixin):  # type: ignore[misc]  # authlib ships no types
    """A registered client, as authlib asks it."""

    issuer: Issuer
    client_id: str

    @property
    def _known(self) -> Any:
        return self.issuer.clients[self.client_id]

    def get_client_id(self) -> str:
        return self.client_id

    def get_default_redirect_uri(self) -> str | None:
        return None  # it is always said

    def get_allowed_scope(self, scope: str | None) -> str:
        return " ".join(one for one in (scope or "").split() if one in SCOPES)

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return bool(self._known.may_redirect(redirect_uri))

    def check_client_secret(self, client_secret: str) -> bool:
        del client_secret
        return False

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        del endpoint
        return method == ("none" if self._known.keys is None else ASSERTION_METHOD)

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code" and bool(self._known.redirect_uris)

    def check_grant_type(self, grant_type: str) -> bool:
        if grant_type == ClientCredentialsGrant.GRANT_TYPE:
            return self._known.organisation is not None
        return grant_type == AuthorizationCodeGrant.GRANT_TYPE and bool(self._known.redirect_uris)


@dataclass(slots=True)
class _Code:
    """A redeemed code, as authlib asks it."""

    granted: Granted

    @property
    def code_challenge(self) -> str:
        return self.granted.challenge

    @property
    def code_challenge_method(self) -> str:
        return "S256"

    def get_redirect_uri(self) -> str:
        return self.granted.redirect_uri

    def get_scope(self) -> str:
        return self.granted.scope


class _Machines(ClientCredentialsGrant):  # type: ignore[misc]  # authlib ships no types
    TOKEN_ENDPOINT_AUTH_METHODS = (ASSERTION_METHOD,)

    def generate_token(self, **_known: Any) -> dict[str, Any]:
        server: Server = self.server
        client = server.issuer.clients[self.request.client.client_id]
        claims = {"organisation": client.organisation, "roles": list(client.roles)}
        now = server.issuer.now()
        return {
            "access_token": server.access_token(
                self.request, client.client_id, claims, MACHINE_SECONDS, now
            ),
            # texts, as the NHS England API platform has them
            "expires_in": str(MACHINE_SECONDS - 1),
            "token_type": "Bearer",
            "issued_at": str(now * 1000),
        }


class _People(AuthorizationCodeGrant):  # type: ignore[misc]  # authlib ships no types
    TOKEN_ENDPOINT_AUTH_METHODS = (ASSERTION_METHOD, "none")

    @staticmethod
    def validate_authorization_redirect_uri(request: Asked, client: _Client) -> str:
        """As authlib, but what was asked for is not quoted, and must be said."""
        uri = request.payload.redirect_uri
        if not uri or not client.check_redirect_uri(uri):
            raise InvalidRequestError("The 'redirect_uri' is not one of this client.")
        return str(uri)

    def save_authorization_code(self, code: str, request: Asked) -> None:
        server: Server = self.server
        now = server.issuer.now()
        server.issuer.codes.keep(
            code,
            Granted(
                client_id=request.client.client_id,
                person=request.user,
                redirect_uri=str(self.redirect_uri),
                scope=str(request.scope or ""),
                nonce=request.payload.data.get("nonce"),
                challenge=request.payload.data["code_challenge"],
                granted_at=now,
                until=now + CODE_SECONDS,
            ),
        )

    def query_authorization_code(self, code: str, client: _Client) -> _Code | None:
        server: Server = self.server
        granted = server.issuer.codes.take(code, server.issuer.now())
        if granted is None or granted.client_id != client.client_id:
            return None
        return _Code(granted)

    def delete_authorization_code(self, authorization_code: _Code) -> None:
        del authorization_code  # it was spent when it was shown

    def authenticate_user(self, authorization_code: _Code) -> PracticePerson:
        return authorization_code.granted.person

    def generate_token(
        self, user: PracticePerson | None = None, scope: str | None = None, **_known: Any
    ) -> dict[str, Any]:
        assert user is not None
        server: Server = self.server
        now = server.issuer.now()
        claims = {**user.claims(), "auth_time": self.request.authorization_code.granted.granted_at}
        return {
            "access_token": server.access_token(
                self.request, user.subject, claims, PERSON_SECONDS, now
            ),
            "expires_in": PERSON_SECONDS,
            "token_type": "Bearer",
            "scope": scope or "",
        }


class _Proof(CodeChallenge):  # type: ignore[misc]  # authlib ships no types
    """PKCE, always, and by S256 alone."""

    SUPPORTED_CODE_CHALLENGE_METHOD = ("S256",)

    def validate_code_challenge(self, grant: _People, redirect_uri: str) -> None:
        data = grant.request.payload.data
        if not data.get("code_challenge") or data.get("code_challenge_method") != "S256":
            raise InvalidRequestError("A 'code_challenge' by the method S256 is needed.")
        super().validate_code_challenge(grant, redirect_uri)


class _IdToken(OpenIDCode):  # type: ignore[misc]  # authlib ships no types
    def __init__(self, issuer: Issuer) -> None:
        super().__init__(require_nonce=False)
        self.issuer = issuer

    def exists_nonce(self, nonce: str, request: Asked) -> bool:
        del nonce, request  # the client's to check: it is bound to one log-in
        return False

    def encode_id_token(self, token: dict[str, Any], request: Asked) -> str:
        granted: Granted = request.authorization_code.granted
        issuer = self.issuer
        now = issuer.now()
        claims: dict[str, Any] = {
            "iss": issuer.url,
            "sub": granted.person.subject,
            "aud": granted.client_id,
            "iat": now,
            "exp": now + PERSON_SECONDS,
            "auth_time": granted.granted_at,
            "at_hash": create_half_hash(token["access_token"], ALGORITHM).decode(),
            **granted.person.claims(),
        }
        if granted.nonce:
            claims["nonce"] = granted.nonce
        return _signed(issuer, claims, "JWT")


class Server(AuthorizationServer):  # type: ignore[misc]  # authlib ships no types
    """authlib's server over an `Issuer`."""

    def __init__(self, issuer: Issuer) -> None:
        super().__init__()
        self.issuer = issuer
        self.register_client_auth_method(ASSERTION_METHOD, self._by_assertion)
        self.register_grant(_Machines)
        self.register_grant(_People, [_Proof(required=True), _IdToken(issuer)])

    def query_client(self, client_id: str) -> _Client | None:
        """A registered client."""
        return _Client(self.issuer, client_id) if client_id in self.issuer.clients else None

    def save_token(self, token: Mapping[str, Any], request: Asked) -> None:
        """Tokens are signed, not kept."""
        del token, request

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        """Nobody listens."""
        del name, args, kwargs

    def create_oauth2_request(self, request: Asked) -> Asked:
        """It is one already."""
        return request

    def handle_response(
        self, status: int, body: Any, headers: list[tuple[str, str]] | Mapping[str, str]
    ) -> Response:
        """As Starlette answers."""
        named = dict(headers)
        if isinstance(body, dict):
            return JSONResponse(body, status, headers=_without_type(named))
        return Response(body or b"", status, headers=named)

    def _by_assertion(self, query_client: Any, request: Asked) -> _Client | None:
        data = request.form
        if "client_assertion" not in data and "client_assertion_type" not in data:
            return None
        if data.get("client_assertion_type") != ASSERTION_TYPE:
            raise InvalidRequestError(
                f"Missing or invalid client_assertion_type - must be '{ASSERTION_TYPE}'"
            )
        if not data.get("client_assertion"):
            raise InvalidRequestError("Missing client_assertion")
        try:
            client_id = check(
                data["client_assertion"],
                token_url=self.issuer.token_url,
                keys_of=self.issuer.keys_of,
                used=self.issuer.used,
                now=self.issuer.now(),
            )
        except AssertionRefused as refused:
            raise OAuth2Error(
                refused.description, status_code=refused.status, error=refused.error
            ) from None
        if data.get("client_id") not in (None, client_id):
            raise InvalidClientError("The 'client_id' is not the assertion's.")
        client: _Client | None = query_client(client_id)
        return client

    def access_token(
        self, request: Asked, subject: str, claims: Mapping[str, Any], seconds: int, now: int
    ) -> str:
        """A signed access token for the hub, bound to the certificate that was shown, if any."""
        said: dict[str, Any] = {
            "iss": self.issuer.url,
            "sub": subject,
            "aud": self.issuer.audience,
            "client_id": request.client.client_id,
            "iat": now,
            "exp": now + seconds,
            "jti": self.issuer.token_id(),
            **claims,
        }
        if request.certificate is not None:  # RFC 8705, section 3.1
            digest = base64.urlsafe_b64encode(bytes.fromhex(request.certificate))
            said["cnf"] = {"x5t#S256": digest.decode().rstrip("=")}
        return _signed(self.issuer, said, "at+jwt")


def _signed(issuer: Issuer, claims: dict[str, Any], kind: str) -> str:
    key = issuer.keys.current
    header = {"alg": ALGORITHM, "kid": key.kid, "typ": kind}
    return jwt.encode(header, claims, key, [ALGORITHM])


def _without_type(headers: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if name.lower() != "content-type"}
