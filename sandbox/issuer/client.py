"""Logging in at the practice issuer without a browser, as an invented person."""

from __future__ import annotations

import base64
import hashlib
import secrets
from urllib.parse import parse_qs, urlsplit

import httpx

from halyard.errors import PermanentError, TransientError
from sandbox.issuer.process import COMMAND_LINE

REDIRECT_URI = "http://127.0.0.1:1/callback"  # never opened: the redirect is read, not followed


class IssuerAway(TransientError):
    """The practice issuer did not answer; start it (`halyard up` does) and try again."""


class NobodyLoggedIn(PermanentError):
    """The practice issuer gave no token; ask it who can log in (`GET /people`)."""


async def person_token(http: httpx.AsyncClient, issuer: str, subject: str) -> str:
    """An access token of the invented person `subject` (``p-2001``), by code and PKCE.

    Raises `IssuerAway`, or `NobodyLoggedIn` if there is no such person.
    """
    verifier = secrets.token_urlsafe(48)
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode()
    asked = {
        "response_type": "code",
        "client_id": COMMAND_LINE,
        "redirect_uri": REDIRECT_URI,
        "scope": "openid profile",
        "state": secrets.token_urlsafe(16),
        "nonce": secrets.token_urlsafe(16),
        "code_challenge": challenge.rstrip("="),
        "code_challenge_method": "S256",
    }
    try:
        chosen = await http.post(f"{issuer}/oauth2/authorize", data={**asked, "person": subject})
        query = parse_qs(urlsplit(chosen.headers.get("location", "")).query)
        if query.get("state") != [asked["state"]] or "code" not in query:
            raise NobodyLoggedIn
        answer = await http.post(
            f"{issuer}/oauth2/token",
            data={
                "grant_type": "authorization_code",
                "code": query["code"][0],
                "redirect_uri": REDIRECT_URI,
                "client_id": COMMAND_LINE,
                "code_verifier": verifier,
            },
        )
    except httpx.HTTPError:
        raise IssuerAway from None
    token = answer.json().get("access_token") if answer.status_code == 200 else None
    if not isinstance(token, str):
        raise NobodyLoggedIn
    return token
