"""The routes of the audit chain and of reviews: one's own organisation's; readings are noted."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle

from flag_service import access_reviews, audit
from halyard.caller import Attempt, Caller
from halyard.http import make_app
from halyard.postgres import make_pool
from halyard.settings import HttpSettings
from tests.support.audit import COUNCIL, HOSPITAL, Chain, chain, entry
from tests.support.face import KEYS
from tests.support.services import Database

NUMBER = "9990000018"


@pytest.fixture
async def made(database: Database, tmp_path: Path) -> AsyncIterator[Chain]:
    """Five entries of the hospital, two of them about one child, one of the council about it."""
    child = KEYS.person(NUMBER)
    async with chain(database, tmp_path / "c", sample_one_in=0) as made:
        await made.append(
            entry(1),
            entry(2, person=child, purpose="break-glass", actor="user:anne"),
            entry(3, person=child, decision="deny", kind="refusal"),
            entry(4, COUNCIL, person=child),
            entry(5, subject="alert:1"),
        )
        await made.seal_all()
        made.now += timedelta(seconds=60)
        yield made


@asynccontextmanager
async def client(
    made: Chain, organisation: str = HOSPITAL, subject: str = "user:guardian"
) -> AsyncIterator[httpx.AsyncClient]:
    """A client whom the door has let in; the face works with the rights of its own role."""

    async def door(_attempt: Attempt) -> Caller:
        return Caller(
            organisation, subject, frozenset({"auditor"}), person=True, name="G. Guardian"
        )

    def tick() -> datetime:
        made.now += timedelta(seconds=1)
        return made.now

    settings = made.settings.model_copy(
        update={"http": HttpSettings.model_validate({"database_url": made.database.face_url})}
    )
    async with make_pool(settings, name="test", schema="face") as pool:
        app = make_app(
            settings,
            title="test",
            authenticate=door,
            open_paths=frozenset(),
            routers=(
                audit.make_router(settings, pool, KEYS, tick),
                access_reviews.make_router(pool, tick),
            ),
        )
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://test"
        ) as asking:
            yield asking


async def test_an_organisation_reads_its_own_chain_page_by_page(made: Chain) -> None:
    """The newest first, with place and hash; others' entries are not there; each page is noted."""
    async with client(made) as asking:
        first = (await asking.get("/audit", params={"limit": 3})).json()
        rest = (await asking.get("/audit", params={"limit": 9, "after": first["next"]})).json()
        assert [one["seq"] for one in first["entries"]] == [4, 3, 2]
        assert [one["seq"] for one in rest["entries"]] == [1]
        assert (first["more"], rest["more"]) == (True, False)
        noted = (await asking.get("/audit", params={"actor": "user:guardian"})).json()["entries"]
        assert [one["detail"]["entries"] for one in noted] == ["1", "3"]
        assert noted[0]["actor_name"] == "G. Guardian"
        about = (await asking.get("/audit", params={"subject": "alert:1"})).json()
        assert [one["seq"] for one in about["entries"]] == [4]
        assert (await asking.get("/audit", params={"after": "x"})).status_code == 422
        for wrong in ({"kind": "bogus"}, {"flow": "bogus"}, {"actor": "x\0y"}):
            assert (await asking.get("/audit", params=wrong)).status_code == 422
        kept = await asking.get("/audit", params={"kind": "access", "flow": "flag-lookup"})
        assert kept.json()["entries"]


async def test_the_chain_is_read_as_fhir_too(made: Chain) -> None:
    """A Bundle of AuditEvents."""
    async with client(made) as asking:
        answer = await asking.get("/audit", headers={"Accept": "application/fhir+json"})
    assert answer.headers["content-type"].startswith("application/fhir+json")
    found = Bundle.model_validate(answer.json())
    assert len(found.entry or []) == 4


async def test_a_subject_access_report_lists_who_was_told(made: Chain) -> None:
    """When, who, why, which policy; refusals too; not another organisation's; and the asking itself
    stands in the next one.
    """
    async with client(made) as asking:
        body = {"nhs_number": NUMBER, "reason": "request of the mother"}
        first = (await asking.post("/audit/subject-access", json=body)).json()
        assert [(one["actor"], one["decision"]) for one in first["disclosures"]] == [
            ("user:0", "deny"),
            ("user:anne", "permit"),
        ]
        assert first["disclosures"][1]["place"] == f"{HOSPITAL} 2"
        assert (first["restricted"], first["notice"]) == (False, None)
        again = (await asking.post("/audit/subject-access", json=body)).json()
        own = again["disclosures"][0]
        assert (own["actor"], own["purpose"], own["reason"]) == (
            "user:guardian",
            "subject-access",
            "request of the mother",
        )
        assert NUMBER not in str(again)
        wrong = await asking.post("/audit/subject-access", json={**body, "nhs_number": "999"})
        assert wrong.status_code == 422
        no_reason = await asking.post("/audit/subject-access", json={"nhs_number": NUMBER})
        assert no_reason.status_code == 422
        veiled = entry(6, person=KEYS.person(NUMBER), detail=(("person", "restricted"),))
        await made.append(veiled)
        whole = (await asking.post("/audit/subject-access", json={**body, "limit": 1})).json()
        assert [one["restricted"] for one in whole["disclosures"]] == [""]
        assert whole["restricted"]
        assert "looked at" in whole["notice"]
    async with client(made, COUNCIL) as asking:
        other = (await asking.post("/audit/subject-access", json=body)).json()
        assert [one["told"] for one in other["disclosures"]] == [COUNCIL]


async def test_a_review_is_closed_over_http_and_not_by_who_looked(made: Chain) -> None:
    """403 for one's own access, 404 for another organisation's, 409 once it is closed otherwise."""
    async with client(made) as asking:
        (review,) = (await asking.get("/reviews/accesses")).json()["reviews"]
        assert (review["rule"], review["access"]["actor"]) == ("break-glass", "user:anne")
        path = f"/reviews/accesses/{review['review_id']}"
        verdict = {"outcome": "needs-enquiry", "note": "not on duty"}
        async with client(made, COUNCIL) as other, client(made, subject="user:anne") as own:
            assert (await other.get("/reviews/accesses")).json()["reviews"] == []
            assert (await other.post(path, json=verdict)).status_code == 404
            assert (await own.post(path, json=verdict)).status_code == 403
        for note in ({}, {"note": " "}):
            refused = await asking.post(path, json={"outcome": "inappropriate", **note})
            assert (refused.status_code, "body.note" in refused.text) == (422, True)
        closed = await asking.post(path, json=verdict)
        assert (closed.status_code, closed.json()["outcome"]) == (200, "needs-enquiry")
        assert (
            await asking.post(path, json={**verdict, "outcome": "appropriate"})
        ).status_code == 409
        assert (await asking.get("/reviews/accesses")).json()["reviews"] == []
        (listed,) = (await asking.get("/reviews/accesses?closed=true")).json()["reviews"]
        assert listed["reviewer"] == "user:guardian"
        query = "select body from audit_entries where body ->> 'subject' = 'access-reviews'"
        read = [body for (body,) in made.rows(query)]  # each reading, by whom; also of nothing
        assert sorted((one["chain"], one["detail"]["reviews"]) for one in read) == [
            (COUNCIL, "0"),
            (HOSPITAL, "0"),
            (HOSPITAL, "1"),
            (HOSPITAL, "1"),
        ]
        assert {one["actor"] for one in read} == {"user:guardian"}
        unknown = await asking.post(f"/reviews/accesses/{uuid.uuid4()}", json=verdict)
        assert unknown.status_code == 404
