"""Notices of looks at children who become restricted, by whatever event: what was not sent yet is
taken back, and nothing names the place.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from halyard import postgres
from policies.ruling import Flow
from stores import deliveries
from streams.matching.agent import MatchingStage
from tests.integration.matching.conftest import Hub
from tests.integration.matching.test_accesses import kept, look, looked
from tests.support.disclosing import DENY, REVIEW, changed
from tests.support.matching import (
    CHILD,
    DIRECTORY,
    HOSPITAL,
    KEYS,
    LEEDS,
    NOON,
    SHEFFIELD,
    attendance,
    flagged,
    identity,
)

RESTRICTED = identity(restricted=True)
HIDDEN = ("open", "sheffield-restricted", True, False)


async def notices(hub: Hub) -> list[tuple[str, str, bool, bool]]:
    """(state, destination, restricted, whether the place is named) of each, in order."""
    rows = await hub.query(
        "select state, destination, restricted, body from deliveries where kind = 'access' "
        "order by position"
    )
    return [
        (row["state"], row["destination"], row["restricted"], HOSPITAL.encode() in row["body"])
        for row in rows
    ]


async def known_restricted(hub: Hub) -> None:
    """PDS has said so, and the identity stage keeps it; its event is still on the bus."""
    await hub.query(
        "insert into identities (person, nhs_number, names, birth_date, gender, restricted, "
        "deceased, demographic_tokens, verified_at, flagged, flagged_at, keep_until) values "
        "(%(person)s, %(number)s, '{}', '2015-05-01', null, true, false, '{}', %(at)s, true, "
        "%(at)s, %(at)s) returning person",
        person=KEYS.person(CHILD),
        number=CHILD,
        at=NOON,
    )


async def by_a_flag(hub: Hub) -> None:
    """The authority's record is verified anew."""
    await hub.take(flagged(who=RESTRICTED, revision=2))


async def by_an_attendance(hub: Hub) -> None:
    """PDS was asked as the child came."""
    await hub.take(attendance(who=RESTRICTED))


async def by_what_pds_said(hub: Hub) -> None:
    """Only the local index knows it; any event of the child brings it here."""
    await known_restricted(hub)
    await hub.take(attendance())


@pytest.mark.parametrize("event", [by_a_flag, by_an_attendance, by_what_pds_said])
async def test_however_a_child_becomes_restricted_no_notice_names_the_place(
    hub: Hub, event: Callable[[Hub], Awaitable[None]]
) -> None:
    """What waits is composed anew for the contact for restricted children, and the next one goes
    there too; as its alert does.
    """
    await hub.take(flagged())
    await looked(hub, look())
    await event(hub)
    await looked(hub, look(author="user:9"))
    assert await notices(hub) == [("superseded", "sheffield", False, True), HIDDEN, HIDDEN]
    sent = await hub.query("select destination from deliveries where kind = 'alert'")
    assert {row["destination"] for row in sent} <= {"sheffield-restricted"}
    recorded = await hub.query(
        "select body from audit_entries where chain = %(chain)s"
        " and body->>'flow' = 'access-notice' and body->'detail'->>'restricted' = 'yes'",
        chain=SHEFFIELD,
    )
    assert len(recorded) == 2
    for row in recorded:  # the authority's auditor reads its chain
        assert (row["body"]["actor"], row["body"]["organisation"]) == ("process:matching", "hub")
        assert HOSPITAL not in str(row["body"])
        assert "user:" not in str(row["body"])


async def test_an_alert_is_composed_as_of_whom_pds_restricts(hub: Hub) -> None:
    """Also where neither its visit nor its plan says so."""
    await known_restricted(hub)
    await hub.take(flagged(), attendance())
    (alert,) = await hub.alerts()
    assert alert.restricted


async def claim(hub: Hub) -> tuple[deliveries.Delivery, ...]:
    """What a dispatcher is given."""
    return (await deliveries.claim(hub.pool, room=9, share=9, lease_seconds=30)).deliveries


async def test_a_parked_notice_is_taken_back(hub: Hub) -> None:
    """Its receiver refused it before the child became restricted: no redrive brings it back."""
    await hub.take(flagged())
    await looked(hub, look())
    (one,) = await claim(hub)
    async with postgres.transaction(hub.pool) as connection:
        await deliveries.park(connection, one, reason="status-400")
    await by_a_flag(hub)
    async with postgres.transaction(hub.pool) as connection:
        done = await deliveries.redrive(connection, reason="r", destination="sheffield")
    assert done.opened == ()
    assert await notices(hub) == [("superseded", "sheffield", False, True), HIDDEN]


async def test_a_parked_alert_is_not_left_to_a_redrive(hub: Hub) -> None:
    """Parked since its child was known to be restricted, or before: a newer one tells the contact
    for restricted children.
    """
    await hub.take(flagged())
    await hub.take(attendance())
    async with postgres.transaction(hub.pool) as connection:
        for one in await claim(hub):
            await deliveries.park(connection, one, reason="policy-restricted-since")
    await by_a_flag(hub)
    rows = await hub.query(
        "select state, destination from deliveries where kind = 'alert' order by position"
    )
    assert [(row["state"], row["destination"]) for row in rows] == [
        ("superseded", "sheffield"),
        ("open", "sheffield-restricted"),
    ]


@pytest.mark.parametrize("kept_back", [DENY, REVIEW])
async def test_a_notice_that_was_kept_back_is_taken_back(
    hub: Hub, kept_back: dict[str, Any]
) -> None:
    """No release brings it back."""
    await hub.take(flagged())
    stage = MatchingStage(
        hub.pool,
        KEYS,
        hub.settings,
        DIRECTORY,
        hub.send,
        hub.clock,
        changed(Flow.ACCESS_NOTICE, **kept_back),
    )
    await stage.process(await kept(hub, look()))
    assert (await notices(hub))[0][0] in ("held", "refused")
    await by_a_flag(hub)
    assert await notices(hub) == [("superseded", "sheffield", False, True), HIDDEN]


async def test_what_is_claimed_says_that_its_child_is_restricted_since(hub: Hub) -> None:
    """Before matching has heard of it: the last look before a notice leaves is at the child, not at
    an alert.
    """
    await hub.take(flagged())
    await looked(hub, look())
    await known_restricted(hub)
    (one,) = await claim(hub)
    assert (one.kind, one.restricted, one.now_restricted) == ("access", False, True)


async def test_two_authorities_that_share_an_endpoint_are_both_told(hub: Hub) -> None:
    """Each by a delivery of its own; matching goes on."""
    shared = {
        **DIRECTORY.authorities,
        LEEDS: replace_endpoint(DIRECTORY.authorities[LEEDS]),
    }
    stage = MatchingStage(
        hub.pool,
        KEYS,
        hub.settings,
        replace(DIRECTORY, authorities=shared),
        hub.send,
        hub.clock,
    )
    await hub.take(flagged(), flagged(authority=LEEDS))
    await stage.process(await kept(hub, look()))
    rows = await hub.query(
        "select delivery_id, destination, recipient from deliveries where kind = 'access' "
        "order by recipient"
    )
    assert [(row["destination"], row["recipient"]) for row in rows] == [
        ("sheffield", SHEFFIELD),
        ("sheffield", LEEDS),
    ]
    assert len({uuid.UUID(str(row["delivery_id"])) for row in rows}) == 2


def replace_endpoint(authority: Any) -> Any:
    """The authority with the endpoint of another."""
    return authority.model_copy(update={"alert_endpoint": "sheffield"})
