"""An MLLP listener that plays a hospital's system: files, remembers, answers, and misbehaves.

=============  ==================================================================================
mode           what it does with a message
=============  ==================================================================================
``ok``         files it and answers AA; one that it knows by MSH-10 is answered, not filed twice
``ae``         answers AE: the content is wrong
``ar``         answers AR: not now
``unknown``    answers with a code that no table has
``wrong-id``   answers AA to another message
``garbage``    answers with what is no HL7 v2
``slow``       files it and answers AA after `slow_seconds`
``close``      files it and cuts the connection: the answer is lost
``silent``     files it and never answers
``twice``      files it and answers AA two times
=============  ==================================================================================

Nothing is logged: messages name children. The journal is kept in memory and, if a path is given,
as JSON lines.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC
from pathlib import Path

from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.framing import Deframer, Frame, frame
from halyard.clock import Clock, system_clock
from halyard.errors import ConfigurationError

MODES = frozenset(
    {"ok", "ae", "ar", "unknown", "wrong-id", "garbage", "slow", "close", "silent", "twice"}
)
_FILES = frozenset({"ok", "slow", "close", "silent", "twice", "wrong-id", "garbage", "unknown"})
_CODES = {"ae": "AE", "ar": "AR", "unknown": "ZZ"}


@dataclass(frozen=True, slots=True)
class Filed:
    """One message as it came over the wire."""

    control_id: str
    kind: str  # of OBR-4
    alert_id: str
    version: int
    received_at: str
    connection: int  # counts from 1
    repeat: bool  # its control id was known already
    answer: str  # what this system did: a mode
    message_sha256: str  # repeats must be the same bytes
    message: str = field(repr=False)


@dataclass(slots=True)
class HospitalSystem:
    """What the system has been sent, and how it behaves."""

    journal_path: Path | None = None
    clock: Clock = system_clock
    slow_seconds: float = 30.0
    received: list[Filed] = field(default_factory=list, repr=False)
    connections: int = 0  # ever
    open: int = 0  # now
    _known: set[str] = field(default_factory=set, repr=False)
    _mode: str = "ok"
    _left: int | None = None

    def misbehave(self, mode: str, count: int | None = None) -> None:
        """Treat the next `count` messages by `mode`; None: until told otherwise."""
        if mode not in MODES:
            raise ConfigurationError(f"No mode {mode!r}; take one of {', '.join(sorted(MODES))}.")
        self._mode, self._left = mode, count

    def behaviour(self) -> tuple[str, int | None]:
        """The mode, and for how many messages more."""
        return self._mode, self._left

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, message by message, until the other side leaves."""
        self.connections += 1
        connection = self.connections
        self.open += 1
        deframer = Deframer()
        try:
            while data := await reader.read(65_536):
                for item in deframer.feed(data):
                    if not isinstance(item, Frame):
                        return
                    if not await self._take(item.data, connection, writer):
                        return
        except ConnectionError:
            return  # the sender went away, as senders do
        finally:
            self.open -= 1
            writer.transport.abort()

    async def _take(self, data: bytes, connection: int, writer: asyncio.StreamWriter) -> bool:
        """File and answer one message; False: cut the connection."""
        mode = self._next_mode()
        control_id = self._remember(data, connection, mode)
        if mode == "close":
            return False
        if mode == "silent":
            return True
        if mode == "slow":
            await asyncio.sleep(self.slow_seconds)
        if mode == "garbage":
            writer.write(frame(b"503 Service Unavailable"))
        else:
            of = "ANOTHER" if mode == "wrong-id" else control_id
            answer = frame(_acknowledgement(_CODES.get(mode, "AA"), of))
            writer.write(answer * (2 if mode == "twice" else 1))
        await writer.drain()
        return True

    def _next_mode(self) -> str:
        mode = self._mode
        if self._left is not None:
            self._left -= 1
            if self._left <= 0:
                self._mode, self._left = "ok", None
        return mode

    def _remember(self, data: bytes, connection: int, mode: str) -> str:
        try:
            message = Message.parse(data)
        except Er7Error:
            return ""
        values = {
            observation.text(3, 1): observation.text(5) for observation in message.segments("OBX")
        }
        control_id = message.get("MSH-10")
        version = values.get("VERSION", "")
        filed = Filed(
            control_id=control_id,
            kind=message.get("OBR-4.1"),
            alert_id=values.get("ALERT-ID", ""),
            version=int(version) if version.isdecimal() else 0,
            received_at=self.clock().astimezone(UTC).isoformat(),
            connection=connection,
            repeat=control_id in self._known,
            answer=mode,
            message_sha256=hashlib.sha256(data).hexdigest(),
            message=data.decode("utf-8", "replace"),
        )
        self.received.append(filed)
        if mode in _FILES:
            self._known.add(control_id)
        if self.journal_path is not None:
            line = json.dumps(asdict(filed), sort_keys=True, separators=(",", ":")) + "\n"
            with self.journal_path.open("a", encoding="utf-8") as journal:
                journal.write(line)
        return control_id


def _acknowledgement(code: str, control_id: str) -> bytes:
    return (
        "MSH|^~\\&|EPR|HOSPITAL|HALYARD|HALYARD|20260101000000||ACK^R01|"
        f"ACK{control_id[:17]}|P|2.4\rMSA|{code}|{control_id}\r"
    ).encode()


@asynccontextmanager
async def listening(
    system: HospitalSystem,
    *,
    port: int = 0,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    """The system behind a port (0: any free one); gives the port.

    Raises `ConfigurationError` if it is taken.
    """
    work: set[asyncio.Task[None]] = set()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        work.add(task)
        task.add_done_callback(work.discard)
        with suppress(asyncio.CancelledError):  # at the end, below
            await system.serve(reader, writer)

    try:
        server = await asyncio.start_server(accept, host, port, ssl=tls)
    except OSError:
        raise ConfigurationError(
            f"Port {port} on {host} is taken; stop what uses it, or give the practice hospital "
            "another."
        ) from None
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in list(work):
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
        await server.wait_closed()
