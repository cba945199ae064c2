"""The second main job in the demo: a child's death, from the notification to the NCMD store."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import httpx

from connectors.fhir.client import FhirClient
from connectors.fhir.mailbox_client import MailboxClient, ReceivedLetter
from connectors.fhir.view import obj, objs, text
from halyard.cli import practice
from halyard.cli.deaths import answering
from halyard.cli.demo_steps import Steps
from halyard.cli.system import Addresses
from halyard.clock import system_clock
from halyard.postgres import make_pool, transaction
from halyard.settings import Settings
from sandbox.samples.render import DEATHS, render
from schemas.deaths import CaseChanged, CaseContent, Eligibility, FlagHistory, RequestState
from stores import ncmd

_TAKEN = 202


class DeathsDemo:
    """Three steps: notified and acknowledged, reported, in the store. Skye Harbourne is invented,
    as everybody is.
    """

    def __init__(
        self,
        steps: Steps,
        addresses: Addresses,
        settings: Settings,
        tokens: Mapping[str, str],
        *,
        run: str,
    ) -> None:
        self._steps = steps
        self._addresses = addresses
        self._settings = settings
        self._tokens = tokens
        self._run = run

    async def walk(self, http: httpx.AsyncClient) -> None:
        """The steps, one after the other. Raises `StepFailed`."""
        await self._notify()
        case_id = await self._report()
        await self._show_store(http, case_id)

    async def _notify(self) -> None:
        self._steps.begin("death", "a hospital notifies a child's death, and reads the answer")
        message = self._message("notification.json")
        receipt = await self._send(practice.HOSPITAL, message)
        async with self._mailbox(practice.HOSPITAL) as box:
            deadline = self._steps.deadline()
            while not (answers := await box.answers(receipt)):
                await self._steps.pause(deadline, "no answer is in the hospital's mailbox")
        (answer,) = answers
        status = _parameter(answer, "status")
        self._steps.report(f"answer to fetch: {answer.kind}, {status}")
        self._steps.results["death"] = {"answer": answer.kind, "status": status}
        self._steps.check(
            (answer.kind, status) == ("acknowledgement", "accepted"), "it was not accepted"
        )

    async def _report(self) -> uuid.UUID:
        self._steps.begin("report", "agencies are asked for reports; the authority sends its own")
        letter = await self._letter(practice.AUTHORITY, "report-request")
        household = await self._letter(practice.AUTHORITY, "household-check")
        await self._letter(practice.SURGERY, "report-request")
        task = _task(letter)
        request = uuid.UUID(text(objs(task, "identifier")[0], "value"))
        due = text(task, "restriction", "period", "end")[:10]
        self._steps.report(
            f"{practice.AUTHORITY_NAME}: {letter.kind} due {due}, {household.kind}; "
            f"{practice.SURGERY_NAME}: report-request"
        )
        await self._send(practice.AUTHORITY, answering(self._message("report.json"), request))
        self._steps.results["report"] = {"request_id": str(request), "due": due}
        return uuid.UUID(text(task, "groupIdentifier", "value"))

    async def _show_store(self, http: httpx.AsyncClient, case_id: uuid.UUID) -> None:
        self._steps.begin("case", "the case, as it stands in the NCMD store")
        deadline = self._steps.deadline()
        while (event := await self._stored(case_id)) is None or not _reported(event.content):
            await self._steps.pause(deadline, "the report is not in the store")
        for line in describe(event):
            self._steps.report(line)
        while (submitted := await self._submitted(http, case_id)) < event.version:
            await self._steps.pause(deadline, "the practice receiver does not have the case")
        self._steps.report(f"submitted over HTTP to the practice receiver: version {submitted}")
        content = event.content
        self._steps.results["case"] = {
            "case_id": str(case_id),
            "version": event.version,
            "eligibility": content.eligibility.value,
            "panel": content.panel,
            "flag_history": content.flag_history.value,
        }
        self._steps.check(content.eligibility is Eligibility.IN_SCOPE, "it is not in scope")
        self._steps.check(content.panel == practice.PANEL, "it has another panel")
        self._steps.check(content.flag_history is FlagHistory.CURRENT, "the plan is not there")

    async def _send(self, organisation: str, message: bytes) -> str:
        async with FhirClient(self._addresses.api_url, self._tokens[organisation]) as hub:
            answer = await hub.send(message)
        self._steps.report(f"{organisation}: {answer.status}, receipt {answer.receipt}")
        self._steps.check(answer.status == _TAKEN, "the message was not taken")
        return answer.receipt or ""

    async def _letter(self, organisation: str, kind: str) -> ReceivedLetter:
        """The newest letter of a kind to an organisation, as soon as it is there."""
        deadline = self._steps.deadline()
        async with self._mailbox(organisation) as box:
            while True:
                found = [letter async for letter in box.letters() if letter.kind == kind]
                if found:
                    return found[-1]
                await self._steps.pause(deadline, f"{organisation} got no {kind}")

    async def _stored(self, case_id: uuid.UUID) -> CaseChanged | None:
        async with (
            make_pool(self._settings, name="demo", size=1, schema="ncmd") as pool,
            transaction(pool) as connection,
        ):
            found = await ncmd.as_of(connection, case_id, system_clock())
        return found[0] if found else None

    async def _submitted(self, http: httpx.AsyncClient, case_id: uuid.UUID) -> int:
        """The version that the practice receiver has; 0 for none."""
        answer = await http.get(f"{self._addresses.ncmd_url}/cases")
        answer.raise_for_status()
        case: dict[str, Any] = answer.json().get(str(case_id), {})
        return int(case.get("version", 0))

    def _message(self, name: str) -> bytes:
        return render((DEATHS / name).read_text("utf-8"), system_clock(), self._run).encode()

    def _mailbox(self, organisation: str) -> MailboxClient:
        return MailboxClient(self._addresses.api_url, self._tokens[organisation])


def describe(event: CaseChanged) -> list[str]:
    """A case in a few lines, without its child's name."""
    content = event.content
    plans = ", ".join(f"{one.plan_type} {one.history.value.lower()}" for one in content.flags)
    requests = ", ".join(f"{one.agency or one.role} {one.state.value}" for one in content.requests)
    reports = ", ".join(f"{one.organisation} {one.kind.value}" for one in content.reports)
    scope = f"{content.eligibility.value} ({content.eligibility_rule})"
    return [
        f"CASE {event.case_id} version {event.version}: {scope}, panel {content.panel}",
        f"  {len(content.facts)} facts with their provenance; plan at death: {plans or 'none'}",
        f"  requests: {requests}",
        f"  reports: {reports}",
    ]


def _reported(content: CaseContent) -> bool:
    return any(one.state is RequestState.SUBMITTED for one in content.requests)


def _task(letter: ReceivedLetter) -> dict[str, Any]:
    resources = [obj(entry, "resource") for entry in objs(letter.bundle, "entry")]
    return next(one for one in resources if text(one, "resourceType") == "Task")


def _parameter(letter: ReceivedLetter, name: str) -> str:
    for entry in objs(letter.bundle, "entry"):
        for one in objs(obj(entry, "resource"), "parameter"):
            if text(one, "name") == name:
                return text(one, "valueCode")
    return ""
