"""A system on which stories are played, each over both wires with people of its own."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx

from connectors.fhir.outcomes import PATH
from connectors.hl7v2.ack import parse_ack
from connectors.hl7v2.client import MllpClient
from sandbox.pds.people import Person
from tests.support.behaviour import fhir, hl7
from tests.support.behaviour.stories import TELLERS, tell
from tests.support.behaviour.story import (
    COMMUNITY,
    GENERAL,
    Again,
    Alert,
    Flag,
    Move,
    People,
    Step,
    Story,
    Told,
)
from tests.support.hub_files import AUTHORITIES
from tests.support.journals import last_versions, received
from tests.support.load import Plan, flag_line
from tests.support.system import Hub
from tests.support.waiting import aeventually

WIRES = ("mllp", "fhir")
_SHOWN = {
    "reason": "reason",
    "mode": "mode_of_arrival",
    "acuity": "acuity",
    "department": "department",
    "destination": "discharge_destination",
}

Body = dict[str, Any]

Send = Callable[[str, bytes], Awaitable[None]]
"""Puts a message of a hospital on the wire and waits until the hub has it."""

_MORE = """
[[hospital]]
ods = "{community}"
name = "Practice Community Hospital"
callback_name = "Nurse in charge"
callback_phone = "01632 960 102"
departments = {{ "WIC" = "Walk-in centre" }}

[[arrival_rule]]
name = "community"
[[arrival_rule.arrive]]
name = "emergency"
classes = ["E"]
[[arrival_rule.arrive]]
name = "walk-in"
departments = ["WIC", "MIU"]
[[arrival_rule.arrive]]
name = "admission"
triggers = ["A01"]
admission_methods = ["21", "28", "2B", "31"]

[[feed]]
source = "rz8-pas"
organisation = "{community}"
facility = "{community}"
arrival_rule = "community"

[[feed]]
source = "rz8-fhir"
organisation = "{community}"
transport = "fhir"
endpoint = "{endpoint}:{community}"
arrival_rule = "community"

[[feed]]
source = "rz9-fhir"
organisation = "{general}"
transport = "fhir"
endpoint = "{endpoint}:{general}"

