"""Inputs as large as a parser takes: what is slow only when it is long, a fuzzer's small inputs do
not show.
"""

from __future__ import annotations

import contextlib
import time

import pytest

from connectors.hl7v2.er7 import Er7Error, Message
from connectors.hl7v2.mapping import to_attendances
from connectors.local_authority.lines import Lines
from connectors.local_authority.records import parse_line
from stores.arrival_rules import DEFAULT_RULE
from tests.fuzz.targets import AT, FEED, GSS, KEYS, TODAY

_LIMIT = 1_000_000  # HALYARD_HL7V2__MAX_MESSAGE_BYTES
_SECONDS = 15.0  # of the processor; each takes a few tenths, what is quadratic takes minutes
_HEAD = b"MSH|^~\\&|EDIS|RFUZZ|||20260314213000||ADT^%s|1|P|2.4||||||UNICODE\rEVN||20260314213000\r"
_PID = b"PID|1||T1^^^RFUZZ^MR||TESTCHILD^ANN||20190602|2"
_ADMITTED = _HEAD % b"A04"


def _filled(head: bytes, unit: bytes, tail: bytes = b"") -> bytes:
    """`unit` again and again between `head` and `tail`, up to the limit."""
    return head + unit * ((_LIMIT - len(head) - len(tail)) // len(unit)) + tail


_MESSAGES = {
    **{
        f"PID-{number}": _filled(_ADMITTED + b"PID" + b"|" * number, unit, b"\r")
        for number in (2, 3, 4, 5, 11, 21, 32)
        for unit in (b"A~",)
    },
    "PID-3 numbers": _filled(_ADMITTED + b"PID|||", b"9990000018^^^NHS~"),
    "PID-5 components": _filled(_ADMITTED + b"PID|||||", b"A^"),
    "PID-5 subcomponents": _filled(_ADMITTED + b"PID|||||", b"&"),
    "PID-5 given names": _filled(_ADMITTED + b"PID|||||A^B^", b"C "),
    "PID-5 escapes": _filled(_ADMITTED + b"PID|||||", b"\\X"),
    "MSH-18": _filled(_ADMITTED.split(b"UNICODE")[0], b"X~", b"\r" + _PID),
    "fields": _filled(_ADMITTED + b"PID", b"|"),
    "empty lines": _filled(_ADMITTED + _PID, b"\r"),
    "line feeds": _filled(_ADMITTED + _PID, b"\n"),
    **{
        name: _filled(_ADMITTED + _PID + b"\r", line)
        for name, line in {
            "PIDs": b"PID|1\r",
            "OBX": b"OBX|1|TX|8661-1||x\r",
            "DG1": b"DG1|1\r",
            "ZU8": b"ZU8||||N\r",
            "segments of many names": b"Z1A|\rZ2B|\rZ3C|\r",
        }.items()
    },
    "ZU8-4": _filled(_ADMITTED + _PID + b"\rZU8||||", b"N~"),
    "OBX-5 escapes": _filled(_ADMITTED + _PID + b"\rOBX|1|TX|8661-1||", b"\\X"),
    "MRG": _filled(_HEAD % b"A40" + _PID + b"\r", b"MRG|X\r"),
    "PID and MRG": _filled(_HEAD % b"A40", b"PID|||A\rMRG|X\r"),
    "MRG-1": _filled(_HEAD % b"A40" + _PID + b"\rMRG|", b"X~"),
    "no UTF-8": _filled(_ADMITTED + _PID + b"|||", b"\xff"),
}


@pytest.mark.parametrize("name", _MESSAGES)
def test_no_message_of_a_megabyte_holds_the_listener_up(name: str) -> None:
    """Whatever repeats: while it is read, no other hospital is answered."""
    started = time.process_time()
    message = Message.parse(_MESSAGES[name])
    with contextlib.suppress(Er7Error):
        to_attendances(message, feed=FEED, rule=DEFAULT_RULE, keys=KEYS, received_at=AT)
    assert time.process_time() - started < _SECONDS


@pytest.mark.parametrize(
    "unit", [b"[", b'{"a":', b'"', b"{}", b"\\u0000", b"1,", b"9990000018", b'"\\ud800",']
)
def test_no_line_of_a_file_takes_long(unit: bytes) -> None:
    """A line as long as a line may be."""
    started = time.process_time()
    lines = Lines(65_536)
    for line in (*lines.feed(unit * (65_536 // len(unit))), *lines.end()):
        parse_line(line.content, gss=GSS, today=TODAY)
    assert time.process_time() - started < _SECONDS
