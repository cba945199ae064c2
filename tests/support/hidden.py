"""Worlds that differ in a restricted child alone: nobody, a child here, the same child elsewhere.

What an organisation that neither protects nor treats the child can see must be the same in all; of
the child's own number it must be the same wherever the child is.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

from halyard.postgres import Pool, transaction
from schemas.events import Moment
from stores import accesses, alerts, flags, identities, uploads, visits
from stores.accesses import Access, Recorded
from stores.credentials import Credential
from stores.directory import Authority, Directory, Hospital
from stores.flags import Flag
from stores.identities import KnownPerson
from stores.uploads import Line
from stores.visits import Visit
from tests.support import disclosing
from tests.support.alerts import alert
from tests.support.face import CLINIC, INFIRMARY, KEYS, NORTH, ORDERED, SOUTH
from tests.support.looks import plan

NOW: Final = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)
CHILD, OLD, ORDINARY = "9990000018", "9990000026", "9990000034"
"""The restricted child; a number that she had; an ordinary child of South."""
ELSEWHERE: Final = "RX903"  # a third hospital
HIDDEN_ALERT: Final = uuid.UUID(int=7_777)

_STAFF: Final = {
    "clinician": (INFIRMARY, ("clinician",)),
    "auditor": (INFIRMARY, ("auditor",)),
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where the child is: everything that must not be told."""

    authority: str
    hospital: str
    phone: str
    postcode: str
    department: str
    reason: str
    local_id: str
    looker: str


HERE = Place(
    NORTH, CLINIC, "01632 960777", "ZZ7 7AB", "SECRET-WARD-A", "Burn A", "L-77", "Ida Here"
)
THERE = Place(
    ORDERED, ELSEWHERE, "01632 960888", "ZZ8 8CD", "SECRET-WARD-B", "Fall B", "L-88", "Tom There"
)


def directory() -> Directory:
    """Agencies and people as in `disclosing`, one more hospital, and staff with other roles."""
    made = disclosing.directory()
    staff = tuple(
        Credential(
            organisation=organisation,
            sha256=hashlib.sha256(f"practice-token-of-a-{name}".encode()).hexdigest(),
            roles=roles,
        )
        for name, (organisation, roles) in _STAFF.items()
    )
    return replace(
        made,
        hospitals={**made.hospitals, ELSEWHERE: Hospital(ods=ELSEWHERE, name="Elsewhere House")},
        authorities={
            **made.authorities,
            NORTH: Authority(gss=NORTH, name="North", phone_office=HERE.phone),
            ORDERED: Authority(gss=ORDERED, name="Ordered", phone_office=THERE.phone),
        },
        credentials=(*made.credentials, *staff),
    )


async def fill(pool: Pool, place: Place | None) -> None:
    """An ordinary child for everybody to see, every authority's file, the child at `place`."""
    lines = [
        Line(
            uuid.UUID(int=number), 1, uuid.UUID(int=100 + number), gss, 1, NOW - timedelta(hours=1)
        )
        for number, gss in enumerate((NORTH, SOUTH, ORDERED), start=1)
    ]
    async with transaction(pool) as connection:
        await uploads.register(connection, lines, [])
        await flags.replace(
            connection, [KEYS.person(ORDINARY)], [plan(ORDINARY, SOUTH)], NOW - timedelta(days=9)
        )
        await visits.save(connection, [_visit(ORDINARY, INFIRMARY)], NOW - timedelta(hours=2))
        await identities.put(connection, [known(ORDINARY)])
        ordinary = alert(1, authority=SOUTH, person=KEYS.person(ORDINARY))
        await alerts.save(connection, [ordinary])
    if place is not None:
        await hide(pool, place)
    later = alert(2, authority=SOUTH, person=KEYS.person(ORDINARY))
    async with transaction(pool) as connection:
        await alerts.save(connection, [later])


async def hide(pool: Pool, place: Place) -> None:
    """The restricted child: plan, record, visit, alert, and looks from where she is."""
    person = KEYS.person(CHILD)
    async with transaction(pool) as connection:
        await identities.put(connection, [known(CHILD, place)])
        await flags.replace(connection, [person], [_plan(place)], NOW - timedelta(days=3))
        hidden = replace(
            _visit(CHILD, place.hospital),
            restricted=True,
            department=place.department,
            reason=place.reason,
        )
        await visits.save(connection, [hidden], NOW - timedelta(hours=2))
        row = alert(7_777, authority=place.authority, hospital=place.hospital, person=person)
        await alerts.save(connection, [replace(row, restricted=True)])
        await accesses.add(connection, [_look(person, place)])


def secrets(*places: Place) -> Sequence[str]:
    """What must stand nowhere: the values by which a place could be known."""
    found: list[str] = []
    for one in places:
        found += [one.phone, one.postcode, one.department, one.reason, one.local_id, one.looker]
    return found


def _plan(place: Place) -> Flag:
    return plan(
        CHILD,
        place.authority,
        restricted=True,
        local_id=place.local_id,
        phone_office=place.phone,
        phone_emergency=place.phone,
    )


def known(number: str, place: Place | None = None) -> KnownPerson:
    """A verified person; restricted, if at a place."""
    return KnownPerson(
        person=KEYS.person(number),
        nhs_number=number,
        family="Testfield",
        given=("Robin",),
        other_families=(),
        other_given=(),
        birth_date="2017-03-04",
        gender="female",
        postcode="ZZ1 1AA" if place is None else place.postcode,
        restricted=place is not None,
        deceased=False,
        demographic_tokens=(),
        verified_at=NOW - timedelta(hours=3),
        keep_until=NOW + timedelta(days=2),
        flagged=True,
        flagged_at=NOW - timedelta(days=3),
    )


def _visit(number: str, hospital: str) -> Visit:
    at = NOW - timedelta(hours=2)
    return Visit(
        visit_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{number}/{hospital}"),
        source_patient=number[::-1],
        person=KEYS.person(number),
        hospital=hospital,
        live=True,
        state="present",
        arrived=Moment(at),
        received_at=at,
        late=False,
        fresh=True,
        provisional=False,
        restricted=False,
        department="ED",
    )


def _look(person: str, place: Place) -> Recorded:
    return Recorded(
        access=Access(
            access_id=uuid.uuid5(uuid.NAMESPACE_URL, place.hospital),
            looked_at=NOW - timedelta(hours=1),
            organisation=place.hospital,
            author="user:looker",
            author_name=place.looker,
            author_person=True,
            job_role="Doctor",
            roles=("clinician",),
            purpose="urgent-care",
            unscheduled=True,
            interface="flags-query",
        ),
        person=person,
        request_id="made-up",
        flagged=True,
        listed=True,
        reason=None,
    )
