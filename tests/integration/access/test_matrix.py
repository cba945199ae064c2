"""Every route × every role × own and another organisation, over the real application and database.

Both fences are tried, and then the first alone: with the app role's rights the database refuses
nothing, so what another organisation does not see then is what the code itself keeps from it.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from psycopg.rows import dict_row

from flag_service import authorising
from flag_service.authorising import ORGANISATION_RULE, RULE, Authorising
from flag_service.matrix import ANYBODY, MATRIX, Line, Scope
from flag_service.roles import Role
from halyard.postgres import Connection
from halyard.problems import PROBLEM
from stores import worklist
from tests.support.face import CLINIC, INFIRMARY, NORTH, SOUTH
from tests.support.matrix_world import Ids, World, home, path, world
from tests.support.services import Database
from tests.support.two_sides import (
    MARKS,
    alert_id,
)

SHOWN = {
    "/uploads/{upload_id}", "/alerts", "/alerts/stream", "/alerts/{alert_id}", "/worklist",
    "/worklist/{entry_id}",
    "/trace-batches", "/trace-batches/{batch_id}", "/trace-batches/{batch_id}/result",
    "/fhir/R4/messages", "/fhir/R4/messages/{letter_id}", "/audit",
    "/reviews/disclosures", "/reviews/accesses",
}  # fmt: skip
"""Routes that show one's own row of `tests.support.two_sides`: another's would be seen too."""

DONE = {
    "/alerts/{alert_id}/accept", "/alerts/{alert_id}/share", "/reviews/disclosures/{item_id}",
    "/reviews/accesses/{review_id}", "/fhir/R4/messages/{letter_id}/$acknowledge",
    *(f"/worklist/{{entry_id}}/{act}" for act in ("claim", "resolve", "ask")),
}  # fmt: skip
"""Routes that do something to one's own row of `tests.support.two_sides`, and succeed."""

ROWLESS = {
    "/traces/{trace_id}": "of who asked alone: tests/integration/tracing/test_one_person.py",
    "/reports/shared-numbers": "of two records with one number: tests/integration/identity",
    "/worklist/{entry_id}/undo": "of what somebody resolved: tests/integration/worklist",
    "/worklist/{entry_id}/reject": "a decision is in hand by then: tests/integration/worklist",
    "/worklist/{entry_id}/retry": "a decision is in hand by then: tests/integration/worklist",
    "/uploads": "makes rows, by the bus, which is away: tests/integration/local_authority",
    "/fhir/R4/$process-message": "the same: tests/integration/fhir",
    "/audit/subject-access": "shows entries about one child: tests/integration/audit/test_face.py",
}
"""Routes of one's own organisation whose answer here rests on no row of its, and why."""


@pytest.fixture(params=["face", "app"])
async def hub(request: pytest.FixtureRequest, database: Database) -> AsyncIterator[World]:
    """Both fences; and the first alone."""
    async with world(database, request.param) as made:
        yield made


@pytest.fixture
async def face(database: Database) -> AsyncIterator[World]:
    """Both fences."""
    async with world(database, "face") as made:
        yield made


def guarded() -> Iterator[Line]:
    """Lines that somebody needs a role for."""
    yield from (line for line in MATRIX if not isinstance(line.who, str))


def others(organisation: str) -> set[str]:
    """What stands in rows that an organisation must not see."""
    side = {NORTH: INFIRMARY, INFIRMARY: NORTH, SOUTH: CLINIC, CLINIC: SOUTH}[organisation]
    return {mark for code, mark in MARKS.items() if code not in (organisation, side)}


