"""Whom outgoing HTTPS trusts."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from connectors.hub_http import client_options
from halyard.trust import web_authorities
from tests.support.certificates import Certificates


def test_a_certificate_is_asked_for_and_must_name_the_host() -> None:
    """And by authorities that somebody chose."""
    context = web_authorities()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.cert_store_stats()["x509_ca"] > 20


def test_the_environment_names_no_authority(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it names no proxy: who could set it could read what goes to PDS."""
    monkeypatch.setenv("SSL_CERT_FILE", str(Certificates(tmp_path).authority))
    web_authorities.cache_clear()
    assert web_authorities().cert_store_stats()["x509_ca"] > 20


def test_clients_share_what_was_read() -> None:
    """Once a process."""
    assert client_options("http://hub", "token", timeout=1)["verify"] is web_authorities()
