"""The look-ups in FHIR shapes over real HTTP and a real database."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import psycopg
import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.capabilitystatement import CapabilityStatement
from fhir.resources.R4B.operationoutcome import OperationOutcome

from connectors.fhir.writing import NHS_NUMBER
from halyard.postgres import transaction
from schemas.events import PlanType
from stores import flags, uploads
from stores.flags import Flag
from stores.uploads import Line
from tests.support.face import (
    INFIRMARY,
    KEYS,
    NORTH,
    STRANGER,
    Hub,
    bearer,
    hub,
    settings,
)
from tests.support.services import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NUMBER, OTHER = "9990000018", "9990000026"
FLAGS, TEAMS = "/patient-flags/FHIR/R4/PatientFlag", "/cpis/FHIR/R4/CareTeam"
EVENTS = "/cpis/FHIR/R4/AuditEvent"
CODE = "child-protection-information-sharing-flag"
ROLES = "AuditEvent:entity-type=http://terminology.hl7.org/CodeSystem/v3-RoleClass|ASSIGNED"


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Hub]:
    """A hub on a database at a fixed time, to which North sent a file an hour ago."""
    made = settings(database_url=database.url)
    async with hub(made, connect=False, clock=lambda: NOW) as running:
        line = Line(uuid.uuid4(), 1, uuid.uuid4(), NORTH, 1, NOW - timedelta(hours=1))
        async with transaction(running.pool) as connection:
            await uploads.register(connection, [line], [])
            await flags.replace(connection, [KEYS.person(NUMBER)], [plan()], NOW)
        yield running


def plan(number: str = NUMBER) -> Flag:
    """A plan of North's."""
    return Flag(
        authority=NORTH,
        person=KEYS.person(number),
        plan_type=PlanType.CPP,
        start=date(2025, 1, 6),
        end=None,
        sequence=1,
        line=1,
        active_since=NOW,
        restricted=False,
        nhs_number=number,
        birth_date="2017-03-04",
        phone_office="01632 960001",
        phone_emergency="01632 960002",
    )


async def ask(
    face: Hub,
    path: str,
    parameters: Mapping[str, str],
    *,
    caller: str = INFIRMARY,
    post: bool = False,
    headers: Mapping[str, str] | None = None,
) -> httpx.Response:
    """One search by GET, or by POST to _search."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(caller)) as http:
        if post:
            form = {"Content-Type": "application/x-www-form-urlencoded", **(headers or {})}
            body = urlencode(parameters)
            return await http.post(f"{path}/_search", content=body, headers=form)
        return await http.get(path, params=dict(parameters), headers=headers)


def by_patient(number: str = NUMBER) -> dict[str, str]:
    """The parameters of a CP-IS search."""
    return {"patient:identifier": f"{NHS_NUMBER}|{number}"}


def resources(answer: httpx.Response, mode: str) -> list[dict[str, Any]]:
    """The resources of one search mode, once fhir.resources has taken the Bundle."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    Bundle.model_validate_json(answer.content)
    entries = answer.json().get("entry", [])
    return [one["resource"] for one in entries if one["search"]["mode"] == mode]


