"""The principles of sharing that show in what the hub does: accurate, timely, recorded.

The others are in ``tests/unit/policies/test_principles.py``.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any

import orjson
import psycopg
import pytest

from halyard import postgres
from halyard.errors import PermanentError
from halyard.settings import DatabaseSettings, Settings
from policies.model import Policies, Policy, load_policies
from schemas.events import VisitDetail
from stores import opt_outs
from streams.matching.agent import MatchingStage
from tests.integration.matching.conftest import Hub
from tests.support.matching import (
    DIRECTORY,
    HOSPITAL,
    KEYS,
    NOON,
    SHEFFIELD,
    attendance,
    flagged,
    incoming,
    person_of,
)
from tests.support.policies import package_files
from tests.support.services import Database

MINUTE = timedelta(minutes=1)


@pytest.fixture
async def hub(database: Database) -> AsyncIterator[Hub]:
    """A matching stage on an empty database."""
    settings = Settings(
        database=DatabaseSettings.model_validate({"url": database.url, "pool_size": 3})
    )
    async with postgres.make_pool(settings, name="principles") as pool:
        yield Hub(pool, settings)


async def told(hub: Hub) -> list[dict[str, Any]]:
    """The bodies that wait to be delivered, in order, with the row's own columns."""
    rows = await hub.query("select * from deliveries order by position")
    return [{**one, "told": orjson.loads(bytes(one["body"]))} for one in rows]


async def audited(hub: Hub) -> list[dict[str, Any]]:
    """The audit entries."""
    rows = await hub.query("select body from audit_entries order by recorded_at, body ->> 'chain'")
    return [one["body"] for one in rows]


async def test_principle_accurate(hub: Hub) -> None:
    """Accurate: what turns out wrong is put right with everybody who was told. Checked: an
    attendance that is cancelled is withdrawn from the authority and from the hospital, and a
    corrected reason reaches the authority as a newer version of the same alert."""
    await hub.take(flagged())
    await hub.take(attendance(detail=VisitDetail(reason="fall")))
    await hub.take(
        attendance("A08", recorded=NOON + MINUTE, detail=VisitDetail(reason="a burn, not a fall"))
    )
    await hub.take(attendance("A11", recorded=NOON + 2 * MINUTE))
    bodies = await told(hub)
    authority = [one["told"] for one in bodies if one["kind"] == "alert"]
    assert [one["change"] for one in authority] == ["raised", "updated", "withdrawn"]
    assert authority[1]["visit"]["reason"] == "a burn, not a fall"
    assert len({one["alert_id"] for one in authority}) == 1
    assert [one["version"] for one in authority] == [1, 2, 3]
    informed = {one["destination"] for one in bodies if one["version"] == 1}
    corrected = {one["destination"] for one in bodies if one["told"]["change"] == "withdrawn"}
    assert corrected == informed == {"sheffield", "hospital-contact"}


async def test_principle_timely(hub: Hub) -> None:
    """Timely: in time to act on, and with the time that it holds for. Checked: what is told is due
    in the moment in which it was decided, says when that was and when the child came; and one who
    is told late is told that it is late."""
    await hub.take(flagged())
    await hub.take(attendance())
    for one in await told(hub):
        assert one["due_at"] == hub.now
        assert datetime.fromisoformat(one["told"]["changed_at"]) == hub.now
        assert datetime.fromisoformat(one["told"]["visit"]["arrived_at"]) == NOON
    late = attendance(visit="V2", patient="P2", received=NOON + timedelta(hours=30))
    hub.now = NOON + timedelta(hours=30)
    await hub.take(late)
    raised = [one["told"] for one in await told(hub) if one["told"]["change"] == "raised"]
    assert [one["late"] for one in raised] == [False, True]


async def test_opt_outs_are_honoured_by_legal_basis_and_stop_no_statutory_flow(hub: Hub) -> None:
    """The national data opt-out applies to research extracts alone: of a child whose opt-out is
    known the alert goes out as of any other. (Extracts: test_extract.py.)"""
    applied = {one.id for one in load_policies(None).all if one.opt_out.applies}
    assert applied == {"example-research"}
    async with postgres.transaction(hub.pool) as connection:
        await opt_outs.replace(connection, [person_of("9990000018")], at=NOON, by="operator")
    await hub.take(flagged(), attendance())
    assert [one["kind"] for one in await told(hub)] == ["alert", "match"]
    assert {one["decision"] for one in await audited(hub)} == {"permit"}


def under(**conditions: Any) -> Policies:
    """The package's policies, of which that of alerts has these conditions."""
    files = package_files()
    files["alert"].update(conditions)
    return Policies.of(Policy.model_validate(one) for one in files.values())


@pytest.mark.parametrize("decision", ["permit", "review", "deny"])
async def test_principle_recorded(hub: Hub, decision: str) -> None:
    """Recorded: every decision, also DENY and REVIEW, is in the chain of who was told or would have
    been, with policy, version, rule, purpose and legal basis, the names of the fields and no value;
    what is refused or held is not sent."""
    condition = {"code": "stopped", "reason": "a test", "always": True}
    policies = under(**({} if decision == "permit" else {decision: [condition]}))
    stage = MatchingStage(hub.pool, KEYS, hub.settings, DIRECTORY, hub.send, hub.clock, policies)
    await stage.process([incoming(one) for one in (flagged(), attendance())])
    (entry,) = [one for one in await audited(hub) if one["chain"] == SHEFFIELD]
    assert (entry["decision"], entry["flow"]) == (decision, "alert")
    assert (entry["policy"], entry["policy_version"]) == ("alert", 1)
    assert entry["rule"] == ("permitted" if decision == "permit" else "stopped")
    assert entry["purpose"] == "child-protection"
    assert "Children Act 1989" in entry["legal_basis"]
    assert entry["person"] == person_of("9990000018")
    assert "9990000018" not in str(entry)
    named = entry["fields"] if decision == "permit" else entry["detail"]["withheld"]
    assert "person.nhs_number" in named
    assert ("payload_digest" in entry) is (decision == "permit")
    (row,) = [one for one in await told(hub) if one["kind"] == "alert"]
    assert row["state"] == {"permit": "open", "review": "held", "deny": "refused"}[decision]
    assert [one["decision"] for one in await audited(hub) if one["chain"] == HOSPITAL] == ["permit"]


async def test_principle_recorded_or_not_told(hub: Hub, database: Database) -> None:
    """Recorded: what cannot be recorded is not told. Checked: while no entry can be written, no
    delivery and no alert is either; afterwards both are."""
    await hub.take(flagged())
    with psycopg.connect(database.owner_url, autocommit=True) as owner:
        owner.execute("revoke insert on halyard.audit_entries from halyard_app")
        with pytest.raises(PermanentError):
            await hub.take(attendance())
        assert await told(hub) == []
        assert await hub.alerts() == []
        owner.execute("grant insert on halyard.audit_entries to halyard_app")
    await hub.take(attendance())
    assert len(await told(hub)) == 2
    assert len(await audited(hub)) == 2
