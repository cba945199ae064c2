"""The MLLP server and client over loopback: order, bounds, time-outs, drain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from connectors.hl7v2.client import AnswerTimeout, CannotConnect, ConnectionClosed, MllpClient
from connectors.hl7v2.framing import BrokenKind
from connectors.hl7v2.mllp import Limits, MllpServer, Peer
from halyard.errors import ConfigurationError
from tests.support.waiting import aeventually

Answer = Callable[[bytes], bytes | None]


class Recorder:
    """A handler that notes what it gets and answers as told; `gates` hold single answers back."""

    def __init__(self, answer: Answer = lambda frame: b"re:" + frame) -> None:
        self.frames: list[bytes] = []
        self.broken: list[tuple[str, bytes, int]] = []
        self.peers: set[Peer] = set()
        self.gates: dict[bytes, asyncio.Event] = {}
        self.answer = answer

    async def on_frame(self, frame: bytes, peer: Peer) -> bytes | None:
        self.frames.append(frame)
        self.peers.add(peer)
        if frame in self.gates:
            await self.gates[frame].wait()
        return self.answer(frame)

    async def on_broken(
        self, kind: BrokenKind, head: bytes, length: int, peer: Peer
    ) -> bytes | None:
        self.broken.append((kind, head, length))
        return b"too large" if kind == "oversize" else None


@asynccontextmanager
async def serving(
    handler: Recorder, limits: Limits | None = None
) -> AsyncIterator[tuple[MllpServer, Callable[[], MllpClient]]]:
    """A server on a free port and a maker of clients for it."""
    async with MllpServer(handler, limits=limits or Limits()) as server:
        yield server, lambda: MllpClient("127.0.0.1", server.port, timeout=5)


async def test_many_messages_a_connection() -> None:
    """One connection carries many messages, each with its answer."""
    handler = Recorder()
    async with serving(handler) as (server, connect), connect() as client:
        for number in range(50):
            assert await client.send(b"%d" % number) == b"re:%d" % number
        assert server.connections == 1
    assert len(handler.peers) == 1


async def test_pipelined_answers_leave_in_the_order_of_the_requests() -> None:
    """The first answer is held back; those behind it wait for it."""
    handler = Recorder()
    handler.gates[b"0"] = asyncio.Event()
    async with serving(handler) as (_, connect), connect() as client:
        waiting = [client.submit(b"%d" % number) for number in range(8)]
        await aeventually(lambda: len(handler.frames) == 8)
        assert not any(answer.done() for answer in waiting)
        handler.gates[b"0"].set()
        assert await asyncio.gather(*waiting) == [b"re:%d" % number for number in range(8)]


async def test_send_many_pipelines() -> None:
    """The client's helper gives answers in order over one connection."""
    async with serving(Recorder(), Limits(max_in_flight=8)) as (_, connect), connect() as client:
        messages = [b"%d" % number for number in range(300)]
        answers = [answer async for answer in client.send_many(messages, window=32)]
    assert answers == [b"re:" + message for message in messages]


async def test_no_more_than_the_limit_is_in_work_and_the_rest_waits_unread() -> None:
    """A sender that pipelines without end is held back by not reading it."""
    handler = Recorder()
    for number in range(100):
        handler.gates[b"%d" % number] = asyncio.Event()
    async with serving(handler, Limits(max_in_flight=4)) as (server, connect), connect() as client:
        waiting = [client.submit(b"%d" % number) for number in range(100)]
        await aeventually(lambda: len(handler.frames) == 4)
        for number in range(100):
            assert server.in_flight <= 4
            handler.gates[b"%d" % number].set()
            assert await waiting[number] == b"re:%d" % number
    assert handler.frames == [b"%d" % number for number in range(100)]


