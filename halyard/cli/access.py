"""How commands reach a hub: its address and an organisation's bearer token."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from connectors.local_authority.client import HubClient
from halyard.cli import practice
from halyard.cli.running import running_system
from halyard.errors import ConfigurationError
from halyard.settings import load_settings

Url = Annotated[str | None, typer.Option(help="The hub's address; default: the running system's.")]
Organisation = Annotated[
    str, typer.Option(help="Whose practice token to use, where HALYARD_TOKEN is not set.")
]


def hub_client(url: str | None, organisation: str) -> HubClient:
    """A client of the hub; as `hub_access`."""
    return HubClient(*hub_access(url, organisation))


def hub_access(url: str | None, organisation: str) -> tuple[str, str]:
    """The hub's address, and the token of ``HALYARD_TOKEN``, else a practice token of the running
    system.

    Raises `ConfigurationError` if there is neither. A token is never an argument: arguments are
    visible to every user of the machine.
    """
    running_system(load_settings().data_dir)
    settings = load_settings()
    token = os.environ.get("HALYARD_TOKEN")
    if token is None:
        tokens = practice.read_tokens(settings.data_dir.expanduser() / "tokens.toml")
        if organisation not in tokens:
            raise ConfigurationError(f"There is no practice token of {organisation}.")
        token = tokens[organisation]
    return url or f"http://127.0.0.1:{settings.http.port}", token
