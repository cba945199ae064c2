"""HL7 v2 listeners of the directory that a dispatcher does not start with."""

from __future__ import annotations

import pytest

from halyard.errors import ConfigurationError
from stores.directory import Authority, Directory, Endpoint
from streams.delivery.process import check_listeners


def directory(url: str, **authority: str) -> Directory:
    """One endpoint, and an authority that may use it."""
    return Directory(
        hospitals={},
        feeds=(),
        authorities={
            "E10000099": Authority.model_validate(
                {"gss": "E10000099", "name": "Practiceshire", **authority}
            )
        },
        endpoints={"listener": Endpoint(name="listener", url=url)},
        credentials=(),
    )


@pytest.mark.parametrize(
    ("url", "production"),
    [
        ("mllp://127.0.0.1:2600", True),
        ("mllp://[::1]:2600", True),
        ("mllps://tie.example.org:2600", True),
        ("mllp://tie.example.org:2600", False),
    ],
)
def test_listeners_that_can_be_used(url: str, production: bool) -> None:
    """TLS anywhere; without it on this machine, or outside production."""
    check_listeners(directory(url), production=production)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mllp://tie.example.org:2600", "in the clear"),
        ("mllps://tie.example.org", "host and port"),
        ("mllps://tie.example.org:many", "host and port"),
        ("mllps://:2600", "host and port"),
    ],
)
def test_listeners_that_cannot_be_used(url: str, says: str) -> None:
    """In the clear beyond this machine in production; without host or port."""
    with pytest.raises(ConfigurationError, match=says):
        check_listeners(directory(url), production=True)


@pytest.mark.parametrize("place", ["alert_endpoint", "restricted_endpoint", "message_endpoint"])
def test_an_authoritys_alerts_do_not_go_to_a_listener(place: str) -> None:
    """Nor messages about deaths: they have no HL7 v2 form; the start says so."""
    with pytest.raises(ConfigurationError, match="webhooks only"):
        check_listeners(directory("mllps://x:1", **{place: "listener"}), production=False)
