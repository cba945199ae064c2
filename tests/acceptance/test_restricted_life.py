"""A restricted child's whole life in the hub: where she is stands nowhere that anybody is told.

Ottoline is restricted from the start; Maud becomes so while she is in hospital, and is not later.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

import pytest

from halyard.cli.doctor_identity import index
from sandbox.issuer.people import AUTHORITY as COUNTY
from schemas import codec
from schemas.deaths import CaseChanged
from schemas.events import AttendanceVerified, IdentityStatus
from schemas.topics import ATTENDANCE_VERIFIED
from tests.support.deaths_system import SECOND_HOSPITAL
from tests.support.hub_files import CONTACT, HOSPITAL, NORTH, SOUTH
from tests.support.journals import on_wire, received
from tests.support.restricted import OFFICE, SERVICES, RestrictedHub, Search
from tests.support.restricted_life import (
    CLINICIAN,
    DEATHS,
    HERS,
    INSIDE,
    MAUD,
    MAUDS,
    NO_CONTACT,
    NURSE,
    OTTOLINE,
    SECOND_CLINICIAN,
    WORKER,
    Life,
    about,
    live,
    webhooks,
)
from tests.support.services import DatabaseServer

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def life(
    kafka_bootstrap: str,
    database_server: DatabaseServer,
    _migrated: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Life]:
    """Both lives, from the flag to the end, with a search at each turn."""
    database = database_server.create(template=_migrated)
    try:
        with RestrictedHub(
            tmp_path_factory.mktemp("restricted"),
            bootstrap=kafka_bootstrap,
            database=database,
            namespace=f"t{uuid.uuid4().hex[:10]}",
            people=(OTTOLINE, MAUD),
        ) as hub:
            hub.start(SERVICES)
            made = Life(hub)
            asyncio.run(live(made))
            yield made
    finally:
        database_server.drop(database)


def _placeless(body: Mapping[str, Any]) -> bool:
    """Whether an alert's body tells no place."""
    visit = body["visit"]
    told = ("department", "mode_of_arrival", "reason", "admission_method", "acuity")
    return (
        (body["hospital"]["ods"], body["hospital"]["name"]) == ("withheld", "withheld")
        and body["hospital"]["site_ods"] is None
        and all(visit[name] is None for name in (*told, "discharge_destination"))
    )


# --- claims ----------------------------------------------------------------------------------


def test_a_plan_is_held_only_where_a_contact_is_registered(life: Life) -> None:
    """Both authorities are answered CPR02; one holds the plan, the other has it on its worklist,
    and there also the plan of the child who became restricted later.
    """
    assert life.codes == {COUNTY: ["CPR02", "CPR06"], SOUTH: ["CPR02", "CPR06"]}
    person = life.hub.keys.person(OTTOLINE.nhs_number)
    held = life.hub.query("select authority, restricted from flags where person = %s", person)
    assert held == [{"authority": COUNTY, "restricted": True}]
    listed = life.hub.query("select organisation from worklist where rule = %s", NO_CONTACT)
    assert listed == [{"organisation": SOUTH}] * 2


def test_only_the_registered_contact_is_alerted_and_of_no_place(life: Life) -> None:
    """By number, by names alone and over FHIR: three arrivals, none of them provisional, to one
    destination; neither the other authorities nor any hospital hears of them.
    """
    hub = life.hub
    told = [one for one in webhooks(hub) if about(one, OTTOLINE)]
    alerts = [one.body for one in told if one.kind == "alert"]
    assert len({body["alert_id"] for body in alerts if body["change"] == "raised"}) == 3
    assert all(body["restricted"] and not body["provisional"] for body in alerts)
    assert all(_placeless(body) for body in alerts)
    for name in ("south", CONTACT):
        assert not [one for one in received(hub, name) if about(one, OTTOLINE)]
    destinations = hub.query(
        "select distinct destination from deliveries join alerts using (alert_id)"
        " where alerts.person = %s",
        hub.keys.person(OTTOLINE.nhs_number),
    )
    assert destinations == [{"destination": "north-restricted"}]
    for one in told:
        said = json.dumps(one.body)
        for hospital in (HOSPITAL, SECOND_HOSPITAL, "Practice General", "Children's Hospital"):
            assert hospital not in said, one.kind
    for record in on_wire(hub, ATTENDANCE_VERIFIED):
        event = codec.decode_as(AttendanceVerified, record.value)
        assert event.identity.status is IdentityStatus.VERIFIED


