"""A hub to which people log in, the issuer where they do, and browsers."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from flag_service.app import create_app
from flag_service.bus import Bus
from flag_service.door import make_door
from flag_service.live import Live, Pace
from flag_service.sessions import make_sessions
from halyard.http import listen, serve
from halyard.issuer import make_issuer
from halyard.postgres import Pool, make_pool
from halyard.settings import Settings
from halyard.settings_access import AccessSettings
from halyard.settings_sessions import SessionSettings
from sandbox.issuer.model import Issuer
from sandbox.issuer.people import PracticePerson
from stores.credentials import RoleMap
from tests.support.face import INFIRMARY, KEYS, NORTH, desk_of, directory, settings
from tests.support.issuer import AUDIENCE, CLIENT_KEY, choose, client, practice_issuer
from tests.support.services import Database

WORKER = PracticePerson("p-1", "Sam Social", NORTH, ("social-worker",), "Duty social worker")
NURSE = PracticePerson("p-2", "Noor Nurse", INFIRMARY, ("safeguarding-nurse",), "Named nurse")
NOBODY = PracticePerson("p-3", "Nia Nothing", NORTH, ("librarian",), "Librarian")
STRANGER = PracticePerson("p-4", "Stig Stranger", "ZZ000", ("social-worker",), "Elsewhere")
PACE = Pace(poll=0.05, rest=0.01, session=0.05, heartbeat=0.1)
PEOPLE = (WORKER, NURSE, NOBODY, STRANGER)


class Time:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.now


@dataclass(slots=True)
class Browser:
    """A browser with cookies of its own; it follows nothing by itself."""

    http: httpx.AsyncClient
    hub: str

    async def begin(self, return_to: str | None = None) -> httpx.Response:
        """Ask the hub to log in; its redirect to the issuer."""
        asked = {} if return_to is None else {"return_to": return_to}
        return await self.http.get(f"{self.hub}/session/login", params=asked)

    async def choose(self, sent: httpx.Response, person: PracticePerson) -> str:
        """Log in at the issuer; where it sends the browser back to."""
        page = await self.http.get(sent.headers["location"])
        assert page.status_code == 200
        return str((await choose(self.http, page, person.subject)).headers["location"])

    async def log_in(self, person: PracticePerson, return_to: str | None = None) -> httpx.Response:
        """The whole walk; the callback's answer."""
        return await self.http.get(await self.choose(await self.begin(return_to), person))

    async def get(self, path: str) -> httpx.Response:
        """A page of ours asks."""
        return await self.http.get(self.hub + path)

    async def session(self) -> dict[str, Any]:
        """Who it is, and the CSRF token."""
        answer = await self.get("/session")
        assert answer.status_code == 200
        said: dict[str, Any] = answer.json()
        return said

    async def post(self, path: str, **headers: str) -> httpx.Response:
        """A change, with these headers and no others of ours."""
        return await self.http.post(
            self.hub + path,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )

    async def headers(self) -> dict[str, str]:
        """What a page of ours sends with a change."""
        return {"x_csrf_token": (await self.session())["csrf_token"], "origin": self.hub}

    @property
    def cookies(self) -> dict[str, str]:
        """Its cookies."""
        return dict(self.http.cookies)


@dataclass(slots=True)
class Rig:
    """The hub, its issuer, its clock."""

    url: str
    settings: Settings
    issuer: Issuer
    pool: Pool
    time: Time
    stack: contextlib.AsyncExitStack = field(repr=False)

    async def browser(self) -> Browser:
        """Another browser."""
        http = await self.stack.enter_async_context(httpx.AsyncClient(timeout=5))
        return Browser(http, self.url)


Start = Callable[..., Any]


@pytest.fixture
async def start(database: Database, tmp_path: Path) -> AsyncIterator[Start]:
    """A function that starts a hub; its keywords are session settings, and `access` others."""
    key_file = tmp_path / "key.json"
    key_file.write_text(json.dumps(CLIENT_KEY.as_dict(private=True)))
    key_file.chmod(0o600)
    roles = tuple(RoleMap(claim=one, role=one) for one in ("social-worker", "safeguarding-nurse"))
    known = dataclasses.replace(directory(), role_maps=roles)
    async with contextlib.AsyncExitStack() as stack:

        async def run(
            database_url: str = database.url,
            access: Mapping[str, Any] | None = None,
            **changed: Any,
        ) -> Rig:
            time = Time()
            listener = listen("127.0.0.1", 0)
            stack.callback(listener.close)
            own = f"http://127.0.0.1:{listener.getsockname()[1]}"
            public = changed.pop("public_url", own)
            hub_client = client("hub", redirect_uris=(f"{public}/session/callback",))
            issuer = await stack.enter_async_context(
                practice_issuer({"hub": hub_client}, people=PEOPLE, clock=time)
            )
            made = settings(database_url=database_url).model_copy(
                update={
                    "access": AccessSettings(
                        issuer=issuer.url, audience=AUDIENCE, **(access or {})
                    ),
                    "sessions": SessionSettings(
                        client_id="hub", client_key_file=key_file, public_url=public, **changed
                    ),
                }
            )
            pool = make_pool(made, name="test", schema="face")
            await pool.open(wait=False)
            stack.push_async_callback(pool.close)
            keys = make_issuer(made)
            sessions = make_sessions(made, known, pool, time, keys)
            assert sessions is not None
            door = make_door(made, known, pool, time, sessions=sessions.authenticate, issuer=keys)
            stopping, ready = asyncio.Event(), asyncio.Event()
            lists = Live(pool, desk_of(known), stopping, PACE, time)
            app = create_app(
                made,
                pool,
                KEYS,
                known,
                Bus(made),
                time,
                door=door,
                sessions=sessions,
                live_lists=lists,
            )
            task = asyncio.create_task(
                serve(app, listener, stopping, on_ready=ready.set, grace_seconds=1)
            )

            async def stop() -> None:
                stopping.set()
                await task

            stack.push_async_callback(stop)
            await ready.wait()
            return Rig(own, made, issuer, pool, time, stack)

        yield run


@pytest.fixture
async def rig(start: Start) -> Rig:
    """A hub with default settings."""
    made: Rig = await start()
    return made


def query_of(url: str) -> str:
    """The query of a URL."""
    return urlsplit(url).query
