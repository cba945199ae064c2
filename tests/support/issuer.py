"""A practice issuer for tests, and somebody who logs in there."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
from collections.abc import AsyncIterator, Mapping
from html import unescape
from typing import Any

import httpx
from joserfc.jwk import Key, KeySet, RSAKey

from halyard.clock import Clock, system_clock
from halyard.signing import ASSERTION_TYPE, public_half, sign_as_client
from sandbox.issuer.app import App
from sandbox.issuer.keys import SigningKeys
from sandbox.issuer.model import Client, Issuer
from sandbox.issuer.people import PracticePerson
from tests.support.face import served

AUDIENCE = "urn:halyard:test"
VERIFIER = "v" * 43
CHALLENGE = (
    base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode().rstrip("=")
)
CLIENT_KEY = RSAKey.generate_key(2048, {"alg": "RS512"}, auto_kid=True)
ISSUER_KEYS = SigningKeys()  # made once: RSA keys cost time


def client(client_id: str, *, key: Key = CLIENT_KEY, **more: Any) -> Client:
    """A client with a registered key."""
    return Client(client_id, keys=KeySet.import_key_set(public_half(key)), **more)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def practice_issuer(
    clients: Mapping[str, Client],
    *,
    people: tuple[PracticePerson, ...] | None = None,
    clock: Clock = system_clock,
    keys: SigningKeys = ISSUER_KEYS,
) -> AsyncIterator[Issuer]:
    """An issuer that answers on loopback."""
    issuer = Issuer("", AUDIENCE, keys, clients, clock=clock)
    if people is not None:
        issuer.people = people
    async with served(App(issuer).asgi()) as url:
        issuer.url = issuer.public_url = url
        yield issuer


def assertion_form(issuer: Issuer, client_id: str, **changed: Any) -> dict[str, str]:
    """The form by which a machine asks for a token."""
    said = {"audience": issuer.token_url, "now": issuer.now(), "seconds": 300, **changed}
    return {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": sign_as_client(CLIENT_KEY, client_id=client_id, **said),
    }


def fields_of(page: str) -> dict[str, str]:
    """The hidden fields of a log-in page."""
    return {
        unescape(name): unescape(value)
        for name, value in re.findall(r'type="hidden" name="([^"]*)" value="([^"]*)"', page)
    }


async def choose(browser: httpx.AsyncClient, page: httpx.Response, subject: str) -> httpx.Response:
    """Press a person's button on a log-in page; gives the redirect, not followed."""
    return await browser.post(
        page.url.copy_with(query=None), data={**fields_of(page.text), "person": subject}
    )
