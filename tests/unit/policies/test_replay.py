"""What a changed policy would have said to what was recorded."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import given

from halyard.privacy import Keys
from policies.decision import decide
from policies.model import Policies, Policy, load_policies
from policies.record import entry
from policies.replay import replay
from policies.ruling import Decision, Disclosure, Flow
from stores.sectors import Sector
from tests.support.policies import ask, disclosures, only, package_files, policy_members

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)


def row(policies: Policies, disclosure: Disclosure, *, released: bool = False) -> dict[str, Any]:
    """A row as `stores.releases.recorded` gives it, of what was recorded of a disclosure."""
    body = entry(
        decide(policies, disclosure, released=released),
        disclosure,
        entry_id=uuid.UUID(int=1),
        recorded_at=disclosure.at,
        kind="disclosure",
        actor="process:test",
        organisation="hub",
        keys=KEYS,
    ).body()
    detail = body["detail"]
    return {
        **{name: body.get(name) for name in ("flow", "fields", "decision", "rule", "policy")},
        **{name: detail.get(name) for name in ("recipient", "sector", "roles", "restricted")},
        "policy_version": str(body["policy_version"]),
        "withheld": detail.get("withheld"),
        "purpose": detail.get("asked_purpose"),
        "day": disclosure.at,
        "amount": 3,
    }


def changed(name: str, **changes: Any) -> Policies:
    """The package's policies with one of them changed."""
    files = package_files()
    files[name] = {**files[name], **changes}
    return Policies.of(Policy.model_validate(one) for one in files.values())


@given(policy_members(), disclosures)
def test_replayed_under_the_same_policies_nothing_differs(
    said: dict[str, Any], disclosure: Disclosure
) -> None:
    """The record holds all that a decision is made of."""
    policies = only(**said)
    fields = frozenset(name for name in disclosure.fields if not name.startswith("unlisted"))
    asked = replace(disclosure, fields=fields)
    for released in (False, True):
        done = replay(policies, [row(policies, asked, released=released)])
        assert (done.asked, done.same, done.differences) == (3, 3, [])


def test_a_field_taken_out_is_named() -> None:
    """How often, to whom, and which field would not have left."""
    now = load_policies(None)
    fields = [
        one for one in package_files()["alert"]["recipients"][0]["fields"] if one != "visit.reason"
    ]
    done = replay(
        changed("alert", recipients=[{"sector": "social-care", "fields": fields}]),
        [row(now, ask(Flow.ALERT, Sector.SOCIAL_CARE))] * 2,
    )
    (found,) = done.differences
    assert found.amount == 6
    assert found.less == {"visit.reason"}
    assert found.more == frozenset()
    assert found.recorded.disclosure.recipient == "X0001"


def test_what_was_denied_and_would_be_permitted_is_named() -> None:
    """With the fields that would newly leave."""
    now = load_policies(None)
    done = replay(
        changed("match", recipients=[{"sector": "police", "fields": _match_fields()}]),
        [row(now, ask(Flow.MATCH, Sector.POLICE)), row(now, ask(Flow.MATCH, Sector.HEALTH))],
    )
    kinds = {(one.recorded.decision, one.ruling.decision) for one in done.differences}
    assert kinds == {(Decision.DENY, Decision.PERMIT), (Decision.PERMIT, Decision.DENY)}


def _match_fields() -> list[str]:
    fields = package_files()["match"]["recipients"][0]["fields"]
    return [one for one in fields if one != "person.nhs_number"]


def test_a_version_that_begins_later_is_asked_as_if_it_were_then() -> None:
    """`at` takes the place of the day on which it was asked."""
    old = only()
    new = only(version=2, start="2026-06-01", recipients=[{"sector": "health", "fields": ["next"]}])
    rows = [row(old, ask(Flow.WORKLIST, Sector.HEALTH))]
    assert replay(new, rows).differences[0].ruling.rule == "not-in-force"
    later = replay(new, rows, at=datetime(2026, 7, 1, tzinfo=UTC))
    assert later.differences[0].ruling.fields == {"next"}


def test_an_entry_that_does_not_say_what_was_asked_is_counted() -> None:
    """An entry of another kind is not guessed at."""
    given = {**row(only(), ask(Flow.WORKLIST, Sector.HEALTH)), "sector": None}
    done = replay(only(), [given])
    assert (done.unreadable, done.differences) == (3, [])
    assert done.asked == 3
