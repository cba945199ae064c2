"""The door in the hub's own application, served on loopback: answers, headers, and silence."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from flag_service.app import create_app
from flag_service.door import make_door
from halyard.clock import system_clock
from halyard.postgres import make_pool
from halyard.settings_access import AccessSettings
from tests.support import face
from tests.support.access import (
    AUDIENCE,
    CERTIFICATE,
    HOSPITAL,
    base64url,
    directory,
    key,
    machine_claims,
    sign,
)
from tests.support.face import KEYS, real_logs, served


def claims(**changed: Any) -> dict[str, Any]:
    """Of a machine, now."""
    now = int(datetime.now(UTC).timestamp())
    return machine_claims(**{"iat": now, "exp": now + 120, **changed})


@contextlib.asynccontextmanager
async def hub(**access: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A face without anything behind it."""
    made = face.settings().model_copy(
        update={"access": AccessSettings(**{"audience": AUDIENCE, **access})}
    )
    nothing: Any = None
    opened = make_door(made, directory(), None, system_clock)
    pool = make_pool(made, name="test", schema="face")  # never opened
    app = create_app(made, pool, KEYS, directory(), nothing, system_clock, door=opened)
    async with served(app) as url, httpx.AsyncClient(base_url=url) as client:
        yield client


def bearing(token: str, **headers: str) -> dict[str, str]:
    """The header."""
    return {"Authorization": f"Bearer {token}", **headers}


async def test_a_machine_is_let_in_once_and_told_why_not_twice(
    capfd: pytest.CaptureFixture[str],
) -> None:
    """200, then 401 as RFC 6750 and RFC 9457 have it; logs and answers repeat nothing of it."""
    token = sign(claims(), key("edis"))
    with real_logs():
        async with hub() as client:
            first = await client.get("/me", headers=bearing(token))
            assert first.status_code == 200
            assert first.json()["organisation"] == HOSPITAL
            assert first.json()["credential"] == "machine-token"
            second = await client.get("/me", headers=bearing(token))
    assert second.status_code == 401
    assert second.headers["WWW-Authenticate"].startswith('Bearer realm="halyard", error="invalid_')
    assert second.headers["Content-Type"] == "application/problem+json"
    assert second.json()["rule"] == "token.replayed"
    written = capfd.readouterr()
    for part in token.split("."):
        assert part not in written.out + written.err + second.text + json.dumps(
            dict(second.headers)
        )


async def test_without_a_token_nobody_is_told_an_error() -> None:
    """RFC 6750 section 3.1: no error code where there was no token."""
    async with hub() as client:
        answer = await client.get("/me")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"] == 'Bearer realm="halyard"'
        assert (await client.get("/livez")).status_code == 200


async def test_a_certificate_counts_only_from_a_trusted_proxy() -> None:
    """A header that the client writes itself binds nothing."""
    cnf = {"x5t#S256": base64url(bytes.fromhex(CERTIFICATE))}
    headers = {"X-Client-Certificate-Sha256": CERTIFICATE}
    async with hub() as client:
        answer = await client.get(
            "/me", headers=bearing(sign(claims(cnf=cnf), key("edis")), **headers)
        )
        assert answer.json()["rule"] == "token.certificate"
    async with hub(trusted_proxies=("127.0.0.0/8",)) as client:
        answer = await client.get(
            "/me", headers=bearing(sign(claims(cnf=cnf), key("edis")), **headers)
        )
        assert answer.status_code == 200
        answer = await client.get("/me", headers=bearing(sign(claims(cnf=cnf), key("edis"))))
        assert answer.json()["rule"] == "token.certificate"


async def test_two_authorization_headers_are_none() -> None:
    """Nobody chooses which one was meant."""
    token = sign(claims(), key("edis"))
    async with hub() as client:
        headers = [("Authorization", f"Bearer {token}"), ("Authorization", f"Bearer {token}")]
        assert (await client.get("/me", headers=headers)).status_code == 401
