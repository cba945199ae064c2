"""The practice PDS as an application: two reads of the real API, and a door for faults.

Paths and queries carry numbers and names (the real API fixes them), so nothing here logs either.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Final

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response

from halyard.errors import ConfigurationError
from halyard.nhs_number import parse
from sandbox.pds import bodies
from sandbox.pds.matching import BadSearch, find, read_search
from sandbox.pds.people import Person, Register, person_from
from sandbox.pds.settings import Faults, PdsSandboxSettings, read_faults

BASE_PATH: Final = "/personal-demographics/FHIR/R4"
# From handler to counter; the real API has no such header, so it does not leave
_OUTCOME: Final = "x-sandbox-outcome"
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)


class PracticePds:
    """The state of one practice PDS: its people, its faults in force and its counters."""

    def __init__(
        self,
        people: Iterable[Person],
        settings: PdsSandboxSettings,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self.register = Register(people)
        self.settings = settings
        self.faults = Faults()
        self._now = now
        self._monotonic = monotonic
        self._lately: deque[float] = deque()
        self._seen: OrderedDict[str, bytes] = OrderedDict()
        self._counts: Counter[str] = Counter()

    def reset(self) -> None:
        """Clear faults, ration and counters; people stay."""
        self.faults = Faults()
        self._lately.clear()
        self._seen.clear()
        self._counts.clear()

    def calls(self) -> dict[str, Any]:
        """Counters: `received` requests; `calls` distinct by X-Request-ID; `repeated` ones;
        `reused` ids that came back with another question; and requests by kind and outcome."""
        plain = {name: self._counts[name] for name in ("received", "calls", "repeated", "reused")}
        grouped = {
            group: {
                key.partition(":")[2]: count
                for key, count in sorted(self._counts.items())
                if key.startswith(f"{group}:")
            }
            for group in ("kind", "outcome")
        }
        return {**plain, **grouped}

    async def answer(self, request: Request, kind: str, act: Callable[[], Response]) -> Response:
        """One request through faults, credentials, ration and headers to its answer."""
        faults, self.faults = self.faults, self.faults.spent()
        request_id = request.headers.get("x-request-id", "")
        self._count(request, kind, request_id)
        if faults.latency_ms:
            await asyncio.sleep(faults.latency_ms / 1000)
        response = (
            _faulty(faults)
            or self._refused(request)
            or self._rationed()
            or _bad_request_id(request_id)
        )
        if response is None:
            try:
                response = act()
            except BadSearch as bad:
                response = problem(bad.problem, bad.diagnostics)
        for mirrored in ("x-request-id", "x-correlation-id"):
            if (value := request.headers.get(mirrored)) is not None:
                response.headers[mirrored] = value
        self._counts[f"outcome:{response.headers.get(_OUTCOME, 'FAULT')}"] += 1
        if _OUTCOME in response.headers:
            del response.headers[_OUTCOME]
        return response

    def retrieve(self, number: str) -> Response:
        """The record under a number, or who stands for it now."""
        if parse(number, profile="test").number != number:
            return problem(bodies.INVALID_RESOURCE_ID)
        person = self.register.get(number)
        if person is None:
            return problem(bodies.RESOURCE_NOT_FOUND)
        current = self.register.successor(person)
        if current is None:
            return problem(bodies.INVALIDATED_RESOURCE)
        return _fhir(
            bodies.patient(current),
            outcome="SUPERSEDED" if current is not person else "FOUND",
            headers={"ETag": f'W/"{current.version}"'},
        )

    def search(self, request: Request) -> Response:
        """Who matches the query: a Bundle, or that there are too many."""
        search = read_search(
            request.query_params.multi_items(), restricted_mode=self.settings.restricted_mode
        )
        found = find(search, self.register)
        if len(found) > search.max_results:
            return problem(bodies.TOO_MANY_MATCHES)
        base = f"{request.url.scheme}://{request.url.netloc}{BASE_PATH}"
        bundle = bodies.searchset(found, base, self._now())
        return _fhir(bundle, outcome="MATCHED" if found else "EMPTY")

    def _count(self, request: Request, kind: str, request_id: str) -> None:
        self._counts["received"] += 1
        self._counts[f"kind:{kind}"] += 1
        if not request_id:
            return
        # A digest: what was asked is not kept
        asked = blake2b(f"{request.url.path}?{request.url.query}".encode(), digest_size=16).digest()
        before = self._seen.get(request_id)
        self._seen[request_id] = asked
        self._counts["calls" if before is None else "repeated"] += 1
        if before is not None and before != asked:
            self._counts["reused"] += 1
        if len(self._seen) > self.settings.remembered_calls:
            self._seen.popitem(last=False)

    def _refused(self, request: Request) -> Response | None:
        if self.settings.token is None:
            return None
        given = request.headers.get("authorization")
        if given is None:
            return problem(bodies.ACCESS_DENIED, "Missing access token")
        if given != f"Bearer {self.settings.token}":
            return problem(bodies.ACCESS_DENIED, "Invalid Access Token")
        return None

    def _rationed(self) -> Response | None:
        limit = self.settings.calls_per_second
        if limit is None:
            return None
        now = self._monotonic()
        while self._lately and self._lately[0] <= now - 1:
            self._lately.popleft()
        if len(self._lately) < limit:
            self._lately.append(now)
            return None
        return problem(bodies.TOO_MANY_REQUESTS, _quota(limit))


def create_app(
    people: Iterable[Person],
    settings: PdsSandboxSettings | None = None,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
) -> FastAPI:
    """The application; `app.state.pds` is its `PracticePds`.

    Raises `ConfigurationError` if two people share a number.
    """
    pds = PracticePds(people, settings or PdsSandboxSettings(), now=now, monotonic=monotonic)
    app = FastAPI(title="Practice PDS", openapi_url=None, docs_url=None, redoc_url=None)
    app.state.pds = pds

    @app.get(f"{BASE_PATH}/Patient/{{number}}")
    async def retrieve(request: Request, number: str) -> Response:
        return await pds.answer(request, "retrieve", lambda: pds.retrieve(number))

    @app.get(f"{BASE_PATH}/Patient")
    async def search(request: Request) -> Response:
        return await pds.answer(request, "search", lambda: pds.search(request))

    @app.api_route(f"{BASE_PATH}/Patient/{{number}}", methods=["PATCH"])
    @app.api_route(f"{BASE_PATH}/Patient", methods=["POST"])
    async def write(request: Request) -> Response:
        return await pds.answer(request, "write", lambda: problem(bodies.INVALID_METHOD))

    @app.post("/sandbox/faults")
    async def set_faults(request: Request) -> Response:
        try:
            pds.faults = read_faults(await _json(request))
        except ValueError as error:
            return _plain({"error": str(error)}, status=400)
        return _plain({"in_force": pds.faults.any})

    @app.get("/sandbox/calls")
    async def calls() -> Response:
        return _plain(pds.calls())

    @app.post("/sandbox/reset")
    async def reset() -> Response:
        pds.reset()
        return _plain({"reset": True})

    @app.post("/sandbox/people")
    async def put_person(request: Request) -> Response:
        body = await _json(request)
        try:
            pds.register.put(person_from(body if isinstance(body, dict) else {}))
        except ConfigurationError as error:
            return _plain({"error": error.message}, status=400)
        return _plain({"people": len(pds.register)})

    @app.get("/livez")
    async def alive() -> Response:
        return _plain({"people": len(pds.register)})

    return app


def problem(row: bodies.Problem, diagnostics: str | None = None) -> Response:
    """The answer for one row of the API's error table."""
    return _fhir(row.body(diagnostics), outcome=row.code, status=row.status)


