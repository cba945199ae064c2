"""Certificates for tests: an authority, a receiver's and senders' own, as PEM files."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate and its key; `digest` is the SHA-256 of its DER form."""

    certificate: Path
    key: Path
    digest: str


class Certificates:
    """One authority and what it has signed, in `folder`."""

    def __init__(self, folder: Path, name: str = "authority") -> None:
        self._folder = folder
        self._authority = trustme.CA()
        self._name = name
        self.authority = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(str(self.authority))

    def issue(self, *names: str) -> Pair:
        """A certificate for these names (a host, an address)."""
        issued = self._authority.issue_cert(*names)
        stem = self._folder / f"{self._name}-{'-'.join(names)}"
        certificate, key = stem.with_suffix(".crt.pem"), stem.with_suffix(".key.pem")
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        certificate.write_bytes(chain)
        issued.private_key_pem.write_to_path(str(key))
        der = ssl.PEM_cert_to_DER_cert(issued.cert_chain_pems[0].bytes().decode())
        return Pair(certificate, key, hashlib.sha256(der).hexdigest())