def wrong(line: Line, role: Role, answer: httpx.Response, *, own: bool) -> str | None:
    """What is wrong with an answer about one's own thing, or another organisation's; None if
    nothing is.
    """
    organisation, _ = home(role)
    allowed = line.admits(frozenset({role}))
    said = f"{line.method} {line.route} as {role} ({'own' if own else 'other'}): "
    leaked = [mark for mark in others(organisation) if mark in answer.text]
    if leaked and (line.scope is not Scope.PERSON or not allowed):
        return f"{said}shows {leaked}"
    if not allowed:
        problem = answer.headers.get("content-type") == PROBLEM  # else an OperationOutcome
        right = answer.status_code == 403 and (not problem or RULE in answer.text)
        return None if right else f"{said}{answer.status_code}, though no line allows it"
    if answer.status_code in (401, 500) or RULE in answer.text:
        return f"{said}{answer.status_code}, though a line allows it"
    shows = line.route in SHOWN and line.method == "GET"
    if own and shows and MARKS[organisation] not in answer.text:
        return None if _has_none(line, organisation) else f"{said}its own row is not shown"
    # 409: another role has decided it, which is an answer about the row too
    if own and line.route in DONE and not (answer.is_success or answer.status_code == 409):
        return f"{said}{answer.status_code}: its own row is not acted on ({answer.text})"
    if not own and "{" in line.route and line.scope is Scope.OWN and answer.is_success:
        return f"{said}{answer.status_code}: it is not there for others"
    return None


def _has_none(line: Line, organisation: str) -> bool:
    """Hospitals have no uploads."""
    return "upload" in line.route and organisation in (INFIRMARY, CLINIC)


async def test_every_route_for_every_role_and_organisation(hub: World) -> None:
    """Allowed: answered. Not allowed: 403 before anything. Another's: as if it were not there."""
    found: list[str | None] = []
    done: set[str] = set()
    for line in guarded():
        for role in Role:
            mine, another = home(role)
            for whose in (another, mine):
                answer = await hub.ask(line, role, mine, whose)
                found.append(wrong(line, role, answer, own=whose == mine))
                if whose == mine and answer.is_success:
                    done.add(line.route)
    assert len(found) == len(list(guarded())) * len(Role) * 2
    assert [one for one in found if one] == []
    assert done >= DONE


async def test_every_route_for_every_kind_of_organisation(face: World) -> None:
    """In a role that a line allows, but in an organisation of another kind than the line names:
    403 before anything, and on record.
    """
    known = {**face.kinds, "X9": ()}
    tried = 0
    for line in guarded():
        for role in sorted(set(Role) & set(line.who)):
            for organisation, kinds in known.items():
                if line.organisations is None or not line.organisations.isdisjoint(kinds):
                    continue  # answered: the comparison above
                tried += 1
                answer = await face.ask(line, role, organisation, NORTH)
                said = f"{line.method} {line.route} as {role}@{organisation}"
                assert (answer.status_code, ORGANISATION_RULE in answer.text) == (403, True), said
    lines = [line for line in guarded() if line.organisations is not None]
    assert tried == sum(len(line.who) for line in lines) * 2 > 0
    assert await face.refusals.write() == tried


def test_each_route_rests_on_a_row_of_ones_own_or_says_why_not() -> None:
    """Else the comparison above could not fail for it: what is nobody's nobody is shown."""
    own = {line.route for line in guarded() if line.scope is Scope.OWN}
    assert own == SHOWN | DONE | set(ROWLESS)
    assert len(own) == len(SHOWN) + len(DONE) + len(ROWLESS)
    for line in guarded():
        if "{" in line.route:
            assert str(uuid.UUID(int=77)) not in path(line.route, NORTH), line.route


async def test_without_a_credential_only_open_routes_answer(face: World) -> None:
    """401 for the rest, also for paths that are none: nobody learns which there are."""
    for line in MATRIX:
        answer = await face.http.request(line.method, path(line.route, NORTH))
        assert (answer.status_code == 401) == (line.who != ANYBODY), line
    assert (await face.http.get("/nothing")).status_code == 401


