"""A system with a practice issuer and a sealer: people with tokens, and a chain that is sealed.

Beside the `Hub`'s own: two more hospitals, an authority whose social worker can log in, a school.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from halyard.audit_keys import new_seed
from halyard.embedded.datadir import write_private
from sandbox.issuer.client import person_token
from sandbox.issuer.people import AUTHORITY as COUNTY
from sandbox.issuer.people import PEOPLE as STAFF
from sandbox.pds.people import Person
from tests.support.loopback import quiet_ports
from tests.support.processes import Process
from tests.support.services import Database, DatabaseServer
from tests.support.system import COMMANDS, Hub

SECOND, CHILDREN = "RZ8", "RZ7"  # hospitals: the one speaks FHIR, the other HL7 v2
SCHOOL = "EE100001"
SERVICES = (
    *("pds", "north", "contact", "issuer", "identity", "matching"),
    *("tracer", "dispatcher", "sealer", "serve", "hl7v2"),
)
CLINICIAN, SECOND_CLINICIAN, WORKER = "p-1001", "p-1101", "p-2001"


class AnneHub(Hub):
    """See the module."""

    commands: Mapping[str, tuple[str, ...]] = {
        **COMMANDS,
        "issuer": ("sandbox", "issuer"),
        "sealer": ("sealer",),
    }

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
        (port,) = quiet_ports(1)
        self.issuer_url = f"http://127.0.0.1:{port}"
        self._issuer_port = port
        super().__init__(
            directory,
            bootstrap=bootstrap,
            database=database,
            namespace=namespace,
            people=people,
            settings={"HALYARD_ACCESS__ISSUER": self.issuer_url, **(settings or {})},
            organisations=(COUNTY, SECOND, CHILDREN, SCHOOL),
        )
        file = directory / "secrets.toml"
        write_private(file, f'{file.read_text()}[audit]\ncurrent = "test"\ntest = "{new_seed()}"\n')

    def launch(self, name: str, *, fault: str | None = None, **settings: str) -> Process:
        """As `Hub.launch`; the issuer has a port of its own."""
        if name == "issuer":
            settings["HALYARD_SANDBOX_PORT"] = str(self._issuer_port)
        return super().launch(name, fault=fault, **settings)

    async def person(self, subject: str) -> httpx.AsyncClient:
        """The hub's API as somebody calls it who has logged in at the issuer; a context manager."""
        async with httpx.AsyncClient(timeout=20.0, trust_env=False) as http:
            token = await person_token(http, self.issuer_url, subject)
        return self.caller(token)

    def caller(self, token: str) -> httpx.AsyncClient:
        """The hub's API with a token; a context manager."""
        headers = {"Authorization": f"Bearer {token}"}
        return httpx.AsyncClient(
            base_url=self.url("serve"), headers=headers, timeout=20.0, trust_env=False
        )

    def _directory_file(self) -> str:
        more = [
            f'[[hospital]]\nods = "{code}"\nname = "{name}"\n'
            'departments = { "ED" = "Emergency department" }\n'
            for code, name in (
                (SECOND, "Practice Walk-in Centre"),
                (CHILDREN, "Practice Infirmary"),
            )
        ]
        more += [
            (
                f'[[feed]]\nsource = "{CHILDREN.lower()}-edis"\norganisation = "{CHILDREN}"\n'
                f'facility = "{CHILDREN}"\n'
            ),
            (
                f'[[feed]]\nsource = "{SECOND.lower()}-fhir"\norganisation = "{SECOND}"\n'
                'transport = "fhir"\n'
            ),
            (
                f'[[authority]]\ngss = "{COUNTY}"\nname = "Practice County Council"\n'
                'alert_endpoint = "north"\nrestricted_endpoint = "north-restricted"\n'
                'phone_office = "01632 960 203"\n'
            ),
            f'[[agency]]\ncode = "{SCHOOL}"\nname = "Practice Primary School"\nkind = "school"\n',
        ]
        roles = sorted({role for one in STAFF for role in one.roles})
        more += [f'[[role_map]]\nclaim = "{role}"\nrole = "{role}"\n' for role in roles]
        return "\n".join([super()._directory_file(), *more])


@contextmanager
def anne_hub(
    place: Path, bootstrap: str, server: DatabaseServer, template: str, people: Iterable[Person]
) -> Iterator[AnneHub]:
    """A system on services to share, not started yet."""
    database = server.create(template=template)
    try:
        with AnneHub(
            place,
            bootstrap=bootstrap,
            database=database,
            namespace=f"t{uuid.uuid4().hex[:10]}",
            people=people,
        ) as hub:
            yield hub
    finally:
        server.drop(database)
