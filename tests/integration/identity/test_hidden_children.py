"""Children whom somebody must not find: an adopted child's two numbers, a restricted child's place.

Identity and matching on one database: everything stored and everything said is searched.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta

import psycopg
from psycopg import sql

from schemas.events import PersonClaim, VisitDetail
from schemas.topics import ALERT_CHANGED, ALERT_RECEIPT, IDENTITY_UNRESOLVED
from tests.support import identity as make
from tests.support.both_stages import BothStages
from tests.support.identity_world import World, person_of

OLD = make.CHILD
NEW = replace(OLD, nhs_number=make.number(9), family="Newfield", postcode="ZZ9 9ZZ")
OTHER_AUTHORITY = make.LONELY_AUTHORITY
WARD = VisitDetail(department="Ward 7", site_ods="RX101", reason="assault", admission_method="31")
# what a subscriber to the bus may read
READ = (ALERT_CHANGED, ALERT_RECEIPT, IDENTITY_UNRESOLVED)


def stored(world: World) -> list[tuple[str, str]]:
    """(table, row as text) of everything in the database."""
    found: list[tuple[str, str]] = []
    with psycopg.connect(
        world.database.owner_url, options="-c search_path=halyard", autocommit=True
    ) as connection:
        tables = connection.execute(
            "select tablename from pg_tables where schemaname = 'halyard' order by 1"
        ).fetchall()
        for (table,) in tables:
            rows = connection.execute(
                sql.SQL("select to_jsonb(t)::text from {} t").format(sql.Identifier(table))
            )
            found += [(table, text) for (text,) in rows]
    return found


def names(claim: PersonClaim) -> re.Pattern[str]:
    """A number in clear, as bytes in hexadecimal, and by every pseudonym."""
    number = claim.nhs_number
    assert number is not None
    forms = (number, number.encode().hex(), make.KEYS.person(number), make.KEYS.bus_person(number))
    return re.compile("|".join(forms))


async def test_nothing_links_the_two_numbers_of_an_adopted_child(world: World) -> None:
    """The old number is taken out of use and the child has a new one: what comes under the old one
    is quarantined, also with the new name; no row, record or delivery ever holds both.
    """
    hub = BothStages(world)
    world.knows(person_of(OLD))
    await hub.take(make.flag(OLD, received_at=make.NOW - timedelta(days=9)))
    await hub.trace()
    await hub.take(make.attendance(OLD, local_id="L1"))
    assert len(await hub.live()) == 1

    world.now += timedelta(days=3)
    world.knows(person_of(OLD, invalidated=True), person_of(NEW))
    await hub.take(make.flag(NEW, authority=OTHER_AUTHORITY, local_id="C9", upload="U9"))
    await hub.trace()
    now = world.now
    await hub.take(make.attendance(NEW, local_id="L9", visit="V9", received_at=now))
    stale = make.attendance(OLD, local_id="L2", visit="V2", received_at=now)
    mixed = make.attendance(
        replace(NEW, nhs_number=OLD.nhs_number), local_id="L3", visit="V3", received_at=now
    )
    await hub.take(stale, mixed)
    await hub.trace()

    quarantined = {("unresolved", "pds.invalidated"), ("unresolved", "number-invalidated")}
    assert set(await world.states(stale, mixed)) <= quarantined
    old, new = names(OLD), names(NEW)
    rows = stored(world)
    said = [(one.topic, f"{one.key} {one.value.hex()} {one.headers}") for one in world.sent]
    assert any(old.search(text) for _, text in rows)
    assert any(new.search(text) for _, text in rows)
    both = [place for place, text in [*rows, *said] if old.search(text) and new.search(text)]
    assert both == []
    (verified,) = {one.person for one in await hub.live(OTHER_AUTHORITY)}
    assert verified == make.KEYS.person(str(NEW.nhs_number))


async def test_a_superseded_number_is_no_adoption(world: World) -> None:
    """PDS itself says who stands for it now, and an arrival under it is the successor's."""
    hub = BothStages(world)
    merged = replace(OLD, nhs_number=make.number(12))
    world.knows(person_of(OLD), person_of(merged, superseded_by=OLD.nhs_number))
    await hub.take(make.flag(OLD, received_at=make.NOW - timedelta(days=9)))
    await hub.trace()
    arrival = make.attendance(merged)
    await hub.take(arrival)
    await hub.trace()
    ((state, rule),) = await world.states(arrival)
    assert (state, rule.endswith(".superseded")) == ("verified", True)
    assert {one.person for one in await hub.live()} == {make.KEYS.person(str(OLD.nhs_number))}


async def test_who_becomes_restricted_is_kept_without_postcode_and_told_of_without_place(
    world: World,
) -> None:
    """PDS says so on the daily check: the postcode goes from the index, and from then on nothing on
    the bus, and no delivery but the registered contact's, says that or where she is.
    """
    hub = BothStages(world)
    world.knows(person_of(OLD))
    await hub.take(make.flag(OLD, received_at=make.NOW - timedelta(days=9)))
    await hub.trace()
    assert await world.value("select postcode from identities") == OLD.postcode

    world.now += timedelta(days=2)
    world.knows(person_of(OLD, restricted=True))
    arrival = replace(make.attendance(OLD, received_at=world.now), detail=WARD)
    before = len(world.sent)
    told_before = len(hub.told)
    await hub.take(arrival)
    await hub.trace()

    (row,) = await world.rows("select restricted, postcode from identities")
    assert row == {"restricted": True, "postcode": None}
    read = [one.value for one in world.sent[before:] if one.topic in READ]
    secrets = [OLD.postcode, "Ward 7", "RX101", "assault"]
    for value in read:
        text = value.decode("latin-1")
        assert [one for one in secrets if one is not None and one in text] == []
    for told in hub.told[told_before:]:
        if told.restricted and told.content is not None:
            assert {told.content.department, told.content.site_ods, told.content.reason} == {None}
    deliveries = await world.rows(
        "select destination, kind, state, restricted, body from deliveries where state = 'open'"
    )
    assert deliveries, "the registered contact is told"
    assert {one["restricted"] for one in deliveries} == {True}
    for one in deliveries:
        text = bytes(one["body"]).decode()
        assert [secret for secret in secrets if secret is not None and secret in text] == []
