"""`/worklist/{entry_id}/...`: people of the own organisation alone, two at once, with a reason."""

from __future__ import annotations

import asyncio
import uuid
from datetime import timedelta
from typing import Any

import httpx

from halyard.postgres import transaction
from stores import resolutions, worklist
from tests.support.face import KEYS, NORTH, SOUTH
from tests.support.worklist_face import ENTRY, NOW, NUMBER, Face


async def test_an_entry_shows_what_was_sent_and_how_it_compares(face: Face) -> None:
    """Its own organisation's person sees the claim, the rule in words and the candidates; a system
    and other organisations do not; it is on record.
    """
    body = (await face.ask("")).json()
    assert body["claim"]["nhs_number"] == NUMBER
    assert body["candidates"][0]["found_by"] == "number"
    assert "birth date" in body["words"]
    assert body["age_seconds"] == 10_800
    assert body["ends_at"].startswith("2026-04-09")
    assert (await face.ask("", f"sys/la-system@{NORTH}")).status_code == 403
    assert (await face.ask("", f"kim/records-officer@{SOUTH}")).status_code == 404
    [entry] = await face.rows("select body from audit_entries where body->>'kind' = 'disclosure'")
    assert entry["body"]["subject"] == f"worklist:{ENTRY.entry_id}"
    assert NUMBER not in str(entry)


async def test_two_people_do_not_work_on_one_entry(face: Face) -> None:
    """Who has it in hand keeps it for half an hour; the other is told who, and may have it then."""
    kim = f"kim/social-worker@{NORTH}"
    mine = await face.ask("/claim", let_go=False)
    assert mine.status_code == 200
    assert mine.json()["claimed_by"] == "Pat"
    refused = await face.ask("/claim", kim, let_go=False)
    assert (refused.status_code, refused.json()["claimed_by"]) == (409, "Pat")
    for act, body in (
        ("/resolve", {"nhs_number": NUMBER, "reason": "seen"}),
        ("/reject", {"because": "nobody", "reason": "seen"}),
    ):
        answer = await face.ask(act, kim, **body)
        assert (answer.status_code, answer.json()["rule"]) == (409, "worklist.claimed")
    face.now = NOW + timedelta(minutes=31)
    assert (await face.ask("/claim", kim, let_go=False)).json()["claimed_by"] == "Kim"
    assert (await face.ask("/claim", kim, let_go=True)).json()["claimed_by"] is None


async def test_a_decision_is_taken_once(face: Face) -> None:
    """Two at once: one stands, the other is told; the same person's repeat is the same decision."""
    body: dict[str, Any] = {
        "nhs_number": "999 000 0018",
        "reason": "checked",
        "despite": ["birth_date"],
    }
    kim = f"kim/social-worker@{NORTH}"
    first, second = await asyncio.gather(
        face.ask("/resolve", **body), face.ask("/resolve", kim, **body)
    )
    assert sorted((first.status_code, second.status_code)) == [202, 409]
    won = first if first.status_code == 202 else second
    who = f"pat/records-officer@{NORTH}" if won is first else kim
    again = await face.ask("/resolve", who, **body)
    assert again.json() == {**won.json(), "changed": False}
    [row] = await face.rows("select number, person, despite, reason from resolutions")
    assert (row["number"], row["person"]) == (NUMBER, KEYS.person(NUMBER))
    kept = await face.rows("select body from audit_entries where body->>'kind' = 'review'")
    assert len(kept) == 1
    assert (kept[0]["body"]["reason"], kept[0]["body"]["detail"]["act"]) == ("checked", "resolve")
    assert NUMBER not in str(kept)


async def test_who_may_not_decide(face: Face) -> None:
    """A system, another organisation, a role that is not asked; and no decision without a reason
    or with what is no number.
    """
    body = {"nhs_number": NUMBER, "reason": "checked"}
    for who, status in (
        (f"sys/la-system@{NORTH}", 403),
        (f"kim/clinician@{NORTH}", 403),
        (f"kim/records-officer@{SOUTH}", 404),
    ):
        assert (await face.ask("/resolve", who, **body)).status_code == status, who
    assert (await face.ask("/resolve", nhs_number=NUMBER)).status_code == 422
    wrong = await face.ask("/resolve", nhs_number="9990000019", reason="checked")
    assert wrong.status_code == 422
    assert "9990000019" not in wrong.text
    assert await face.rows("select * from resolutions") == []


async def test_an_entry_that_has_ended_says_what_happened(face: Face) -> None:
    """409 with the rule and when; and nothing that was resolved by nobody is taken back."""
    async with transaction(face.pool) as connection:
        await worklist.close(connection, {ENTRY.reported_event_id: "key-evidence"}, now=NOW)
    answer = await face.ask("/reject", because="nobody", reason="seen")
    assert (answer.status_code, answer.json()["closed_rule"]) == (409, "key-evidence")
    undo = await face.ask("/undo", reason="it was the twin")
    assert (undo.status_code, undo.json()["rule"]) == (409, "worklist.not_resolved")
    assert (await face.ask("")).json()["claim"] is None


async def test_numbers_are_not_tried_out(face: Face) -> None:
    """After five that PDS did not bear out no more are taken."""
    for _ in range(5):
        made = await face.ask("/resolve", nhs_number=NUMBER, reason="perhaps")
        async with transaction(face.pool) as connection:
            await resolutions.end(
                connection,
                uuid.UUID(made.json()["decision_id"]),
                state="refused",
                outcome="resolution.contradicted",
                evidence=None,
                now=NOW,
            )
    answer = await face.ask("/resolve", nhs_number=NUMBER, reason="perhaps")
    assert (answer.status_code, answer.json()["rule"]) == (409, "worklist.tried_too_often")