async def test_no_answer_closes_the_connection_after_the_answers_before_it() -> None:
    """None: what was asked before is answered, then the connection closes without a word."""
    handler = Recorder(lambda frame: None if frame == b"2" else b"ok")
    async with serving(handler) as (_, connect), connect() as client:
        waiting = [client.submit(b"%d" % number) for number in range(5)]
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert results[:2] == [b"ok", b"ok"]
        assert all(isinstance(result, ConnectionClosed) for result in results[2:])
        assert not client.connected


async def test_a_handler_that_fails_gives_no_answer() -> None:
    """An unforeseen error must never become an answer; the next connection is served."""

    def answer(frame: bytes) -> bytes:
        if frame == b"bad":
            raise RuntimeError("unforeseen")
        return b"ok"

    async with serving(Recorder(answer)) as (_, connect):
        async with connect() as client:
            with pytest.raises(ConnectionClosed):
                await client.send(b"bad")
        async with connect() as client:
            assert await client.send(b"good") == b"ok"


async def test_an_oversize_frame_is_answered_and_the_connection_closes() -> None:
    """The head and the whole length are reported; the answer still reaches the sender."""
    handler = Recorder()
    limits = Limits(max_frame_bytes=1_000, head_bytes=10)
    async with serving(handler, limits) as (_, connect), connect() as client:
        assert await client.send(b"0123456789" * 5_000) == b"too large"
        await aeventually(lambda: not client.connected)
    assert handler.broken == [("oversize", b"0123456789", 50_000)]


@pytest.mark.parametrize(
    ("sent", "broken"),
    [
        (b"\x0bMSH|half", ("truncated", b"MSH|half", 8)),
        (b"GET / HTTP/1.1\r\n", ("noise", b"GET / HTTP/1.1\r\n", 16)),
        (b"\x0b" + b"x" * 600, ("oversize", b"xxxxxxxxxx", 600)),
    ],
)
async def test_an_unfinished_frame_or_noise_is_kept_at_the_read_time_out(
    sent: bytes, broken: tuple[str, bytes, int]
) -> None:
    """What stays unfinished is reported when its time is up, and the connection closes."""
    handler = Recorder()
    limits = Limits(max_frame_bytes=500, head_bytes=len(broken[1]), read_timeout=0.1)
    async with serving(handler, limits) as (_, connect), connect() as client:
        client.write_raw(b"\x0bfirst\x1c\r" + sent)
        await aeventually(lambda: not client.connected)
    assert handler.frames == [b"first"]
    assert handler.broken == [broken]


async def test_a_slow_but_growing_frame_has_the_same_time_out() -> None:
    """The time counts from the frame's start: a byte now and then does not extend it."""
    handler = Recorder()
    async with serving(handler, Limits(read_timeout=0.3)) as (_, connect), connect() as client:

        def drip() -> bool:
            client.write_raw(b"x")
            return not client.connected

        client.write_raw(b"\x0b")
        await aeventually(drip, interval=0.02)
    assert [kind for kind, _, _ in handler.broken] == ["truncated"]


async def test_a_frame_cut_off_by_the_end_of_the_stream_is_kept() -> None:
    """The sender went away in the middle of a frame."""
    handler = Recorder()
    async with serving(handler) as (server, connect):
        client = connect()
        await client.connect()
        client.write_raw(b"\x0bMSH|half")
        await aeventually(lambda: server.connections == 1)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"\x0bwhole\x1c\r\x0bhalf")
        writer.write_eof()
        assert await reader.read() == b"\x0bre:whole\x1c\r"  # half open: the answer still leaves
        writer.close()
        await aeventually(lambda: handler.broken == [("truncated", b"half", 4)])
        await client.close()
        await aeventually(lambda: ("truncated", b"MSH|half", 8) in handler.broken)


async def test_noise_before_a_good_frame_is_kept_and_the_frame_answered() -> None:
    """Noise does not cost the next message its answer."""
    handler = Recorder()
    async with serving(handler) as (_, connect), connect() as client:
        client.write_raw(b"noise")
        assert await client.send(b"one") == b"re:one"
        assert await client.send(b"two") == b"re:two"
    assert handler.broken == [("noise", b"noise", 5)]


