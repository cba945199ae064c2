"""What a trusted proxy says of the client behind it: its address, and the certificate it has shown.

Nobody else is believed: a header is written as easily as a token is copied.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import ipaddress
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Only = Callable[[bytes, int], str | None]
"""Gives a header that stands there once and is not longer than this."""

LONGEST: Final = 8_192  # a certificate as escaped PEM
_HEX = re.compile(r"[0-9a-f]{64}", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9_-]{43}=?", re.ASCII)
_PEM = re.compile(r"\s*-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*")


@dataclass(frozen=True, slots=True)
class Proxies:
    """The networks whose proxies are believed, and the header with the certificate."""

    networks: tuple[Network, ...] = ()
    header: str = "x-client-certificate-sha256"

    def trusts(self, address: str) -> bool:
        """Whether what comes from `address` comes from a proxy of ours."""
        if not self.networks:
            return False
        try:
            peer = ipaddress.ip_address(address)
        except ValueError:
            return False
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer.version == one.version and peer in one for one in self.networks)

    def behind(self, address: str, only: Only) -> tuple[str, str | None]:
        """The client's address and its certificate's SHA-256 (hex), if the peer may say so.

        Of X-Forwarded-For counts the last address that is not one of our proxies: the ones before
        it are what the client itself may have written.
        """
        if not self.trusts(address):
            return address, None
        forwarded = only(b"x-forwarded-for", 1_024) or ""
        client = address
        for part in reversed([one.strip() for one in forwarded.split(",") if one.strip()]):
            client = part[:45]
            if not self.trusts(part):
                break
        return client, digest_of(only(self.header.encode("ascii"), LONGEST))


def make_proxies(networks: Sequence[str], header: str) -> Proxies:
    """As the settings name them."""
    return Proxies(tuple(ipaddress.ip_network(one) for one in networks), header)


def digest_of(given: str | None) -> str | None:
    """The SHA-256 (hex) of a certificate that a proxy states: in hex (colons or not), as base64url
    (RFC 8705), or the certificate itself as escaped PEM.
    """
    if given is None:
        return None
    text = given.strip()
    plain = text.replace(":", "").lower()
    if _HEX.fullmatch(plain):
        return plain
    try:
        if _BASE64.fullmatch(text):
            return base64.urlsafe_b64decode(text.rstrip("=") + "=").hex()
        if (pem := _PEM.fullmatch(unquote(text))) is not None:
            der = base64.b64decode("".join(pem[1].split()), validate=True)
            return hashlib.sha256(der).hexdigest()
    except (binascii.Error, ValueError):
        pass  # no certificate that anybody can read: as if none was shown
    return None
