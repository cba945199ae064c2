"""What the hub makes of the answers of a hospital's own system."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from connectors.hl7v2.er7 import Message as View
from connectors.hl7v2.framing import Deframer, Frame, frame
from connectors.hl7v2.sender import Hl7v2Sender
from connectors.sending import Message, Refused, Result, Retry, Target
from tests.unit.delivery.payloads import current

_KIND, _BODY = next(one for one in current().values() if one[0] == "match")


async def _answered(code: str, err: str) -> Result:
    """The result of one attempt at a listener that answers with MSA-1 `code` and `err`."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        deframer = Deframer(1_000_000, 64)
        while data := await reader.read(65_536):
            for item in deframer.feed(data):
                assert isinstance(item, Frame)
                number = View.parse(item.data).segment("MSH").text(10)
                text = f"MSH|^~\\&|E|F|H|H|2026||ACK|1|P|2.4\rMSA|{code}|{number}\r{err}"
                writer.write(frame(text.encode()))
        writer.close()
        closed.set()

    closed = asyncio.Event()
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        async with Hl7v2Sender(timeout_seconds=5.0) as sender:
            target = Target("epr", f"mllp://127.0.0.1:{port}")
            result = await sender.send(target, Message(uuid.uuid4(), _KIND, "1", _BODY, ""))
        async with asyncio.timeout(5.0):
            await closed.wait()
    return result


@pytest.mark.parametrize("code", ["AR", "CR"])
@pytest.mark.parametrize(
    "err", [f"ERR|MSH^1^9^{number}&x&HL70357\r" for number in range(200, 204)] + ["ERR|||203\r"]
)
async def test_what_a_listener_can_never_take_is_refused(code: str, err: str) -> None:
    """Message type, event, processing id or version that it does not have: no time mends that."""
    assert await _answered(code, err) == Refused(f"ack-{code.lower()}-unsupported")


@pytest.mark.parametrize("err", ["", "ERR|MSH^1^9^207&x&HL70357\r", "ERR|||207\r"])
async def test_not_now_is_tried_again_and_known_as_an_answer(err: str) -> None:
    """So that one message that is answered so for ever can be told from a listener that is away."""
    assert await _answered("AR", err) == Retry("ack-ar", destination_down=True, answered=True)