async def test_a_question_stands_with_the_entry(face: Face) -> None:
    """The sender's side sees it in the list, which has nothing of a person."""
    asked = await face.ask("/ask", question="multiple-birth", reason="two under one number")
    assert asked.status_code == 202
    listed = await face.http.get(
        "/worklist", headers={"Authorization": f"Bearer sys/la-system@{NORTH}"}
    )
    [row] = listed.json()["entries"]
    assert row["question"] == "multiple-birth"
    assert "claim" not in row
    assert NUMBER not in listed.text


async def finish(face: Face, made: httpx.Response, state: resolutions.State, outcome: str) -> None:
    """The tracer carried it out."""
    decision = uuid.UUID(made.json()["decision_id"])
    async with transaction(face.pool) as connection:
        await resolutions.end(
            connection, decision, state=state, outcome=outcome, evidence=None, now=face.now
        )


async def test_questions_hide_nothing_and_are_three_at_most(face: Face) -> None:
    """Each is a letter; a decision that is in hand is seen however many there are."""
    assert (await face.ask("/resolve", nhs_number=NUMBER, reason="perhaps")).status_code == 202
    for question in ("names", "birth-date", "names"):
        asked = await face.ask("/ask", question=question, reason="who is it")
        assert asked.status_code == 202
    more = await face.ask("/ask", question="birth-date", reason="who is it")
    assert (more.status_code, more.json()["rule"]) == (409, "worklist.asked_too_often")
    await face.rows(
        "insert into resolutions (resolution_id, entry_id, organisation, action, code, made_by, "
        "reason, made_at, state) select gen_random_uuid(), entry_id, organisation, 'ask', 'names', "
        "'x', 'x', now() + i * interval '1 second', 'done' from worklist, generate_series(1, 60) i "
        "returning 1"
    )
    second = await face.ask("/retry", reason="perhaps")
    assert (second.status_code, second.json()["rule"]) == (409, "worklist.decision_waits")


async def test_what_was_taken_back_counts_as_an_attempt(face: Face) -> None:
    """Resolve, see that it held, undo: that is a way to try numbers too. What was overtaken, or
    could not be asked, is none.
    """
    outcomes = ("resolution.overtaken", "pds.bug.status", "resolution.record_gone")
    for outcome in (*outcomes, *["resolution.contradicted"] * 4):
        made = await face.ask("/resolve", nhs_number=NUMBER, reason="perhaps")
        assert made.status_code == 202
        await finish(face, made, "refused", outcome)
    made = await face.ask("/resolve", nhs_number=NUMBER, reason="perhaps")
    await finish(face, made, "done", "resolved-by-person")
    async with transaction(face.pool) as connection:
        await worklist.close(
            connection, {ENTRY.reported_event_id: "resolved-by-person"}, now=face.now
        )
    face.now += timedelta(seconds=1)
    await finish(face, await face.ask("/undo", reason="no"), "done", "resolution-withdrawn")
    await face.rows("update worklist set closed_at = null, closed_rule = null returning 1")
    answer = await face.ask("/resolve", nhs_number=NUMBER, reason="perhaps")
    assert (answer.status_code, answer.json()["rule"]) == (409, "worklist.tried_too_often")
    assert "taken back" in answer.json()["detail"]


async def test_a_person_fails_so_often_a_day_and_no_more(face: Face) -> None:
    """Over all entries; a colleague, and the next day, are not concerned."""
    await face.rows(
        "insert into worklist (entry_id, reported_event_id, event_kind, organisation, source, "
        "rule, indicator, opened_at) select gen_random_uuid(), gen_random_uuid(), 'flag', "
        "organisation, 'x', 'x', 'S04', opened_at from worklist, generate_series(1, 15) returning 1"
    )
    await face.rows(
        "insert into resolutions (resolution_id, entry_id, organisation, action, made_by, reason, "
        "made_at, state, outcome) select gen_random_uuid(), entry_id, organisation, 'resolve', "
        "'user:pat', 'x', timestamptz '2026-03-10 11:00Z', 'refused', 'pds.not_found' "
        "from worklist where source = 'x' returning 1"
    )
    mine = await face.ask("/resolve", nhs_number=NUMBER, reason="perhaps")
    assert (mine.status_code, mine.json()["rule"]) == (409, "worklist.tried_too_often_today")
    kim = f"kim/social-worker@{NORTH}"
    made = await face.ask("/resolve", kim, nhs_number=NUMBER, reason="perhaps")
    assert made.status_code == 202
    await finish(face, made, "refused", "resolution.overtaken")
    face.now = NOW + timedelta(days=1)
    assert (await face.ask("/resolve", nhs_number=NUMBER, reason="perhaps")).status_code == 202


async def test_number_and_birth_date_are_never_both_wrong(face: Face) -> None:
    """Nothing would be left to tell a stranger's record by."""
    despite = ["number", "birth_date"]
    made = await face.ask("/resolve", nhs_number=NUMBER, reason="seen", despite=despite)
    assert (made.status_code, made.json()["rule"]) == (422, "worklist.nothing_left")


async def test_pds_is_asked_again_by_people_once_an_hour(face: Face) -> None:
    """Whoever presses the button: the ration is for arrivals."""
    await finish(face, await face.ask("/retry", reason="now?"), "done", "pds.not_found")
    face.now += timedelta(minutes=59)
    again = await face.ask("/retry", f"kim/social-worker@{NORTH}", reason="now?")
    assert (again.status_code, again.json()["rule"]) == (409, "worklist.retried_lately")
    face.now += timedelta(minutes=2)
    assert (await face.ask("/retry", reason="now?")).status_code == 202
