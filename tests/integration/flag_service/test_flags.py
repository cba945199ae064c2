"""``POST /flags/query`` over real HTTP and a real database."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import httpx
import psycopg
import pytest

from connectors.fhir.flag_projection import NONE_HELD_ADVICE
from connectors.local_authority.client import HubRefused
from flag_service import lookup
from halyard.postgres import transaction
from schemas.events import PlanType
from stores import flags, uploads, worklist
from stores.flags import Flag
from stores.uploads import Line
from stores.worklist import WorklistEntry
from tests.support.face import (
    CLINIC,
    INFIRMARY,
    KEYS,
    NORTH,
    STRANGER,
    Hub,
    bearer,
    hub,
    real_logs,
    settings,
)
from tests.support.services import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NUMBER, OTHER = "9990000018", "9990000026"


def asked(number: str, **more: Any) -> dict[str, Any]:
    """The body of a query."""
    return {"nhs_number": number, "purpose": "urgent-care", **more}


@pytest.fixture
async def face(database: Database) -> AsyncIterator[Hub]:
    """A hub on a database at a fixed time; no broker is needed to answer."""
    made = settings(database_url=database.url)
    async with hub(made, connect=False, clock=lambda: NOW) as running:
        yield running


async def file_came(face: Hub, *, hours_ago: int = 1) -> None:
    """North sent a file; one of its records matches nobody."""
    at = NOW - timedelta(hours=hours_ago)
    one = Line(uuid.uuid4(), 1, uuid.uuid4(), NORTH, 1, at)
    async with transaction(face.pool) as connection:
        await uploads.register(connection, [one], [])
        await worklist.add(
            connection,
            [
                WorklistEntry(
                    entry_id=uuid.uuid4(),
                    reported_event_id=one.reported_event_id,
                    event_kind="flag",
                    organisation=NORTH,
                    source=NORTH,
                    rule="pds-none",
                    indicator="S04",
                    opened_at=at,
                    local_id="C-9",
                )
            ],
        )


async def plan_is_held(face: Hub, number: str = NUMBER) -> None:
    """North holds a plan of the person under `number`."""
    person = KEYS.person(number)
    flag = Flag(
        authority=NORTH,
        person=person,
        plan_type=PlanType.LAC,
        start=date(2025, 1, 6),
        end=None,
        sequence=1,
        line=1,
        active_since=NOW,
        restricted=False,
        nhs_number=number,
        birth_date="2017-03-04",
    )
    async with transaction(face.pool) as connection:
        await flags.replace(connection, [person], [flag], NOW)


@pytest.mark.parametrize("caller", [INFIRMARY, NORTH])
async def test_a_held_plan_is_flagged(face: Hub, caller: str) -> None:
    """Hospitals and authorities may ask; the number comes in any usual form."""
    await file_came(face)
    await plan_is_held(face)
    async with face.client(caller) as client:
        for form in (NUMBER, "999 000 0018"):
            found = await client.query_flags(form)
            assert found["answer"] == lookup.FLAGGED
            assert found["flags"][0]["plan_type"] == "LAC"
            assert found["flags"][0]["phone_office"] == "01632 960001"


async def test_another_person_is_none_held_with_its_coverage(face: Hub) -> None:
    """As of now, from a file an hour old, with one record unmatched, on a number not known."""
    await file_came(face)
    await plan_is_held(face)
    async with face.client(CLINIC) as client:
        found = await client.query_flags(OTHER)
    assert found["answer"] == lookup.NONE_HELD
    assert found["as_of"] == NOW.isoformat()
    assert found["coverage"][0]["age_seconds"] == 3_600
    assert found["coverage"][0]["unmatched_records"] == 1
    assert found["number"] == "not-known-here"
    assert found["advice"] == NONE_HELD_ADVICE  # constant: that this one is superseded is not told


@pytest.mark.parametrize("hours_ago", [None, 49])
async def test_without_a_fresh_file_it_could_not_be_checked(
    face: Hub, hours_ago: int | None
) -> None:
    """503, so that nobody takes it for an answer about the child."""
    if hours_ago is not None:
        await file_came(face, hours_ago=hours_ago)
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(INFIRMARY)) as plain:
        response = await plain.post("/flags/query", json=asked(NUMBER))
    assert response.status_code == 503
    assert response.json()["answer"] == lookup.NOT_CHECKED
    assert "flags" not in response.json()


async def test_with_the_database_away_it_could_not_be_checked(
    face: Hub, database: Database
) -> None:
    """Never an empty list after a failed check."""
    await file_came(face)
    await plan_is_held(face)
    head, _, name = database.admin_url.rpartition("/")
    with psycopg.connect(f"{head}/postgres", autocommit=True) as admin:
        admin.execute(f'alter database "{name}" allow_connections false'.encode())
        admin.execute(
            "select pg_terminate_backend(pid) from pg_stat_activity where datname = %s", (name,)
        )
    async with face.client(INFIRMARY) as client:
        found = await client.query_flags(NUMBER)
    assert found["answer"] == lookup.NOT_CHECKED
    assert found["reason"] == "the-store-did-not-answer"
    assert "flags" not in found


@pytest.mark.parametrize(
    ("number", "rule"),
    [
        ("9990000019", "nhs_number.bad_check_digit"),
        ("9999999999", "nhs_number.placeholder.tracing_sentinel"),
        ("12345", "nhs_number.malformed"),
        ("4505577104", "nhs_number.live_range_in_test"),
    ],
)
async def test_a_number_that_cannot_be_one_is_422_and_not_echoed(
    face: Hub, number: str, rule: str
) -> None:
    """It says which rule, not which number."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(INFIRMARY)) as plain:
        response = await plain.post("/flags/query", json=asked(number))
    assert response.status_code == 422
    assert response.json()["rule"] == rule
    assert number not in response.text


