"""`halyard token`: keys that stay private, tokens that go to standard output alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from joserfc import jwt
from joserfc.jwk import import_key
from typer.testing import CliRunner

from flag_service.door import make_door
from halyard.caller import Attempt
from halyard.cli import practice
from halyard.cli.main import app
from halyard.cli.practice_access import MACHINES, directory_entries, key_file, make_keys
from halyard.clock import system_clock
from halyard.errors import ConfigurationError
from halyard.jwks import read_keys
from halyard.problems import HttpProblem
from halyard.settings import Settings
from halyard.signing import (
    ALGORITHMS,
    load_private_key,
    make_key,
    public_half,
    sign_as_client,
)
from sandbox.issuer.people import PEOPLE
from stores.directory import load_directory

RUN = CliRunner()


@pytest.mark.parametrize("algorithm", ["RS512", "ES256", "Ed25519"])
def test_a_key_pair_is_made_and_signs(
    tmp_path: Path, algorithm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The private key is the owner's alone; the hub's directory takes the public set; what is
    signed says who, for whom and for how long, with a new id each time.
    """
    monkeypatch.setenv("HALYARD_DATA_DIR", str(tmp_path))
    key = tmp_path / "key.json"
    made = RUN.invoke(app, ["token", "keygen", str(key), "--algorithm", algorithm])
    assert made.exit_code == 0
    assert key.stat().st_mode & 0o777 == 0o600
    (public,) = json.loads(made.stdout)["keys"]
    assert "d" not in public
    (usable,) = read_keys({"keys": [public]})
    assert usable.fits(algorithm)
    ids = set()
    for _ in range(2):
        done = RUN.invoke(app, ["token", "sign", "--client", "pas", "--key", str(key)])
        token = jwt.decode(done.stdout.strip(), import_key(public), [algorithm])
        assert (token.claims["iss"], token.claims["sub"]) == ("pas", "pas")
        assert token.claims["aud"] == "urn:halyard:practice"
        assert 0 < token.claims["exp"] - token.claims["iat"] <= 60
        assert token.header["kid"] == public["kid"]
        ids.add(token.claims["jti"])
    assert len(ids) == 2


def test_a_key_that_is_there_is_not_replaced(tmp_path: Path) -> None:
    """Whoever lost it could not sign any more."""
    key = tmp_path / "key.json"
    key.write_text("mine")
    done = RUN.invoke(app, ["token", "keygen", str(key)])
    assert isinstance(done.exception, ConfigurationError)
    assert key.read_text() == "mine"


def test_a_key_that_others_can_read_or_that_is_public_signs_nothing(tmp_path: Path) -> None:
    """Each is refused, with what to do."""
    key = make_key("ES256")
    place = tmp_path / "key.json"
    place.write_text(json.dumps(key.as_dict(private=True)))
    place.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        load_private_key(place)
    place.chmod(0o600)
    assert load_private_key(place).kid == key.kid
    place.write_text(json.dumps(public_half(key)))
    with pytest.raises(ConfigurationError, match="private"):
        load_private_key(place)
    place.write_text("{}")
    with pytest.raises(ConfigurationError, match="keygen"):
        load_private_key(place)


def test_every_algorithm_has_keys() -> None:
    """Those that the command offers."""
    for algorithm in ALGORITHMS:
        assert read_keys(public_half(make_key(algorithm, bits=2048)))[0].fits(algorithm)


def test_practice_machines_have_keys_and_people_have_roles(tmp_path: Path) -> None:
    """A second start keeps the keys; each role of an invented person is mapped."""
    make_keys(tmp_path)
    before = directory_entries(tmp_path)
    make_keys(tmp_path)
    assert directory_entries(tmp_path) == before
    for client in MACHINES:
        assert key_file(tmp_path, client).stat().st_mode & 0o777 == 0o600
        assert f'id = "{client}"' in before
    for person in PEOPLE:
        for role in person.roles:
            assert f'claim = "{role}"\nrole = "{role}"' in before
    assert '"d"' not in before


async def test_what_the_command_signs_opens_the_door_once(tmp_path: Path) -> None:
    """A practice machine's token is taken by the hub for one request, and not for a second."""
    made = practice.prepare(tmp_path, authority_port=1, contact_port=2)
    door = make_door(Settings(), load_directory(made.directory_file), None, system_clock)
    token = sign_as_client(
        load_private_key(key_file(tmp_path, "practice-hospital")),
        client_id="practice-hospital",
        audience=Settings().access.audience,
        now=int(time.time()),
        seconds=60,
    )
    attempt = Attempt("GET", "/me", authorization=f"Bearer {token}")
    caller = await door(attempt)
    assert caller is not None
    assert (caller.organisation, caller.credential) == (practice.HOSPITAL, "machine-token")
    with pytest.raises(HttpProblem) as refused:
        await door(attempt)
    assert refused.value.rule == "token.replayed"
