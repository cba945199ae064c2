"""A child's subject-access report lists whoever read of that child in a list with others."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx

from halyard.postgres import Pool, transaction
from policies.ruling import Flow
from stores import uploads, worklist
from stores.audit_search import Filter
from stores.uploads import Line
from stores.worklist import WorklistEntry
from streams.audit.reading import Reader, read, report_row
from tests.support.alerts import alert, save
from tests.support.disclosing import DENY, changed, entries
from tests.support.face import KEYS, NORTH, bearer, hub, settings
from tests.support.services import Database

NOW = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
UPLOAD = uuid.UUID(int=7)
FIRST, SECOND = KEYS.person("9990000018"), KEYS.person("9990000026")


async def report(pool: Pool, person: str) -> list[dict[str, Any]]:
    """The disclosures of a child's report, as `halyard audit report` prints them."""
    async with transaction(pool) as connection:
        found = await read(
            connection,
            Filter(persons=(person,)),
            Reader(subject="cli:test", organisation="hub", chain="hub"),
            purpose="subject-access",
            now=NOW,
            entry_id=uuid.uuid4(),
        )
    rows = [report_row(one) for one in found]
    return [row for row in rows if row["what"] != "access"]


async def claimed(pool: Pool, event: uuid.UUID, person: str | None) -> None:
    """The identity stage has decided whom a record is about."""
    async with transaction(pool) as connection:
        await connection.execute(
            "insert into claims (reported_event_id, key, event_kind, state, rule, indicator, "
            "person, received_at, decided_at, traceparent) values (%(event)s, 'k', 'flag', "
            "'verified', 'r', 'i', %(person)s, %(at)s, %(at)s, '')",
            {"event": event, "person": person, "at": NOW},
        )


async def test_each_child_of_a_list_of_alerts_has_it_in_its_report(database: Database) -> None:
    """One entry for each child and page, with that child's alerts alone."""
    async with hub(settings(database_url=database.url), connect=False) as face:
        rows = [alert(1), alert(2), alert(3)]
        for row, person in zip(rows, (FIRST, SECOND, FIRST), strict=True):
            own = replace(row, person=person, content=replace(row.content, person=person))
            await save(face.pool, own)
        async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http:
            assert len((await http.get("/alerts")).json()["alerts"]) == 3
        for person, ids in ((FIRST, "1 3"), (SECOND, "2")):
            (said,) = await report(face.pool, person)
            assert (said["told"], said["what"], said["decision"]) == (NORTH, "alert", "permit")
            (entry,) = [
                one for one in await entries(face.pool, "alert") if one.get("person") == person
            ]
            assert entry["detail"]["alerts"].split() == [
                str(uuid.UUID(int=int(one))) for one in ids.split()
            ]


async def test_answers_to_a_file_are_in_the_report_of_each_child_they_tell_of(
    database: Database,
) -> None:
    """Where a record has a person by then; of the others the page has an entry without one."""
    async with hub(settings(database_url=database.url), connect=False) as face:
        events = [uuid.UUID(int=100 + number) for number in range(3)]
        lines = [
            Line(UPLOAD, number, event, NORTH, 1, NOW) for number, event in enumerate(events, 1)
        ]
        async with transaction(face.pool) as connection:
            await uploads.register(connection, lines, [])
        await claimed(face.pool, events[0], FIRST)
        await claimed(face.pool, events[1], SECOND)
        await claimed(face.pool, events[2], None)
        async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http:
            answer = await http.get(f"/uploads/{UPLOAD}")
        assert len(answer.json()["records"]) == 3
        assert FIRST not in answer.text
        for person in (FIRST, SECOND):
            (row,) = await report(face.pool, person)
            assert (row["what"], row["subject"]) == ("upload-answer", f"upload:{UPLOAD}")
        assert len(await entries(face.pool, "upload-answer")) == 3


async def test_the_counts_of_a_file_are_decided_and_recorded_too(database: Database) -> None:
    """A page without lines tells how many were answered."""
    async with hub(settings(database_url=database.url), connect=False) as face:
        async with transaction(face.pool) as connection:
            await uploads.register(
                connection, [Line(UPLOAD, 1, uuid.UUID(int=101), NORTH, 1, NOW)], []
            )
        async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http:
            assert (await http.get(f"/uploads/{UPLOAD}?after=9")).status_code == 200
        (entry,) = await entries(face.pool, "upload-answer")
        assert entry["detail"]["count"] == "0"
    denied = changed(Flow.UPLOAD_ANSWER, **DENY)
    async with (
        hub(settings(database_url=database.url), connect=False, policies=denied) as face,
        httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http,
    ):
        assert (await http.get(f"/uploads/{UPLOAD}?after=9")).status_code == 403


async def test_the_worklist_is_in_the_report_of_whom_an_entry_named(database: Database) -> None:
    """An entry that is looked at anew may still name whom it named before."""
    async with hub(settings(database_url=database.url), connect=False) as face:
        made = [
            WorklistEntry(
                entry_id=uuid.UUID(int=number),
                reported_event_id=uuid.UUID(int=100 + number),
                event_kind="flag",
                organisation=NORTH,
                source=NORTH,
                rule="pds-none",
                indicator="S04",
                opened_at=NOW,
            )
            for number in (1, 2)
        ]
        async with transaction(face.pool) as connection:
            await worklist.add(connection, made)
        await claimed(face.pool, uuid.UUID(int=101), FIRST)
        async with httpx.AsyncClient(base_url=face.url, headers=bearer(NORTH)) as http:
            answer = await http.get("/worklist")
        assert len(answer.json()["entries"]) == 2
        (row,) = await report(face.pool, FIRST)
        assert (row["what"], row["subject"]) == ("worklist", "worklist")
        counts = [one["detail"]["count"] for one in await entries(face.pool, "worklist")]
        assert counts == ["1", "1"]
