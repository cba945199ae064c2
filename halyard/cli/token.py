"""`halyard token keygen|sign|machine|person`: keys and tokens of those who call the hub.

A token goes to standard output alone, so that it can be put into HALYARD_TOKEN; no key and no
token is ever an argument, which every user of the machine can see.
"""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Annotated, Literal

import httpx
import typer

from halyard.cli.output import line
from halyard.cli.running import running_system
from halyard.embedded.datadir import write_private
from halyard.errors import ConfigurationError, PermanentError, TransientError
from halyard.settings import load_settings
from halyard.signing import (
    ASSERTION_TYPE,
    LONGEST_SECONDS,
    load_private_key,
    make_key,
    public_half,
    sign_as_client,
)

TIMEOUT_SECONDS = 10.0

app = typer.Typer(help="Keys and tokens of systems that call the hub.", no_args_is_help=True)

ClientId = Annotated[str, typer.Option("--client", help="The client's id, as it is registered.")]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key", help="Its private key (JWK, 0600); default: the practice client's."),
]


class IssuerAway(TransientError):
    """The issuer did not answer; check its address and try again."""


class TokenRefused(PermanentError):
    """The issuer gave no token."""


@app.command()
def keygen(
    path: Annotated[Path, typer.Argument(help="Where the private key goes; nothing is replaced.")],
    algorithm: Annotated[
        Literal["RS512", "PS512", "ES256", "Ed25519"],
        typer.Option(help="NHS England's platform takes RS512 alone."),
    ] = "RS512",
) -> None:
    """Make a key pair: the private key in PATH (0600), the public JWKS on standard output."""
    if path.exists():
        raise ConfigurationError(f"{path} is there already; give another name.")
    key = make_key(algorithm)
    write_private(path, json.dumps(key.as_dict(private=True)) + "\n")
    line(json.dumps(public_half(key), indent=2))


@app.command()
def sign(
    client: ClientId,
    key: KeyFile = None,
    audience: Annotated[
        str | None,
        typer.Option(help="Whom it is for; default: the hub's own (HALYARD_ACCESS__AUDIENCE)."),
    ] = None,
    seconds: Annotated[
        int, typer.Option(min=1, max=LONGEST_SECONDS, help="For how long it is good.")
    ] = 60,
) -> None:
    """Sign a token for ONE request to the hub with the client's own key."""
    _take_running()
    settings = load_settings()
    line(
        sign_as_client(
            load_private_key(key or _practice_key(client)),
            client_id=client,
            audience=audience or settings.access.audience,
            now=int(time.time()),
            seconds=seconds,
        )
    )


@app.command()
def machine(
    client: ClientId,
    key: KeyFile = None,
    token_url: Annotated[
        str | None,
        typer.Option(help="The issuer's token endpoint; default: as HALYARD_ACCESS__ISSUER says."),
    ] = None,
) -> None:
    """Get an access token of a machine from an issuer (client credentials, private_key_jwt)."""
    _take_running()
    private = load_private_key(key or _practice_key(client))
    with httpx.Client(timeout=TIMEOUT_SECONDS) as http:
        try:
            url = token_url or _token_url(http)
            answer = http.post(
                url,
                data={
                    "grant_type": "client_credentials",
                    "client_assertion_type": ASSERTION_TYPE,
                    "client_assertion": sign_as_client(
                        private,
                        client_id=client,
                        audience=url,
                        now=int(time.time()),
                        seconds=LONGEST_SECONDS,
                    ),
                },
            )
        except httpx.HTTPError as error:
            raise IssuerAway(f"The issuer did not answer ({type(error).__name__}).") from None
    said = _json(answer)
    token = said.get("access_token")
    if answer.status_code != 200 or not isinstance(token, str):
        why = said.get("error_description") or said.get("error") or answer.status_code
        raise TokenRefused(f"The issuer gave no token: {why}")
    line(token)


@app.command()
def person(
    subject: Annotated[str, typer.Argument(help="As the log-in page has it: p-2001.")],
) -> None:
    """Get an access token of an invented person from the practice issuer."""
    from sandbox.issuer.client import person_token

    _take_running()
    issuer = load_settings().access.issuer
    if issuer is None:
        raise ConfigurationError(
            "No issuer is set; run `halyard up`, or set HALYARD_ACCESS__ISSUER."
        )

    async def ask() -> str:
        async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
            return await person_token(http, issuer, subject)

    line(asyncio.run(ask()))


def _take_running() -> None:
    running_system(load_settings().data_dir)


def _practice_key(client: str) -> Path:
    from halyard.cli.practice_access import key_file

    place = key_file(load_settings().data_dir.expanduser(), client)
    if not place.exists():
        raise ConfigurationError(f"There is no practice key of {client}; give its file with --key.")
    return place


def _token_url(http: httpx.Client) -> str:
    issuer = load_settings().access.issuer
    if issuer is None:
        raise ConfigurationError("Give --token-url, or set HALYARD_ACCESS__ISSUER.")
    answer = http.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    found = _json(answer).get("token_endpoint")
    if not isinstance(found, str):
        raise TokenRefused("The issuer's discovery document names no token endpoint.")
    return found


def _json(answer: httpx.Response) -> dict[str, object]:
    try:
        document = answer.json()
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}
