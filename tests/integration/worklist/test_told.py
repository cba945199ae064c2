"""What somebody who works an entry is told: the entry itself when they take it, and what is wrong
with what they sent; as far as the policies let each role.
"""

from __future__ import annotations

from typing import Any

import pytest

from policies.ruling import Flow
from tests.support.disclosing import changed
from tests.support.face import NORTH
from tests.support.services import Database
from tests.support.worklist_face import NUMBER, Face, facing

LOOKS = "select body from audit_entries where body->>'kind' = 'disclosure'"
ACTS = "select body from audit_entries where body->>'kind' = 'review'"
KIM = f"kim/social-worker@{NORTH}"


async def test_who_takes_an_entry_sees_it_and_that_is_on_record(face: Face) -> None:
    """The answer is that of GET, with the claim and the candidates, and as a look of the same kind;
    taken again, and let go, too. What another has in hand is not shown, and no look at it is on
    record.
    """
    taken = await face.ask("/claim", let_go=False)
    assert taken.json() == (await face.ask("")).json()
    assert taken.json()["claim"]["nhs_number"] == NUMBER
    assert taken.json()["candidates"]
    by_claim, by_get = [row["body"] for row in await face.rows(LOOKS)]
    own = {"id", "entry_id", "recorded_at", "request_id", "seq", "prev", "hash"}
    assert {k: v for k, v in by_claim.items() if k not in own} == {
        k: v for k, v in by_get.items() if k not in own
    }
    refused = await face.ask("/claim", KIM, let_go=False)
    assert refused.status_code == 409
    assert "Testchild" not in refused.text
    assert len(await face.rows(LOOKS)) == 2
    again = await face.ask("/claim", let_go=False)
    freed = await face.ask("/claim", let_go=True)
    assert (again.json()["claimed_by"], freed.json()["claimed_by"]) == ("Pat", None)
    assert len(await face.rows(LOOKS)) == 4
    assert len(await face.rows(ACTS)) == 2


@pytest.mark.parametrize(
    ("act", "body", "place", "allowed"),
    [
        ("reject", {"because": "bored"}, "body.because", ["nobody", "not-ours", "test-record"]),
        (
            "ask",
            {"question": "bored"},
            "body.question",
            ["nhs-number", "birth-date", "names", "multiple-birth"],
        ),
        (
            "resolve",
            {"nhs_number": NUMBER, "despite": ["bored"]},
            "body.despite.0",
            ["number", "birth_date", "family", "given", "gender"],
        ),
    ],
)
async def test_a_code_that_is_none_is_told_the_codes_that_there_are(
    face: Face, act: str, body: dict[str, Any], place: str, allowed: list[str]
) -> None:
    """Place, rule and every code that is taken; not the one that was sent."""
    answer = await face.ask(f"/{act}", **body, reason="seen")
    assert answer.status_code == 422
    [error] = answer.json()["errors"]
    assert error == {"place": place, "rule": "literal_error", "allowed": allowed}
    assert "bored" not in answer.text


async def test_a_page_too_large_is_told_how_large_it_may_be(face: Face) -> None:
    """A bound is named with its place; so is that of a text."""
    who = {"Authorization": f"Bearer pat/records-officer@{NORTH}"}
    answer = await face.http.get("/worklist", params={"limit": "501"}, headers=who)
    [error] = answer.json()["errors"]
    assert error == {"place": "query.limit", "rule": "less_than_equal", "bound": 500}
    long = await face.ask("/retry", reason="x" * 501)
    assert long.json()["errors"] == [
        {"place": "body.reason", "rule": "string_too_long", "bound": 500}
    ]


def denied(**when: Any) -> dict[str, Any]:
    """Members of a policy that denies this."""
    return {"deny": [{"code": "not-now", "reason": "a test", **when}]}


async def test_what_may_not_be_shown_is_not_taken(database: Database) -> None:
    """A policy lets it be taken and not be shown: 403, nobody has it, and the refusal is on record,
    as that of GET.
    """
    policies = changed(Flow.WORKLIST, **denied(fields=["entries.claim.family"]))
    async with facing(database, policies) as face:
        answer = await face.ask("/claim", let_go=False)
        assert (answer.status_code, answer.json()["policy_rule"]) == (403, "not-now")
        [row] = await face.rows("select claimed_by from worklist")
        assert row["claimed_by"] is None
        [look] = await face.rows(LOOKS)
        assert look["body"]["decision"] == "deny"
        assert await face.rows(ACTS) == []


async def test_a_policy_that_asks_for_a_role_is_asked_with_the_roles(database: Database) -> None:
    """Of acts as of looks: who is in the role is refused, a colleague in another is not."""
    policies = changed(Flow.WORKLIST, **denied(roles=["social-worker"], fields=["worklist.retry"]))
    async with facing(database, policies) as face:
        refused = await face.ask("/retry", KIM, reason="now?")
        assert (refused.status_code, refused.json()["policy_rule"]) == (403, "not-now")
        assert (await face.ask("/retry", reason="now?")).status_code == 202
