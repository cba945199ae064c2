"""The last events of cases on the bus again, for a consumer that was restored from a backup."""

from __future__ import annotations

import uuid
from typing import Final

from halyard.kafka import Record, cloudevent_headers
from halyard.postgres import Pool, lock, transaction
from halyard.telemetry import new_traceparent
from schemas import codec
from schemas.deaths import CaseChanged
from schemas.topics import CASE_CHANGED
from stores import case_commands, outbox
from stores.case_commands import FIRST
from streams.cases.commands import no_case

PAGE: Final = 200


async def republish(pool: Pool, case_ids: list[uuid.UUID] | None) -> int:
    """Put the last event of these cases (None: of all) on the bus again, by the outbox; gives how
    many. Consumers that have the version ignore it. Raises `PermanentError` for an unknown case.
    """
    if case_ids is not None:
        return await _republish(pool, case_ids)
    amount, after = 0, FIRST
    while True:
        async with transaction(pool) as connection:
            page = await case_commands.all_ids(connection, after=after, limit=PAGE)
        if not page:
            return amount
        amount += await _republish(pool, page)
        after = page[-1]


async def _republish(pool: Pool, case_ids: list[uuid.UUID]) -> int:
    async with transaction(pool) as connection:
        # so that no newer version goes out before this one
        await lock(connection, {f"case:{one}" for one in case_ids})
        found = await case_commands.last_events(connection, case_ids)
        if missing := set(case_ids) - found.keys():
            raise no_case(min(missing))
        await outbox.add(connection, [_entry(value) for value in found.values()])
    return len(found)


def _entry(value: bytes) -> outbox.Entry:
    event = codec.decode_as(CaseChanged, value)
    headers = cloudevent_headers(
        event_id=event.event_id,
        event_type="CaseChanged",
        source="cases",
        time=event.changed_at,
        traceparent=new_traceparent(),
    )
    return outbox.Entry(Record(CASE_CHANGED, str(event.case_id), value, headers), event.event_id)
