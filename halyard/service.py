"""What every process of the hub shares: start, health, signals, and an end that cannot hang.

`run` gives a process its loop, logs, fault points and a health server on loopback:

- ``/livez``   200, or 503 with the reasons for which the process should be restarted;
- ``/readyz``  200 while it does its work, 503 with the reasons else;
- ``/metrics`` Prometheus text.

SIGTERM and SIGINT set `Service.stopping`; a stop that takes longer than
``settings.worker.stop_seconds`` ends hard. A loop that does not turn for as long as a batch may
take ends hard too: it could answer neither a probe nor a signal.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Final

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from halyard import faults, telemetry
from halyard.errors import ConfigurationError, HalyardError
from halyard.metrics import registry
from halyard.settings import Settings

EXIT_DIED: Final = 1
EXIT_STUCK: Final = 70  # sysexits: EX_SOFTWARE
EXIT_CONFIGURATION: Final = 78  # sysexits: EX_CONFIG

Check = Callable[[], str | None]
"""Gives the reason why something is wrong, or None."""

_HEALTH_LIMIT: Final = 8_192  # bytes of a probe's request

log = telemetry.get_logger()


class ProcessDied(HalyardError):
    """A part of the process ended; its supervisor starts it again (`halyard up` does)."""


class Service:
    """One process: its name, settings and health. Made by `run`."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.settings = settings
        self.stopping = asyncio.Event()
        self.health_port = 0  # the port in use, known when `main` is called
        self.on_ending: Callable[[], None] = lambda: None
        self._ready = False
        self._liveness: dict[str, Check] = {}
        self._readiness: dict[str, Check] = {}
        self._parts: set[asyncio.Task[None]] = set()
        self._part_died: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def ready(self) -> bool:
        """Whether the process does its work; a stopping one is not ready."""
        return self._ready and not self.stopping.is_set()

    @ready.setter
    def ready(self, value: bool) -> None:
        if value and not self._ready:
            log.info("process_ready", service=self.name)
        self._ready = value

    def add_liveness(self, name: str, check: Check) -> None:
        """`check` gives the reason for which the process should be restarted, else None."""
        self._liveness[name] = check

    def add_readiness(self, name: str, check: Check) -> None:
        """`check` gives the reason for which the process cannot do its work now, else None."""
        self._readiness[name] = check

    def spawn(self, part: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run `part` beside `main`: if it ends with an error, the process ends non-zero."""
        task = asyncio.get_running_loop().create_task(part, name=name)
        self._parts.add(task)
        task.add_done_callback(self._part_done)
        return task

    def _part_done(self, task: asyncio.Task[None]) -> None:
        self._parts.discard(task)
        if task.cancelled() or self._part_died.done():
            return
        if error := task.exception():
            self._part_died.set_exception(error)

    def ending(self, error: BaseException) -> None:
        """Told by a part that has failed and now cleans up: the reason is logged at once, and the
        clean-up may not outlast ``worker.stop_seconds``."""
        log.error("process_ending", service=self.name, reason=telemetry.describe(error))
        self.on_ending()

    def dead(self) -> dict[str, str]:
        """Reasons for which the process should be restarted, by check."""
        return _reasons(self._liveness)

    def not_ready(self) -> dict[str, str]:
        """Reasons for which the process cannot do its work now, by check."""
        reasons = _reasons(self._readiness)
        if self.stopping.is_set():
            reasons["process"] = "stopping"
        elif not self._ready:
            reasons["process"] = "starting"
        return reasons

    async def until_part_dies(self) -> None:
        """Waits for a spawned part to fail, and raises what it raised."""
        await asyncio.shield(self._part_died)

    async def cancel_parts(self) -> None:
        """End what `spawn` started."""
        await cancel_all(self._parts, self.settings.worker.stop_seconds / 2)
        if self._part_died.done() and not self._part_died.cancelled():
            self._part_died.exception()  # seen
        self._part_died.cancel()


def _reasons(checks: dict[str, Check]) -> dict[str, str]:
    reasons = {}
    for name, check in checks.items():
        if reason := check():
            reasons[name] = reason
    return reasons


async def cancel_all(tasks: Iterable[asyncio.Task[Any]], seconds: float) -> bool:
    """Cancel `tasks` until they end, for at most `seconds`; False if some did not.

    Once is not enough: up to Python 3.11 `asyncio.wait_for`, which pools and clients use, may
    swallow a cancellation that comes together with its answer (fixed in 3.12).
    """
    deadline = time.monotonic() + seconds
    waiting = {task for task in tasks if not task.done()}
    while waiting and time.monotonic() < deadline:
        for task in waiting:
            task.cancel()
        _, waiting = await asyncio.wait(waiting, timeout=0.2)
    return not waiting


Main = Callable[[Service], Awaitable[None]]


def run(name: str, settings: Settings, main: Main) -> int:
    """Run `main` as the process `name` until it returns, fails, or a signal stops it.

    Gives the exit code: 0 after a clean end; 1 if `main` or a spawned part failed; 78 for a wrong
    configuration. A stop that outlasts ``worker.stop_seconds`` and a loop that hangs exit with 70
    from here.
    """
    telemetry.configure(name, settings.log_level)
    end = _HardEnd(name, settings)
    try:
        faults.arm(settings.fault)
        return asyncio.run(_run(name, settings, main, end))
    except ConfigurationError as error:
        log.error("process_died", service=name, reason=telemetry.describe(error))
        return EXIT_CONFIGURATION
    except Exception as error:
        log.error("process_died", service=name, reason=telemetry.describe(error), exc_info=error)
        return EXIT_DIED
    finally:
        end.loop_closed()


async def _run(name: str, settings: Settings, main: Main, end: _HardEnd) -> int:
    service = Service(name, settings)
    loop = asyncio.get_running_loop()
    end.watch(loop)
    service.on_ending = lambda: end.arm("the end")

    def stop(number: int, _frame: object) -> None:
        # A plain handler, not the loop's: it starts the deadline also while the loop is stuck
        end.arm("stop")
        with suppress(RuntimeError):  # the loop is closed: the process is at its end
            loop.call_soon_threadsafe(_stop, service, signal.Signals(number).name)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    server = await _serve_health(service)
    log.info("process_started", service=name, pid=os.getpid(), health_port=service.health_port)
    work = asyncio.ensure_future(main(service))
    watch = asyncio.ensure_future(service.until_part_dies())
    try:
        await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
        if watch.done() and not work.done():
            end.arm("the end of a part")
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work
            await watch
        await work
    except BaseException:
        end.arm("the end")  # what follows must not hang either
        raise
    finally:
        watch.cancel()
        await service.cancel_parts()
        server.close()
    log.info("process_stopped", service=name)
    return 0


def _stop(service: Service, signal_name: str) -> None:
    if not service.stopping.is_set():
        log.info("process_stopping", service=service.name, signal=signal_name)
        service.stopping.set()


class _HardEnd:
    """Ends the process from a thread when a stop outlasts its deadline or the loop hangs."""

    def __init__(self, name: str, settings: Settings) -> None:
        self._name = name
        self._seconds = settings.worker.stop_seconds
        # A batch may be long, but it waits in the loop; a loop that does not turn is stuck
        self._hang_seconds = settings.worker.verdict_seconds + settings.worker.take_seconds
        self._tick = min(0.25, self._seconds / 4, self._hang_seconds / 4)
        self._deadline: tuple[float, str] | None = None
        self._turned: float | None = None
        self._over = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def arm(self, why: str) -> None:
        """Exit hard in ``worker.stop_seconds`` from now; the first call holds.

        Safe in a signal handler: it takes no lock.
        """
        if self._deadline is None:
            self._deadline = (time.monotonic() + self._seconds, why)

    def watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """From now on a deadline holds, and `loop` may not stand still as long as a batch may."""

        def turn() -> None:
            if not self._over.is_set():
                self._turned = time.monotonic()
                loop.call_later(self._tick, turn)

        self._loop = loop
        turn()
        threading.Thread(target=self._check, name="hard-end", daemon=True).start()

    def loop_closed(self) -> None:
        """The loop is gone; a thread that does not end still may not keep the process."""
        self._turned = None
        others = [
            thread
            for thread in threading.enumerate()
            if thread is not threading.current_thread() and not thread.daemon
        ]
        if others:
            self.arm("exit")
        else:
            self._over.set()

    def _check(self) -> None:
        while not self._over.wait(self._tick):
            now = time.monotonic()
            if self._deadline is not None and now > self._deadline[0]:
                self._exit(f"{self._deadline[1]} took longer than {self._seconds:g} s")
            if self._turned is not None and now - self._turned > self._hang_seconds:
                self._exit(f"the loop has stood still for {self._hang_seconds:g} s")

    def _exit(self, reason: str) -> None:
        log.error("process_died", service=self._name, reason=reason, waits_in=self._waits())
        sys.stderr.flush()
        os._exit(EXIT_STUCK)

    def _waits(self) -> list[str]:
        """Where each task of the loop stands: what held the process."""
        places = []
        with suppress(RuntimeError):  # the loop may be making tasks while we look
            for task in asyncio.all_tasks(self._loop):
                frames = task.get_stack()
                place = frames[-1] if frames else None
                where = f" {place.f_code.co_filename}:{place.f_lineno}" if place else ""
                places.append(
                    f"{task.get_name()} {getattr(task.get_coro(), '__qualname__', '')}{where}"
                )
        return places


async def _serve_health(service: Service) -> asyncio.Server:
    """The health server: three paths, GET only, one request a connection, no access log."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(5):
                request = await reader.readuntil(b"\r\n\r\n")
                status, content_type, body = _health(service, request)
                writer.write(
                    b"HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %d\r\n"
                    b"Cache-Control: no-store\r\nConnection: close\r\n\r\n"
                    % (status, content_type.encode(), len(body))
                    + body
                )
                await writer.drain()
        except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # a probe that says nothing gets nothing
        finally:
            writer.close()

    port = service.settings.http.health_port
    try:
        server = await asyncio.start_server(answer, "127.0.0.1", port, limit=_HEALTH_LIMIT)
    except OSError as error:
        raise ConfigurationError(
            f"Port {port} of the health server is taken ({type(error).__name__}); set "
            "HALYARD_HTTP__HEALTH_PORT to a free one, or to 0."
        ) from None
    service.health_port = server.sockets[0].getsockname()[1]
    return server


def _health(service: Service, request: bytes) -> tuple[bytes, str, bytes]:
    line = request.split(b"\r\n", 1)[0].split(b" ")
    if len(line) != 3 or line[0] not in (b"GET", b"HEAD"):
        return b"405 Method Not Allowed", "text/plain", b""
    path = line[1].split(b"?", 1)[0]
    if path == b"/metrics":
        return b"200 OK", CONTENT_TYPE_LATEST, generate_latest(registry)
    if path not in (b"/livez", b"/readyz"):
        return b"404 Not Found", "text/plain", b""
    reasons = service.dead() if path == b"/livez" else service.not_ready()
    status = b"503 Service Unavailable" if reasons else b"200 OK"
    body = {"service": service.name, "status": "fail" if reasons else "pass", "reasons": reasons}
    return status, "application/json", orjson.dumps(body)
