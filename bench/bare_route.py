"""The yardstick of look-ups: a bare FastAPI route that parses the same body and knows the answer.

``python -m bench.bare_route`` serves it on a free port with the server's settings that the hub has,
prints the port, and ends when its input does. No token is asked for, nothing is looked up, nothing
is written.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import orjson
from fastapi import FastAPI
from starlette.responses import Response

from flag_service.flags import FlagsQuery
from halyard.errors import TransientError
from halyard.http import listen, serve

PATH: Final = "/flags/query"
START_SECONDS: Final = 30.0
# about as long as what the hub answers of a child with a plan
ANSWER: Final = orjson.dumps({"answer": "flagged", "padding": "x" * 1_500})


class NotServed(TransientError):
    """The bare route did not start; measure again."""


@dataclass(frozen=True, slots=True)
class Bare:
    """A bare route that is served."""

    url: str
    pid: int


def make() -> FastAPI:
    """The application."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)

    @app.post(PATH, response_class=Response)
    async def query(body: FlagsQuery) -> Response:
        return Response(ANSWER, media_type="application/json")

    return app


@contextlib.asynccontextmanager
async def run_bare() -> AsyncIterator[Bare]:
    """The route in a process of its own. Raises `NotServed` if it does not start."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.bare_route",
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


async def _serve() -> None:
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
        await serve(make(), listener, stopping, on_ready=say)
    finally:
        waiting.cancel()


if __name__ == "__main__":
    asyncio.run(_serve())
