"""What `halyard up` makes for practice."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from flag_service.claims import roles_of
from halyard.cli import practice
from halyard.errors import ConfigurationError
from halyard.privacy import load_keys
from stores.credentials import default_roles
from stores.directory import load_directory


def test_practice_files_are_private_and_fit_together(tmp_path: Path) -> None:
    """Keys load, every endpoint has its secret, and each token is known by its digest only."""
    made = practice.prepare(tmp_path / "data", authority_port=1234, contact_port=1235)
    for path in (made.secrets_file, made.directory_file, made.tokens_file):
        assert path.stat().st_mode & 0o077 == 0
    keys, directory = load_keys(made.secrets_file), load_directory(made.directory_file)
    assert {one.secret for one in directory.endpoints.values()} <= set(keys.webhook)
    for code, token in practice.read_tokens(made.tokens_file).items():
        owner = practice.HOSPITAL if code == practice.RELAY else code
        assert directory.organisation_of(token) == owner
        assert token not in made.directory_file.read_text()


def test_a_second_start_keeps_keys_and_tokens_and_takes_new_ports(tmp_path: Path) -> None:
    """Pseudonyms in the database must stay valid; only the receivers' addresses change."""
    first = practice.prepare(tmp_path, authority_port=1, contact_port=2)
    secrets, tokens = first.secrets_file.read_text(), first.tokens_file.read_text()
    practice.prepare(tmp_path, authority_port=31, contact_port=32)
    assert first.secrets_file.read_text() == secrets
    assert first.tokens_file.read_text() == tokens
    directory = load_directory(first.directory_file)
    assert directory.endpoints[practice.ALERT_ENDPOINT].url == "http://127.0.0.1:31/webhook"


def test_files_of_an_older_version_get_what_is_new_and_keep_what_they_have(tmp_path: Path) -> None:
    """An organisation or a password that came later is added; nothing that is there changes."""
    first = practice.prepare(tmp_path, authority_port=1, contact_port=2)
    secrets, tokens = first.secrets_file.read_text(), first.tokens_file.read_text()
    older = [line for line in secrets.splitlines() if not line.startswith(("ncmd_", "contact "))]
    first.secrets_file.write_text("\n".join(older))
    first.tokens_file.write_text(tokens.splitlines()[0])
    practice.prepare(tmp_path, authority_port=1, contact_port=2)
    assert set(older) <= set(first.secrets_file.read_text().splitlines())
    assert first.tokens_file.read_text().startswith(tokens.splitlines()[0])
    assert set(practice.read_tokens(first.tokens_file)) == {
        *practice.ORGANISATIONS,
        practice.RELAY,
    }
    assert "contact" in load_keys(first.secrets_file).webhook


def test_the_practice_relay_tells_of_changes_at_pds_and_does_nothing_else(tmp_path: Path) -> None:
    """Its token is none of a hospital's system."""
    made = practice.prepare(tmp_path, authority_port=1, contact_port=2)
    token = practice.read_tokens(made.tokens_file)[practice.RELAY]
    digest = hashlib.sha256(token.encode()).hexdigest()
    [found] = [
        one for one in load_directory(made.directory_file).credentials if one.sha256 == digest
    ]
    assert found.roles == ("pds-relay",)


def test_a_machines_token_of_the_issuer_has_its_role(tmp_path: Path) -> None:
    """The practice issuer writes the roles of a registered machine; the directory knows them."""
    made = practice.prepare(tmp_path, authority_port=1, contact_port=2)
    directory = load_directory(made.directory_file)
    for client in directory.clients.values():
        for role in default_roles(directory.kinds_of(client.organisation)):
            assert roles_of([role], directory.role_maps, client.organisation) == {role}


def test_entries_of_ones_own_are_kept_at_each_start(tmp_path: Path) -> None:
    """What stands in directory-more.toml is part of the directory; a broken file stops the start
    and is named.
    """
    more = tmp_path / "directory-more.toml"
    more.write_text('[[agency]]\ncode = "EE100002"\nname = "Another School"\nkind = "school"\n')
    for _ in range(2):
        made = practice.prepare(tmp_path, authority_port=1, contact_port=2)
        agencies = load_directory(made.directory_file).agencies
        assert {"EE100002", practice.SCHOOL, practice.POLICE} <= set(agencies)
    more.write_text("[[agency]")
    with pytest.raises(ConfigurationError, match=r"directory-more\.toml"):
        practice.prepare(tmp_path, authority_port=1, contact_port=2)


def test_missing_tokens_say_what_to_do(tmp_path: Path) -> None:
    """Without a practice system there is a sentence, not a traceback."""
    with pytest.raises(ConfigurationError, match="halyard up"):
        practice.read_tokens(tmp_path / "tokens.toml")
