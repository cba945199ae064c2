"""What practice needs for log-ins and machines' tokens: keys, made once, and directory entries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from halyard.embedded.datadir import write_private
from halyard.signing import load_private_key, make_key, public_half
from sandbox.issuer.people import AUTHORITY, HOSPITAL, PEOPLE
from stores.credentials import default_roles

HUB_CLIENT: Final = "halyard"
"""The hub as the practice issuer knows it: what people log in to."""

PDS_CLIENT: Final = "pds"
"""The hub as the practice PDS knows it: the file of its key."""

PDS_API_KEY: Final = "practice-hub"
PDS_KEY_ID: Final = "practice-1"

MACHINES: Final = {"practice-hospital": HOSPITAL, "practice-authority": AUTHORITY}
"""Practice machines that sign their own tokens, and their organisations."""

SYSTEM_ROLES: Final = frozenset(default_roles(("hospital", "authority", "agency")))

BITS: Final = 2_048  # each is made while somebody waits for the first start


def key_file(data_dir: Path, client: str) -> Path:
    """Where the private key of a practice client is."""
    return data_dir / "clients" / f"{client}.json"


def make_keys(data_dir: Path) -> None:
    """Make the private keys that are missing, each in a file that its owner alone reads."""
    (data_dir / "clients").mkdir(parents=True, exist_ok=True, mode=0o700)
    for client in (HUB_CLIENT, PDS_CLIENT, *MACHINES):
        place = key_file(data_dir, client)
        if not place.exists():
            write_private(place, json.dumps(make_key(bits=BITS).as_dict(private=True)))


def directory_entries(data_dir: Path) -> str:
    """The practice machines, and what the roles of invented people mean, as the directory has it.

    Raises `ConfigurationError` for a key file that cannot be read.
    """
    parts = [
        f'[[client]]\nid = "{client}"\norganisation = "{organisation}"\n'
        f"jwks = {_toml(public_half(load_private_key(key_file(data_dir, client))))}\n"
        for client, organisation in MACHINES.items()
    ]
    # of people, and of machines that take their token from the issuer
    roles = sorted({role for person in PEOPLE for role in person.roles} | SYSTEM_ROLES)
    parts += [f'[[role_map]]\nclaim = "{role}"\nrole = "{role}"\n' for role in roles]
    return "\n".join(parts)


def _toml(value: Any) -> str:
    """A JWK set as an inline value: texts, lists and tables alone."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(one)}" for name, one in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
