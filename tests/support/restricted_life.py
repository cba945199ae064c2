"""The life of a restricted child, and of one who becomes so, as everybody around them drives it."""

from __future__ import annotations

import asyncio
import json
import uuid
from dataclasses import replace
from datetime import timedelta
from functools import partial
from itertools import chain
from typing import Any

import httpx
from typer.testing import CliRunner

from connectors.fhir.flag_projection import FLAG_CODE
from connectors.fhir.mailbox_client import MailboxClient
from connectors.hl7v2.client import MllpClient
from halyard.cli.main import app
from halyard.clock import system_clock
from sandbox.deaths import bundles
from sandbox.deaths.bundles import Child
from sandbox.issuer.people import AUTHORITY as COUNTY
from sandbox.pds.people import Person
from sandbox.receiver import Received
from tests.support.behaviour import fhir
from tests.support.behaviour.story import Someone, Step
from tests.support.deaths_system import SECOND_HOSPITAL, SECRETARIAT, SURGERY
from tests.support.hub_files import CONTACT, HOSPITAL, NORTH, SOUTH
from tests.support.journals import received
from tests.support.load import Plan, adt, flag_line, upload_flags
from tests.support.restricted import Found, RestrictedHub, Search
from tests.support.waiting import aeventually, eventually

OTTOLINE = Person(
    "9991230033",
    "Vexborough",
    ("Ottoline",),
    "2015-03-28",
    "female",
    "ZZ6 5QJ",
    restricted=True,
    practice="Y91919",
)
MAUD = Person(
    "9991230041", "Wyvernshaw", ("Maud",), "2017-10-23", "female", "ZZ4 3QV", practice="Y92929"
)
ADDRESS, TOWN = "17 Quillfeather Row", "Umberleigh"
WARD, SITE, DEPARTMENT = "QZXWARD", "RZ9QX", "QZXFHIR"
"""Where Ottoline was: over HL7 v2, and over FHIR."""
EARLY, EARLY_SITE, LATER, LATER_SITE = "QZXEARLY", "RZ901", "QZXLATER", "RZ9QY"
"""Where Maud was before she became restricted, and when she was."""
HERS = ("ZZ6 5QJ", ADDRESS, TOWN, WARD, SITE, DEPARTMENT, "Y91919")
"""What would tell where Ottoline is; her number and name are no secret."""
MAUDS = ("ZZ4 3QV", LATER, LATER_SITE, "Y92929")

INSIDE = {
    # what senders said, until the topic's retention, and as a claim for 48 hours
    "topic:safeguarding.attendance.reported.v1",
    "table:claims.event",
    # what matching folds visits from: if PDS lifts the restriction the place counts again. Only
    # stages read it; every way out of the hub goes by the restriction as it is then
    "topic:safeguarding.attendance.verified.v1",
    "table:outbox.value",
    "table:visit_events.event",
    "table:visits.department",
    "table:visits.site_ods",
    # the practice PDS keeps its people; it is not the hub
    "file:data/practice-pds-people.jsonl",
}
"""Where a place of a living child who is restricted may stand."""
DEATHS = {
    # the facts of a notification as its sender made it; the case that is made of them has none
    "topic:child-death.death.notified.v1",
    "topic:child-death.death.verified.v1",
    "topic:child-death.report.submitted.v1",
    "topic:child-death.report.verified.v1",
    "table:case_messages.event",
}
"""And of one who died."""

NO_CONTACT = "flag-restricted-without-contact"
CLINICIAN, SECOND_CLINICIAN, NURSE, WORKER = "p-1001", "p-1101", "p-1002", "p-2001"
EVERYBODY = (
    *(HOSPITAL, SECOND_HOSPITAL, COUNTY, NORTH, SOUTH, SURGERY, SECRETARIAT),
    *(CLINICIAN, SECOND_CLINICIAN, NURSE, WORKER, "p-1003", "p-1004", "p-2002", "p-3001"),
)


