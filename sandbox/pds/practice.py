"""What the practice PDS does with a request: faults, credentials, ration, and the answer."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from datetime import datetime
from hashlib import blake2b
from hmac import compare_digest
from typing import Any, Final

import orjson
from fastapi import Request
from fastapi.responses import Response

from halyard.nhs_number import parse
from sandbox.pds import bodies
from sandbox.pds.changes import PersonEvent, apply_change
from sandbox.pds.faults import DroppedResponse, Faults, SlowResponse
from sandbox.pds.kept import Kept
from sandbox.pds.matching import BadSearch, find, read_search
from sandbox.pds.people import Person, Register
from sandbox.pds.settings import PdsSandboxSettings
from sandbox.pds.tokens import TokenDesk

BASE_PATH: Final = "/personal-demographics/FHIR/R4"
TOKEN_PATH: Final = "/oauth2/token"
# From handler to counter; the real API has no such header, so it does not leave
_OUTCOME: Final = "x-sandbox-outcome"
_UUID: Final = re.compile(
    r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII | re.IGNORECASE
)
_ORGANISATION: Final = "NHSD-End-User-Organisation-ODS"
_ODS_CODE: Final = re.compile(r"[0-9A-Z]+", re.ASCII)
_MAX_EVENTS: Final = 10_000


class PracticePds:
    """The state of one practice PDS: its people, its faults in force and its counters."""

    def __init__(
        self,
        people: Iterable[Person],
        settings: PdsSandboxSettings,
        *,
        now: Callable[[], datetime],
        monotonic: Callable[[], float],
        new_id: Callable[[], str],
        kept: Kept | None = None,
    ) -> None:
        self.register = Register(people)
        if kept is not None:
            for person in kept.people():
                self.register.put(person)
            self.register.keep = kept.put
        self.settings = settings
        self.tokens = TokenDesk(settings.apps, seconds=settings.token_seconds, now=now)
        self.events: deque[PersonEvent] = deque(maxlen=_MAX_EVENTS)
        self._now = now
        self._monotonic = monotonic
        self._new_id = new_id
        self.faults = settings.faults
        self._lately: deque[float] = deque()
        self._seen: OrderedDict[str, bytes] = OrderedDict()
        self._counts: Counter[str] = Counter()

    @property
    def faults(self) -> Faults:
        """What is wrong now."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        self._draw = random.Random(faults.seed)
        self._draws = {name: random.Random(each.seed) for name, each in faults.routes.items()}

    def reset(self) -> None:
        """Back to the faults of the start; ration, counters and events anew. People stay."""
        self.faults = self.settings.faults
        self._lately.clear()
        self.events.clear()
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

    def token_calls(self) -> dict[str, int]:
        """Counters of the token endpoint: requests for a token, and tokens that were issued."""
        return {
            "requested": self._counts["token_requests"],
            "issued": self._counts["tokens_issued"],
        }

    async def answer(self, request: Request, kind: str, act: Callable[[], Response]) -> Response:
        """One request through faults, credentials, ration and headers to its answer."""
        request_id = request.headers.get("x-request-id", "")
        self._count(request, kind, request_id)

        def real() -> Response:
            refused = (
                self._refused(request)
                or self._rationed()
                or _bad_request_id(request_id)
                or self._bad_organisation(request)
            )
            if refused is not None:
                return refused
            try:
                return act()
            except BadSearch as bad:
                return problem(bad.problem, bad.diagnostics)

        response = await self.faultily(kind, real)
        for mirrored in ("x-request-id", "x-correlation-id"):
            if (value := request.headers.get(mirrored)) is not None:
                response.headers[mirrored] = value
        self._counts[f"outcome:{response.headers.get(_OUTCOME, 'FAULT')}"] += 1
        if _OUTCOME in response.headers:
            del response.headers[_OUTCOME]
        return response

    async def faultily(self, kind: str, act: Callable[[], Response]) -> Response:
        """What `act` gives, unless a fault of this kind of request stands in its place."""
        faults = self._faults.on(kind)
        draw = self._draws.get(kind, self._draw)
        self._faults = self._faults.spent(kind)
        fails = bool(faults.error_rate) and draw.random() < faults.error_rate
        if wait := faults.wait_seconds(draw):
            await asyncio.sleep(wait)
        if faults.drop:
            return DroppedResponse()
        response = _faulty(faults, kind, fails=fails) or act()
        if faults.slow_body_ms:
            response = SlowResponse(response, faults.slow_body_ms / 1000)
        return response

    async def token(self, request: Request) -> Response:
        """An access token for a signed assertion, or why not."""
        self._counts["token_requests"] += 1
        body = await request.body()
        url = str(request.url.replace(query="", fragment=""))

        def issue() -> Response:
            status, answer = self.tokens.issue(body, token_url=url)
            self._counts["tokens_issued"] += status == 200
            response = plain(answer, status=status)
            response.headers.update({"Cache-Control": "no-store", "Pragma": "no-cache"})
            return response

        response = await self.faultily("token", issue)
        if _OUTCOME in response.headers:
            del response.headers[_OUTCOME]
        return response

    def change(self, body: Any, base_url: str) -> PersonEvent:
        """Change a record and remember the event. Raises `BadChange`."""
        event = apply_change(
            body, self.register, base_url=base_url, now=self._now(), new_id=self._new_id
        )
        self.events.append(event)
        return event

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
        bundle = bodies.searchset(found, base_of(request), self._now())
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
        if self.settings.token is None and not self.settings.apps:
            return None
        given = request.headers.get("authorization")
        if given is None:
            return problem(bodies.ACCESS_DENIED, "Missing access token")
        scheme, _, token = given.partition(" ")
        if scheme.casefold() == "bearer":
            if self.settings.token is not None and compare_digest(
                token.encode(), self.settings.token.encode()
            ):
                return None
            match self.tokens.standing(token):
                case "good":
                    return None
                case "expired":
                    return problem(bodies.ACCESS_DENIED, "Access token expired")
        return problem(bodies.ACCESS_DENIED, "Invalid Access Token")

    def _bad_organisation(self, request: Request) -> Response | None:
        given = request.headers.get(_ORGANISATION)
        if given is None:
            if self.settings.organisation_required:
                return problem(bodies.MISSING_VALUE, f"Missing value - '{_ORGANISATION}'")
            return None
        if _ODS_CODE.fullmatch(given):
            return None
        return problem(
            bodies.INVALID_VALUE, f"Invalid value - '{given}' in header '{_ORGANISATION}'"
        )

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


