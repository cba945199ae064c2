"""Where the hub may call."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from halyard.errors import ConfigurationError
from halyard.outbound import ANYWHERE, ForbiddenAddress, Outbound
from halyard.settings import DeliverySettings, Profile, SecuritySettings, Settings

PUBLIC = Outbound(())
HOSPITAL = Outbound((ipaddress.ip_network("10.20.0.0/16"), ipaddress.ip_network("fd00:1::/32")))

INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",
    "10.20.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fd00::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:10.20.0.1",
    "2002:7f00:1::",  # 6to4 of 127.0.0.1
    "64:ff9b::a9fe:a9fe",  # NAT64 of 169.254.169.254
]


@pytest.mark.parametrize("address", INSIDE)
def test_no_address_inside_a_network_is_called(address: str) -> None:
    """Loopback, private, link-local, shared, multicast and whatever wraps one of them."""
    assert not PUBLIC.allows(address)
    with pytest.raises(ForbiddenAddress):
        PUBLIC.check(address)


@pytest.mark.parametrize("address", ["193.0.0.1", "2a00:1450::1", "::ffff:193.0.0.1"])
def test_the_public_internet_may_be_called(address: str) -> None:
    """Ordinary addresses are allowed."""
    PUBLIC.check(address)


def test_a_listed_network_may_be_called_and_no_other() -> None:
    """A hospital's own network is allowed by name, also where IPv6 wraps it."""
    allowed = [one for one in INSIDE if HOSPITAL.allows(one)]
    assert allowed == ["10.20.0.1", "::ffff:10.20.0.1"]
    assert HOSPITAL.allows("fd00:1::5")


def test_practice_calls_everywhere_and_production_only_what_is_listed() -> None:
    """Without a list practice reaches its own machine, production the public internet alone."""
    practice = Outbound.of(Settings())
    production = Outbound.of(
        Settings(
            profile=Profile.PRODUCTION,
            security=SecuritySettings(secrets_file=Path("/nowhere")),
        )
    )
    listed = Outbound.of(Settings(delivery=DeliverySettings(networks=("192.168.1.0/24",))))
    assert [one.allows("192.168.1.1") for one in (practice, production, listed)] == [
        True,
        False,
        True,
    ]
    assert not listed.allows("192.168.2.1")


def test_a_network_that_is_none_is_refused_at_start() -> None:
    """The setting names networks; anything else does not start."""
    with pytest.raises(ValidationError, match="not a network"):
        DeliverySettings(networks=("hospital",))


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://user:pw@council.example/x", "user or password"),  # pragma: allowlist secret
        ("http://council.example/x", "not https"),
        ("https://127.0.0.1/x", "inside a network"),
        ("https://[::1]/x", "inside a network"),
        ("mllp://10.20.0.1:2575", "inside a network"),
        ("https://", "not an address"),
        ("https://council.example:port/", "not an address"),
        ("https://[council/", "not an address"),
    ],
)
def test_an_endpoint_nobody_should_call_is_refused_when_it_is_registered(
    url: str, said: str
) -> None:
    """The error names the entry and never the address."""
    with pytest.raises(ConfigurationError, match=said) as refused:
        PUBLIC.check_url(url, "Endpoint council", production=True)
    assert str(refused.value).startswith("Endpoint council")
    assert "127.0.0.1" not in str(refused.value)
    assert "pw" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://council.example/x", "mllps://10.20.0.1:2575", "mllp://10.20.0.1:2575"]
)
def test_an_ordinary_endpoint_is_taken(url: str) -> None:
    """Names are checked at each call, listed networks are allowed."""
    HOSPITAL.check_url(url, "Endpoint council", production=True)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_a_socket_is_made_for_an_allowed_address_alone(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> None:
    """What `allows` says, `open_socket` does, for every address there is."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    info = (family, socket.SOCK_STREAM, 0, "", (str(address), 443))
    if PUBLIC.allows(str(address)):
        PUBLIC.open_socket(info).close()
    else:
        with pytest.raises(ForbiddenAddress):
            PUBLIC.open_socket(info)
    ANYWHERE.open_socket(info).close()