async def test_what_is_anothers_and_what_is_nowhere_look_alike(hub: World) -> None:
    """The same status and the same words, so that ids cannot be tried out."""
    for line in guarded():
        if line.scope is not Scope.OWN or "{" not in line.route:
            continue
        for role in sorted(set(Role) & set(line.who)):
            mine, another = home(Role(role))
            there = await hub.ask(line, role, mine, another)
            nowhere = await hub.http.request(
                line.method,
                line.route.format_map(Ids()),
                headers=dict(there.request.headers),
                content=there.request.content,
            )
            assert (there.status_code, there.text) == (nowhere.status_code, nowhere.text), line


@pytest.mark.parametrize("line", list(guarded()), ids=lambda line: f"{line.method} {line.route}")
def test_a_check_taken_out_would_be_seen(line: Line) -> None:
    """The comparison above fails for a route that lets everybody in: it is not blind."""
    refused = [role for role in Role if not line.admits(frozenset({role}))]
    assert refused, "every role may: say `any-caller`"
    open_ = httpx.Response(200, json={"rows": []})
    for role in refused:
        assert wrong(line, role, open_, own=True) is not None
    shows = httpx.Response(200, text=" ".join(MARKS.values()))
    if line.scope is Scope.OWN:
        assert all(wrong(line, role, shows, own=False) is not None for role in Role)


async def test_a_hole_in_the_hook_is_seen(database: Database, monkeypatch: Any) -> None:
    """With the check taken out of `authorising` the whole comparison finds every route open."""
    monkeypatch.setattr(Authorising, "__call__", lambda *_: None)
    async with world(database, "face") as hub:
        line = next(one for one in guarded() if one.route == "/worklist")
        answer = await hub.ask(line, Role.OPERATOR, INFIRMARY, INFIRMARY)
        assert wrong(line, Role.OPERATOR, answer, own=True) is not None


async def test_refusals_stand_in_the_chain_of_the_organisation(face: World) -> None:
    """Who, in which role, at which route; written later, by the face's own right to add; the path's
    ids are not in it.
    """
    line = next(one for one in MATRIX if one.route == "/alerts/{alert_id}/accept")
    for _ in range(3):
        answer = await face.ask(line, Role.CLINICIAN, INFIRMARY, INFIRMARY)
        assert answer.status_code == 403
    assert await face.refusals.write() == 1
    with psycopg.connect(face.database.url, row_factory=dict_row) as connection:
        [entry] = connection.execute(
            "select body from halyard.audit_entries where body->>'kind' = 'refusal'"
        ).fetchall()
    body = entry["body"]
    assert (body["chain"], body["actor"], body["role"]) == (
        INFIRMARY,
        "user:clinician",
        "clinician",
    )
    assert body["subject"] == "route:POST /alerts/{alert_id}/accept"
    assert (body["decision"], body["rule"], body["detail"]["count"]) == ("deny", RULE, "3")
    assert str(alert_id(INFIRMARY)) not in str(body)


def test_the_hook_reads_no_body() -> None:
    """It has the head alone: no `receive` in its module."""
    assert "receive" not in Path(authorising.__file__).read_text()


@pytest.mark.parametrize(("rights", "shown"), [("app", True), ("face", False)])
async def test_a_scope_widened_in_a_handler_is_seen_and_fenced(
    database: Database, monkeypatch: pytest.MonkeyPatch, rights: str, shown: bool
) -> None:
    """A handler that reads another organisation's list: the comparison above sees it where only the
    first fence stands, and row-level security shows nothing of it.
    """
    read = worklist.entries

    async def widened(connection: Connection, _organisation: str, **options: Any) -> Any:
        return await read(connection, CLINIC, **options)

    monkeypatch.setattr(worklist, "entries", widened)
    async with world(database, rights) as hub:
        line = next(one for one in guarded() if one.route == "/worklist")
        answer = await hub.ask(line, Role.HOSPITAL_SYSTEM, INFIRMARY, INFIRMARY)
    assert answer.status_code == 200
    assert (MARKS[CLINIC] in answer.text) == shown
    found = wrong(line, Role.HOSPITAL_SYSTEM, answer, own=True)
    assert found is not None
    assert ("shows" in found) == shown
