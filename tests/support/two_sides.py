"""Two authorities and two hospitals, each with a row in every store that the face reads.

Whatever is NORTH's or INFIRMARY's says ``mark-north`` or ``mark-infirmary`` somewhere, so that a
test sees at a glance whose rows an answer shows.
"""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import orjson

from halyard.postgres import Connection, Pool, transaction
from schemas.events import AlertFlag, PersonClaim, PlanType
from stores import (
    accesses,
    alerts,
    audit,
    audit_reviews,
    delivery_rows,
    flags,
    mailbox,
    shares,
    trace_batches,
    uploads,
    worklist,
)
from stores.audit import AuditEntry
from stores.delivery_rows import DeliveryRow
from stores.flags import Flag
from stores.mailbox import Letter
from stores.trace_batches import NewBatch, NewItem
from stores.uploads import Line
from stores.worklist import WorklistEntry
from tests.support.alerts import TRACE, alert
from tests.support.face import CLINIC, INFIRMARY, KEYS, NORTH, SOUTH
from tests.support.settled import settled

AT = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
NUMBER, OTHER_NUMBER = "9990000018", "9990000026"
SIDES = ((NORTH, INFIRMARY), (SOUTH, CLINIC))
MARKS = {
    NORTH: "mark-north",
    SOUTH: "mark-south",
    INFIRMARY: "mark-infirmary",
    CLINIC: "mark-clinic",
}


AGENCY, OTHER_AGENCY = "EE100001", "EE100002"
"""A school; and one with which each side's alert was shared before."""


def own_id(organisation: str, kind: str) -> uuid.UUID:
    """The id of the organisation's one row of a kind: upload, letter, entry, audit, access, review;
    share: of an authority's alert with `OTHER_AGENCY`.
    """
    return uuid.uuid5(uuid.NAMESPACE_URL, f"{organisation}/{kind}")


ALERTS = {NORTH: 1, INFIRMARY: 1, SOUTH: 2, CLINIC: 2}


def alert_id(organisation: str) -> uuid.UUID:
    """The alert of the organisation's side."""
    return uuid.UUID(int=ALERTS[organisation])


async def fill(pool: Pool) -> None:
    """Write the rows, as the app role, and wait until lists that go on by transaction show them:
    others' transactions in the same PostgreSQL hold them back.
    """
    async with transaction(pool) as connection:
        for number, (authority, hospital) in enumerate(SIDES, start=1):
            await _uploads(connection, authority)
            await alerts.save(connection, [_alert(number, authority, hospital)])
            for organisation in (authority, hospital):
                await _own(connection, organisation)
                await _looked(connection, organisation)
            await _shared(connection, number, authority)
            await _held(connection, number, authority, hospital)
        for authority, nhs_number in ((NORTH, NUMBER), (SOUTH, OTHER_NUMBER)):
            person = KEYS.person(nhs_number)
            await flags.replace(connection, [person], [_flag(authority, person, nhs_number)], AT)

    await settled(pool)


def _alert(number: int, authority: str, hospital: str) -> alerts.AlertRow:
    made = alert(number, authority=authority, hospital=hospital, person=f"p{number}")
    content = made.content.content
    assert content is not None
    marked = replace(
        content,
        reason=f"{MARKS[authority]} {MARKS[hospital]}",
        flags=(AlertFlag(PlanType.CPP, "2025-01-06", None, active=True, local_id="C-1"),),
    )
    return replace(made, content=replace(made.content, content=marked))


async def _uploads(connection: Connection, authority: str) -> None:
    line = Line(own_id(authority, "upload"), 1, own_id(authority, "event"), authority, 1, AT)
    await uploads.register(connection, [replace(line, local_id=MARKS[authority])], [])


