"""Report requests as they stand; their history is on the bus (``report.requested``)."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from halyard.postgres import Connection, load_queries
from schemas.deaths import RequestState
from stores.case_model import Request

_SQL = load_queries("stores", "report_requests.sql")


async def load(connection: Connection, case_ids: Iterable[uuid.UUID]) -> list[Request]:
    """The requests made for these cases, the first made first."""
    cursor = await connection.execute(_SQL["load"], {"case_ids": sorted(set(case_ids))})
    return [_request(row) for row in await cursor.fetchall()]


async def get(connection: Connection, request_id: uuid.UUID) -> Request | None:
    """The request of this id, if there is one."""
    row = await (await connection.execute(_SQL["get"], {"request_id": request_id})).fetchone()
    return None if row is None else _request(row)


async def save(connection: Connection, requests: Sequence[Request], at: datetime) -> None:
    """Write `requests`; a higher stored version stays. The caller holds their cases' locks."""
    if requests:
        async with connection.cursor() as cursor:
            await cursor.executemany(
                _SQL["save"],
                [
                    {
                        **asdict(one),
                        "state": one.state.value,
                        "sections": list(one.sections),
                        "changed_at": at,
                    }
                    for one in requests
                ],
            )


def _request(row: dict[str, Any]) -> Request:
    values = dict(row)
    del values["changed_at"]
    values["state"] = RequestState(values["state"])
    values["sections"] = tuple(values["sections"])
    return Request(**values)