def problem(row: bodies.Problem, diagnostics: str | None = None) -> Response:
    """The answer for one row of the API's error table."""
    return _fhir(row.body(diagnostics), outcome=row.code, status=row.status)


def _faulty(faults: Faults, kind: str, *, fails: bool) -> Response | None:
    if faults.garbage:
        return Response("<html>not what you asked for</html>", media_type="text/html")
    if faults.not_supported:
        return problem(bodies.NOT_SUPPORTED)
    status = 503 if faults.down else faults.status
    if fails and status is None:
        status = faults.error_status
    if status is None:
        return None
    if kind == "token":
        return _token_fault(status)
    known: dict[int, tuple[bodies.Problem, str | None]] = {
        401: (bodies.ACCESS_DENIED, "Access token expired"),
        403: (bodies.INVALID_METHOD, None),
        408: (bodies.UNABLE_TO_CALL_SERVICE, None),
        429: (bodies.TOO_MANY_REQUESTS, _quota(5)),
    }
    if status in known:
        return problem(*known[status])
    return Response("The service is unavailable", status_code=status, media_type="text/plain")


def _token_fault(status: int) -> Response:
    if status == 429:
        return plain(
            {"error": "ratelimit_exceeded", "error_description": "The rate limit was exceeded"},
            status=429,
        )
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


def base_of(request: Request) -> str:
    """Where the caller found the API."""
    return f"{request.url.scheme}://{request.url.netloc}{BASE_PATH}"


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


def plain(body: dict[str, Any], *, status: int = 200) -> Response:
    """JSON that is no FHIR."""
    return Response(orjson.dumps(body), status_code=status, media_type="application/json")
