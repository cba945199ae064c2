"""Looks at flags, and which authorities are told of them: once per author, child and authority in
24 h, decided under the person's lock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby

from halyard import metrics
from halyard.postgres import Connection
from halyard.telemetry import get_logger
from policies.desk import Desk
from policies.ruling import Decision
from schemas.accesses import AccessRecorded
from stores import accesses, flags
from stores.accesses import ONCE_IN, Notice, Recorded
from stores.flags import Flag
from streams.matching.access_notices import AGAIN, tells, to_authority, told_before
from streams.matching.disclosing import Disclosed
from streams.matching.flags import Standing, day, standing

log = get_logger()


async def notices_of(
    connection: Connection,
    looks: Sequence[tuple[AccessRecorded, str]],
    restricted: Collection[str],
    desk: Desk,
    *,
    now: datetime,
    successors: Mapping[str, str] | None = None,
) -> list[Disclosed]:
    """What authorities are told of `looks` (each with its trace), and remember that they are.
    `restricted`: those of their persons who are. `successors`: who stands now for those whose
    number was superseded after the look; their plans are the successors' by then.

    The caller holds the locks of all these persons, and writes the rows and their audit entries in
    the same transaction.
    """
    if not looks:
        return []
    traces = {event.access_id: trace for event, trace in looks}
    times = {event.access_id: event.looked_at for event, _ in looks}
    found = await accesses.by_ids(connection, times)
    if missing := len(times) - len(found):
        # their month was dropped by retention before the event came, or came again
        log.warning("accesses_not_kept", count=missing)
    stands = successors or {}
    telling = sorted(
        (
            replace(look, person=stands.get(look.person, look.person))
            for look in found.values()
            if tells(look)
        ),
        key=lambda look: (look.access.looked_at, look.access.access_id),
    )
    if not telling:
        return []
    persons = {look.person for look in telling}
    held = await flags.of_persons(connection, persons)
    by_person = {person: list(own) for person, own in groupby(held, key=lambda flag: flag.person)}
    since = min(look.access.looked_at for look in telling) - ONCE_IN
    known = await accesses.notices(connection, persons, since)
    told: list[Disclosed] = []
    fresh: list[Notice] = []
    for look in telling:
        for authority, flag in _protecting(look, by_person).items():
            if told_before(look, authority, known):
                metrics.count("halyard_access_notices_total", result="told-before")
                continue
            made = to_authority(
                look,
                authority,
                desk,
                nhs_number=flag.nhs_number,
                hidden=look.person in restricted,
                traceparent=traces[look.access.access_id],
                now=now,
            )
            told.append(made)
            notice = Notice(
                access_id=look.access.access_id,
                authority=authority,
                person=look.person,
                organisation=look.access.organisation or "",
                author=look.access.author or "",
                looked_at=look.access.looked_at,
            )
            fresh.append(notice)
            denied = made.asked.ruling.decision is Decision.DENY
            if not denied:  # else nobody was told, and the next look may be
                known.append(notice)
            metrics.count("halyard_access_notices_total", result="denied" if denied else "told")
    await accesses.save_notices(connection, fresh)
    return told


async def hidden_anew(
    connection: Connection, restricted: Collection[str], desk: Desk, *, now: datetime
) -> list[Disclosed]:
    """Notices that were not sent, composed anew without the place: of `restricted` people, by
    pseudonym. As with `notices_of` the caller writes them.
    """
    if not restricted:
        return []
    taken = await accesses.take_back(connection, restricted, desk.directory.authorities, now)
    return [
        to_authority(
            one.look,
            one.authority,
            desk,
            nhs_number=one.nhs_number,
            hidden=True,
            traceparent=one.traceparent,
            now=now,
            version=AGAIN,
        )
        for one in taken
    ]


def _protecting(look: Recorded, by_person: Mapping[str, Sequence[Flag]]) -> dict[str, Flag]:
    """The authorities with a plan that was active on the day of the look, each with a plan; not
    the one that looked itself.
    """
    on = day(look.access.looked_at)
    return {
        flag.authority: flag
        for flag in by_person.get(look.person, ())
        if standing(flag, on) is Standing.ACTIVE and flag.authority != look.access.organisation
    }
