"""A question about a worklist entry reaches its sender's mailbox: once, with nothing personal."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson
from fhir.resources.R4B.bundle import Bundle

from tests.support import identity as make
from tests.support.identity import CHILD
from tests.support.identity_world import World, both
from tests.support.worklist import decide, ended, entry_of, order

SLIP = replace(CHILD, birth_date="2016-03-14")
SINCE = datetime(2026, 12, 1, 9, 0, tzinfo=UTC)
"""The version of the sharing policy that lets the letter go is in force."""


async def letters(world: World) -> list[dict[str, Any]]:
    """Every mailbox."""
    return await world.rows("select organisation, kind, push, body from letters order by position")


async def test_a_question_is_a_letter_by_the_organisations_own_ids(world: World) -> None:
    """Valid FHIR; it names entry, question, local id, upload and line, and nothing of the person;
    the disclosure stands in the audit chain.
    """
    world.now = SINCE
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    entry = await entry_of(world, flag)
    done = await decide(world, flag, "ask", code="birth-date")
    assert (done.state, done.outcome) == ("done", "asked")
    [letter] = await letters(world)
    assert (letter["organisation"], letter["kind"]) == (make.AUTHORITY, "worklist-question")
    body = orjson.loads(bytes(letter["body"]))
    Bundle.model_validate(body)
    told = {one["name"]: one for one in body["entry"][1]["resource"]["parameter"]}
    assert told["entry"]["valueUri"] == f"urn:uuid:{entry.entry_id}"
    assert told["question"]["valueCode"] == "birth-date"
    own = {one["name"]: one for one in told["record"]["part"]}
    assert own["local-id"]["valueIdentifier"]["value"] == entry.local_id
    assert own["upload"]["valueUri"] == f"urn:uuid:{entry.upload_id}"
    assert own["line"]["valuePositiveInt"] == 1
    text = bytes(letter["body"]).decode()
    for personal in (CHILD.nhs_number, CHILD.family, *CHILD.given, SLIP.birth_date, entry.rule):
        assert str(personal) not in text
    kept = "select count(*) from audit_entries where body->'detail'->>'kind' = 'worklist-question'"
    assert await world.value(kept) == 1
    assert (await entry_of(world, flag)).closed_at is None


async def test_c09_a_question_is_one_letter_whoever_carries_it_out(world: World) -> None:
    """Several tracers at once; another question, another letter; an arrival's message is named."""
    world.now = SINCE
    arrival = make.attendance(SLIP, message_id="MSG-7")
    await world.take(arrival)
    await world.trace_all()
    decision = await order(world, arrival, "ask", code="names")
    await both(*(world.new_resolver().work() for _ in range(3)))
    assert (await ended(world, decision)).outcome == "asked"
    [letter] = await letters(world)
    assert letter["organisation"] == arrival.organisation
    assert b"MSG-7" in bytes(letter["body"])
    await decide(world, arrival, "ask", code="nhs-number")
    assert len(await letters(world)) == 2


async def test_a_question_about_what_has_ended_is_no_letter(world: World) -> None:
    """Somebody closed it meanwhile: the question is refused."""
    world.now = SINCE
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    await decide(world, flag, "reject", code="nobody")
    late = await decide(world, flag, "ask", code="names")
    assert (late.state, late.outcome) == ("refused", "resolution.overtaken")
    assert await letters(world) == []


async def test_without_a_policy_for_it_the_question_stands_with_the_entry_alone(
    world: World,
) -> None:
    """Before the version that lets it go: no letter, and the decision says so."""
    flag = make.flag(SLIP)
    await world.take(flag)
    await world.trace_all()
    done = await decide(world, flag, "ask", code="names")
    assert (done.state, done.outcome) == ("done", "asked.no_letter")
    assert await letters(world) == []
