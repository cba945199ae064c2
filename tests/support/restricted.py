"""A system for the whole life of a restricted child, and a search of everything that it holds.

Two authorities: one has registered a contact for restricted children, the other has not.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg import sql

from sandbox.issuer.client import person_token
from sandbox.issuer.people import AUTHORITY as COUNTY
from sandbox.issuer.people import PEOPLE as STAFF
from sandbox.pds.people import Person
from schemas.topics import registry
from tests.support.deaths_system import DeathsHub
from tests.support.hub_files import HOSPITAL
from tests.support.journals import on_wire
from tests.support.loopback import quiet_ports
from tests.support.processes import Process
from tests.support.services import Database
from tests.support.system import COMMANDS

SERVICES = (
    *("pds", "north", "south", "contact", "issuer", "identity", "matching", "tracer"),
    *("dispatcher", "serve", "hl7v2", "cases", "ncmd", "journal"),
)
CALLBACK, OFFICE = "01632 960 444", "01632 960 555"
"""What the authority registered for restricted children, and what it tells anybody else."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What somebody was answered over HTTP."""

    who: str
    asked: str  # method and path
    status: int
    text: str


class RestrictedHub(DeathsHub):
    """A `DeathsHub` where people log in, PDS's changes are relayed, and an authority has a contact
    for restricted children. Everything that it answers is kept in `answered`.
    """

    commands: Mapping[str, tuple[str, ...]] = {**COMMANDS, "issuer": ("sandbox", "issuer")}

    def __init__(
        self,
        directory: Path,
        *,
        bootstrap: str,
        database: Database,
        namespace: str,
        people: Iterable[Person] = (),
        settings: Mapping[str, str] | None = None,
    ) -> None:
        (self._issuer_port,) = quiet_ports(1)
        self._issuer = f"http://127.0.0.1:{self._issuer_port}"
        self._relay = secrets.token_urlsafe(24)
        self._clients: dict[str, httpx.AsyncClient] = {}
        self.answered: list[Answered] = []
        super().__init__(
            directory,
            bootstrap=bootstrap,
            database=database,
            namespace=namespace,
            people=people,
            settings={"HALYARD_ACCESS__ISSUER": self._issuer, **(settings or {})},
            organisations=(COUNTY,),
        )

    def launch(self, name: str, *, fault: str | None = None, **settings: str) -> Process:
        """As `Hub.launch`; the issuer has a port of its own."""
        if name == "issuer":
            settings["HALYARD_SANDBOX_PORT"] = str(self._issuer_port)
        return super().launch(name, fault=fault, **settings)

    def unsettled(self) -> str:
        """As `Hub.unsettled`; what nobody has an endpoint for stays open, and is no matter."""
        reason = super().unsettled()
        if not reason.endswith("deliveries are open"):
            return reason
        addressed = (
            "select count(*) from deliveries where state = 'open' and destination not like 'none%%'"
        )
        return reason if self.count(addressed) else ""

    async def caller(self, who: str) -> httpx.AsyncClient:
        """The hub's API as an organisation's system, or as a person (``p-1001``), calls it. One
        for each, until `hang_up`.
        """
        if who not in self._clients:
            token = self.token(who) if who in self._tokens else await self._logged_in(who)
            self._clients[who] = self._client(who, token)
        return self._clients[who]

    async def hang_up(self) -> None:
        """Close all connections of callers."""
        for client in self._clients.values():
            await client.aclose()
        self._clients.clear()

    async def change(self, **change: str) -> None:
        """Change a record at PDS, and relay the event that PDS sends."""
        async with httpx.AsyncClient(timeout=20.0, verify=False, trust_env=False) as http:
            done = (await http.post(f"{self.url('pds')}/sandbox/changes", json=change)).json()
        async with self._client("relay", self._relay) as relay:
            told = await relay.post("/mns/events", json=done["event"])
            assert (told.status_code, told.json()["taken"]) == (202, 1), told.text

    async def _logged_in(self, subject: str) -> str:
        async with httpx.AsyncClient(timeout=20.0, verify=False, trust_env=False) as http:
            return await person_token(http, self._issuer, subject)

    def _client(self, who: str, token: str) -> httpx.AsyncClient:
        async def keep(response: httpx.Response) -> None:
            if response.headers.get("content-type", "").startswith("text/event-stream"):
                return
            await response.aread()
            asked = f"{response.request.method} {response.request.url.path}"
            text = f"{dict(response.headers)} {response.text}"
            self.answered.append(Answered(who, asked, response.status_code, text))

        return httpx.AsyncClient(
            base_url=self.url("serve"),
            headers={"Authorization": f"Bearer {token}"},
            timeout=20.0,
            verify=False,  # loopback, without TLS: no authorities are loaded
            trust_env=False,
            event_hooks={"response": [keep]},
        )

    def _directory_file(self) -> str:
        relay = hashlib.sha256(self._relay.encode()).hexdigest()
        more = [
            (
                f'[[authority]]\ngss = "{COUNTY}"\nname = "Practice County Council"\n'
                'alert_endpoint = "north"\nrestricted_endpoint = "north-restricted"\n'
                f'phone_office = "{OFFICE}"\n'
            ),
            (
                f'[[credential]]\norganisation = "{HOSPITAL}"\nsha256 = "{relay}"\n'
                'roles = ["pds-relay"]\n'
            ),
        ]
        roles = sorted({role for one in STAFF for role in one.roles})
        more += [f'[[role_map]]\nclaim = "{role}"\nrole = "{role}"\n' for role in roles]
        return "\n".join([super()._directory_file(), *more])


