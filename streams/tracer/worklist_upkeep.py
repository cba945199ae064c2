"""What nobody decides about worklist entries: asked again by schedule, ended by age."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import psycopg

from halyard import metrics, telemetry
from halyard.errors import HalyardError
from halyard.postgres import Connection, Pool, lock, transaction
from halyard.settings import IdentitySettings
from stores import resolutions, uploads, worklist
from stores.resolutions import Action, Resolution
from stores.worklist import Due
from streams.identity.resolutions import EXPIRED, REUSED_LINE

EXPIRED_WORDS: Final = (
    "not held: nobody resolved it on the worklist in time; correct the record and send it again"
)
_AT_ONCE: Final = 1_000

log = telemetry.get_logger()


async def guarded(part: Callable[[], Awaitable[object]]) -> None:
    """Do a part of the work on all lists; its failure is logged, and it comes again by itself."""
    try:
        await part()
    except (HalyardError, psycopg.Error, OSError) as error:
        log.warning("worklist_work_failed", error=telemetry.describe(error))
    except Exception as error:  # noqa: BLE001 - one part must not end all others
        log.error("worklist_work_failed", error=telemetry.describe(error))


async def schedule(
    pool: Pool, settings: IdentitySettings, now: datetime, new_id: Callable[[], uuid.UUID]
) -> None:
    """Order that PDS is asked again about what is due, as far as few enough are being asked."""
    async with transaction(pool) as connection:
        await lock(connection, {"worklist:schedule"})  # of two tracers each would count the same
        live = await resolutions.count_scheduled(connection)
        room = settings.worklist_retries_at_once - live
        if room < 1:
            return
        for due in await worklist.take_due(connection, now=now, limit=room):
            await _order(connection, due, "retry", now, new_id)


async def expire(
    pool: Pool,
    settings: IdentitySettings,
    now: datetime,
    new_id: Callable[[], uuid.UUID],
    *,
    window: timedelta,
) -> None:
    """End what nobody resolved in time: arrivals after `window`, all else after the days set.

    An arrival of which an alert stands has the longer time: who may act on an alert must not lose
    it because nobody worked a list over a week-end. Then it is taken back (ordered here, done
    under the locks of its claim): an alert that nothing can take back would stand for ever.
    """
    others = now - timedelta(days=settings.worklist_days)
    async with transaction(pool) as connection:
        ended = await worklist.expire(
            connection, now=now, arrivals=now - window, others=others, limit=_AT_ONCE
        )
        flags = [
            one.reported_event_id
            for one in ended
            if one.event_kind == "flag" and one.closed_rule == EXPIRED and one.rule != REUSED_LINE
        ]
        await uploads.expire(connection, flags, EXPIRED_WORDS, now=now)
        for due in await worklist.standing_aged(connection, now=now, before=others, limit=_AT_ONCE):
            await _order(connection, due, "reject", now, new_id)
    for one in ended:
        metrics.count("halyard_worklist_expired_total", kind=one.event_kind)


async def _order(
    connection: Connection,
    due: Due,
    action: Action,
    now: datetime,
    new_id: Callable[[], uuid.UUID],
) -> None:
    again = Resolution(
        resolution_id=new_id(),
        entry_id=due.entry_id,
        organisation=due.organisation,
        action=action,
        made_by=resolutions.SCHEDULE,
        reason="schedule",
        made_at=now,
        scheduled=True,
    )
    await resolutions.schedule(connection, again)