[[credential]]
organisation = "{community}"
sha256 = "{digest}"
"""


@dataclass(slots=True)
class Stage:
    """The stories of both wires and what was told of them. `now` is the stories' present."""

    now: datetime
    stories: Mapping[tuple[str, str], Story]
    _token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)
    _hub: Hub | None = None

    @property
    def hub(self) -> Hub:
        """The system."""
        assert self._hub is not None
        return self._hub

    def people(self) -> Iterable[Person]:
        """Whom PDS knows."""
        for story in self.stories.values():
            yield from (one.person for one in story.people if one not in story.unknown)

    def prepare(self, hub: Hub) -> None:
        """Tell the system, before it starts, of the second hospital and of the FHIR feeds."""
        self._hub = hub
        file = hub.directory / "directory.toml"
        file.write_text(
            file.read_text()
            + _MORE.format(
                community=COMMUNITY,
                general=GENERAL,
                endpoint=fhir.ENDPOINT,
                digest=hashlib.sha256(self._token.encode()).hexdigest(),
            )
        )

    async def play(self) -> None:
        """Upload the flags that are there before, then tell all stories at once."""
        before = defaultdict(list)
        for story in self.stories.values():
            for flag in story.flags:
                before[flag.authority].append(flag)
        await asyncio.gather(*(self._upload(flags) for flags in before.values()))
        mllp = MllpClient("127.0.0.1", self.hub.mllp_port)
        await mllp.connect()
        try:
            async with httpx.AsyncClient(base_url=self.hub.url("serve"), timeout=30) as http:
                wires: dict[str, Send] = {
                    "mllp": lambda _, body: _send_mllp(mllp, body),
                    "fhir": lambda hospital, body: self._post(http, hospital, body),
                }
                await asyncio.gather(
                    *(
                        self._tell(story, wire, wires[wire])
                        for (wire, _), story in self.stories.items()
                    )
                )
        finally:
            await mllp.close()

    async def _tell(self, story: Story, wire: str, send: Send) -> None:
        last: tuple[str, bytes] | None = None
        for number, move in enumerate(story.steps):
            if isinstance(move, Step):
                last = move.hospital, self.message(story, wire, number, move)
                await send(*last)
            elif isinstance(move, Again):
                assert last is not None
                await send(*last)
            else:
                await self._happens(move)

    async def _happens(self, move: Move) -> None:
        if isinstance(move, Flag):
            await self._upload([move])
        elif isinstance(move, Told):
            number = move.who.number
            await aeventually(
                lambda: any(told[1]["person"]["nhs_number"] == number for told in self._live()),
                40,
                0.2,
                why="the alert stands before the story goes on",
            )

    def message(self, story: Story, wire: str, number: int, step: Step) -> bytes:
        """The bytes of one step."""
        render = hl7.render if wire == "mllp" else fhir.render
        prefix = f"{wire}-{story.name}"
        # visit numbers of two stories differ, and a control id has 20 characters at most in v2
        visit = None if step.visit is None else f"{prefix}-{step.visit}"
        return render(step, control_id=f"{prefix}-{number}", visit=visit, now=self.now)

    async def _post(self, http: httpx.AsyncClient, hospital: str, body: bytes) -> None:
        token = self._token if hospital == COMMUNITY else self.hub.token(GENERAL)
        answer = await http.post(
            PATH,
            content=body,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/fhir+json"},
        )
        assert answer.status_code == 202, answer.text

    async def _upload(self, flags: list[Flag]) -> None:
        today = date.today()  # noqa: DTZ011 - a plain date

        def day(days: int | None) -> str | None:
            return None if days is None else (today + timedelta(days=days)).isoformat()

        file = b"".join(
            flag_line(
                one.who.person,
                Plan(one.authority, one.plan),
                start=day(one.start),
                end=day(one.end),
                delete=day(one.delete),
            )
            for one in flags
        )
        async with self.hub.client(flags[0].authority) as client:
            receipt = await client.upload(file)
            assert receipt.refused_count == 0, receipt.refused
            codes = [one.code async for one in client.follow_answers(receipt.upload_id)]
        assert len(codes) == len(flags)

    # --- what was told ---------------------------------------------------------------------

    def _live(self) -> list[tuple[str, Body]]:
        return [told for told in self._told() if told[1]["change"] != "withdrawn"]

    def _told(self) -> list[tuple[str, Body]]:
        """(authority, body) of each alert's last version."""
        return [
            (authority, one.body)
            for authority, name in AUTHORITIES.items()
            for one in last_versions(
                one for one in received(self.hub, name) if one.kind == "alert"
            ).values()
        ]

    def wrong(self, story: Story) -> list[str]:
        """What was told otherwise than it must be; empty if all is right. Names no person."""
        numbers = {one.number for one in story.people}
        told = [one for one in self._told() if one[1]["person"]["nhs_number"] in numbers]
        problems = []
        for alert in story.alerts:
            found = [one for one in told if self._is_about(alert, *one)]
            if not found:
                problems.append(f"no {'live' if alert.live else 'withdrawn'} alert of {alert}")
            for one in found:
                told.remove(one)
                problems += self._differences(alert, one[1])
            if len(found) > 1:
                problems.append(f"{len(found)} alerts of {alert}")
        problems += [
            f"an alert too many: {body['rule']}, {body['visit']['state']}"
            for _, body in told
            if body["change"] != "withdrawn"
        ]
        return problems

    def _is_about(self, alert: Alert, authority: str, body: Body) -> bool:
        return (
            body["person"]["nhs_number"] == alert.who.number
            and authority == alert.authority
            and (body["change"] != "withdrawn") is alert.live
            and alert.hospital in (None, body["hospital"]["ods"])
        )

    def _differences(self, alert: Alert, body: Body) -> list[str]:
        visit = body["visit"]
        wanted = {
            "plans": set(alert.plans),
            "state": alert.state,
            "birth": alert.birth,
            "late": alert.late,
            "provisional": alert.provisional,
            "restricted": alert.restricted,
            "shielded": alert.shielded,
        }
        given = {
            "plans": {flag["plan_type"] for flag in body["flags"] if flag["active"]},
            "state": visit["state"],
            "birth": visit["birth"],
            "late": body["late"],
            "provisional": body["provisional"],
            "restricted": body["restricted"],
            "shielded": visit["location_shielded"],
        }
        for name, shown in _SHOWN.items():
            if (value := getattr(alert, name)) is not None:
                wanted[name], given[name] = value, visit[shown]
        if alert.arrived is not None:
            wanted["arrived"] = self.now + timedelta(minutes=alert.arrived)
            at = visit["arrived_at"]
            given["arrived"] = datetime.fromisoformat(at).astimezone(UTC) if at else None
        if alert.restricted or alert.shielded:
            wanted["place"], given["place"] = [None] * 2, [visit["department"], visit["reason"]]
        return [
            f"{name} is {given[name]}, not {value}"
            for name, value in wanted.items()
            if given[name] != value
        ]


def make_stage() -> Stage:
    """Every story once for each wire."""
    stories = {}
    for series, wire in enumerate(WIRES):
        people = People(series)
        for name in TELLERS:
            stories[wire, name] = tell(name, people)
    return Stage(datetime.now(UTC).replace(microsecond=0), stories)


async def _send_mllp(client: MllpClient, body: bytes) -> None:
    answer = parse_ack(await client.send(body), body)
    assert answer.code == "AA", answer.text
