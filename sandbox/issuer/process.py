"""The practice issuer as a process of the hub: ``halyard sandbox issuer``.

Its machines are the clients of the hub's directory, with the keys registered there; its people are
invented (`sandbox.issuer.people`). It knows the hub by the hub's own settings.
"""

from __future__ import annotations

from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from halyard.errors import ConfigurationError
from halyard.settings import Settings
from halyard.signing import load_private_key, public_half
from sandbox.issuer import app
from sandbox.issuer.keys import SigningKeys
from sandbox.issuer.model import Client, Issuer
from sandbox.receiver import StoppableService
from stores.credentials import default_roles
from stores.directory import Directory, load_directory

COMMAND_LINE = "halyard-practice"
"""A public client for a person at a terminal: any port on loopback is its redirect URI."""

KEYS_FILE = "issuer-keys.json"  # in the data directory


def make_issuer(
    settings: Settings, directory: Directory, *, keys_file: Path | None, public_url: str = ""
) -> Issuer:
    """The issuer of `settings.access.issuer`, for the hub of these settings.

    Raises `ConfigurationError` if no issuer is named, or keys cannot be read.
    """
    if settings.access.issuer is None:
        raise ConfigurationError(
            "The practice issuer needs its own address: set HALYARD_ACCESS__ISSUER, the same as "
            "for the hub."
        )
    clients = {
        one.id: Client(
            client_id=one.id,
            keys=_key_set(one.id, one.jwks or {"keys": []}),
            organisation=one.organisation,
            roles=tuple(
                sorted(
                    default_roles(directory.kinds_of(one.organisation))
                    if one.roles is None
                    else one.roles
                )
            ),
        )
        for one in directory.clients.values()
    }
    clients[COMMAND_LINE] = Client(COMMAND_LINE, redirect_uris=("http://127.0.0.1:1/callback",))
    sessions = settings.sessions
    if sessions.client_id is not None:
        key = sessions.client_key_file
        clients[sessions.client_id] = Client(
            sessions.client_id,
            keys=None if key is None else KeySet.import_key_set(public_half(load_private_key(key))),  # type: ignore[arg-type]
            redirect_uris=(f"{sessions.public_url}/session/callback",),
        )
    return Issuer(
        url=settings.access.issuer,
        audience=settings.access.audience,
        keys=SigningKeys(keys_file),
        clients=clients,
        public_url=public_url.rstrip("/"),
    )


async def run(
    service: StoppableService, settings: Settings, *, port: int, public_url: str = ""
) -> None:
    """Serve until the service stops.

    Raises `ConfigurationError` for a directory or keys that cannot be read, or a port that is
    taken.
    """
    issuer = make_issuer(
        settings,
        load_directory(settings.directory_file),
        keys_file=settings.data_dir.expanduser() / KEYS_FILE,
        public_url=public_url,
    )
    await app.run(service, issuer, port=port)


def _key_set(client_id: str, document: dict[str, object]) -> KeySet:
    try:
        return KeySet.import_key_set(document)  # type: ignore[arg-type]
    except (JoseError, ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"The keys of client {client_id} cannot be read; write them as in RFC 7517."
        ) from None
