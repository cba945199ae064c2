"""What a proxy says of its client: believed of our own proxies alone."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

import pytest
import trustme

from halyard.proxies import digest_of, make_proxies
from tests.support.access import CERTIFICATE

PROXIES = make_proxies(["10.0.0.0/8", "2001:db8::/32"], "x-client-certificate-sha256")


def only(certificate: str | None, forwarded: str | None = None) -> object:
    """The headers of a request."""
    given = {b"x-client-certificate-sha256": certificate, b"x-forwarded-for": forwarded}
    return lambda name, _longest: given[name]


@pytest.mark.parametrize(
    ("peer", "forwarded", "client", "believed"),
    [
        ("10.0.0.1", "192.0.2.1", "192.0.2.1", True),
        ("::ffff:10.0.0.1", "192.0.2.1", "192.0.2.1", True),
        ("2001:db8::1", "192.0.2.1", "192.0.2.1", True),
        ("10.0.0.1", "198.51.100.9, 192.0.2.1", "192.0.2.1", True),
        ("10.0.0.1", "198.51.100.9, 192.0.2.1, 10.0.0.2", "192.0.2.1", True),
        ("10.0.0.1", None, "10.0.0.1", True),
        ("192.0.2.8", "192.0.2.1", "192.0.2.8", False),
        ("", "192.0.2.1", "", False),
    ],
)
def test_only_a_trusted_proxy_is_believed(
    peer: str, forwarded: str | None, client: str, believed: bool
) -> None:
    """And of the forwarded addresses only what it has added itself."""
    headers = only(CERTIFICATE, forwarded)
    found = PROXIES.behind(peer, headers)  # type: ignore[arg-type]
    assert found == (client, CERTIFICATE if believed else None)


def test_without_networks_nobody_is_believed() -> None:
    """The default."""
    nobody = make_proxies([], "x-client-certificate-sha256")
    assert nobody.behind("127.0.0.1", only(CERTIFICATE)) == ("127.0.0.1", None)  # type: ignore[arg-type]


def test_a_certificate_is_read_as_proxies_write_it() -> None:
    """Its digest in hex, with colons, as base64url; or itself, as escaped PEM."""
    pem = trustme.CA().cert_pem.bytes().decode()
    der = base64.b64decode("".join(pem.splitlines()[1:-1]))
    digest = hashlib.sha256(der).hexdigest()
    colons = ":".join(digest[place : place + 2] for place in range(0, 64, 2)).upper()
    encoded = base64.urlsafe_b64encode(bytes.fromhex(digest)).decode()
    for written in (digest, colons, encoded, encoded.rstrip("="), quote(pem, safe="")):
        assert digest_of(written) == digest
    for nothing in (None, "", "x", digest[:-1], "%ZZ", "-----BEGIN CERTIFICATE-----"):
        assert digest_of(nothing) is None
