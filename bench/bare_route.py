"""The yardstick of look-ups: a bare FastAPI route that parses the same body and knows the answer.

``python -m bench.bare_route`` serves it on a free port with the server's settings that the hub has,
prints the port, and ends when its input does. No token is asked for, nothing is looked up, nothing
is written. Two more rungs tell what each layer costs: ``guarded`` has the hub's edge before it,
with its tokens, roles and limits; ``recorded`` commits one row besides, each in its own
transaction.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

import orjson
from fastapi import APIRouter, FastAPI, Request
from starlette.responses import Response

from flag_service.authorising import Authorising
from flag_service.door import make_door
from flag_service.flags import FlagsQuery
from halyard.clock import system_clock
from halyard.errors import TransientError
from halyard.http import caller, listen, make_app, serve
from halyard.postgres import Pool, load_queries, make_pool, transaction
from halyard.settings import Settings, load_settings
from stores.directory import load_directory

Rung = Literal["bare", "guarded", "recorded"]

PATH: Final = "/flags/query"
START_SECONDS: Final = 30.0
_SQL = load_queries("bench", "flag_lookup.sql")
# about as long as what the hub answers of a child with a plan
ANSWER: Final = orjson.dumps({"answer": "flagged", "padding": "x" * 1_500})


class NotServed(TransientError):
    """The bare route did not start; measure again."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A route that is served."""

    url: str
    pid: int


def make() -> FastAPI:
    """The application."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.post(PATH, response_class=Response)
    async def query(body: FlagsQuery) -> Response:
        return Response(ANSWER, media_type="application/json")

    return app


def make_guarded(settings: Settings, pool: Pool | None) -> FastAPI:
    """The same answer for who is let in; with a `pool` once a row is committed."""
    directory = load_directory(settings.directory_file)
    authorise = Authorising(kinds_of=directory.kinds_of)
    router = APIRouter()

    @router.post(PATH, response_class=Response)
    async def query(request: Request, body: FlagsQuery) -> Response:
        who = await caller(request)
        if pool is not None:
            async with transaction(pool) as connection:
                await connection.execute(_SQL["add_row"], {"author": who.subject})
        return Response(ANSWER, media_type="application/json")

    app = make_app(
        settings,
        title="bench",
        authenticate=make_door(settings, directory, None, system_clock),
        routers=(router,),
        authorise=authorise,
    )
    authorise.bind(app.router.routes)
    return app


@contextlib.asynccontextmanager
async def run_bare(
    rung: Rung = "bare", environment: Mapping[str, str] | None = None
) -> AsyncIterator[Bare]:
    """The route in a process of its own, with the hub's `environment` for other rungs than the
    bare one. Raises `NotServed` if it does not start.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.bare_route",
        rung,
        env=environment,
        stdin=asyncio.subprocess.PIPE,  # its end is ours
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        if process.stdout is None:
            raise NotServed
        try:
            async with asyncio.timeout(START_SECONDS):
                said = await process.stdout.readline()
        except TimeoutError:
            raise NotServed from None
        if not said.strip().isdigit():
            raise NotServed
        yield Bare(f"http://127.0.0.1:{int(said)}", process.pid)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _serve(rung: str) -> None:
    async with contextlib.AsyncExitStack() as stack:
        app = make()
        if rung != "bare":
            settings = load_settings()
            pool = None
            if rung == "recorded":
                pool = make_pool(settings, name="bench-rung")
                await pool.open()
                await stack.enter_async_context(pool)
            app = make_guarded(settings, pool)
        await _served(app)


async def _served(app: FastAPI) -> None:
    listener = listen("127.0.0.1", 0)
    stopping = asyncio.Event()

    def say() -> None:
        sys.stdout.write(f"{listener.getsockname()[1]}\n")
        sys.stdout.flush()

    async def parent() -> None:
        await asyncio.to_thread(sys.stdin.buffer.read)
        stopping.set()

    waiting = asyncio.create_task(parent())
    try:
        await serve(app, listener, stopping, on_ready=say)
    finally:
        waiting.cancel()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1] if len(sys.argv) > 1 else "bare"))
