"""``GET /alerts/stream``: alerts as they change, by Server-Sent Events (WHATWG HTML, 9.2).

Each event's id is a cursor: whoever comes back with it (``Last-Event-ID``, or ``after``) misses
nothing, whatever was committed late (correctness rule 20). An alert that a running transaction may
still precede is shown at once and has the id of the place before it: after a break it may come
again, with the same version.

A comment line says every few seconds that the hub has looked and found nothing; when the hub cannot
look, it ends the stream. So silence is the receiver's alarm. NOTIFY is a hint; the list is read
every second in any case, and never without a pause. All lists together have half of the process's
database connections, so that an alert can be accepted however many wake up. A reader who does not
take what is sent is cut off: nothing is held for him beyond the socket's own buffer.

A list ends with what opened it: an access token's time, or a person's session, which is asked for
again every minute. An open list is use of its session (docs/adr/0033).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
import uuid
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, Final, Literal

import orjson
from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from flag_service import cursors
from flag_service.alert_views import releases, show
from flag_service.alerts import State
from halyard import metrics
from halyard.caller import Caller as Who
from halyard.clock import Clock, system_clock
from halyard.errors import DatabaseUnavailable, TransientError
from halyard.http import HttpProblem, Limit
from halyard.http import caller as who_asks
from halyard.postgres import Connection, Pool, scoped, transaction
from halyard.problems import responses
from halyard.telemetry import get_logger
from policies.desk import Desk
from stores import alerts, audit
from stores.alerts import AlertRow, Cursor

CHANNEL: Final = "halyard_alerts"
PATH: Final = "/alerts/stream"
PAGE: Final = 100

Asking = Annotated[Who, Depends(who_asks)]
EVENT: Final[dict[str, Any]] = {
    "type": "object",
    "description": "One event: `data` is an alert as JSON, as GET /alerts shows it.",
    "properties": {
        "id": {"type": "string", "description": "The cursor: Last-Event-ID of the next reading."},
        "event": {"const": "alert"},
        "data": {"type": "string"},
    },
}

End = Literal["client", "slow", "time", "stopping", "database", "credential"]

Standing = Callable[[Request], Awaitable[bool]]
"""Whether the session behind a request stands; asking is use of it. Raises `TransientError`."""

log = get_logger()


@dataclass(frozen=True, slots=True)
class Pace:
    """How often, how long, how many. Times in seconds."""

    poll: float = 1.0
    rest: float = 0.2  # at least, and at most twice as long, between two readings of one list
    turn: float = 10.0  # for a database connection; then the stream ends, as without a database
    heartbeat: float = 15.0
    send: float = 20.0  # a piece that is not taken by then cuts the reader off
    longest: float = 3_600.0  # then the reader comes again, and its token is looked at again
    session: float = 60.0  # until a person's session is asked for again
    most: int = 500  # streams of this process
    most_each: int = 50  # of one organisation


@dataclass(slots=True)
class Live:
    """The streams of one process; `hint` wakes them, `stopping` ends them."""

    pool: Pool
    desk: Desk
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    pace: Pace = Pace()
    clock: Clock = system_clock
    spread: Callable[[], float] = random.random
    _turns: asyncio.Semaphore = field(init=False)
    _open: Counter[str] = field(default_factory=Counter)
    _waiting: set[asyncio.Event] = field(default_factory=set)

    def __post_init__(self) -> None:
        """Half of the pool is for others, if it has more than one connection."""
        self._turns = asyncio.Semaphore(max(1, self.pool.max_size // 2))

    def hint(self) -> None:
        """Something may have changed."""
        for one in self._waiting:
            one.set()

    @contextlib.contextmanager
    def place(self, caller: str) -> Iterator[asyncio.Event]:
        """Room for one stream and its hints. Raises `HttpProblem` 429 if there is none."""
        if self._open.total() >= self.pace.most or self._open[caller] >= self.pace.most_each:
            raise HttpProblem(
                429,
                "Too many live lists are open",
                "Close one, or read /alerts instead; then try again.",
                rule="alerts.too_many_streams",
                headers={"Retry-After": "30"},
            )
        hinted = asyncio.Event()
        self._open[caller] += 1
        self._waiting.add(hinted)
        metrics.gauge("halyard_alert_streams", self._open.total())
        try:
            yield hinted
        finally:
            self._waiting.discard(hinted)
            self._open[caller] -= 1
            metrics.gauge("halyard_alert_streams", self._open.total())

    async def wait(self, hinted: asyncio.Event, gone: asyncio.Event) -> None:
        """Until there may be something to do: a hint is followed after the rest, not before."""
        rest = min(self.pace.rest * (1 + self.spread()), self.pace.poll)
        await _any(rest, gone, self.stopping)
        await _any(self.pace.poll - rest, hinted, gone, self.stopping)

    @contextlib.asynccontextmanager
    async def reading(self, caller: str) -> AsyncIterator[Connection]:
        """A transaction for one page of `caller`. Raises `DatabaseUnavailable` if its turn does not
        come.
        """
        try:
            async with asyncio.timeout(self.pace.turn):
                await self._turns.acquire()
        except TimeoutError:
            raise DatabaseUnavailable(
                "Live lists wait too long for the database; raise HALYARD_DATABASE__POOL_SIZE or "
                "run another process of the service."
            ) from None
        try:
            async with scoped(self.pool, caller) as connection:
                yield connection
        finally:
            self._turns.release()


async def _any(seconds: float, *events: asyncio.Event) -> None:
    """Until one of them is set, at most so long."""
    waits = [asyncio.ensure_future(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waits:
            one.cancel()


@dataclass(slots=True)
class _Reader:
    """One organisation's list from its cursor on."""

    live: Live
    asking: Who
    states: Sequence[str] | None
    place: Cursor | None
    early: dict[uuid.UUID, int] = field(default_factory=dict)  # shown before they were settled

    async def read(self) -> AsyncGenerator[bytes]:
        """What is new, as events; raises `TransientError` if it cannot be read."""
        early: dict[uuid.UUID, int] = {}
        more = True
        while more:
            organisation = self.asking.organisation
            async with self.live.reading(organisation) as connection:
                page = await alerts.page_for_organisation(
                    connection,
                    organisation,
                    after=self.place,
                    limit=PAGE,
                    states=self.states,
                    withheld=True,
                )
                new = [one for one in page.rows if not self._known(one)]
                desk = self.live.desk
                shown = show(
                    new,
                    self.asking,
                    desk,
                    self.live.clock(),
                    released=await releases(connection, organisation, new, desk),
                    interface="stream",
                )
                await audit.append(connection, shown.entries)
            bodies = {one.alert_id: body for one, body in zip(new, shown.views, strict=True)}
            for number, row in enumerate(page.rows, start=1):
                known = self._known(row)
                if number <= page.settled:
                    self.place = Cursor.after(row)
                else:
                    early[row.alert_id] = row.version
                if number <= page.settled or not known:
                    yield _event(self.place, bodies.get(row.alert_id))
            self.place, more = page.next, page.more
        self.early = early

    def _known(self, row: AlertRow) -> bool:
        return self.early.get(row.alert_id) == row.version


