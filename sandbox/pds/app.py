"""The practice PDS as an application: two reads of the real API, its token endpoint, and doors
for faults, people and changes.

Paths and queries carry numbers and names (the real API fixes them), so nothing here logs either.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import orjson
from fastapi import FastAPI, Request
from fastapi.responses import Response

from halyard.errors import ConfigurationError
from sandbox.pds import bodies
from sandbox.pds.changes import BadChange
from sandbox.pds.faults import read_faults
from sandbox.pds.kept import Kept, NotKept, TooManyKept
from sandbox.pds.people import Person, person_from
from sandbox.pds.practice import BASE_PATH, TOKEN_PATH, PracticePds, base_of, plain, problem
from sandbox.pds.settings import PdsSandboxSettings

__all__ = ["BASE_PATH", "TOKEN_PATH", "PracticePds", "create_app"]


def create_app(
    people: Iterable[Person],
    settings: PdsSandboxSettings | None = None,
    *,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    monotonic: Callable[[], float] = time.monotonic,
    new_id: Callable[[], str] = lambda: str(uuid4()),
    kept: Kept | None = None,
) -> FastAPI:
    """The application; `app.state.pds` is its `PracticePds`. `kept`: the file of what is put into
    it while it runs; those in it replace `people` of their number. Without, a restart forgets it.

    Raises `ConfigurationError` if two people share a number.
    """
    pds = PracticePds(
        people,
        settings or PdsSandboxSettings(),
        now=now,
        monotonic=monotonic,
        new_id=new_id,
        kept=kept,
    )
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

    @app.post(TOKEN_PATH)
    async def token(request: Request) -> Response:
        return await pds.token(request)

    @app.get("/sandbox/tokens")
    async def token_calls() -> Response:
        return plain(pds.token_calls())

    @app.post("/sandbox/tokens/expire")
    async def expire_tokens() -> Response:
        return plain({"expired": pds.tokens.expire()})

    @app.post("/sandbox/changes")
    async def change(request: Request) -> Response:
        try:
            event = pds.change(await _json(request), base_of(request))
        except BadChange as error:
            return plain({"error": str(error)}, status=400)
        except (TooManyKept, NotKept) as error:
            return plain({"error": error.message}, status=507)
        return plain({"event": event.cloud_event(), "bundle": event.bundle()})

    @app.get("/sandbox/events")
    async def events() -> Response:
        return plain(
            {
                "events": [event.cloud_event() for event in pds.events],
                "bundles": [event.bundle() for event in pds.events],
            }
        )

    @app.post("/sandbox/faults")
    async def set_faults(request: Request) -> Response:
        try:
            pds.faults = read_faults(await _json(request))
        except ValueError as error:
            return plain({"error": str(error)}, status=400)
        return plain({"in_force": pds.faults.any})

    @app.get("/sandbox/calls")
    async def calls() -> Response:
        return plain(pds.calls())

    @app.post("/sandbox/reset")
    async def reset() -> Response:
        pds.reset()
        return plain({"reset": True})

    @app.post("/sandbox/people")
    async def put_person(request: Request) -> Response:
        body = await _json(request)
        try:
            pds.register.put(person_from(body if isinstance(body, dict) else {}))
        except (TooManyKept, NotKept) as error:
            return plain({"error": error.message}, status=507)
        except ConfigurationError as error:
            return plain({"error": error.message}, status=400)
        return plain({"people": len(pds.register), "kept": kept is not None})

    @app.get("/livez")
    async def alive() -> Response:
        return plain({"people": len(pds.register)})

    return app


async def _json(request: Request) -> Any:
    try:
        return orjson.loads(await request.body())
    except orjson.JSONDecodeError:
        return None
