"""The hub's part that deaths go through, as real processes: a `Hub` with agencies and panels.

with make_deaths_hub(people=…) as hub:
    hub.start(REVIEW)
    await hub.say(HOSPITAL, bundles.notification(…))
    hub.settle_deaths()
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import httpx
import psycopg
from psycopg.rows import dict_row

from halyard.embedded.datadir import write_private
from halyard.errors import BrokerUnavailable
from sandbox.pds.people import Person
from tests.support.hub_files import HOSPITAL, NORTH, SOUTH
from tests.support.services import Database
from tests.support.system import Hub
from tests.support.waiting import eventually

SECOND_HOSPITAL = "RZ8"
SURGERY = "Y00001"
SECRETARIAT = "QZ9"  # pragma: allowlist secret
PANEL, SOUTH_PANEL = "north", "south"
SENDERS = (HOSPITAL, SECOND_HOSPITAL, SURGERY, NORTH, SOUTH)

STAGES = ("cases", "ncmd")
"""From what identity said to the store."""
BACKFILL = ("identity", *STAGES)
REVIEW = ("pds", "identity", "tracer", "matching", *STAGES, "serve")
PROCESS_MESSAGE = "/fhir/R4/$process-message"


class DeathsHub(Hub):
    """A `Hub` whose directory also has a second hospital, a surgery, two panels and their feeds."""

    def __init__(
        self,
        directory: Path,
        *,
        bootstrap: str,
        database: Database,
        namespace: str,
        people: Iterable[Person] = (),
        settings: Mapping[str, str] | None = None,
        keys_of: Path | None = None,
        organisations: Iterable[str] = (),
    ) -> None:
        """`organisations`: more that have a token. `keys_of`: the secrets file of another hub, so
        that the same people and references have the same pseudonyms.
        """
        super().__init__(
            directory,
            bootstrap=bootstrap,
            database=database,
            namespace=namespace,
            people=people,
            settings={"HALYARD_NCMD__DATABASE_URL": database.ncmd_url, **(settings or {})},
            organisations=(SECOND_HOSPITAL, SURGERY, SECRETARIAT, *organisations),
        )
        if keys_of is not None:
            write_private(directory / "secrets.toml", keys_of.read_text())

    # --- what agencies do ----------------------------------------------------------------------

    async def say(self, organisation: str, message: Mapping[str, Any]) -> httpx.Response:
        """One FHIR message of an organisation; the hub's answer as it is."""
        async with httpx.AsyncClient(timeout=20.0) as http:
            return await http.post(
                f"{self.url('serve')}{PROCESS_MESSAGE}",
                content=json.dumps(message).encode(),
                headers={
                    "Authorization": f"Bearer {self.token(organisation)}",
                    "Content-Type": "application/fhir+json",
                },
            )

    # --- the store -----------------------------------------------------------------------------

    def store(self, statement: str, *values: object) -> list[dict[str, Any]]:
        """Run SQL in the NCMD store, as its own role."""
        with psycopg.connect(
            self.database.ncmd_url,
            autocommit=True,
            options="-c search_path=ncmd",
            row_factory=dict_row,
            connect_timeout=5,
        ) as connection:
            cursor = connection.execute(statement, values)
            return cursor.fetchall() if cursor.description else []

    def deaths_unsettled(self) -> str:
        """What is still under way between a message and the store; empty when nothing is."""
        if "identity" in self.processes and (lag := self.lag("identity")):
            return f"identity has {lag} records to take"
        if "tracer" in self.processes and (
            waits := self.count(
                "select count(*) from trace_requests where state in ('queued', 'leased')"
            )
        ):
            return f"{waits} traces wait for PDS"
        unpublished = "select count(*) from outbox where published_at is null"
        if rows := self.count(unpublished):
            return f"{rows} outbox rows are not published"
        if lag := self.lag("cases"):
            return f"cases has {lag} records to take"
        if rows := self.count(unpublished):
            return f"{rows} outbox rows are not published"
        decided = self.count("select count(*) from case_events")
        (kept,) = self.store("select count(*) as n from history")
        if kept["n"] != decided:
            return f"the store has {kept['n']} of {decided} versions"
        return ""

    def settle_deaths(self, seconds: float = 60.0, *, threads: int = 0) -> None:
        """Wait until everything that was said is in the store, and that of `threads` notifications
        at least; what ended is started again. Looked at twice: what PDS answers goes back to
        identity, which was looked at before.
        """
        calm = 0

        def settled() -> bool:
            nonlocal calm
            self.revive()
            reason = self.deaths_unsettled()
            if not reason and threads:
                held = self.count("select count(*) from case_notifications")
                reason = f"{held} of {threads} notifications came" if held < threads else ""
            calm = 0 if reason else calm + 1
            assert not reason, reason
            return calm > 1

        eventually(
            settled,
            seconds,
            0.2,
            why="everything is in the store",
            ignore=(AssertionError, psycopg.OperationalError, BrokerUnavailable),
        )

    def _directory_file(self) -> str:
        hospitals = [
            f'[[hospital]]\nods = "{SECOND_HOSPITAL}"\nname = "Practice Children\'s Hospital"\n'
        ]
        agencies = [
            (
                f'[[agency]]\ncode = "{SURGERY}"\nname = "Practice Road Surgery"\n'
                'kind = "general-practice"\nhealth_or_social_care = true\n'
            ),
            (
                f'[[agency]]\ncode = "{SECRETARIAT}"\nname = "Panel secretariat"\n'
                "health_or_social_care = true\n"
            ),
        ]
        feeds = [
            f'[[feed]]\nsource = "{code.lower()}-fhir"\norganisation = "{code}"\n'
            'transport = "fhir"\n' + ("relays_pds = true\n" if code == HOSPITAL else "")
            for code in SENDERS
        ]
        panels = [
            f'[[panel]]\ncode = "{code}"\nname = "{code.title()} Child Death Overview Panel"\n'
            f'organisation = "{SECRETARIAT}"\nareas = [{{ gss = "{gss}" }}]\n'
            for code, gss in ((PANEL, NORTH), (SOUTH_PANEL, SOUTH))
        ]
        return "\n".join([super()._directory_file(), *hospitals, *agencies, *feeds, *panels])


MakeDeathsHub = Callable[..., AbstractContextManager[DeathsHub]]
"""``make_deaths_hub(people, settings)``, a fixture of the acceptance tests."""