Found = dict[str, set[str]]
"""Where something stands, and what: ``topic:…``, ``table:…``, ``file:…``, ``metrics:…``."""


class Search:
    """Where words stand in a system: on its bus, in its tables, files and metrics, and in what it
    sent and answered.
    """

    def __init__(self, hub: DeathsHub, words: Iterable[str]) -> None:
        self._hub = hub
        # as written by people and machines: any case, without or with another space
        self._words = {
            one: re.compile(re.escape(one).replace(r"\ ", "(?: |%20|\\+)?"), re.IGNORECASE)
            for one in words
        }

    def of(self, text: str) -> set[str]:
        """The words in a text."""
        return {word for word, pattern in self._words.items() if pattern.search(text)}

    def everywhere(self) -> Found:
        """All of it, at this moment."""
        found: Found = defaultdict(set)
        for place, text in (*self._bus(), *self._tables(), *self._files(), *self._metrics()):
            if words := self.of(text):
                found[place] |= words
        return dict(found)

    def _bus(self) -> Iterable[tuple[str, str]]:
        for one in on_wire(self._hub, *(topic.name for topic in registry())):
            said = f"{_text(one.key)} {one.headers} {_text(one.value)}"
            yield f"topic:{one.topic}", said

    def _tables(self) -> Iterable[tuple[str, str]]:
        with psycopg.connect(self._hub.database.admin_url, autocommit=True) as connection:
            tables = connection.execute(
                "select schemaname, tablename from pg_tables"
                " where schemaname not in ('pg_catalog', 'information_schema') order by 1, 2"
            ).fetchall()
            for schema, table in tables:
                cursor = connection.execute(
                    sql.SQL("select * from {}").format(sql.Identifier(schema, table))
                )
                names = [column.name for column in cursor.description or ()]
                for row in cursor:
                    for name, value in zip(names, row, strict=True):
                        yield f"table:{table}.{name}", _text(value)

    def _files(self) -> Iterable[tuple[str, str]]:
        """Logs, output, journals of receivers; not what the practice PDS knows."""
        home = self._hub.directory
        for file in home.rglob("*"):
            if file.is_file() and file.name != "people.jsonl":
                place = file.relative_to(home)
                yield f"file:{place}", f"{place} {_text(file.read_bytes())}"

    def _metrics(self) -> Iterable[tuple[str, str]]:
        for name in self._hub.processes:
            for path in ("/metrics", "/livez", "/readyz"):
                yield f"metrics:{name}", self._hub.health(name, path)[1]


def _text(value: Any) -> str:
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).decode("latin-1")
    return str(value)