class Life:
    """What was seen on the way, for the tests to look at."""

    def __init__(self, hub: RestrictedHub) -> None:
        self.hub = hub
        self.codes: dict[str, list[str]] = {}
        self.looks: dict[str, Any] = {}
        self.found: dict[str, Found] = {}
        self.traced: list[str] = []
        self.letters: set[str] = set()  # kinds that the surgery got
        self.streamed: dict[str, list[str]] = {}

    def search(self, *words: str) -> Found:
        """Where `words` stand now."""
        return Search(self.hub, words).everywhere()


async def live(life: Life) -> None:
    """Both lives, from the flag to the end, with a search at each turn."""
    hub = life.hub
    await _flagged(life)
    listening = [
        asyncio.create_task(_listen(hub, who, life.streamed.setdefault(who, [])))
        for who in (COUNTY, SOUTH, HOSPITAL)
    ]
    await _arrive(hub)
    hub.settle()
    life.looks["ottoline"] = await _looked_up(hub, OTTOLINE)
    await _traced(life)
    await _becomes_restricted(life)
    await _dies(life)
    await _read_by_everybody(hub)
    life.found["dead"] = life.search(*HERS)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    await hub.hang_up()


async def _listen(hub: RestrictedHub, who: str, into: list[str]) -> None:
    """The live list, as long as it lasts."""
    http = await hub.caller(who)
    async with http.stream("GET", "/alerts/stream", timeout=None) as response:
        async for line in response.aiter_lines():
            into.append(line)  # noqa: PERF401 - it is read while it grows


# --- what happens ----------------------------------------------------------------------------


async def _flagged(life: Life) -> None:
    """Both authorities hold a plan of each child."""
    for authority in (COUNTY, SOUTH):
        lines = [
            flag_line(OTTOLINE, Plan(authority, "LAC")),
            flag_line(MAUD, Plan(authority, "CPP")),
        ]
        life.codes[authority] = await upload_flags(
            life.hub, authority, b"".join(lines), expected=None
        )


async def _arrive(hub: RestrictedHub) -> None:
    """Ottoline by number, by names alone, under another's name, and over FHIR; Maud by number."""
    now = system_clock().replace(microsecond=0)
    other = replace(OTTOLINE, family="Someoneelse", given=("Petra",), birth_date="2014-01-09")
    await _over_mllp(
        hub,
        _message(OTTOLINE, "V1", 9, local_id="M1"),
        _message(OTTOLINE, "V2", 8, local_id="M2", number=None),
        _message(other, "V3", 7, local_id="M3"),
        _message(MAUD, "V4", 6, place=(EARLY, EARLY_SITE), local_id="M4"),
    )
    step = Step(
        "A04", Someone(OTTOLINE, "W12"), hospital=SECOND_HOSPITAL, at=-5, department=DEPARTMENT
    )
    body = fhir.render(step, control_id=str(uuid.uuid4()), visit="V5", now=now)
    bundle = json.loads(body)
    for entry in bundle["entry"]:
        if entry["resource"]["resourceType"] == "Patient":
            entry["resource"]["address"][0]["line"] = [ADDRESS]
            entry["resource"]["generalPractitioner"] = [
                {"identifier": {"value": OTTOLINE.practice}}
            ]
    http = await hub.caller(SECOND_HOSPITAL)
    answer = await http.post(
        "/fhir/R4/$process-message",
        content=json.dumps(bundle),
        headers={"Content-Type": "application/fhir+json"},
    )
    assert answer.status_code == 202, answer.text


def _message(
    person: Person, visit: str, minutes: int, *, place: tuple[str, str] = (WARD, SITE), **more: Any
) -> bytes:
    """An A04 with the address, the ward and the practice of the child."""
    at = system_clock().replace(microsecond=0) - timedelta(minutes=minutes)
    made = adt("A04", person, control_id=f"C-{visit}", visit=visit, occurred=at, **more).decode()
    made = made.replace("1 TEST STREET^^TESTTOWN", f"{ADDRESS}^^{TOWN}")
    made = made.replace("ED^^^RZ901", "^^^".join(place))
    return made.replace("PV1|", f"PD1|||THE SURGERY^^{person.practice}\rPV1|").encode()


async def _over_mllp(hub: RestrictedHub, *messages: bytes) -> None:
    async with MllpClient("127.0.0.1", hub.mllp_port) as client:
        for message in messages:
            assert b"\rMSA|AA|" in await client.send(message)