@pytest.mark.parametrize(
    ("body", "rule"),
    [
        ({"nhs_number": NUMBER}, "http.invalid"),
        (asked(NUMBER, purpose="curiosity"), "http.invalid"),
        (asked(NUMBER, purpose="research"), "http.invalid"),
        (asked(NUMBER, reason="x" * 201), "http.invalid"),
        (asked(NUMBER, unscheduled="no"), "http.invalid"),
        (asked(NUMBER, purpose="break-glass"), "flags.reason_needed"),
    ],
)
async def test_without_a_purpose_nothing_is_answered(
    face: Hub, body: dict[str, Any], rule: str
) -> None:
    """One of four, with a reason if the glass is broken; nothing that was sent comes back."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(INFIRMARY)) as plain:
        response = await plain.post("/flags/query", json=body)
    assert (response.status_code, response.json()["rule"]) == (422, rule)
    assert NUMBER not in response.text


async def test_a_look_that_no_policy_permits_is_403_with_the_rule_and_the_policy(
    face: Hub,
) -> None:
    """A system breaks no glass: the answer names the rule, and nothing of the child."""
    await plan_is_held(face)
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(INFIRMARY)) as plain:
        response = await plain.post(
            "/flags/query", json=asked(NUMBER, purpose="break-glass", reason="haste")
        )
    assert response.status_code == 403
    problem = response.json()
    assert (problem["rule"], problem["policy"]) == (
        "policy.break-glass-role",
        {"id": "flag-lookup", "version": 1},
    )
    assert "answer" not in problem


async def test_the_answer_names_policy_purpose_and_accesses(face: Hub) -> None:
    """With what is withheld by name, and who looked before."""
    await file_came(face)
    await plan_is_held(face)
    async with face.client(INFIRMARY) as client:
        await client.query_flags(NUMBER, purpose="direct-care", unscheduled=False)
    async with face.client(NORTH) as client:
        found = await client.query_flags(NUMBER, purpose="child-protection")
    assert (found["purpose"], found["policy"]["id"]) == ("child-protection", "flag-lookup")
    assert found["policy"]["withheld"] == []
    assert found["earlier_attendances_rule"] == "not-your-role"
    (access,) = found["accesses"]
    assert (access["organisation"], access["purpose"], access["system"]) == (
        INFIRMARY,
        "direct-care",
        True,
    )
    assert access["unscheduled"] is False


async def test_only_hospitals_and_authorities_may_ask(face: Hub) -> None:
    """A token alone is not enough."""
    await file_came(face)
    async with face.client(STRANGER) as client:
        with pytest.raises(HubRefused) as caught:
            await client.query_flags(NUMBER)
    assert caught.value.status == 403


async def test_the_number_is_not_taken_from_a_url(face: Hub) -> None:
    """There is no route that has it in its path or query."""
    async with httpx.AsyncClient(base_url=face.url, headers=bearer(INFIRMARY)) as plain:
        assert (await plain.get("/flags/query", params={"nhs_number": NUMBER})).status_code == 405
        response = await plain.post("/flags/query", params={"nhs_number": NUMBER})
    assert response.status_code == 422
    assert NUMBER not in response.text


async def test_a_failed_look_up_logs_no_number(
    face: Hub, capfd: pytest.CaptureFixture[str]
) -> None:
    """Neither the number nor its pseudonym."""
    await face.asking.close()
    with real_logs():
        async with face.client(INFIRMARY) as client:
            await client.query_flags(NUMBER)
    said = capfd.readouterr()
    assert "lookup_failed" in said.err
    assert NUMBER not in said.err + said.out
    assert KEYS.person(NUMBER) not in said.err + said.out
