"""By what somebody comes in: the entries of the directory, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from halyard.errors import ConfigurationError
from stores.directory import Directory, load_directory
from tests.support.access import key, public

KEYS = json.dumps(public(key("edis"))["keys"][0]).replace('":', '"=')
OTHER = json.dumps(public(key("case"))["keys"][0]).replace('":', '"=')
PRIVATE = json.dumps(key("edis").as_dict(private=True)).replace('":', '"=')
HOSPITAL = '[[hospital]]\nods = "RTEST"\nname = "Test"\n'
CLIENT = f'[[client]]\nid = "rtest-edis"\norganisation = "RTEST"\njwks = {{ keys = [{KEYS}] }}\n'
TOKEN = f'[[credential]]\norganisation = "RTEST"\nsha256 = "{"0" * 64}"\n\n'
GOOD = f"""{HOSPITAL}{CLIENT}
[[role_map]]
claim = "urn:nurse"
role = "safeguarding-nurse"
organisations = ["RTEST"]

[[mailbox]]
id = "RTESTOT001"
organisation = "RTEST"

[[kafka_principal]]
principal = "User:CN=halyard-matching"
stages = ["matching"]

[[credential]]
organisation = "RTEST"
sha256 = "{"0" * 64}"
roles = ["clinician"]
"""


def load(folder: Path, text: str) -> Directory:
    """A directory of this text."""
    path = folder / "directory.toml"
    path.write_text(text)
    return load_directory(path)


def test_a_directory_says_who_may_come_in(tmp_path: Path) -> None:
    """By keys, codes, mailboxes, principals, and tokens with roles."""
    made = load(tmp_path, GOOD)
    assert made.clients["rtest-edis"].organisation == "RTEST"
    assert (made.clients["rtest-edis"].jwks or {})["keys"][0]["kid"] == "edis"
    assert made.role_maps[0].role == "safeguarding-nurse"
    assert made.mailboxes["RTESTOT001"].organisation == "RTEST"
    assert made.kafka_principals[0].stages == ("matching",)
    assert made.credentials[0].roles == ("clinician",)
    assert made.kinds_of("RTEST") == ("hospital",)
    assert made.kinds_of("OTHER") == ()


def test_keys_may_stand_in_a_file_beside_the_directory(tmp_path: Path) -> None:
    """A JSON file, as the machine's owner sends it."""
    (tmp_path / "edis.jwks.json").write_text(json.dumps(public(key("edis"))))
    text = CLIENT.partition("jwks")[0] + 'jwks_file = "edis.jwks.json"\n'
    made = load(tmp_path, HOSPITAL + text)
    assert (made.clients["rtest-edis"].jwks or {})["keys"][0]["kid"] == "edis"


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        (KEYS, PRIVATE, "not a public one"),
        (f"jwks = {{ keys = [{KEYS}] }}", "", "jwks_file"),
        (f"keys = [{KEYS}]", "keys = []", "RFC 7517"),
        (f"keys = [{KEYS}]", "keys = [7]", "not a public one"),
        (f"jwks = {{ keys = [{KEYS}] }}", 'jwks_file = "absent.json"', "jwks_file cannot be read"),
        ('organisation = "RTEST"\njwks', 'organisation = "ROTHER"\njwks', "client rtest-edis"),
        ('["RTEST"]', '["ROTHER"]', "role_map"),
        (
            '"RTESTOT001"\norganisation = "RTEST"',
            '"RTESTOT001"\norganisation = "ROTHER"',
            "mailbox",
        ),
        ('"User:CN=halyard-matching"', '"User:*"', "kafka_principal.0.principal"),
        ('role = "safeguarding-nurse"', 'role = "A Nurse"', "role_map.0.role"),
        ('stages = ["matching"]', "stages = []", "kafka_principal.0.stages"),
        ("[[credential]]", f"{TOKEN}[[credential]]", "shared tokens listed twice"),
        (CLIENT, CLIENT + CLIENT, "clients listed twice"),
        (CLIENT, CLIENT + CLIENT.replace("rtest-edis", "rtest-pas"), "a key in common"),
    ],
)
def test_an_entry_that_would_let_in_the_wrong_one_does_not_load(
    tmp_path: Path, old: str, new: str, named: str
) -> None:
    """The message names entry and rule, and holds no key."""
    assert old in GOOD
    with pytest.raises(ConfigurationError, match=named) as caught:
        load(tmp_path, GOOD.replace(old, new, 1))
    private = key("edis").as_dict(private=True)
    assert not any(str(private[name]) in caught.value.message for name in ("d", "x", "y"))


def test_two_machines_have_two_keys(tmp_path: Path) -> None:
    """Then both are taken."""
    second = CLIENT.replace("rtest-edis", "rtest-pas").replace(KEYS, OTHER)
    assert set(load(tmp_path, GOOD + second).clients) == {"rtest-edis", "rtest-pas"}