async def _looked_up(hub: RestrictedHub, person: Person) -> dict[str, Any]:
    """A child in every shape, by whoever may ask; what `/flags/query` told each."""
    told: dict[str, Any] = {}
    of_patient = {"patient:identifier": f"{fhir.NHS_NUMBER}|{person.nhs_number}"}
    of_code = {"patient": person.nhs_number, "code": FLAG_CODE}
    for who in (CLINICIAN, SECOND_CLINICIAN, NURSE, WORKER, HOSPITAL, COUNTY, SOUTH, NORTH):
        body = {"nhs_number": person.nhs_number, "purpose": "urgent-care", "reason": "she is here"}
        if who in (COUNTY, SOUTH, NORTH, WORKER):
            body["purpose"] = "child-protection"
        http = await hub.caller(who)
        told[who] = (await _checked(http, "/flags/query", json=body)).json()
        told[f"record {who}"] = (await http.post("/people/record", json=body)).json()
        if who.startswith("p-1"):
            await _checked(http, "/flags/query", json={**body, "purpose": "break-glass"})
            await http.post("/people/record", json={**body, "purpose": "break-glass"})
        for path in (
            "/patient-flags/FHIR/R4/PatientFlag",
            "/cpis/FHIR/R4/CareTeam",
            "/cpis/FHIR/R4/AuditEvent",
        ):
            asked = of_code if "PatientFlag" in path else of_patient
            await _checked(http, f"{path}/_search", data=asked)
    return told


async def _checked(http: httpx.AsyncClient, path: str, **body: Any) -> httpx.Response:
    """A look-up's answer; "could not be checked" is asked again, as people do."""

    async def answered() -> httpx.Response:
        answer = await http.post(path, **body)
        assert answer.status_code == httpx.codes.OK, (path, answer.text)
        return answer

    return await aeventually(answered, 30, 0.3, why="a look-up is answered")


async def _traced(life: Life) -> None:
    """One person traced by each kind of organisation, and a file of an authority with its result,
    by HTTP and by the command.
    """
    hub = life.hub
    person = {
        "family": OTTOLINE.family,
        "given": OTTOLINE.given[0],
        "birth_date": OTTOLINE.birth_date,
        "gender": OTTOLINE.gender,
    }
    asked = {"purpose": "child-protection", "reason": "who is she", "person": person}
    numbered = {**person, "nhs_number": OTTOLINE.nhs_number}
    for who in (COUNTY, SOUTH, WORKER, CLINICIAN):
        http = await hub.caller(who)
        for one in (person, numbered):
            answer = await http.post("/traces", json={**asked, "person": one})
            assert answer.status_code in (200, 202, 403), answer.text
            if answer.status_code == 200:
                life.traced.append(answer.text)
    head = b"local_id,nhs_number,family,given,birth_date,gender,postcode\n"
    line = f"S1,,{OTTOLINE.family},{OTTOLINE.given[0]},{OTTOLINE.birth_date},female,\n"
    http = await hub.caller(SOUTH)
    taken = await http.post(
        "/trace-batches?purpose=child-protection",
        content=head + line.encode(),
        headers={"Content-Type": "text/csv", "Halyard-Reason": "the yearly file"},
    )
    assert taken.status_code == 202, taken.text
    place = f"/trace-batches/{taken.json()['batch_id']}"

    async def done() -> bool:
        return bool((await http.get(place)).json()["state"] == "done")

    await aeventually(done, 30, 0.2, why="the file is traced")
    result = await http.get(f"{place}/result")
    life.traced.append(result.text)


async def _read_by_everybody(hub: RestrictedHub) -> None:
    """Every list there is, by every organisation and role, with its entries."""
    for who in EVERYBODY:
        http = await hub.caller(who)
        for path in (
            *("/me", "/alerts", "/worklist", "/reports/shared-numbers", "/trace-batches"),
            *("/reviews/disclosures", "/reviews/accesses", "/audit", "/fhir/R4/messages"),
        ):
            page = await http.get(path)
            if path == "/worklist" and page.status_code == 200:
                for entry in page.json()["entries"]:
                    await http.get(f"/worklist/{entry['entry_id']}")
    for row in hub.query("select alert_id from alerts"):
        for who in (COUNTY, SOUTH, HOSPITAL, NURSE, CLINICIAN):
            http = await hub.caller(who)
            await http.get(f"/alerts/{row['alert_id']}")


