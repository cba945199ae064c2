"""The main jobs, step by step, against a running system: what `halyard demo` shows.

Each step checks what it shows; a step that does not hold ends the demo with the step, the reason
and where to look.
"""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from typing import Any

import httpx

from connectors.local_authority.client import HubClient
from halyard.cli import practice
from halyard.cli.demo_deaths import DeathsDemo
from halyard.cli.demo_steps import STEP_SECONDS, Report, StepFailed, Steps
from halyard.cli.send import Answer, send_all
from halyard.cli.system import Addresses
from halyard.cli.trace import find_hops
from halyard.clock import system_clock
from halyard.errors import HalyardError
from halyard.postgres import make_pool, transaction
from halyard.settings import Settings
from sandbox.issuer.client import person_token
from sandbox.samples.cast import CAST
from sandbox.samples.render import FLAGS, MORNING, messages, render
from stores import timeline

EXPECTED_CODES = ["CPR06", "CPR06", "CPR06", "CPR06", "CPR02", "CPR05", "CPR01", "CPR07"]
EXPECTED_ALERTS = 3
ACCEPTED_BY = "Duty social worker"
# People of the practice issuer
SOCIAL_WORKER, CLINICIAN = "p-2001", "p-1001"
ANSWER = "Known to us: allocated worker informed, strategy discussion at 14:00."


