"""Refusals become entries of the audit chain: written apart from the answer, and never one each.

Whoever tries a route a thousand times a second must not fill the chain or slow an answer. So the
first refusal (of an organisation, subject, route and rule) is written within seconds, and those
that repeat it once a minute, as one entry with their number; beyond `MOST` different ones that wait
the rest is one entry that only counts.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from halyard import metrics
from halyard.caller import Caller
from halyard.clock import Clock
from halyard.errors import HalyardError
from halyard.postgres import Pool, scoped
from halyard.telemetry import get_logger
from stores import audit
from stores.audit import HUB, AuditEntry

WRITE_SECONDS: Final = 2.0
AGAIN: Final = timedelta(minutes=1)
"""So long the same refusal is only counted, once it was written."""
MOST: Final = 200
"""Different refusals that wait to be written at a time."""

log = get_logger()

Put = Callable[[Sequence[AuditEntry]], Awaitable[None]]
_Key = tuple[str, str, str, str]  # organisation, subject, route, rule
_REST: Final[_Key] = ("", "", "", "")


@dataclass(slots=True)
class _Noted:
    """The same refusal, some times."""

    caller: Caller
    first_at: datetime
    request_id: str | None
    count: int = 0


def into(pool: Pool) -> Put:
    """Entries go into the chain in the database of the face's `pool`."""

    async def put(entries: Sequence[AuditEntry]) -> None:
        async with scoped(pool, "") as connection:
            await audit.append(connection, entries)

    return put


@dataclass(slots=True)
class Refusals:
    """What was refused and is not written yet; `put` writes entries."""

    put: Put
    clock: Clock
    most: int = MOST
    new_id: Callable[[], uuid.UUID] = uuid.uuid4
    _noted: dict[_Key, _Noted] = field(default_factory=dict)
    _beyond: int = 0
    _written: dict[_Key, datetime] = field(default_factory=dict)  # in the last minute

    def note(self, caller: Caller, route: str, rule: str, state: Mapping[str, Any]) -> None:
        """Somebody was refused. Does no more than count; `route` is a template."""
        metrics.count("halyard_access_refused_total", route=route, rule=rule)
        key = (caller.organisation, caller.subject, route, rule)
        known = self._noted.get(key)
        if known is None:
            if len(self._noted) >= self.most:
                self._beyond += 1
                return
            known = self._noted[key] = _Noted(caller, self.clock(), state.get("request_id"))
        known.count += 1

    async def write(self, *, everything: bool = False) -> int:
        """Write what is due, or `everything`; gives how many entries. Raises what the database
        raises: it is all still noted then.
        """
        now = self.clock()
        self._written = {key: at for key, at in self._written.items() if now - at < AGAIN}
        due = {
            key: one for key, one in self._noted.items() if everything or key not in self._written
        }
        beyond = 0
        if self._beyond and (everything or _REST not in self._written):
            beyond, self._beyond = self._beyond, 0
        for key in due:
            del self._noted[key]
        entries = [self._entry(key, one) for key, one in due.items()]
        if beyond:
            entries.append(self._rest(beyond))
        if not entries:
            return 0
        try:
            await self.put(entries)
        except BaseException:
            self._give_back(due, beyond)
            raise
        self._written |= dict.fromkeys((*due, _REST) if beyond else due, now)
        return len(entries)

    async def run(self, stopping: asyncio.Event) -> None:
        """Write every few seconds until `stopping`."""
        failing = False
        while True:
            try:
                async with asyncio.timeout(WRITE_SECONDS):
                    await stopping.wait()
                return  # `last` writes the rest
            except TimeoutError:
                pass  # the usual case: nobody stopped us
            try:
                await self.write()
                failing = False
            except HalyardError as error:
                if not failing:
                    log.warning("refusals_not_written", exc_info=error)
                failing = True

    async def last(self) -> None:
        """Write what is left, if that can be done at once; else it is told how many are lost."""
        try:
            async with asyncio.timeout(WRITE_SECONDS):
                await self.write(everything=True)
        except (HalyardError, TimeoutError) as error:
            lost = self._beyond + sum(one.count for one in self._noted.values())
            log.error("refusals_lost", count=lost, exc_info=error)

    def _give_back(self, noted: Mapping[_Key, _Noted], beyond: int) -> None:
        """Count on where it stood; what does not fit any more is only counted."""
        self._beyond += beyond
        for key, one in noted.items():
            known = self._noted.get(key)
            if known is not None:
                known.count += one.count
                known.first_at = one.first_at
            elif len(self._noted) < self.most:
                self._noted[key] = one
            else:
                self._beyond += one.count

    def _entry(self, key: _Key, noted: _Noted) -> AuditEntry:
        organisation, subject, route, rule = key
        return AuditEntry(
            entry_id=self.new_id(),
            recorded_at=self.clock(),  # now, however long the database was away
            kind="refusal",
            chain=organisation,
            actor=subject,
            organisation=organisation,
            decision="deny",
            rule=rule,
            actor_name=noted.caller.name,
            role=",".join(sorted(noted.caller.roles)) or None,
            subject=f"route:{route}",
            request_id=noted.request_id,
            token_id=noted.caller.token_id,
            detail=(
                ("count", str(noted.count)),
                ("first_at", noted.first_at.isoformat(timespec="seconds")),
            ),
        )

    def _rest(self, count: int) -> AuditEntry:
        return AuditEntry(
            entry_id=self.new_id(),
            recorded_at=self.clock(),
            kind="refusal",
            chain=HUB,
            actor="process:serve",
            organisation=HUB,
            decision="deny",
            rule="access.too_many_to_name",
            detail=(("count", str(count)),),
        )
