"""A listener under a flood, over loopback: bounds hold and the others are served."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import pytest

from connectors.hl7v2.client import ConnectionClosed, MllpClient
from connectors.hl7v2.framing import BrokenKind
from connectors.hl7v2.mllp import Limits, MllpServer, Peer, Reply
from tests.support.waiting import aeventually
from tests.unit.hl7v2.test_mllp import Recorder

OTHER = "127.0.0.2"  # Linux: all of 127/8 is loopback


class Judge(Recorder):
    """Refuses what begins with ``bad``."""

    async def on_frame(self, frame: bytes, peer: Peer) -> Reply | bytes | None:  # type: ignore[override]
        answer = await super().on_frame(frame, peer)
        refused = frame.startswith(b"bad")
        return Reply((answer or b"",), taken=int(not refused), refused=int(refused))


@asynccontextmanager
async def serving(handler: Recorder, limits: Limits) -> AsyncIterator[MllpServer]:
    """A server on a free port."""
    async with MllpServer(handler, limits=limits) as server:
        yield server


def client(server: MllpServer, source: str = "127.0.0.1") -> MllpClient:
    """A sender from that address."""
    return MllpClient("127.0.0.1", server.port, timeout=5, source=source)


async def test_an_address_that_opens_too_many_leaves_room_for_the_others() -> None:
    """Beyond its own limit an address is refused; another one is served."""
    limits = Limits(max_connections=10, max_connections_per_address=3)
    async with serving(Recorder(), limits) as server, AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(client(server, OTHER)) for _ in range(6)]
        await aeventually(lambda: sum(one.connected for one in crowd) == 3)
        good = await stack.enter_async_context(client(server))
        assert await good.send(b"one") == b"re:one"
        assert server.connections == 4
        assert server.refused == 3


async def test_in_a_full_house_the_silent_give_way_and_those_that_work_stay() -> None:
    """The oldest connection that never sent an acceptable message makes room for a new one."""
    async with serving(Judge(), Limits(max_connections=4)) as server, AsyncExitStack() as stack:
        working = await stack.enter_async_context(client(server))
        assert await working.send(b"one") == b"re:one"
        silent = await stack.enter_async_context(client(server))
        await aeventually(lambda: server.connections == 2)
        refused = await stack.enter_async_context(client(server))
        assert await refused.send(b"bad") == b"re:bad"
        last = await stack.enter_async_context(client(server))
        assert await last.send(b"two") == b"re:two"
        new = await stack.enter_async_context(client(server))
        assert await new.send(b"three") == b"re:three"
        assert [one.connected for one in (working, silent, refused, last)] == [
            True, False, True, True,
        ]  # fmt: skip
        newer = await stack.enter_async_context(client(server))
        assert await newer.send(b"four") == b"re:four"
        assert not refused.connected
        assert server.connections == 4
        async with client(server) as nobody:
            with pytest.raises(ConnectionClosed):
                await nobody.send(b"five")


async def test_refused_messages_are_paced_and_nobody_else_waits() -> None:
    """An address that sends rubbish is read at its pace; another one, and its own past, are not
    touched."""
    handler = Judge()
    limits = Limits(refusals_per_second=10)
    async with serving(handler, limits) as server, client(server, OTHER) as bad:
        waiting = [bad.submit(b"bad%d" % number) for number in range(400)]
        async with client(server) as good:
            for number in range(20):
                assert await good.send(b"%d" % number) == b"re:%d" % number
        frames = sum(one.startswith(b"bad") for one in handler.frames)
        # the burst, and what was in work at first; one at a time after that
        assert frames <= 20 + 8 + 10
        assert not waiting[-1].done()


class Idle(Recorder):
    """Keeps what could not be framed in mind only as a count."""

    async def on_broken(
        self, kind: BrokenKind, head: bytes, length: int, peer: Peer
    ) -> bytes | None:
        self.broken.append((kind, b"", length))
        return None


def _grown(server: MllpServer, handler: Recorder, held: int, given_up: int) -> bool:
    return server.buffered > held and len(handler.broken) >= given_up


async def test_unfinished_frames_of_many_connections_stay_within_the_budget() -> None:
    """Slow large frames: the oldest is given up (and reported) for the newest; a frame that is
    whole is served."""
    handler = Idle()
    limits = Limits(max_buffered_bytes=4_000_000)
    async with serving(handler, limits) as server, AsyncExitStack() as stack:
        slow = []
        for number in range(8):
            one = await stack.enter_async_context(client(server, OTHER))
            one.write_raw(b"\x0b" + b"x" * 500_000)
            slow.append(one)
            # one after the other, so that it is known which is the oldest
            held, given_up = min(number, 3) * 500_000, max(number - 3, 0)
            await aeventually(partial(_grown, server, handler, held, given_up))
            assert server.buffered <= limits.max_buffered_bytes
        async with client(server) as good:
            body = b"y" * 900_000
            assert await good.send(body) == b"re:" + body
        await aeventually(lambda: not slow[0].connected)
        assert slow[-1].connected
        assert {kind for kind, _, _ in handler.broken} == {"truncated"}
    assert server.buffered == 0


async def test_large_messages_in_work_hold_back_their_own_connection_alone() -> None:
    """The broker is slow and a sender pipelines large messages: it is not read until there is
    room; a sender of small ones is."""
    handler = Recorder(lambda frame: b"ok")
    large = [b"%d" % number + b"x" * 900_000 for number in range(8)]
    for message in large:
        handler.gates[message] = asyncio.Event()
    limits = Limits(max_buffered_bytes=4_000_000)
    async with serving(handler, limits) as server, client(server, OTHER) as bulk:
        waiting = [bulk.submit(message) for message in large]
        await aeventually(lambda: len(handler.frames) == 3)  # beyond the half of the budget
        async with client(server) as good:
            for _ in range(10):
                assert await good.send(b"small") == b"ok"
        assert sum(frame != b"small" for frame in handler.frames) == 3
        assert server.buffered < limits.max_buffered_bytes
        for gate in handler.gates.values():
            gate.set()
        assert await asyncio.gather(*waiting) == [b"ok"] * 8
    assert server.buffered == 0


async def test_a_chunk_of_tiny_frames_is_worked_off_in_order_within_the_limit() -> None:
    """Ten thousand frames of a byte: never more than the limit in work, none lost."""
    handler = Recorder()
    async with serving(handler, Limits(max_in_flight=8)) as server, client(server) as sender:
        waiting = [sender.submit(b"%d" % (number % 10)) for number in range(10_000)]
        answers = await asyncio.gather(*waiting)
    assert answers == [b"re:%d" % (number % 10) for number in range(10_000)]


async def test_a_connection_earns_the_messages_it_may_have_in_work() -> None:
    """Eight at first, twice as many after each accept, one after a refusal."""
    handler = Judge()
    for name in (b"0", b"9", b"bad", b"last"):
        handler.gates[name] = asyncio.Event()
    async with serving(handler, Limits(max_in_flight=64)) as server, client(server) as sender:
        waiting = [sender.submit(b"%d" % number) for number in range(9)]
        await aeventually(lambda: len(handler.frames) == 8)
        handler.gates[b"0"].set()
        await asyncio.gather(*waiting)
        waiting = [sender.submit(b"9") for _ in range(40)]
        await aeventually(lambda: handler.frames.count(b"9") == 40)
        handler.gates[b"9"].set()
        await asyncio.gather(*waiting)
        waiting = [sender.submit(b"bad"), sender.submit(b"last")]
        handler.gates[b"bad"].set()
        await waiting[0]
        waiting += [sender.submit(b"10"), sender.submit(b"11")]
        await aeventually(lambda: handler.frames[-1] == b"last")
        assert server.in_flight == 1
        handler.gates[b"last"].set()
        await asyncio.gather(*waiting)


async def test_a_peer_that_is_gone_gives_its_place_back_although_it_is_not_read() -> None:
    """A flood of refused messages, held back, and then a reset: the connection is closed, and what
    waited unread is not worked off."""
    handler = Judge()
    async with serving(handler, Limits(refusals_per_second=1, read_timeout=0.4)) as server:
        bad = client(server, OTHER)
        await bad.connect()
        for _ in range(2_000):
            bad.submit(b"bad").add_done_callback(lambda future: future.exception())
        await aeventually(lambda: len(handler.frames) >= 8)
        await bad.close()
        await aeventually(lambda: server.connections == 0)
        assert len(handler.frames) < 20


async def test_noise_without_end_closes_the_connection() -> None:
    """Bytes outside any frame are taken up to a limit, kept, and that is all."""
    handler = Idle()
    async with serving(handler, Limits(max_frame_bytes=50_000)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"GET / HTTP/1.1\r\n" * 10_000)
        with contextlib.suppress(ConnectionError):  # a reset says the same as an end
            assert await reader.read() == b""
        writer.close()
        await aeventually(lambda: server.connections == 0)
    assert handler.broken == [("noise", b"", 50_001)]


async def test_what_has_arrived_before_a_stop_is_answered() -> None:
    """Frames that were sent and not yet read when the stop begins are read and answered; the one
    that is not whole is not."""
    handler = Recorder()
    gate = handler.gates[b"first"] = asyncio.Event()
    async with serving(handler, Limits(max_in_flight=1)) as server, client(server) as sender:
        waiting = [sender.submit(b"first")]
        await aeventually(lambda: handler.frames == [b"first"])
        waiting += [sender.submit(b"%d" % number) for number in range(200)]
        sender.write_raw(b"\x0bhalf")
        stopping = asyncio.create_task(server.stop(grace=5))
        gate.set()
        answers = await asyncio.gather(*waiting)
        await stopping
    assert answers == [b"re:first", *(b"re:%d" % number for number in range(200))]
    assert handler.broken == []
