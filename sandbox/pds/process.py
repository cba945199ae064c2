"""The practice PDS as a process: ``halyard sandbox pds``, with a hub beside it or without one."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Protocol
from urllib.parse import urlsplit

from joserfc.jwk import KeySet

from halyard.embedded.datadir import choose_port, remember_port
from halyard.errors import ConfigurationError
from halyard.settings import PdsSettings, Settings
from halyard.telemetry import get_logger
from sandbox.pds.faults import Faults
from sandbox.pds.kept import FILE, PORT_FILE, CannotKeep, Kept
from sandbox.pds.people import Person, load_people
from sandbox.pds.population import populate
from sandbox.pds.server import serve_until, token_url
from sandbox.pds.settings import TOKEN_SECONDS, PdsSandboxSettings
from sandbox.pds.tokens import DEFAULT_API_KEY, load_apps, practice_app
from sandbox.samples.cast import PEOPLE_FILE

log = get_logger()


class StoppableService(Protocol):
    """What it needs of the process it runs in (`halyard.service.Service`)."""

    stopping: asyncio.Event
    ready: bool


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says.

    `static_token`: a bearer token that is taken beside issued ones. `apps`: a JSON file of
    applications, ``{api_key: JWKS}``. `app_key`: the key of one application more, under `api_key`
    and `key_id`; it is made if there is none. `no_auth`: nobody is asked for credentials.
    `forget`: whoever was posted or changed before is not known any more.
    """

    people: Path | None = None
    generate: int = 0
    seed: int = 1
    calls_per_second: int | None = None
    no_auth: bool = False
    static_token: str | None = field(default=None, repr=False)
    apps: Path | None = None
    app_key: Path | None = None
    api_key: str | None = field(default=None, repr=False)
    key_id: str | None = None
    token_seconds: int = TOKEN_SECONDS
    organisation_required: bool = False
    faults: Faults = field(default_factory=Faults)
    forget: bool = False


async def run(
    service: StoppableService,
    settings: Settings,
    *,
    port: int = 0,
    people_file: Path | None = None,
    more_people: int = 0,
    options: Options | None = None,
    announce: bool = False,
) -> None:
    """Serve until the service stops: a file's people, those generated, and those whom the data
    directory has kept since an earlier start. `port` 0: that of the last start in this data
    directory, if it is free, else any.

    On loopback, unless ``HALYARD_SANDBOX_HOST`` says otherwise (in a container it does). Takes
    what a hub beside it would show: ``pds.token``, and tokens of the application that ``pds``
    names. `announce` prints one JSON line with `base_url` and `token_url` when it answers.
    Raises `ConfigurationError` if the port is taken, or a file is wrong.
    """
    options = options or Options(people=people_file, generate=more_people)
    practice = practice_settings(options, settings.pds)

    place = settings.data_dir.expanduser()
    kept = _kept(place / FILE, forget=options.forget)

    def ready(base_url: str) -> None:
        if kept is not None:  # who keeps nothing has another's data directory, or none
            remember_port(place / PORT_FILE, urlsplit(base_url).port or 0)
        log.info("practice_pds_listens", base_url=base_url)
        if announce:
            line = {"base_url": base_url, "token_url": token_url(base_url)}
            print(json.dumps({"action": "practice_pds_ready", **line}), flush=True)
        service.ready = True

    if port == 0 and kept is not None:
        port = choose_port(place / PORT_FILE, wanted=None)
    try:
        await serve_until(
            service.stopping,
            _people(options),
            practice,
            host=os.environ.get("HALYARD_SANDBOX_HOST", "127.0.0.1"),
            port=port,
            on_ready=ready,
            kept=kept,
        )
    finally:
        service.ready = False
        if kept is not None:
            kept.close()


def practice_settings(options: Options, hub: PdsSettings) -> PdsSandboxSettings:
    """How the practice PDS behaves by its options, and by the hub's own settings where they say
    nothing. Raises `ConfigurationError` if a file is wrong, or options contradict each other.
    """
    credentials = (options.static_token, options.apps, options.app_key)
    if options.no_auth and any(credentials):
        raise ConfigurationError("--no-auth takes no credentials; leave one or the other out.")
    token: str | None = None
    apps: Mapping[str, KeySet] = {}
    if not options.no_auth:
        apps = _apps(options, hub)
        token = options.static_token or (hub.token.get_secret_value() if hub.token else None)
        if token is None and not apps:
            token = PdsSandboxSettings().token
    return PdsSandboxSettings(
        token=token,
        apps=MappingProxyType(apps),
        calls_per_second=options.calls_per_second,
        token_seconds=options.token_seconds,
        organisation_required=options.organisation_required,
        faults=options.faults,
    )


def _apps(options: Options, hub: PdsSettings) -> dict[str, KeySet]:
    apps = load_apps(options.apps) if options.apps is not None else {}
    if options.app_key is not None:
        api_key = options.api_key or DEFAULT_API_KEY
        made = not options.app_key.exists()
        apps[api_key] = practice_app(options.app_key, key_id=options.key_id)
        if made:
            print(f"A key was made in {options.app_key}.", file=sys.stderr)
    elif hub.api_key is not None and hub.private_key_file is not None and not apps:
        key_file = hub.private_key_file.expanduser()
        if not key_file.exists():
            raise ConfigurationError(
                f"HALYARD_PDS__PRIVATE_KEY_FILE names {key_file}, which is not there; correct it."
            )
        apps[hub.api_key.get_secret_value()] = practice_app(key_file, key_id=hub.key_id)
    return apps


def _kept(path: Path, *, forget: bool) -> Kept | None:
    """The file of who is posted. Without one (a container that may write nowhere, a second practice
    PDS on one data directory) it works all the same, and each answer says that nothing is kept.
    """
    try:
        return Kept(path, forget=forget)
    except CannotKeep as error:
        log.warning("practice_pds_keeps_nothing", reason=error.message)
        return None


def _people(options: Options) -> Iterator[Person]:
    return chain(
        load_people(options.people or PEOPLE_FILE), populate(options.generate, options.seed)
    )