def _faulty(faults: Faults) -> Response | None:
    if faults.garbage:
        return Response("<html>not what you asked for</html>", media_type="text/html")
    if faults.not_supported:
        return problem(bodies.NOT_SUPPORTED)
    status = 503 if faults.down else faults.status
    if status is None:
        return None
    known: dict[int, tuple[bodies.Problem, str | None]] = {
        401: (bodies.ACCESS_DENIED, "Access token expired"),
        408: (bodies.UNABLE_TO_CALL_SERVICE, None),
        429: (bodies.TOO_MANY_REQUESTS, _quota(5)),
    }
    if status in known:
        return problem(*known[status])
    return Response("The service is unavailable", status_code=status, media_type="text/plain")


def _bad_request_id(request_id: str) -> Response | None:
    if not request_id:
        return problem(
            bodies.MISSING_VALUE,
            "Invalid request with error - X-Request-ID header must be supplied to access this "
            "resource",
        )
    if not _UUID.fullmatch(request_id):
        return problem(
            bodies.INVALID_VALUE, f"Invalid value - '{request_id}' in header 'X-Request-ID'"
        )
    return None


def _quota(limit: int) -> str:
    return f"Your application has exceeded your quota of {limit} requests every 1 second"


def _fhir(
    body: bodies.Json, *, outcome: str, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    return Response(
        orjson.dumps(body),
        status_code=status,
        media_type="application/fhir+json",
        headers={**(headers or {}), _OUTCOME: outcome},
    )


def _plain(body: dict[str, Any], *, status: int = 200) -> Response:
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")


async def _json(request: Request) -> Any:
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None
