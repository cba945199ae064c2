"""A canary's death through everything: notified, indicated, refused, reported, decided."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import httpx

from connectors.fhir.mailbox_client import MailboxClient
from sandbox.deaths import bundles
from sandbox.deaths.bundles import Child, Json
from sandbox.pds.people import Person
from tests.support.deaths_system import SECOND_HOSPITAL, SURGERY, DeathsHub
from tests.support.hub_files import HOSPITAL, NORTH
from tests.support.processes import run_halyard


async def die(hub: DeathsHub, person: Person, restricted: Person) -> None:
    """Good messages and bad ones; a person's decisions; broken requests of the mailbox."""
    child = _child(person)
    answers = {
        "child.residence-authority": NORTH,
        "death.circumstances": f"{person.given[0]} {person.family} of {person.postcode} collapsed",
        f"{person.family} {person.nhs_number}": "a question that no form has",
    }
    rows = {
        "professional": [
            {"role": "general-practitioner", "organisation-code": SURGERY},
            {"role": "school", "organisation": f"{person.family} School", "name": person.given[0]},
        ],
        "household-child": [{"family": person.family, "given": "Sibling"}],
    }
    first = bundles.notification(reference="N-1", child=child, answers=answers, rows=rows)
    named = f"{person.family}-{person.nhs_number}"  # a sender may call it so
    for organisation, message in (
        (HOSPITAL, first),
        (SECOND_HOSPITAL, bundles.notification(reference=named, child=child, answers=answers)),
        (HOSPITAL, bundles.update(reference="N-1", version=2, child=child, answers=answers)),
        (HOSPITAL, bundles.void(reference=f"{named}-2", version=2, reason=person.family)),
        (HOSPITAL, bundles.pds_death(child=child, status="2")),
        (HOSPITAL, bundles.notification(reference="N-9", child=_child(restricted))),
        (SURGERY, bundles.report(reference=named, child=child, answers=answers)),
        (NORTH, bundles.declined(reference="R-2", child=child, reason=f"not {person.family}")),
    ):
        answer = await hub.say(organisation, message)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
    for broken in _broken(first, person):
        answer = await hub.say(HOSPITAL, broken)
        assert answer.status_code != httpx.codes.OK
    hub.settle_deaths()
    _decide(hub, person)
    hub.settle_deaths()
    await _read(hub, person)


def _child(person: Person) -> Child:
    return Child(
        family=person.family,
        given=person.given,
        birth_date=person.birth_date,
        sex=person.gender,
        nhs_number=person.nhs_number,
        local_id=person.nhs_number,
        postcode=person.postcode,
        address=f"1 {person.family} Street, {person.postcode}",
        died="2026-11-02",
    )


def _broken(message: Json, person: Person) -> list[Any]:
    """What is refused, with the canary where it should not be."""
    again = json.loads(json.dumps(message))
    again["entry"][2]["resource"]["name"][0]["given"] = ["Otherwise"]  # the same id, another body
    nameless = replace(_child(person), family=None, given=(), birth_date=None, nhs_number=None)
    return [
        again,
        bundles.notification(reference="N-3", child=nameless),
        bundles.notification(reference="N-4", child=_child(person), message_id=person.family * 9),
        bundles.update(reference="N-5", version=0, child=_child(person)),
        {**message, "entry": [{"resource": {"resourceType": person.family}}]},
        {"resourceType": person.nhs_number},
    ]


def _decide(hub: DeathsHub, person: Person) -> None:
    """A person merges, assigns and voids, with the canary in the reason."""
    rows = hub.query("select case_id from cases order by opened_at")
    first, second = (str(row["case_id"]) for row in rows[:2])
    reason = ("--reason", f"{person.family} {person.nhs_number}", "--by", "secretariat")
    for arguments in (
        ("merge", second, first),
        ("assign", first, "--panel", "south"),
        ("void", first),
        ("void", first, "--undo"),
    ):
        run_halyard(*("cases", *arguments, *reason), directory=hub.directory, env=hub.environment)


async def _read(hub: DeathsHub, person: Person) -> None:
    """The mailbox, asked well and badly."""
    token = hub.token(SURGERY)
    async with MailboxClient(hub.url("serve"), token) as box:
        assert [one async for one in box.letters()]
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=hub.url("serve"), headers=headers) as http:
        await http.get("/fhir/R4/messages", params={person.family: person.nhs_number})
        await http.get("/fhir/R4/messages", params={"response-to": person.nhs_number})
        await http.get(f"/fhir/R4/messages/{person.nhs_number}")
