"""Where the hub may call: nowhere inside its own network, unless it is told so.

Addresses of endpoints come from people (the directory), names from the DNS, which others may change
between one call and the next. So the check is made of the very address that is about to be
connected to, each time, and redirects are not followed. OWASP: Server-Side Request Forgery.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import urlsplit

from halyard.errors import ConfigurationError
from halyard.settings import Profile, Settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# RFC 6052: an IPv4 address inside an IPv6 one, which a gateway would unwrap
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
_PLAIN: Final = ("http", "ws")


class ForbiddenAddress(OSError):
    """The address is not on the public internet; list its network in HALYARD_DELIVERY__NETWORKS if
    calls may go there.
    """


@dataclass(frozen=True, slots=True)
class Outbound:
    """Which addresses may be called: public ones, and those in `networks`; all if None."""

    networks: tuple[Network, ...] | None

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say: in practice everywhere, in production where nothing is listed only
        the public internet.
        """
        listed = settings.delivery.networks
        if listed is None:
            return cls(None if settings.profile is Profile.PRACTICE else ())
        return cls(tuple(ipaddress.ip_network(one) for one in listed))

    def allows(self, address: str) -> bool:
        """Whether this IP address may be called."""
        if self.networks is None:
            return True
        found = _unwrapped(ipaddress.ip_address(address.partition("%")[0]))
        if any(found.version == one.version and found in one for one in self.networks):
            return True
        return found.is_global and not found.is_multicast

    def check(self, address: str) -> None:
        """Raises `ForbiddenAddress` if this IP address may not be called."""
        if not self.allows(address):
            raise ForbiddenAddress

    def open_socket(self, info: tuple[int, int, int, str, tuple[Any, ...]]) -> socket.socket:
        """A socket for one resolved address (`socket.getaddrinfo`), checked: what is connected to
        is what was checked, whatever the DNS says next. For aiohttp's ``socket_factory``.
        """
        family, kind, protocol, _, address = info
        self.check(str(address[0]))
        return socket.socket(family, kind, protocol)

    def check_url(self, url: str, place: str, *, production: bool) -> None:
        """Raises `ConfigurationError` that names `place` for an address nobody should call: with
        credentials in it, without TLS in production, or by a number that is forbidden. What a name
        stands for is checked at each call.
        """
        try:
            parts = urlsplit(url)
            host, _port = parts.hostname, parts.port
        except ValueError:
            host = None
            parts = urlsplit("")
        if not host:
            raise ConfigurationError(f"{place} is not an address; give scheme, host and port.")
        if parts.username or parts.password:
            raise ConfigurationError(
                f"{place} has a user or password in its address; take it out: the directory is "
                "not a place for secrets."
            )
        if production and parts.scheme in _PLAIN:
            raise ConfigurationError(f"{place} is not https; production sends over TLS alone.")
        try:
            allowed = self.allows(host)
        except ValueError:
            return  # a name
        if not allowed:
            raise ConfigurationError(
                f"{place} is an address inside a network that the hub may not call; list the "
                "network in HALYARD_DELIVERY__NETWORKS if it may."
            )


ANYWHERE: Final = Outbound(None)
"""For practice and tests, which call their own machine."""


def _unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