def test_whoever_looks_learns_that_a_plan_is_held_and_no_more(life: Life) -> None:
    """Her own authority sees its plan; clinicians where she is, and other authorities, whom to ask;
    the core record has neither another's identifiers nor an address.
    """
    told = life.looks["ottoline"]
    for who in (CLINICIAN, SECOND_CLINICIAN, NURSE, HOSPITAL, SOUTH, NORTH):
        (plan,) = told[who]["flags"]
        assert plan["active"], who
        assert plan["restricted"], who
        assert not any(plan[name] for name in ("authority", "phone_office", "plan_type", "start"))
        assert told[who]["earlier_attendances"] is None, who
        assert OFFICE not in json.dumps(told[who]), who
    for who in (COUNTY, WORKER):
        (plan,) = told[who]["flags"]
        assert (plan["authority"], plan["phone_office"]) == (COUNTY, OFFICE)
        lookers = {one["organisation"] for one in told[who]["accesses"]}
        assert lookers <= {None, COUNTY}  # when others looked, and of its own people who
    assert told[f"record {SOUTH}"]["answer"] == "nothing-held"
    shown = told[f"record {SECOND_CLINICIAN}"]
    assert [one["value"] for one in shown["identifiers"]] == ["W12"]
    assert shown["other_identifiers"] == []


def test_a_trace_says_restricted_and_no_address(life: Life) -> None:
    """One person by details and by number, and a line of a file."""
    assert len(life.traced) >= 5
    assert all("restricted" in one for one in life.traced)


def test_no_answer_letter_or_live_list_tells_a_place(life: Life) -> None:
    """Everything that anybody was answered over HTTP, the mailboxes of all organisations and the
    worklists' details included; and the live lists, which say nothing of her at all.
    """
    search = Search(life.hub, HERS)
    assert len(life.hub.answered) > 200
    assert {(one.who, one.asked) for one in life.hub.answered if search.of(one.text)} == set()
    assert "report-request" in life.letters
    streamed = "\n".join([*chain.from_iterable(life.streamed.values())])
    assert search.of(streamed) == set()
    hers = {one.alert_id for one in webhooks(life.hub) if about(one, OTTOLINE) and one.alert_id}
    assert "data: " in streamed
    assert not any(alert_id in streamed for alert_id in hers)


def test_a_place_stands_nowhere_but_where_its_sender_put_it(life: Life) -> None:
    """Of all topics, tables of hub and NCMD store, logs, journals, metrics and files: only in what
    the sender said and the stages pass on; in no alert, case, letter, index or delivery.
    """
    assert "topic:safeguarding.attendance.reported.v1" in life.found["alive"]
    assert life.found["alive"].keys() <= INSIDE
    assert "topic:child-death.death.notified.v1" in life.found["dead"]
    assert life.found["dead"].keys() <= INSIDE | DEATHS
    (case,) = life.hub.query("select content from cases")
    assert codec.decode_as(CaseChanged, case["content"]).content.restricted
    assert life.hub.store("select * from history")


def test_a_child_who_becomes_restricted_is_so_everywhere_at_once(life: Life) -> None:
    """From PDS's word on: the contact alone is told, her next arrival tells no place, the lists
    close her alerts; and when PDS lifts it the plans are shown again.
    """
    hub = life.hub
    assert life.found["maud"].keys() <= INSIDE
    search = Search(hub, MAUDS)
    assert [one for one in life.looks["maud's answers"] if search.of(one)] == []
    assert search.of("\n".join(life.looks["maud's stream"])) == set()
    assert any('"withheld"' in one for one in life.looks["maud's stream"])
    told = life.looks["told of maud"]
    alerts = [one.body for one in told if one.kind == "alert"]
    assert any(body["rule"] == "restriction-changed" for body in alerts)
    assert all(body["restricted"] and _placeless(body) for body in alerts)
    assert {one.kind for one in told} <= {"alert", "access"}
    assert {body["authority"]["gss"] for body in alerts} == {COUNTY}
    (hidden,) = life.looks["maud"][CLINICIAN]["flags"]
    assert (hidden["restricted"], hidden["authority"]) == (True, None)
    again = life.looks["maud again"]["flags"]
    assert {one["authority"] for one in again} == {COUNTY, SOUTH}


def test_the_index_knows_both_for_a_reason_and_no_postcode(life: Life) -> None:
    """`halyard doctor` finds nobody known without one; PDS gave no address of Ottoline."""
    result, text = index(life.hub.settings)
    assert (result, text.split()[0]) == ("ok", "2")
    person = life.hub.keys.person(OTTOLINE.nhs_number)
    known = life.hub.query("select postcode, restricted from identities where person = %s", person)
    assert known == [{"postcode": None, "restricted": True}]