class Demo:
    """Every step; `run` sets `failure` or leaves None. `results` is for ``--json``."""

    def __init__(
        self, addresses: Addresses, settings: Settings, *, tokens_file: Path, report: Report
    ) -> None:
        self.failure: HalyardError | None = None
        self._steps = Steps(report)
        self._addresses = addresses
        self._report = report
        self._run = uuid.uuid4().hex[:6]
        self._now = system_clock()
        tokens = practice.read_tokens(tokens_file)
        self._settings = settings
        self._authority = HubClient(self._addresses.api_url, tokens[practice.AUTHORITY])
        self._deaths = DeathsDemo(self._steps, addresses, settings, tokens, run=self._run)

    @property
    def results(self) -> dict[str, Any]:
        """What each step showed."""
        return self._steps.results

    def run(self) -> None:
        """All steps, in a thread of its own."""
        try:
            asyncio.run(self._all())
        except HalyardError as error:
            known = isinstance(error, StepFailed)
            self.failure = error if known else StepFailed(self._steps.name, error.message)
        except (httpx.HTTPError, OSError, KeyError, TypeError, ValueError) as error:
            # by class: the text could quote a payload
            self.failure = StepFailed(self._steps.name, type(error).__name__)

    async def _all(self) -> None:
        async with self._authority, httpx.AsyncClient(timeout=5.0) as http:
            await self._load_flags()
            await self._send_morning()
            alerts = await self._show_alerts(http)
            await self._accept(http, alerts)
            await self._show_timeline(alerts)
            await self._look_up(http)
            await self._deaths.walk(http)

    async def _load_flags(self) -> None:
        self._steps.begin("flags", "the authority's flags, and the answer to each")
        body = render(FLAGS.read_text(), self._now, self._run).encode()
        upload = await self._authority.upload(body)
        self._report(f"202: {upload.accepted} records taken, {upload.refused_count} refused")
        shown: dict[int, str] = {}
        async for record in self._authority.follow_answers(upload.upload_id, seconds=STEP_SECONDS):
            shown[record.line] = record.code
            detail = f" ({record.detail})" if record.detail else ""
            self._report(f"{record.local_id}: {record.code} {record.text}{detail}")
        codes = [shown[number] for number in sorted(shown)]
        self.results["flags"] = codes
        self._steps.check(codes == EXPECTED_CODES, f"expected {EXPECTED_CODES}, got {codes}")

    async def _send_morning(self) -> None:
        self._steps.begin(
            "morning", "a hospital's morning over MLLP, each ACK with its milliseconds"
        )
        bodies = messages(render(MORNING.read_text(), system_clock(), self._run))

        def show(answer: Answer) -> None:
            self._report(
                f"{answer.trigger} {answer.message_id} {answer.code} {answer.milliseconds:6.1f} ms"
            )

        answers = await send_all(
            self._addresses.mllp_host, self._addresses.mllp_port, bodies, on_answer=show
        )
        self.results["acks"] = [[one.trigger, one.code, one.milliseconds] for one in answers]
        self._steps.check(all(one.code == "AA" for one in answers), "a message was not answered AA")

    async def _show_alerts(self, http: httpx.AsyncClient) -> list[dict[str, Any]]:
        self._steps.begin("alerts", "the alerts at the authority, and the hospital's contact told")
        deadline = self._steps.deadline()
        while True:
            latest = _latest(await _received(http, self._addresses.authority_url, "alert"))
            if len(latest) >= EXPECTED_ALERTS and not any(
                alert["provisional"] for alert in latest.values()
            ):
                break
            await self._steps.pause(deadline, f"{len(latest)} of {EXPECTED_ALERTS} alerts arrived")
        for alert in latest.values():
            self._report(describe(alert))
        contact = await self._contact(http, "match", len(latest))
        self._report(f"the hospital's contact was told of {len(contact)} matches")
        # the others must stay silent: give every message time to be decided
        await self._until_decided()
        latest = _latest(await _received(http, self._addresses.authority_url, "alert"))
        self.results["alerts"] = list(latest.values())
        self._steps.check(
            len(latest) == EXPECTED_ALERTS,
            f"{len(latest)} people were alerted, not {EXPECTED_ALERTS}",
        )
        return list(latest.values())

    async def _accept(self, http: httpx.AsyncClient, alerts: list[dict[str, Any]]) -> None:
        self._steps.begin("accept", "the duty social worker accepts one; the answer comes back")
        alert = next(one for one in alerts if "CPP" in {flag["plan_type"] for flag in one["flags"]})
        async with await self._logged_in(http, SOCIAL_WORKER) as person:
            await person.accept(uuid.UUID(alert["alert_id"]), by=ACCEPTED_BY, answer=ANSWER)
        deadline = self._steps.deadline()
        while True:
            receipts = [
                one
                for one in await _received(http, self._addresses.contact_url, "receipt")
                if one["alert_id"] == alert["alert_id"] and one["rung"] == "accepted"
            ]
            if receipts:
                break
            await self._steps.pause(deadline, "no receipt reached the hospital's contact")
        receipt = receipts[-1]
        self._report(f"receipt at the hospital: accepted by {receipt['by']} at {receipt['at']}")
        self._report(f"answer: {receipt['answer']}")
        self.results["receipt"] = receipt
        self._steps.check(receipt["answer"] == ANSWER, "the answer is not the one that was given")

    async def _show_timeline(self, alerts: list[dict[str, Any]]) -> None:
        self._steps.begin("timeline", "one message through every hop")
        wanted = {"AttendanceReported", "AttendanceVerified", "AlertChanged", "AlertReceipt"}
        deadline = self._steps.deadline()
        alert = next(one for one in alerts if "CPP" in {flag["plan_type"] for flag in one["flags"]})
        while True:
            hops = await find_hops(self._settings, uuid.UUID(alert["alert_id"]))
            if wanted <= {hop.event for hop in hops}:
                break
            await self._steps.pause(deadline, "the journal does not show every hop")
        for hop in hops:
            self._report(hop.text())
        self.results["timeline"] = [hop.event for hop in hops]

    async def _look_up(self, http: httpx.AsyncClient) -> None:
        self._steps.begin("lookup", "a clinician logs in and looks the child up")
        async with await self._logged_in(http, CLINICIAN) as person:
            seen = await person.query_flags(CAST.robin.nhs_number)
        plans = [flag["plan_type"] for flag in seen.get("flags", [])]
        self._report(f"{seen['answer']}: {', '.join(plans)}, as of {seen['as_of']}")
        self.results["lookup"] = {"answer": seen["answer"], "plans": plans}
        self._steps.check(seen["answer"] == "flagged" and plans == ["CPP"], "no plan was shown")

    async def _logged_in(self, http: httpx.AsyncClient, subject: str) -> HubClient:
        """A client of the hub that acts as an invented person."""
        token = await person_token(http, self._addresses.issuer_url, subject)
        return HubClient(self._addresses.api_url, token)

    async def _contact(self, http: httpx.AsyncClient, kind: str, count: int) -> list[Any]:
        deadline = self._steps.deadline()
        while True:
            got = await _received(http, self._addresses.contact_url, kind)
            if len({one["alert_id"] for one in got}) >= count:
                return sorted({one["alert_id"] for one in got})
            await self._steps.pause(deadline, f"{len(got)} of {count} notices reached the contact")

    async def _until_decided(self) -> None:
        """Wait until identity has decided every message and matching has taken what it gave."""
        deadline = self._steps.deadline()
        while True:
            async with (
                make_pool(self._settings, name="demo", size=1) as pool,
                transaction(pool) as db,
            ):
                left = await timeline.undecided(db, len(self.results["acks"]))
            if not left:
                return
            await self._steps.pause(deadline, f"{left} messages are not decided")


async def _received(http: httpx.AsyncClient, url: str, kind: str) -> list[dict[str, Any]]:
    answer = await http.get(f"{url}/received", params={"kind": kind})
    answer.raise_for_status()
    return [one["body"] for one in answer.json()["received"]]


def _latest(bodies: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The highest version of each alert that stands."""
    latest: dict[str, dict[str, Any]] = {}
    for body in bodies:
        known = latest.get(body["alert_id"])
        if known is None or body["version"] > known["version"]:
            latest[body["alert_id"]] = body
    return {key: body for key, body in latest.items() if body["change"] != "withdrawn"}


def describe(alert: dict[str, Any]) -> str:
    """An alert in a few lines, as a duty desk would read it."""
    visit, callback = alert["visit"], alert["hospital"]["callback"]
    plans = ", ".join(flag["plan_type"] for flag in alert["flags"] if flag["active"])
    return (
        f"ALERT {plans}: {alert['hospital']['name']}, "
        f"{visit['department'] or 'department withheld'}, "
        f"arrived {visit['arrived_at']}, reason: {visit['reason'] or 'not known yet'}; ring "
        f"{callback['name']} {callback['phone']} (version {alert['version']}, {alert['change']})"
    )