def refusal(answer: httpx.Response, status: int) -> str:
    """The first code of an OperationOutcome."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/fhir+json"
    OperationOutcome.model_validate_json(answer.content)
    code: str = answer.json()["issue"][0]["details"]["coding"][0]["code"]
    return code


@pytest.mark.parametrize("post", [False, True])
async def test_a_plan_is_a_flag_with_its_plan_and_team(face: Hub, post: bool) -> None:
    """By GET and by POST: Flag, CarePlan and CareTeam, whose category and telephones are known."""
    answer = await ask(face, FLAGS, {"patient": NUMBER, "code": CODE}, post=post)
    (flag,) = resources(answer, "match")
    care_plan, team = resources(answer, "include")
    assert answer.json()["total"] == 1
    assert flag["status"] == "active"
    assert flag["subject"]["identifier"] == {"system": NHS_NUMBER, "value": NUMBER}
    assert care_plan["category"][0]["coding"][0]["code"] == "342191000000101"
    assert team["name"] == f"{NORTH} - North"
    assert team["telecom"] == [
        {"system": "phone", "value": "01632 960001", "use": "work"},
        {"system": "phone", "value": "01632 960002", "use": "mobile"},
    ]
    urls = {one["fullUrl"] for one in answer.json()["entry"]}
    assert {flag["extension"][0]["valueReference"]["reference"]} <= urls
    assert {care_plan["careTeam"][0]["reference"]} <= urls


@pytest.mark.parametrize("post", [False, True])
async def test_cp_is_shape_gives_the_care_teams(face: Hub, post: bool) -> None:
    """One CareTeam for each plan, with the type of plan as its category."""
    (team,) = resources(await ask(face, TEAMS, by_patient(), post=post), "match")
    assert team["category"][0]["coding"][0]["code"] == "342191000000101"
    # to the child's 18th birthday
    assert team["period"] == {"start": "2025-01-06", "end": "2035-03-03"}


async def test_accesses_are_audit_events_with_their_authors(face: Hub) -> None:
    """After a look the next one sees it; PractitionerRoles come where they are asked for."""
    await ask(face, TEAMS, by_patient())
    with_roles = await ask(face, EVENTS, {**by_patient(), "_include": ROLES}, caller=NORTH)
    (event,) = resources(with_roles, "match")
    (role,) = resources(with_roles, "include")
    assert event["recorded"] == NOW.isoformat()
    assert role["organization"]["identifier"]["value"] == INFIRMARY
    without = await ask(face, EVENTS, by_patient(), caller=NORTH, post=True)
    assert resources(without, "include") == []


async def test_a_negative_answer_says_how_far_it_goes(face: Hub) -> None:
    """Total 0, and an outcome: as of when, which authorities, how old their last file."""
    for path in (FLAGS, TEAMS, EVENTS):
        given = {"patient": OTHER, "code": CODE} if path == FLAGS else by_patient(OTHER)
        answer = await ask(face, path, given)
        assert answer.json()["total"] == 0
        assert resources(answer, "match") == []
        (outcome,) = resources(answer, "outcome")
        rules = [one["details"]["coding"][0]["code"] for one in outcome["issue"]]
        assert rules[0] == "none-held"
        assert {"authority-covered", "authority-not-covered"} <= set(rules)
        told = json.dumps(outcome)
        assert NOW.isoformat() in told
        assert '"valueInteger": 3600' in told
        assert {one["severity"] for one in outcome["issue"]} <= {"information", "warning"}


async def test_what_could_not_be_checked_is_no_bundle(database: Database, face: Hub) -> None:
    """A store that is away, or stale files: 503 with an OperationOutcome."""
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("update halyard.uploads set received_at = received_at - interval '3 d'")
    stale = await ask(face, TEAMS, by_patient(OTHER))
    assert refusal(stale, 503) == "could-not-be-checked"
    assert stale.headers["retry-after"] == "5"
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute("alter table halyard.accesses rename to gone")
    assert refusal(await ask(face, TEAMS, by_patient()), 503) == "could-not-be-checked"


async def test_a_scheduled_access_tells_nobody(database: Database, face: Hub) -> None:
    """IsUnscheduledAccessEvent: absent means unscheduled; false is a silent access."""
    kinds: tuple[dict[str, str], ...] = (
        {},
        {"IsUnscheduledAccessEvent": "true"},
        {"IsUnscheduledAccessEvent": "false"},
    )
    for headers in kinds:
        resources(await ask(face, TEAMS, by_patient(), headers=headers), "match")
    with psycopg.connect(database.admin_url) as connection:
        rows = connection.execute(
            "select unscheduled, purpose, interface from halyard.accesses"
        ).fetchall()
    loud, silent = (True, "urgent-care", "cp-is"), (False, "direct-care", "cp-is")
    assert sorted(rows, reverse=True) == [loud, loud, silent]


async def test_a_wrong_header_is_a_failed_precondition(face: Hub) -> None:
    """400 PRECONDITION_FAILED names the header, never its value."""
    for header, value in (
        ("IsUnscheduledAccessEvent", "perhaps"),
        ("TraceID", NUMBER),
        ("Halyard-Purpose", "curiosity"),
        ("Halyard-Purpose", "break-glass"),  # without a reason
    ):
        answer = await ask(face, TEAMS, by_patient(), headers={header: value})
        assert refusal(answer, 400) == "PRECONDITION_FAILED"
        assert NUMBER not in answer.text


@pytest.mark.parametrize("post", [False, True])
async def test_a_wrong_search_is_refused_with_the_nhs_code(face: Hub, post: bool) -> None:
    """400 with the code, and nothing that was sent."""
    for parameters, code in (
        ({"patient:identifier": f"{NHS_NUMBER}|9990000017"}, "INVALID_SEARCH_DATA"),
        ({"patient:identifier": NUMBER}, "INVALID_SEARCH_DATA"),
        ({"patient:identifier": f"urn:x|{NUMBER}"}, "INVALID_SEARCH_DATA"),
        ({}, "MISSING_VALUE"),
        ({**by_patient(), NUMBER: "x"}, "ADDITIONAL_PROPERTIES"),
        ({**by_patient(), "_format": "xml"}, "INVALID_SEARCH_DATA"),
        ({**by_patient(), "_include": "Patient:link"}, "ADDITIONAL_PROPERTIES"),
    ):
        answer = await ask(face, TEAMS, parameters, post=post)
        assert refusal(answer, 400) == code
        assert "999000" not in answer.text


async def test_other_flags_are_not_searched_for(face: Hub) -> None:
    """Of a flag that the hub does not hold it says nothing, not even that none is held."""
    answer = await ask(face, FLAGS, {"patient": NUMBER, "code": "NRAF"})
    assert refusal(answer, 400) == "INVALID_SEARCH_DATA"


async def test_who_may_not_ask_is_denied_in_fhir(face: Hub) -> None:
    """No token and an organisation without rights: ACCESS_DENIED as OperationOutcome."""
    assert refusal(await ask(face, TEAMS, by_patient(), caller=STRANGER), 403) == "ACCESS_DENIED"
    async with httpx.AsyncClient(base_url=face.url) as http:
        nobody = await http.get(TEAMS, params=by_patient())
    assert refusal(nobody, 401) == "ACCESS_DENIED"
    assert nobody.headers["www-authenticate"].startswith("Bearer")


async def test_a_search_by_post_takes_a_form_alone(face: Hub) -> None:
    """JSON is 415; a parameter in the URL of _search is refused."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(INFIRMARY)) as http:
        as_json = await http.post(f"{TEAMS}/_search", json=by_patient())
        in_url = await http.post(f"{TEAMS}/_search", params=by_patient(), data=by_patient())
    assert refusal(as_json, 415) == "lookup.content_type"
    assert refusal(in_url, 400) == "INVALID_SEARCH_DATA"


