"""The issuer as the hub's settings and directory make it."""

from __future__ import annotations

from pathlib import Path

import pytest

from halyard.cli import practice
from halyard.cli.practice_access import HUB_CLIENT, MACHINES, key_file
from halyard.errors import ConfigurationError
from halyard.settings import Settings
from halyard.settings_access import AccessSettings
from halyard.settings_sessions import SessionSettings
from sandbox.issuer.people import PEOPLE
from sandbox.issuer.process import COMMAND_LINE, make_issuer
from stores.directory import load_directory


def test_it_knows_the_machines_of_the_directory_and_the_hub(tmp_path: Path) -> None:
    """One registration for both: keys, organisation and roles are the directory's."""
    made = practice.prepare(tmp_path, authority_port=1, contact_port=2)
    directory = load_directory(made.directory_file)
    settings = Settings(
        access=AccessSettings(issuer="http://127.0.0.1:8300/"),
        sessions=SessionSettings(
            client_id=HUB_CLIENT,
            client_key_file=key_file(tmp_path, HUB_CLIENT),
            public_url="http://127.0.0.1:8080",
        ),
    )
    issuer = make_issuer(settings, directory, keys_file=None, public_url="http://127.0.0.1:9/")
    assert set(issuer.clients) == {*MACHINES, HUB_CLIENT, COMMAND_LINE}
    hospital = issuer.clients["practice-hospital"]
    assert (hospital.organisation, hospital.roles) == (practice.HOSPITAL, ("hospital-system",))
    assert issuer.clients[HUB_CLIENT].keys is not None
    assert issuer.clients[HUB_CLIENT].may_redirect("http://127.0.0.1:8080/session/callback")
    assert issuer.url == settings.access.issuer  # letter by letter: it is what `iss` says
    assert issuer.token_url == "http://127.0.0.1:8300/oauth2/token"
    assert issuer.public_url == "http://127.0.0.1:9"
    for person in PEOPLE:  # or nobody could come in with their tokens
        assert directory.kinds_of(person.organisation)


def test_without_an_address_of_its_own_it_does_not_start(tmp_path: Path) -> None:
    """Its tokens must say who has issued them."""
    made = practice.prepare(tmp_path, authority_port=1, contact_port=2)
    directory = load_directory(made.directory_file)
    with pytest.raises(ConfigurationError, match="HALYARD_ACCESS__ISSUER"):
        make_issuer(Settings(), directory, keys_file=None)
