"""What a hub under test reads: its directory of organisations, its people, its secrets."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from halyard.embedded.datadir import write_private
from sandbox.pds.people import Person

HOSPITAL = "RZ9"
FEED = "rz9-edis"
NORTH, SOUTH = "E06000991", "E06000992"  # authorities; not GSS codes in use
AUTHORITIES = {NORTH: "north", SOUTH: "south"}
CONTACT = "contact"


def directory_file(receivers: Mapping[str, int], tokens: Mapping[str, str]) -> str:
    """The directory (TOML): a hospital, two authorities, the ports where webhooks are received."""
    parts = [
        (
            f'[[hospital]]\nods = "{HOSPITAL}"\nname = "Practice General Hospital"\n'
            'callback_name = "Safeguarding nurse on duty"\ncallback_phone = "01632 960 101"\n'
            f'contact_endpoint = "{CONTACT}"\n'
            'departments = { "ED" = "Emergency department" }\n'
        ),
        f'[[feed]]\nsource = "{FEED}"\norganisation = "{HOSPITAL}"\nfacility = "{HOSPITAL}"\n',
    ]
    for gss, name in AUTHORITIES.items():
        restricted = f'restricted_endpoint = "{name}-restricted"\n' if gss == NORTH else ""
        parts.append(
            f'[[authority]]\ngss = "{gss}"\nname = "{name.title()} Borough Council"\n'
            f'alert_endpoint = "{name}"\n{restricted}phone_office = "01632 960 201"\n'
        )
    parts.extend(
        f'[[endpoint]]\nname = "{endpoint}"\n'
        f'url = "http://127.0.0.1:{port}/webhook"\nsecret = "{name}"\n'
        for name, port in receivers.items()
        for endpoint in ((name, f"{name}-restricted") if name == "north" else (name,))
    )
    for code, token in tokens.items():
        digest = hashlib.sha256(token.encode()).hexdigest()
        parts.append(f'[[credential]]\norganisation = "{code}"\nsha256 = "{digest}"\n')
    return "\n".join(parts)


def write_people(place: Path, people: Iterable[Person]) -> None:
    """The people of the practice PDS, a line each."""
    with place.open("w", encoding="utf-8") as file:
        for person in people:
            file.write(json.dumps(asdict(person)) + "\n")


def write_secrets(place: Path, receivers: Iterable[str]) -> None:
    """``secrets.toml`` of the hub, and of each receiver one with its own secret."""
    bus, store = secrets.token_hex(32), secrets.token_hex(32)
    webhook = {name: secrets.token_hex(32) for name in receivers}
    write_private(place / "secrets.toml", _secrets(bus, store, webhook))
    for name, secret in webhook.items():
        # a receiver knows its own secret, under the name that its command looks for
        own = _secrets(bus, store, {"authority": secret, "contact": secret})
        write_private(place / f"secrets-{name}.toml", own)


def _secrets(bus: str, store: str, webhook: Mapping[str, str]) -> str:
    lines = [f'bus_key = "{bus}"', f'store_key = "{store}"', "[webhook]"]
    return "\n".join([*lines, *(f'{name} = "{value}"' for name, value in webhook.items())]) + "\n"
