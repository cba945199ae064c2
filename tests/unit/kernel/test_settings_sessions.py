"""Settings of sessions: what would be unsafe does not start."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from halyard.settings import Profile, Settings
from halyard.settings_access import AccessSettings
from halyard.settings_sessions import SessionSettings


@pytest.mark.parametrize(
    "url",
    [
        "http://hub.example",
        "https://hub.example/",
        "https://hub.example/path",
        "https://user@hub.example",
        "https://hub.example?x",
        "ftp://127.0.0.1",
        "hub.example",
    ],
)
def test_the_public_address_is_an_origin_over_tls(url: str) -> None:
    """But for practice on loopback: cookies and the Origin of changes hang on it."""
    with pytest.raises(ValidationError, match="public_url"):
        SessionSettings(client_id="hub", public_url=url)
    assert not SessionSettings(client_id="hub", public_url="http://127.0.0.1:8080").secure
    assert not SessionSettings(client_id="hub", public_url="http://[::1]:8080").secure
    assert SessionSettings(client_id="hub", public_url="https://hub.example").secure


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sessions": {"client_id": "hub"}}, "public_url"),
        ({"sessions": {"client_id": "hub", "public_url": "https://hub.example"}}, "issuer"),
        (
            {
                "profile": Profile.PRODUCTION,
                "security": {"secrets_file": "/etc/x"},
                "access": AccessSettings(issuer="https://issuer.example"),
                "sessions": {"client_id": "hub", "public_url": "http://127.0.0.1:8080"},
            },
            "over TLS",
        ),
    ],
)
def test_sessions_that_could_not_work_or_would_leak_do_not_start(
    changed: dict[str, Any], said: str
) -> None:
    """No address, no issuer, or production without TLS."""
    with pytest.raises(ValidationError, match=said):
        Settings(**changed)