async def _becomes_restricted(life: Life) -> None:
    """Maud's alert is open when PDS restricts her; she comes again; later she is as before."""
    hub = life.hub
    before = {one.delivery_id for one in webhooks(hub)}
    await hub.change(change="restrict", nhs_number=MAUD.nhs_number)
    await _until(hub, MAUD, restricted=True)
    await _over_mllp(hub, _message(MAUD, "V6", 1, place=(LATER, LATER_SITE), local_id="M4"))
    hub.settle()
    life.looks["maud"] = await _looked_up(hub, MAUD)
    await _read_by_everybody(hub)
    hub.settle()
    life.looks["told of maud"] = [
        one for one in webhooks(hub) if one.delivery_id not in before and about(one, MAUD)
    ]
    found = life.search(*HERS, *MAUDS)
    for whose, words in (("alive", HERS), ("maud", MAUDS)):
        life.found[whose] = {place: at for place, at in found.items() if at & {*words}}
    life.looks["maud's answers"] = [one.text for one in hub.answered]
    life.looks["maud's stream"] = [*chain.from_iterable(life.streamed.values())]
    await hub.change(change="unrestrict", nhs_number=MAUD.nhs_number)
    await _until(hub, MAUD, restricted=False)
    hub.settle()
    http = await hub.caller(CLINICIAN)
    body = {"nhs_number": MAUD.nhs_number, "purpose": "urgent-care"}
    life.looks["maud again"] = (await http.post("/flags/query", json=body)).json()


async def _until(hub: RestrictedHub, person: Person, *, restricted: bool) -> None:
    def now() -> bool:
        statement = "select restricted from identities where person = %s"
        (row,) = hub.query(statement, hub.keys.person(person.nhs_number))
        return bool(row["restricted"] is restricted)

    eventually(now, 30, why="PDS was asked again")
    hub.settle()


async def _dies(life: Life) -> None:
    """Her hospital notifies, with the address that it knows; her surgery is asked, and reports."""
    hub = life.hub
    child = Child(
        family=OTTOLINE.family,
        given=OTTOLINE.given,
        birth_date=OTTOLINE.birth_date,
        sex=OTTOLINE.gender,
        nhs_number=OTTOLINE.nhs_number,
        local_id="M1",
        postcode=OTTOLINE.postcode,
        address=f"{ADDRESS}, {TOWN}",
        died="2026-11-02",
    )
    answers = {"child.residence-authority": COUNTY, "death.place-words": f"{WARD}, {SITE}"}
    rows = {"professional": [{"role": "general-practitioner", "organisation-code": SURGERY}]}
    for organisation, message in (
        (HOSPITAL, bundles.notification(reference="N-1", child=child, answers=answers, rows=rows)),
        (SURGERY, bundles.report(reference="R-1", child=child, answers={"report.home": ADDRESS})),
    ):
        told = await hub.say(organisation, message)
        assert told.status_code == httpx.codes.ACCEPTED, told.text
        hub.settle_deaths()
    (case,) = hub.query("select case_id from cases")
    by = ("--reason", "her panel", "--by", "secretariat", "--json")
    arguments = ["cases", "assign", str(case["case_id"]), "--panel", "north", *by]
    invoke = partial(CliRunner().invoke, app, arguments, env=hub.environment)
    done = await asyncio.to_thread(invoke)
    assert done.exit_code == 0, done.output
    hub.settle_deaths()
    async with MailboxClient(hub.url("serve"), hub.token(SURGERY)) as box:

        async def asked() -> bool:
            life.letters = {one.kind async for one in box.letters()}
            return "report-request" in life.letters

        await aeventually(asked, 30, why="the surgery is asked for a report")


def webhooks(hub: RestrictedHub) -> list[Received]:
    """Everything that authorities and the hospital's contact received."""
    return [one for name in ("north", "south", CONTACT) for one in received(hub, name)]


def about(one: Received, person: Person) -> bool:
    """Whether a webhook names the person."""
    return bool(one.body.get("person", {}).get("nhs_number") == person.nhs_number)
