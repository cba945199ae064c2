"""What a practice system needs to start: keys, tokens and a directory, made at the first `up`.

All of it stands in the data directory, readable by its owner alone; nothing is committed. The
directory file is written anew at each start, since the ports of the receivers may change.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tomllib
from dataclasses import dataclass
from pathlib import Path

from halyard.embedded.datadir import write_private
from halyard.errors import ConfigurationError

HOSPITAL = "RZ9"  # not an ODS code in use
HOSPITAL_NAME = "Practice General Hospital"
AUTHORITY = "E06000999"  # not a GSS code in use
AUTHORITY_NAME = "Practice Borough Council"
FEED = "rz9-edis"
FACILITY = "RZ9"
FHIR_FEED = "rz9-fhir"
FHIR_ENDPOINT = "urn:halyard:practice:pas"
CALLBACK_NAME = "Safeguarding nurse on duty"
CALLBACK_PHONE = "01632 960 101"  # Ofcom's numbers for drama
ALERT_ENDPOINT = "practice-authority"
RESTRICTED_ENDPOINT = "practice-authority-restricted"
CONTACT_ENDPOINT = "practice-hospital-contact"


@dataclass(frozen=True, slots=True)
class Practice:
    """Where the practice files stand, and the tokens by organisation."""

    secrets_file: Path
    directory_file: Path
    tokens_file: Path


def prepare(
    data_dir: Path,
    *,
    authority_port: int,
    contact_port: int,
    authority_host: str = "127.0.0.1",
    contact_host: str = "127.0.0.1",
    peers: tuple[str, ...] = ("127.0.0.0/8", "::1/128"),
) -> Practice:
    """Make what is missing and write the directory for the receivers' addresses.

    `peers` are the networks from which the practice hospital may connect.
    """
    practice = Practice(
        secrets_file=data_dir / "secrets.toml",
        directory_file=data_dir / "directory.toml",
        tokens_file=data_dir / "tokens.toml",
    )
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not practice.secrets_file.exists():
        write_private(
            practice.secrets_file,
            f'bus_key = "{secrets.token_hex(32)}"\n'
            f'store_key = "{secrets.token_hex(32)}"\n'
            f'pds_token = "{secrets.token_urlsafe(24)}"\n'
            f'owner_password = "{secrets.token_hex(16)}"\n'
            f'app_password = "{secrets.token_hex(16)}"\n'
            "[webhook]\n"
            f'authority = "{secrets.token_hex(32)}"\n'
            f'contact = "{secrets.token_hex(32)}"\n',
        )
    if not practice.tokens_file.exists():
        write_private(
            practice.tokens_file,
            f'{AUTHORITY} = "{secrets.token_urlsafe(32)}"\n'
            f'{HOSPITAL} = "{secrets.token_urlsafe(32)}"\n',
        )
    write_private(
        practice.directory_file,
        _directory(
            read_tokens(practice.tokens_file),
            authority=f"http://{authority_host}:{authority_port}",
            contact=f"http://{contact_host}:{contact_port}",
            peers=peers,
        ),
    )
    return practice


def read_tokens(path: Path) -> dict[str, str]:
    """Practice bearer tokens by organisation code."""
    try:
        return {str(code): str(token) for code, token in tomllib.loads(path.read_text()).items()}
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"The practice tokens {path} cannot be read ({type(error).__name__}); run `halyard up` "
            "once, or give a token with HALYARD_TOKEN."
        ) from None


def read_secret(path: Path, name: str) -> str:
    """One text of the practice secrets file."""
    try:
        return str(tomllib.loads(path.read_text())[name])
    except (OSError, KeyError, tomllib.TOMLDecodeError):
        raise ConfigurationError(
            f"{path} has no {name}; move the file away and run `halyard up` again."
        ) from None


def _directory(
    tokens: dict[str, str], *, authority: str, contact: str, peers: tuple[str, ...]
) -> str:
    quote = json.dumps
    credentials = "".join(
        f'[[credential]]\norganisation = "{code}"\n'
        f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n\n'
        for code, token in tokens.items()
    )
    return f"""# Written by `halyard up` for practice; docs/reference/directory.md has a real one

[[hospital]]
ods = "{HOSPITAL}"
name = {quote(HOSPITAL_NAME)}
callback_name = {quote(CALLBACK_NAME)}
callback_phone = {quote(CALLBACK_PHONE)}
contact_endpoint = "{CONTACT_ENDPOINT}"
departments = {{ "ED" = "Emergency department", "MAT" = "Maternity unit" }}

[[feed]]
source = "{FEED}"
organisation = "{HOSPITAL}"
facility = "{FACILITY}"
peers = {quote(peers)}

[[feed]]
source = "{FHIR_FEED}"
organisation = "{HOSPITAL}"
transport = "fhir"
endpoint = "{FHIR_ENDPOINT}"

[[authority]]
gss = "{AUTHORITY}"
name = {quote(AUTHORITY_NAME)}
alert_endpoint = "{ALERT_ENDPOINT}"
restricted_endpoint = "{RESTRICTED_ENDPOINT}"
phone_office = "01632 960 201"
phone_emergency = "01632 960 202"

[[endpoint]]
name = "{ALERT_ENDPOINT}"
url = "{authority}/webhook"
secret = "authority"

[[endpoint]]
name = "{RESTRICTED_ENDPOINT}"
url = "{authority}/webhook"
secret = "authority"

[[endpoint]]
name = "{CONTACT_ENDPOINT}"
url = "{contact}/webhook"
secret = "contact"

{credentials}"""
