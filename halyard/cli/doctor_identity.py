"""What `halyard doctor` finds of identity: nobody is known without a reason."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Final

from halyard.cli.doctor_database import doctor_pool
from halyard.cli.doctor_proof import Result
from halyard.clock import system_clock
from halyard.postgres import transaction
from halyard.settings import Settings
from stores import identities, worklist

_OLD: Final = timedelta(days=7)
_OLD_ARRIVAL: Final = timedelta(days=1)


def index(settings: Settings) -> tuple[Result, str]:
    """That the local index holds only whom it may (docs/reference/identity.md, What is kept)."""

    async def look() -> identities.Held:
        async with doctor_pool(settings) as pool, transaction(pool) as connection:
            return await identities.held(connection, now=system_clock())

    found = asyncio.run(look())
    if found.without_reason:
        return "failed", (
            f"{found.without_reason} of {found.people} people have no plan, no open case and no "
            "visit or death of the last 48 hours: see that `halyard tracer` runs, which forgets "
            "them each minute, and its log"
        )
    return "ok", f"{found.people} people, each with a plan, a visit, a death or an open case"


def worklists(settings: Settings) -> tuple[Result, str]:
    """That somebody works the worklists: an old entry is a child of whom nobody is told."""
    now = system_clock()

    async def look() -> list[worklist.Standing]:
        async with doctor_pool(settings) as pool, transaction(pool) as connection:
            return await worklist.standing(connection, now=now)

    found = asyncio.run(look())
    old = sorted(
        {
            f"{one.event_kind}s ({(now - one.oldest).days} days)"
            for one in found
            if now - one.oldest > (_OLD_ARRIVAL if one.event_kind == "attendance" else _OLD)
        }
    )
    amount = sum(one.amount for one in found)
    if old:
        return "warning", (
            f"{amount} entries are open, old ones among {', '.join(old)}: see `halyard worklist "
            "list --organisation CODE`, and ask the organisation to work them"
        )
    return "ok", f"{amount} entries are open, none of them old"


CHECKS: Final = (
    ("index", index),
    ("worklist", worklists),
)
