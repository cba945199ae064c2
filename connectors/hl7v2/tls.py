"""TLS for MLLP, both sides: 1.2 or newer, certificates checked, closed if anything is missing.

A client certificate is known by its SHA-256 over the DER form, as `openssl x509 -fingerprint
-sha256` prints it, in small hex digits without colons; the directory lists those of a feed.
"""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from halyard.errors import ConfigurationError
from halyard.settings import Hl7v2Settings


def server_context(hl7v2: Hl7v2Settings) -> ssl.SSLContext | None:
    """What the listener speaks; None without a certificate.

    Raises `ConfigurationError` that names the setting: a file is missing, is no PEM, has a
    passphrase, or key and certificate do not belong together.
    """
    if hl7v2.tls_certificate is None or hl7v2.tls_key is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _harden(context)
    _load_chain(context, hl7v2.tls_certificate, hl7v2.tls_key, "HALYARD_HL7V2__TLS_CERTIFICATE")
    if hl7v2.tls_client_ca is not None:
        _load_authorities(context, hl7v2.tls_client_ca, "HALYARD_HL7V2__TLS_CLIENT_CA")
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(
    ca: Path | None = None, certificate: Path | None = None, key: Path | None = None
) -> ssl.SSLContext:
    """What a sender speaks: `ca` signs the receiver's certificate (default: the system's
    authorities); `certificate` and `key` are shown when the receiver asks for them.

    Raises `ConfigurationError`.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _harden(context)
    if ca is None:
        context.load_default_certs()
    else:
        _load_authorities(context, ca, "The file of --tls-ca")
    if certificate is not None and key is not None:
        _load_chain(context, certificate, key, "The file of --tls-certificate")
    elif certificate is not None or key is not None:
        raise ConfigurationError("A client certificate and its key belong together; give both.")
    return context


def fingerprint(der: bytes | None) -> str | None:
    """SHA-256 (hex) of a certificate in DER; None for none."""
    return hashlib.sha256(der).hexdigest() if der else None


def _harden(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # no resumption: each connection shows its certificate anew
    context.options |= ssl.OP_NO_TICKET | ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    if context.protocol is ssl.PROTOCOL_TLS_SERVER:
        context.num_tickets = 0


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path, name: str) -> None:
    try:
        # a passphrase would be asked for on the terminal: there is none in a service
        context.load_cert_chain(certificate.expanduser(), key.expanduser(), password=lambda: b"")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"{name}: certificate {certificate} and key {key} cannot be used "
            f"({_reason(error)}); give readable PEM files that belong together, the key without "
            "a passphrase."
        ) from None


def _load_authorities(context: ssl.SSLContext, ca: Path, name: str) -> None:
    try:
        context.load_verify_locations(ca.expanduser())
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigurationError(
            f"{name}: {ca} cannot be used ({_reason(error)}); give a readable PEM file with the "
            "certificates of the authorities."
        ) from None


def _reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).lower().replace("_", " ")
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
