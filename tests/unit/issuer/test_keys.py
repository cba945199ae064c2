"""The issuer's keys: kept, private, changed without a gap."""

from __future__ import annotations

from pathlib import Path

import pytest

from halyard.errors import ConfigurationError
from sandbox.issuer.keys import SigningKeys
from sandbox.issuer.model import Client


def test_keys_are_made_once_and_are_their_owners_alone(tmp_path: Path) -> None:
    """A second start signs with the same key; the file is 0600; nothing private is published."""
    place = tmp_path / "deep" / "keys.json"
    first = SigningKeys(place)
    assert SigningKeys(place).current.kid == first.current.kid
    assert place.stat().st_mode & 0o777 == 0o600
    (published,) = first.published()["keys"]
    assert set(published) == {"kty", "n", "e", "kid", "alg", "use"}


def test_a_rotation_publishes_the_key_before_it() -> None:
    """Two keys are published after it, and no more after the next."""
    keys = SigningKeys()
    made = [keys.current.kid, keys.rotate(), keys.rotate()]
    assert [one["kid"] for one in keys.published()["keys"]] == [made[2], made[1]]


def test_a_file_that_others_can_read_or_nobody_can_is_refused(tmp_path: Path) -> None:
    """Each says what to do."""
    place = tmp_path / "keys.json"
    SigningKeys(place)
    place.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        SigningKeys(place)
    place.write_text("{}")
    place.chmod(0o600)
    with pytest.raises(ConfigurationError, match="move the file away"):
        SigningKeys(place)


def test_a_redirect_uri_is_registered_letter_by_letter() -> None:
    """But the port of a public client on loopback, which a command line takes as it comes."""
    hub = Client("hub", redirect_uris=("https://hub.example/session/callback",))
    assert hub.may_redirect("https://hub.example/session/callback")
    for other in (
        "https://hub.example/session/callback/",
        "https://hub.example/session/callback?x=1",
        "https://hub.example.evil.example/session/callback",
        "http://hub.example/session/callback",
    ):
        assert not hub.may_redirect(other)
    terminal = Client("cli", redirect_uris=("http://127.0.0.1:1/callback",))
    assert terminal.may_redirect("http://127.0.0.1:5123/callback")
    for other in (
        "http://127.0.0.1:5123/else",
        "http://127.0.0.1.evil.example:80/callback",
        "http://[::1]:80/callback",
        "http://127.0.0.1:80@evil.example/callback",
    ):
        assert not terminal.may_redirect(other)