async def test_an_idle_connection_is_closed() -> None:
    """A connection without traffic does not hold its place for ever."""
    async with serving(Recorder(), Limits(idle_timeout=0.2)) as (server, connect):
        async with connect() as client:
            assert await client.send(b"one") == b"re:one"
            await aeventually(lambda: not client.connected)
        await aeventually(lambda: server.connections == 0)


async def test_too_many_connections_are_refused_and_the_others_served() -> None:
    """Beyond the limit a connection is closed at once."""
    async with serving(Recorder(), Limits(max_connections=2)) as (server, connect):
        async with connect() as one, connect() as two:
            assert await one.send(b"1") == b"re:1"
            assert await two.send(b"2") == b"re:2"
            async with connect() as third:
                with pytest.raises(ConnectionClosed):
                    await third.send(b"3")
            assert server.refused == 1
            assert await one.send(b"1") == b"re:1"
        await aeventually(lambda: server.connections == 0)
        async with connect() as fourth:
            assert await fourth.send(b"4") == b"re:4"


async def test_a_peer_that_reads_no_answers_is_held_back_then_dropped() -> None:
    """Answers do not pile up without bound for a peer that does not read them."""
    handler = Recorder(lambda frame: b"x" * 200_000)
    limits = Limits(max_in_flight=4, read_timeout=0.3)
    async with serving(handler, limits) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.write(b"\x0bone\x1c\r" * 2_000)
        await aeventually(lambda: server.connections == 0)
        assert len(handler.frames) < 200
        writer.close()
        del reader


async def test_stop_finishes_and_answers_what_is_in_hand() -> None:
    """Stopping: no new connection, frames in work are answered, an unfinished one is not."""
    handler = Recorder()
    handler.gates[b"slow"] = asyncio.Event()
    async with serving(handler) as (server, connect), connect() as client, connect() as idle:
        waiting = client.submit(b"slow")
        client.write_raw(b"\x0bhalf")
        await aeventually(lambda: handler.frames == [b"slow"])
        stopping = asyncio.create_task(server.stop(grace=5))
        await aeventually(lambda: not idle.connected)
        with pytest.raises(CannotConnect):
            await connect().connect()
        handler.gates[b"slow"].set()
        assert await waiting == b"re:slow"
        await stopping
        assert server.connections == 0
    assert handler.broken == []


async def test_stop_does_not_wait_beyond_its_grace() -> None:
    """A frame that never ends its work is left without an answer."""
    handler = Recorder()
    handler.gates[b"stuck"] = asyncio.Event()
    async with serving(handler) as (server, connect), connect() as client:
        waiting = client.submit(b"stuck")
        await aeventually(lambda: handler.frames == [b"stuck"])
        await server.stop(grace=0.1)
        with pytest.raises(ConnectionClosed):
            await waiting
        assert server.in_flight == 0


async def test_a_late_answer_is_never_taken_for_the_next_one() -> None:
    """After a time-out the client drops the connection."""
    handler = Recorder()
    handler.gates[b"late"] = asyncio.Event()
    async with serving(handler) as (server, _):
        client = MllpClient("127.0.0.1", server.port, timeout=0.1)
        await client.connect()
        with pytest.raises(AnswerTimeout):
            await client.send(b"late")
        assert not client.connected
        with pytest.raises(ConnectionClosed):
            await client.send(b"next")
        await client.connect()
        assert await client.send(b"next") == b"re:next"
        await client.close()
        handler.gates[b"late"].set()


async def test_a_port_that_is_taken_says_what_to_do() -> None:
    """The sentence names the setting."""
    async with serving(Recorder()) as (server, _):
        with pytest.raises(ConfigurationError, match="HALYARD_HL7V2__PORT"):
            await MllpServer(Recorder(), port=server.port).start()