async def test_ids_come_back_as_they_were_sent(face: Hub) -> None:
    """X-Request-ID, X-Correlation-ID and TraceID are mirrored, on refusals too."""
    sent = {
        "X-Request-ID": str(uuid.uuid4()),
        "X-Correlation-ID": "ward-7_a",
        "TraceID": str(uuid.uuid4()),
    }
    answer = await ask(face, TEAMS, by_patient(), headers=sent)
    assert {name: answer.headers[name] for name in sent} == sent
    refused = await ask(face, TEAMS, {}, headers=sent)
    assert refused.headers["X-Correlation-ID"] == "ward-7_a"


async def test_metadata_is_a_capability_statement(face: Hub) -> None:
    """Each face states what runs."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http:
        for base in ("/patient-flags/FHIR/R4", "/cpis/FHIR/R4"):
            answer = await http.get(f"{base}/metadata")
            assert answer.status_code == 200
            CapabilityStatement.model_validate_json(answer.content)


async def test_a_restricted_childs_plan_names_nobody(face: Hub) -> None:
    """To a hospital: that a plan is held and whom to ask; no authority, no telephone, no period."""
    async with transaction(face.pool) as connection:
        hidden = replace(plan(), restricted=True)
        await flags.replace(connection, [KEYS.person(NUMBER)], [hidden], NOW)
    answer = await ask(face, FLAGS, {"patient": NUMBER, "code": CODE})
    (flag,) = resources(answer, "match")
    care_plan, team = resources(answer, "include")
    assert flag["meta"]["security"][0]["code"] == "R"
    assert "author" not in flag
    assert not {"telecom", "period"} & set(team)
    assert "safeguarding lead" in team["name"]
    assert NORTH not in json.dumps([flag, care_plan, team])


async def test_a_restricted_childs_accesses_are_withheld_not_none(face: Hub) -> None:
    """After a look: to a hospital no AuditEvent, and the outcome says that it is not told; to the
    authority of the plan the time.
    """
    await ask(face, TEAMS, by_patient())
    async with transaction(face.pool) as connection:
        hidden = replace(plan(), restricted=True)
        await flags.replace(connection, [KEYS.person(NUMBER)], [hidden], NOW)
    for caller, total in ((INFIRMARY, 0), (NORTH, 1)):
        answer = await ask(face, EVENTS, {**by_patient(), "_include": ROLES}, caller=caller)
        (outcome,) = resources(answer, "outcome")
        rules = [one["details"]["coding"][0]["code"] for one in outcome["issue"]]
        assert (answer.json()["total"], "accesses-withheld" in rules) == (total, not total)
        assert INFIRMARY not in answer.text
