"""The practice issuer over HTTP: ``halyard sandbox issuer``.

- ``GET /.well-known/openid-configuration``, ``GET /jwks``
- ``GET /oauth2/authorize``  the log-in page of a code flow with PKCE; ``POST`` who was chosen
- ``POST /oauth2/token``  client credentials (private_key_jwt), or an authorization code
- ``GET /people``  who can log in; ``POST /sandbox/keys``  sign with a new key from now on

A client certificate's SHA-256 (hex) in the header ``X-Client-Certificate-Sha256``, set by whatever
ends TLS, binds the access token to it. Nothing is logged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import AccessDeniedError, OAuth2Error
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from sandbox.issuer.grants import ASSERTION_METHOD, SCOPES, Asked, Server
from sandbox.issuer.keys import ALGORITHM
from sandbox.issuer.model import Issuer
from sandbox.issuer.page import HEADERS, log_in_page
from sandbox.receiver import StoppableService, serve

MAX_BODY_BYTES = 64_000
CERTIFICATE_HEADER = "x-client-certificate-sha256"
FORM = "application/x-www-form-urlencoded"

_SHA256 = re.compile(r"[0-9a-f]{64}")


class App:
    """The HTTP side of an `Issuer`."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self._server = Server(issuer)

    def asgi(self) -> ASGIApp:
        """As an ASGI application."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discovery, methods=["GET"]),
                Route("/jwks", self.keys, methods=["GET"]),
                Route("/oauth2/authorize", self.page, methods=["GET"]),
                Route("/oauth2/authorize", self.authorize, methods=["POST"]),
                Route("/oauth2/token", self.token, methods=["POST"]),
                Route("/people", self.people, methods=["GET"]),
                Route("/sandbox/keys", self.rotate, methods=["POST"]),
                Route("/livez", self.live, methods=["GET"]),
            ]
        )

    async def discovery(self, _request: Request) -> Response:
        """``GET /.well-known/openid-configuration`` (OpenID Connect Discovery 1.0)."""
        issuer = self.issuer
        return JSONResponse(
            {
                "issuer": issuer.url,
                "authorization_endpoint": f"{issuer.public_url}/oauth2/authorize",
                "token_endpoint": issuer.token_url,
                "jwks_uri": f"{issuer.url.rstrip('/')}/jwks",
                "response_types_supported": ["code"],
                "response_modes_supported": ["query"],
                "grant_types_supported": ["authorization_code", "client_credentials"],
                "subject_types_supported": ["public"],
                "scopes_supported": list(SCOPES),
                "code_challenge_methods_supported": ["S256"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "token_endpoint_auth_methods_supported": [ASSERTION_METHOD, "none"],
                "token_endpoint_auth_signing_alg_values_supported": [ALGORITHM],
                "tls_client_certificate_bound_access_tokens": True,
            }
        )

    async def keys(self, _request: Request) -> Response:
        """``GET /jwks``: the public keys."""
        return JSONResponse(self.issuer.keys.published())

    async def page(self, request: Request) -> Response:
        """``GET /oauth2/authorize``: the log-in page, if the client asks as it must."""
        pairs = parse_qsl(request.url.query)
        asked = Asked("GET", pairs)
        try:
            self._server.get_consent_grant(asked, None)
        except OAuth2Error as error:
            return self._refused(asked, error)
        return HTMLResponse(log_in_page(self.issuer.people, pairs), headers=HEADERS)

    async def authorize(self, request: Request) -> Response:
        """``POST /oauth2/authorize``: back to the client, with a code for the person chosen."""
        pairs = await _form(request)
        if pairs is None:
            return _not_a_form()
        chosen = dict(pairs).get("person", "")
        asked = Asked("POST", [one for one in pairs if one[0] != "person"])
        person = self.issuer.person(chosen)
        try:
            grant = self._server.get_consent_grant(asked, person)
            if person is None:
                raise AccessDeniedError(redirect_uri=grant.redirect_uri, state=asked.payload.state)
        except OAuth2Error as error:
            return self._refused(asked, error)
        answer: Response = self._server.create_authorization_response(
            asked, grant_user=person, grant=grant
        )
        answer.headers.update(HEADERS)
        return answer

    async def token(self, request: Request) -> Response:
        """``POST /oauth2/token``."""
        pairs = await _form(request)
        if pairs is None:
            return _not_a_form()
        names = [name for name, _ in pairs]
        if len(names) != len(set(names)):
            return _oauth_error("A parameter stands twice.")
        shown = request.headers.get(CERTIFICATE_HEADER)
        if shown is not None and not _SHA256.fullmatch(shown):
            return _oauth_error("The certificate's SHA-256 is not 64 hexadecimal digits.")
        if "grant_type" not in names:
            return _oauth_error("grant_type is missing")
        answer: Response = self._server.create_token_response(
            Asked("POST", pairs, certificate=shown)
        )
        return answer

    async def people(self, _request: Request) -> Response:
        """``GET /people``."""
        return JSONResponse({"people": [asdict(one) for one in self.issuer.people]})

    async def rotate(self, _request: Request) -> Response:
        """``POST /sandbox/keys``."""
        made = self.issuer.keys.rotate()
        published: list[dict[str, Any]] = self.issuer.keys.published()["keys"]
        return JSONResponse({"signs": made, "published": [one["kid"] for one in published]})

    async def live(self, _request: Request) -> Response:
        """``GET /livez``."""
        return JSONResponse({"status": "pass"})

    def _refused(self, asked: Asked, error: OAuth2Error) -> Response:
        answer: Response = self._server.handle_error_response(asked, error)
        answer.headers.update(HEADERS)
        return answer


async def _form(request: Request) -> list[tuple[str, str]] | None:
    """The form's fields in order; None if it is none, or too large."""
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        return None
    parts = bytearray()
    try:
        async for chunk in request.stream():
            parts += chunk
            if len(parts) > MAX_BODY_BYTES:
                return None
        return parse_qsl(bytes(parts).decode(), keep_blank_values=True, max_num_fields=50)
    except (ClientDisconnect, ValueError):
        return None


def _not_a_form() -> Response:
    return _oauth_error(f"Send {FORM}, at most {MAX_BODY_BYTES} bytes.")


def _oauth_error(description: str) -> Response:
    return JSONResponse({"error": "invalid_request", "error_description": description}, 400)


async def run(
    service: StoppableService,
    issuer: Issuer,
    *,
    port: int,
    on_ready: Callable[[int], None] = lambda port: None,
) -> None:
    """Serve until the service stops. Raises `ConfigurationError` if the port is taken."""
    await serve(App(issuer).asgi(), service, port=port, on_ready=on_ready)
