"""A policy that withholds what the NCMD store is told, or permits none of it: nothing is lost."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from connectors.ncmd.port import NotPermitted, StorePort
from connectors.ncmd.sink import Sink
from halyard.clock import system_clock
from halyard.errors import ContractError
from halyard.postgres import Pool, make_pool
from policies.desk import packaged
from policies.model import Policies
from policies.ruling import Flow
from schemas.topics import CASE_CHANGED
from tests.integration.ncmd.rig import Rig
from tests.integration.ncmd.test_port import batch
from tests.support.disclosing import DENY, REVIEW, changed
from tests.support.ncmd_cases import case_id, facts
from tests.support.ncmd_cases import changed as case
from tests.support.waiting import aeventually

ONE_FACT = changed(
    Flow.NCMD_SUBMISSION,
    recipients=[{"organisation": "NCMD", "fields": ["death.circumstances"]}],
)


@pytest.fixture
async def pool(store_rig: Rig) -> AsyncIterator[Pool]:
    """Connections with the store's own role."""
    async with make_pool(store_rig.settings, name="test", size=2, schema="ncmd") as opened:
        yield opened


async def port(pool: Pool, policies: Policies) -> StorePort:
    """The store under `policies`; where it stands is known."""
    made = StorePort(pool, topic=CASE_CHANGED, clock=system_clock, submit=True, policies=policies)
    await made.begin([0], "log-1")
    return made


def told(rig: Rig) -> dict[str, str]:
    """The facts of the first case."""
    rows = rig.query("select name, value from ncmd.facts where case_id = %s", case_id(1))
    return {row["name"]: row["value"] for row in rows}


@pytest.mark.parametrize("stops", [DENY, REVIEW])
async def test_what_is_not_permitted_is_neither_written_nor_passed_over(
    store_rig: Rig, pool: Pool, stops: dict[str, object]
) -> None:
    """Mended, the policy lets it in whole."""
    denied = await port(pool, changed(Flow.NCMD_SUBMISSION, **stops))
    with pytest.raises(NotPermitted):
        await denied.apply(batch(0, case(1)))
    assert (store_rig.versions(), store_rig.stands()) == (0, {0: 0})
    await (await port(pool, packaged())).apply(batch(0, case(1)))
    assert set(told(store_rig)) == {one.fact.name for one in facts(1, 1)}


async def test_a_repeat_under_a_wider_policy_tells_what_was_withheld(
    store_rig: Rig, pool: Pool
) -> None:
    """In the current case and in the history; a repeat under a narrower one takes nothing back."""
    await (await port(pool, ONE_FACT)).apply(batch(0, case(1)))
    assert set(told(store_rig)) == {"death.circumstances"}
    for at, policies in ((1, packaged()), (2, ONE_FACT), (3, packaged())):
        applied = await (await port(pool, policies)).apply(batch(at, case(1)))
        assert (applied.fresh, applied.repeated) == (0, 1)
        assert set(told(store_rig)) == {one.fact.name for one in facts(1, 1)}
    (kept,) = store_rig.query("select content, digest from ncmd.history")
    assert b"child.family" in bytes(kept["content"])
    assert kept["digest"] is None


async def test_another_content_under_a_known_version_is_still_refused(
    store_rig: Rig, pool: Pool
) -> None:
    """What was withheld does not make two contents one."""
    narrow = await port(pool, ONE_FACT)
    await narrow.apply(batch(0, case(1)))
    with pytest.raises(ContractError):
        await (await port(pool, packaged())).apply(batch(1, case(1, panel="southtown")))


async def test_the_stores_role_changes_no_history_but_by_a_wider_repeat(
    store_rig: Rig, pool: Pool
) -> None:
    """Its one way is a function that asks for the same event, and for more of it."""
    await (await port(pool, ONE_FACT)).apply(batch(0, case(1)))
    before = store_rig.query("select content from ncmd.history")
    longer = bytes(before[0]["content"]) + b"more"
    store_rig.query("select ncmd.widen(%s, 1, sha256('another'), %s)", case_id(1), longer)
    assert store_rig.query("select content from ncmd.history") == before


async def test_the_sink_waits_for_a_policy_and_says_so(rig: Rig) -> None:
    """Readiness names it and liveness does not; what another permits then is stored from where it
    stood.
    """
    allowed = packaged()
    await rig.send([case(1), case(2), case(1, 2)])
    denied = changed(Flow.NCMD_SUBMISSION, **DENY)
    async with rig.sink(policies=denied) as sink:
        await aeventually(lambda: _says(sink), 20)
        assert sink.stalled() is None
        assert rig.versions() == 0
    async with rig.sink(policies=allowed) as sink:
        await rig.until(3)
        assert sink.waiting() is None


def _says(sink: Sink) -> bool:
    return "does not permit" in (sink.waiting() or "")
