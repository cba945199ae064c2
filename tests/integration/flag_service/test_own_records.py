"""Answers to uploads and the worklist under sharing policies: recorded once a page, and masked."""

from __future__ import annotations

import uuid
from typing import Any

import httpx

from halyard.clock import system_clock
from halyard.postgres import Pool, transaction
from policies.ruling import Flow
from stores import uploads, worklist
from stores.uploads import Answer, Line, Trailer
from stores.worklist import WorklistEntry
from tests.support.disclosing import DENY, changed, entries
from tests.support.face import NORTH, bearer, hub, settings
from tests.support.services import Database

UPLOAD, EVENT = uuid.UUID(int=1), uuid.UUID(int=2)


async def uploaded(pool: Pool) -> None:
    """A file of one record, which is answered."""
    line = Line(UPLOAD, 1, EVENT, NORTH, 1, system_clock(), "C-1")
    async with transaction(pool) as connection:
        await uploads.register(connection, [line], [])
        await uploads.expect(connection, UPLOAD, Trailer(expected=1))
        await uploads.answer(connection, {EVENT: Answer("CPR06")}, now=system_clock())


async def listed(pool: Pool) -> None:
    """A record that matches nobody."""
    entry = WorklistEntry(
        EVENT, EVENT, "flag", NORTH, NORTH, "no-match", "CPR01", system_clock(), "C-1"
    )
    async with transaction(pool) as connection:
        await worklist.add(connection, [entry])


async def get(url: str, path: str) -> httpx.Response:
    """What North reads."""
    async with httpx.AsyncClient(base_url=url, headers=bearer(NORTH)) as http:
        return await http.get(path)


async def read(database: Database, path: str, **policies: Any) -> tuple[Any, list[dict[str, Any]]]:
    """The answer under changed policies of both flows, and what the audit chain keeps."""
    flow = Flow.UPLOAD_ANSWER if path.startswith("/uploads") else Flow.WORKLIST
    made = settings(database_url=database.url)
    async with hub(made, connect=False, policies=changed(flow, **policies)) as face:
        await uploaded(face.pool)
        await listed(face.pool)
        return await get(face.url, path), await entries(face.pool)


async def test_a_page_of_answers_is_one_entry(database: Database) -> None:
    """Named by the upload; without the ids that the authority gave."""
    answer, (entry,) = await read(database, f"/uploads/{UPLOAD}")
    assert answer.json()["records"][0]["local_id"] == "C-1"
    assert (entry["subject"], entry["flow"]) == (f"upload:{UPLOAD}", "upload-answer")
    assert entry["fields"] == ["answers", "answers.local_id"]


async def test_a_policy_may_withhold_the_local_ids_of_answers(database: Database) -> None:
    """The codes are told, the ids are not."""
    only = [{"sector": "social-care", "fields": ["answers"]}]
    answer, _ = await read(database, f"/uploads/{UPLOAD}", recipients=only)
    (record,) = answer.json()["records"]
    assert (record["local_id"], record["code"]) == (None, "CPR06")


async def test_a_page_that_is_denied_is_refused_and_recorded(database: Database) -> None:
    """403 with the policy and its rule; never an empty page."""
    for path in (f"/uploads/{UPLOAD}", "/worklist"):
        answer, found = await read(database, path, **DENY)
        assert (answer.status_code, answer.json()["rule"]) == (403, "policy.denied")
        assert answer.json()["policy_rule"] == "not-now"
        assert found[-1]["decision"] == "deny"


async def test_a_page_of_the_worklist_is_one_entry(database: Database) -> None:
    """With how many it showed."""
    answer, (entry,) = await read(database, "/worklist")
    assert [one["local_id"] for one in answer.json()["entries"]] == ["C-1"]
    assert (entry["subject"], entry["detail"]["count"]) == ("worklist", "1")
