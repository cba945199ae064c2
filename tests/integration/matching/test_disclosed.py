"""Matching asks the sharing policies as it decides, and the audit chain keeps what they said."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from policies.model import Policies
from policies.ruling import Flow
from stores import deliveries, held
from streams.matching.agent import MatchingStage
from tests.integration.matching.conftest import Hub
from tests.support.disclosing import DENY, REVIEW, changed, entries
from tests.support.matching import (
    CHILD,
    DIRECTORY,
    HOSPITAL,
    KEYS,
    SHEFFIELD,
    attendance,
    flagged,
    incoming,
    person_of,
)


async def take(hub: Hub, policies: Policies, *events: Any) -> None:
    """A batch each, under these policies."""
    stage = MatchingStage(hub.pool, KEYS, hub.settings, DIRECTORY, hub.send, hub.clock, policies)
    for event in events:
        await stage.process([incoming(event)])


async def test_each_delivery_is_recorded_once_with_the_names_of_its_fields(hub: Hub) -> None:
    """Authority and hospital have an entry each, by pseudonym, without a value of a field; the
    same events again add nothing.
    """
    for _ in range(2):
        await hub.take(flagged())
        await hub.take(attendance())
    alert, match = sorted(await entries(hub.pool), key=lambda one: one["flow"])
    assert (alert["flow"], alert["chain"]) == ("alert", SHEFFIELD)
    assert (match["flow"], match["chain"]) == ("match", HOSPITAL)
    for one in (alert, match):
        assert (one["decision"], one["actor"], one["person"]) == (
            "permit",
            "process:matching",
            person_of(CHILD),
        )
        assert "person.nhs_number" in one["fields"]
        assert one["policy_version"] == 1
        assert CHILD not in orjson.dumps(one).decode()


async def test_a_denied_match_does_not_stop_the_alert(hub: Hub) -> None:
    """Each is asked for itself: the hospital's contact is not told, the authority is."""
    policies = changed(Flow.MATCH, **DENY)
    await take(hub, policies, flagged(), attendance())
    claim = await deliveries.claim(hub.pool, room=10, share=10, lease_seconds=30)
    assert [one.kind for one in claim.deliveries] == ["alert"]
    assert {one["flow"]: one["decision"] for one in await entries(hub.pool)} == {
        "alert": "permit",
        "match": "deny",
    }


async def test_an_alert_that_no_policy_permits_is_counted_and_said(
    hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    """Never silent: an error in the log, a count to alert on, a row that an operator finds."""
    await take(hub, changed(Flow.ALERT, **DENY), flagged(), attendance())
    waiting = await held.waiting(hub.pool)
    assert (waiting.alerts_denied, waiting.held) == (1, 0)
    assert "delivery_denied" in capsys.readouterr().out
    (row,) = await hub.query("select state, last_error from deliveries where kind = 'alert'")
    assert (row["state"], row["last_error"]) == ("refused", "policy:not-now")


async def test_c15_a_withdrawal_supersedes_what_is_held(hub: Hub) -> None:
    """The visit is cancelled before anybody has looked: one row waits, the withdrawal's."""
    policies = changed(Flow.ALERT, **REVIEW)
    await take(hub, policies, flagged(), attendance(), attendance("A11"))
    rows = await hub.query(
        "select version, state from deliveries where kind = 'alert' order by position"
    )
    assert [(row["version"], row["state"]) for row in rows] == [(1, "superseded"), (2, "held")]