async def _own(connection: Connection, organisation: str) -> None:
    mark = MARKS[organisation]
    entry = WorklistEntry(
        entry_id=own_id(organisation, "entry"),
        reported_event_id=own_id(organisation, "reported"),
        event_kind="flag",
        organisation=organisation,
        source=organisation,
        rule="pds-none",
        indicator="S04",
        opened_at=AT,
        local_id=mark,
    )
    await worklist.add(connection, [entry])
    body: dict[str, Any] = {"resourceType": "Bundle", "type": "message", "id": mark}
    letter = Letter(
        letter_id=own_id(organisation, "letter"),
        organisation=organisation,
        kind="acknowledgement",
        body=orjson.dumps(body),
        created_at=AT,
    )
    await mailbox.add(connection, [letter])
    batch = NewBatch(own_id(organisation, "batch"), organisation, "file", "direct-care", None, mark)
    await trace_batches.begin(connection, batch)
    await trace_batches.add(connection, batch.batch_id, [NewItem(2, PersonClaim(), local_id=mark)])
    await trace_batches.start(connection, batch, mark, lines=1, refused=0)
    told = AuditEntry(
        entry_id=own_id(organisation, "audit"),
        recorded_at=AT,
        kind="disclosure",
        chain=organisation,
        actor="process:test",
        organisation="hub",
        decision="permit",
        rule="made-up",
        subject=mark,
    )
    await audit.append(connection, [told])


def held_id(organisation: str) -> uuid.UUID:
    """The disclosure that waits for the organisation's people."""
    return held_row(ALERTS[organisation], organisation).delivery_id


def held_row(number: int, reviewer: str) -> DeliveryRow:
    """A held delivery of the side's alert."""
    return DeliveryRow(
        destination=f"none:held-for-{reviewer}",
        alert_id=uuid.UUID(int=number),
        version=1,
        round=1,
        kind="receipt",  # a fact: no later one makes it out of date
        body=orjson.dumps({"reason": MARKS[reviewer]}),
        event_id=own_id(reviewer, "held"),
        traceparent=TRACE,
        due_at=AT,
        recipient=MARKS[reviewer],  # the queue shows it: whose it is, at a glance
        reviewer=reviewer,
        person=f"p{number}",
        policy="made-up",
        policy_version=1,
        state="held",
        reason="policy:a-person-decides",
    )


async def _held(connection: Connection, number: int, *sides: str) -> None:
    await delivery_rows.add(connection, [held_row(number, one) for one in sides])


async def _shared(connection: Connection, number: int, authority: str) -> None:
    before = shares.Share(
        alert_id=uuid.UUID(int=number),
        recipient=OTHER_AGENCY,
        version=1,
        letter_id=own_id(authority, "share"),
        authority=authority,
        shared_at=AT,
        shared_by="user:made-up",
        state="shared",
        fields=("share.attended_on",),
        withheld=(),
        policy="share",
        policy_version=1,
    )
    await shares.add(connection, before)


async def _looked(connection: Connection, organisation: str) -> None:
    """A look of the organisation's staff at a child that has no plan."""
    look = accesses.Access(
        access_id=own_id(organisation, "access"),
        looked_at=AT,
        organisation=organisation,
        author=f"user:{MARKS[organisation]}",
        author_name="Made Up",
        author_person=True,
        job_role=None,
        roles=("clinician",),
        purpose="direct-care",
        unscheduled=False,
        interface="flags-query",
    )
    person = KEYS.person("9990000034")
    await accesses.add(
        connection,
        [accesses.Recorded(look, person, str(own_id(organisation, "request")), False, False)],
    )


async def open_reviews(pool: Pool) -> None:
    """A review of each organisation, as the owner of the tables: only the sealer opens any."""
    async with transaction(pool) as connection:
        await audit_reviews.open_(connection, [_review(one) for one in MARKS], now=AT)


def _review(organisation: str) -> audit_reviews.Review:
    return audit_reviews.Review(
        review_id=own_id(organisation, "review"),
        entry_id=own_id(organisation, "audit"),
        recorded_at=AT,
        chain=organisation,
        actor=f"user:{MARKS[organisation]}",
        person=None,
        rule="sample",
        opened_at=AT,
        due_at=AT,
    )


def _flag(authority: str, person: str, number: str) -> Flag:
    return Flag(
        authority=authority,
        person=person,
        plan_type=PlanType.LAC,
        start=date(2025, 1, 6),
        end=None,
        sequence=1,
        line=1,
        active_since=AT,
        restricted=False,
        nhs_number=number,
        birth_date="2017-03-04",
        local_id=MARKS[authority],
    )