def _event(place: Cursor | None, body: Mapping[str, Any] | None) -> bytes:
    """An event; without a body only its id, which the receiver remembers (9.2.6)."""
    settled = place.settled if place else None
    cursor = cursors.encode_change(Cursor(settled, settled))
    lines = [] if cursor is None else [f"id: {cursor}".encode()]
    if body is not None:
        lines += [b"event: alert", b"data: " + orjson.dumps(body)]  # one line: JSON escapes others
    return b"\n".join(lines) + b"\n\n" if lines else b""


class _Stream(Response):
    """The answer: runs until the reader goes, is too slow, or the process stops."""

    def __init__(
        self, live: Live, reader: _Reader, stands: Callable[[], Awaitable[bool]] | None = None
    ) -> None:
        """`stands` is asked now and then; with the first no the stream ends."""
        super().__init__(media_type="text/event-stream", headers={"X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._live = live
        self._reader = reader
        self._stands = stands

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send until it ends; the reason is counted."""
        del scope
        gone = asyncio.Event()
        watching = asyncio.create_task(_watch(receive, gone))
        try:
            with self._live.place(self._reader.asking.organisation) as hinted:
                head = {"status": self.status_code, "headers": self.raw_headers}
                await send({"type": "http.response.start", **head})
                ended = await self._run(send, hinted, gone)
        finally:
            watching.cancel()
        metrics.count("halyard_alert_streams_ended_total", reason=ended)
        if ended in ("time", "stopping", "database", "credential"):
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        # else nobody takes it: returning without an end makes the server close the connection

    async def _run(self, send: Send, hinted: asyncio.Event, gone: asyncio.Event) -> End:
        pace = self._live.pace
        started = spoken = stood = time.monotonic()

        async def say(piece: bytes) -> None:
            nonlocal spoken
            async with asyncio.timeout(pace.send):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            spoken = time.monotonic()

        try:
            await say(b"retry: 1000\n: this list goes on; a line every few seconds says so\n\n")
            while True:
                if self._expired():
                    return "credential"
                if self._stands is not None and time.monotonic() - stood >= pace.session:
                    if not await self._stands():
                        return "credential"
                    stood = time.monotonic()
                hinted.clear()
                async with contextlib.aclosing(self._reader.read()) as pieces:
                    async for piece in pieces:
                        if piece:
                            await say(piece)
                        if gone.is_set() or self._live.stopping.is_set():
                            break
                if time.monotonic() - spoken >= pace.heartbeat:
                    await say(b": nothing new\n\n")
                if gone.is_set():
                    return "client"
                if self._live.stopping.is_set():
                    return "stopping"
                if time.monotonic() - started >= pace.longest:
                    return "time"
                await self._live.wait(hinted, gone)
        except TimeoutError:
            return "slow"
        except TransientError as error:
            log.warning("live_list_ended", exc_info=error)
            return "database"

    def _expired(self) -> bool:
        """Whether the token or session has ended. A machine's token opened this one request: when
        it expires says until when that could begin.
        """
        asking = self._reader.asking
        if asking.expires_at is None or asking.credential == "machine-token":
            return False
        return asking.expires_at <= self._live.clock()


async def _watch(receive: Receive, gone: asyncio.Event) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    gone.set()


def stream_limits(pace: Pace = Pace()) -> dict[tuple[str, str], Limit]:
    """The edge must let a stream live longer than it lives by itself."""
    return {("GET", PATH): Limit(1_000, seconds=pace.longest + 2 * pace.send + 60)}


def make_router(live: Live, stands: Standing | None = None) -> APIRouter:
    """The route of the live list; comes before those with an id in their path. `stands` says
    whether a session does; without it nobody has one.
    """
    router = APIRouter()

    @router.get(
        PATH,
        tags=["alerts"],
        summary="Alerts of your organisation as they change (server-sent events)",
        response_class=Response,
        responses={
            200: {
                "description": "Events; the stream goes on.",
                "content": {"text/event-stream": {"schema": EVENT}},
            },
            **responses(422, 429),
        },
    )
    async def stream_alerts(
        request: Request,
        asking: Asking,
        after: Annotated[str | None, Query(max_length=200)] = None,
        state: Annotated[list[State] | None, Query()] = None,
        last_event_id: Annotated[str | None, Header(max_length=200)] = None,
    ) -> Response:
        place = cursors.decode_change(last_event_id or after)
        async with transaction(live.pool):
            pass  # a database that is away is a 503, not a stream that ends
        reader = _Reader(live, asking, state, place)
        if stands is None or asking.credential != "session":
            return _Stream(live, reader)
        return _Stream(live, reader, partial(stands, request))

    return router
