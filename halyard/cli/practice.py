"""What a practice system needs to start: keys, tokens and a directory, made at the first `up`.

All of it stands in the data directory, readable by its owner alone; nothing is committed. What an
older version did not need is added to its files. The directory file is written anew at each start,
since the ports of the receivers may change; what ``directory-more.toml`` beside it says is added.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from halyard.audit_keys import new_seed
from halyard.cli import practice_access
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
# They tell of deaths, answer report requests, are shared an alert with; no codes in use either
SECOND_HOSPITAL = "RZ8"
SECOND_HOSPITAL_NAME = "Practice Children's Hospital"
SURGERY = "Y00001"
SURGERY_NAME = "Practice Road Surgery"
SCHOOL = "EE100001"
SCHOOL_NAME = "Practice Primary School"
POLICE = "QZ8"
POLICE_NAME = "Practice Constabulary, child protection"
PANEL_OFFICE = "QZ9"
PANEL_OFFICE_NAME = "Practice Child Death Overview Panel, secretariat"
PANEL = "practice"
SECOND_PANEL = "practice-county"  # the neighbouring area's
SECOND_AREA = "E06000998"
CALLBACK_NAME = "Safeguarding nurse on duty"
CALLBACK_PHONE = "01632 960 101"  # Ofcom's numbers for drama
ALERT_ENDPOINT = "practice-authority"
RESTRICTED_ENDPOINT = "practice-authority-restricted"
CONTACT_ENDPOINT = "practice-hospital-contact"

ORGANISATIONS = (AUTHORITY, HOSPITAL, SECOND_HOSPITAL, SURGERY, SCHOOL, POLICE, PANEL_OFFICE)
"""Those that call the hub, each with a token of its own."""

RELAY = "pds-relay"
"""Name of the token that hands in word of changes at PDS, and does nothing else; the hospital's."""
_RELAY_ROLES = f'roles = ["{RELAY}"]\n'


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
    _keep(
        practice.secrets_file,
        {
            "bus_key": secrets.token_hex(32),
            "store_key": secrets.token_hex(32),
            "owner_password": secrets.token_hex(16),
            "app_password": secrets.token_hex(16),
            "ncmd_password": secrets.token_hex(16),
            "face_password": secrets.token_hex(16),
            "sealer_password": secrets.token_hex(16),
            "ncmd_token": secrets.token_urlsafe(24),
            "webhook": {name: secrets.token_hex(32) for name in ("authority", "contact")},
            "audit": {"current": "practice", "practice": new_seed()},
        },
        as_they_are=("audit",),  # a key that was retired does not come back
    )
    names = (*ORGANISATIONS, RELAY)
    _keep(practice.tokens_file, {name: secrets.token_urlsafe(32) for name in names})
    practice_access.make_keys(data_dir)
    write_private(
        practice.directory_file,
        _directory(
            read_tokens(practice.tokens_file),
            authority=f"http://{authority_host}:{authority_port}",
            contact=f"http://{contact_host}:{contact_port}",
            peers=peers,
        )
        + practice_access.directory_entries(data_dir)
        + _more(data_dir / "directory-more.toml"),
    )
    return practice


def _more(path: Path) -> str:
    """Entries that somebody who practises added, to be read with the rest."""
    if not path.exists():
        return ""
    try:
        text = path.read_text("utf-8")
        tomllib.loads(text)
    except (OSError, UnicodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(
            f"{path} cannot be read ({type(error).__name__}); mend it or move it away."
        ) from None
    return f"\n# From {path.name}\n\n{text}"


def _keep(path: Path, wanted: Mapping[str, Any], *, as_they_are: Collection[str] = ()) -> None:
    """Add what is missing to a file of texts and one level of tables; what is there stays.

    Tables in `as_they_are` are made whole or not touched.
    """
    there: dict[str, Any] = {}
    if path.exists():
        try:
            there = tomllib.loads(path.read_text())
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise ConfigurationError(
                f"{path} cannot be read ({type(error).__name__}); move it away and try again."
            ) from None
    whole = {**wanted, **there}
    for name, table in wanted.items():
        if isinstance(table, Mapping) and not (name in as_they_are and name in there):
            whole[name] = {**table, **there.get(name, {})}
    if whole == there:
        return
    tables = {name: table for name, table in whole.items() if isinstance(table, Mapping)}
    lines = [_entry(name, text) for name, text in whole.items() if name not in tables]
    for name, table in tables.items():
        lines += [f"[{name}]", *(_entry(key, text) for key, text in table.items())]
    write_private(path, "".join(f"{line}\n" for line in lines))


def _entry(name: str, text: object) -> str:
    return f"{name} = {json.dumps(text)}"


def read_tokens(path: Path) -> dict[str, str]:
    """Practice bearer tokens by organisation code; the relay's by its name."""
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
        f'[[credential]]\norganisation = "{HOSPITAL if name == RELAY else name}"\n'
        f'sha256 = "{hashlib.sha256(token.encode()).hexdigest()}"\n'
        f"{_RELAY_ROLES if name == RELAY else ''}\n"
        for name, token in tokens.items()
    )
    return f"""# Written anew by each `halyard up`, for practice: entries of your own belong into
# directory-more.toml beside it. docs/reference/directory.md has a real one

[[hospital]]
ods = "{HOSPITAL}"
name = {quote(HOSPITAL_NAME)}
callback_name = {quote(CALLBACK_NAME)}
callback_phone = {quote(CALLBACK_PHONE)}
contact_endpoint = "{CONTACT_ENDPOINT}"
caldicott_endpoint = "{CONTACT_ENDPOINT}"
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
relays_pds = true

[[hospital]]
ods = "{SECOND_HOSPITAL}"
name = {quote(SECOND_HOSPITAL_NAME)}
caldicott_endpoint = "{CONTACT_ENDPOINT}"

[[feed]]
source = "{SECOND_HOSPITAL.lower()}-fhir"
organisation = "{SECOND_HOSPITAL}"
transport = "fhir"

[[agency]]
code = "{SURGERY}"
name = {quote(SURGERY_NAME)}
kind = "general-practice"
health_or_social_care = true

[[feed]]
source = "{SURGERY.lower()}-fhir"
organisation = "{SURGERY}"
transport = "fhir"

[[agency]]
code = "{SCHOOL}"
name = {quote(SCHOOL_NAME)}
kind = "school"

[[agency]]
code = "{POLICE}"
name = {quote(POLICE_NAME)}
kind = "police"

[[agency]]
code = "{PANEL_OFFICE}"
name = {quote(PANEL_OFFICE_NAME)}
health_or_social_care = true

[[panel]]
code = "{PANEL}"
name = "Practice Child Death Overview Panel"
organisation = "{PANEL_OFFICE}"
areas = [{{ gss = "{AUTHORITY}" }}]

[[panel]]
code = "{SECOND_PANEL}"
name = "Practice County Child Death Overview Panel"
organisation = "{PANEL_OFFICE}"
areas = [{{ gss = "{SECOND_AREA}" }}]

[[feed]]
source = "{AUTHORITY.lower()}-fhir"
organisation = "{AUTHORITY}"
transport = "fhir"

[[authority]]
gss = "{AUTHORITY}"
name = {quote(AUTHORITY_NAME)}
alert_endpoint = "{ALERT_ENDPOINT}"
restricted_endpoint = "{RESTRICTED_ENDPOINT}"
caldicott_endpoint = "{CONTACT_ENDPOINT}"
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
