"""Rows of the ACK table for one message in original mode; the others are in `ack_answers`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from tests.support.ack_inputs import (
    BIRTH,
    BOOKING,
    MERGE,
    MSH,
    PID,
    frame,
    pv2,
    said,
)
from tests.unit.hl7v2.messages import PV1

Connection = Literal["stays", "closes"]


@dataclass(frozen=True, slots=True)
class Row:
    """What comes over a connection of its own, and what must become of it.

    `answers`: the MSA-1 codes of each frame that comes back. `kept`: what the bus holds of it:
    kinds of events, and rules of `message.rejected` (``rejected: …``). `marks`: those of its
    events. `{row}` in `sent` is replaced by a marker that no other row has.
    """

    section: str
    what: str
    sent: bytes
    answers: tuple[str, ...] = ("AA",)
    connection: Connection = "stays"
    kept: tuple[str, ...] = ("REGISTER",)
    marks: tuple[str, ...] = ()
    away: bool = False  # the broker does not confirm
    ends: bool = False  # the sender closes its side


def refused_as(rule: str) -> tuple[str, ...]:
    return (f"rejected: {rule}",)


_FRAMES = "Frames"
_HEADERS = "Headers"
_CONTENT = "Content"
_TRIGGERS = "Triggers"

_GOOD = said()

MESSAGES: Final[tuple[Row, ...]] = (
    Row(_FRAMES, "a whole message", frame(_GOOD)),
    Row(_FRAMES, "the final `0D` is missing", frame(_GOOD)[:-1]),
    Row(_FRAMES, "CR, LF, spaces and NULs around the frame", b"\r\n \x00" + frame(_GOOD) + b"\r\n"),
    Row(
        _FRAMES,
        "the same message twice",
        frame(_GOOD) * 2,
        answers=("AA", "AA"),
        kept=("REGISTER",),
    ),
    Row(
        _FRAMES,
        "the same control id (MSH-10), another body",
        frame(_GOOD) + frame(said(pid=PID.replace("ROBIN", "ROBYN"))),
        answers=("AA", "AA"),
        kept=("REGISTER", "REGISTER"),
    ),
    Row(
        _FRAMES,
        "other bytes before a whole message",
        b"HELO {row}\r\n" + frame(_GOOD),
        kept=("REGISTER", "rejected: noise"),
    ),
    Row(
        _FRAMES,
        "bytes without any frame, until the read time-out",
        b"GET /{row} HTTP/1.1\r\n\r\n",
        answers=(),
        connection="closes",
        kept=refused_as("noise"),
    ),
    Row(
        _FRAMES,
        "a frame that is not finished, until the read time-out",
        frame(_GOOD)[:-40],
        answers=(),
        connection="closes",
        kept=refused_as("truncated"),
    ),
    Row(
        _FRAMES,
        "a frame that the end of the connection cuts off",
        frame(_GOOD)[:-40],
        answers=(),
        connection="closes",
        kept=refused_as("truncated"),
        ends=True,
    ),
    Row(
        _FRAMES,
        "a message given up for another one (`0B MSH` inside a frame)",
        frame(_GOOD)[:-40] + frame(_GOOD),
        answers=(),
        connection="closes",
        kept=refused_as("truncated"),
    ),
    Row(
        _FRAMES,
        "larger than `HALYARD_HL7V2__MAX_MESSAGE_BYTES`",
        frame(said(pv2=pv2("x" * 60_000))),
        answers=("AR",),
        connection="closes",
        kept=refused_as("oversize"),
    ),
    Row(
        _HEADERS,
        "no MSH at the start",
        frame(b"PID|1||9990000018^^^NHS|{row}\r"),
        answers=("AE",),
        kept=refused_as("no-msh"),
    ),
    Row(
        _HEADERS,
        "a frame that holds no HL7 v2 at all",
        frame(b"<ADT_A01>{row}</ADT_A01>"),
        answers=("AE",),
        kept=refused_as("no-msh"),
    ),
    Row(
        _HEADERS,
        "MSH-2 repeats a delimiter",
        frame(said(msh=MSH.replace("^~\\&", "^^\\&"))),
        answers=("AE",),
        kept=refused_as("delimiters"),
    ),
    Row(_HEADERS, "five other marks as delimiters", frame(said(delimiters=b"#*!%/"))),
    Row(_HEADERS, "segments end in LF", frame(_GOOD.replace(b"\r", b"\n"))),
    Row(
        _HEADERS,
        "segments end in CR LF, a byte order mark first",
        frame(b"\xef\xbb\xbf" + _GOOD.replace(b"\r", b"\r\n")),
    ),
    Row(
        _HEADERS,
        "MSH-3, MSH-4 and address are no feed of the directory",
        frame(said(msh=MSH.replace("|RTEST|", "|OTHER|"))),
        answers=("AR",),
        kept=refused_as("unknown-feed"),
    ),
    Row(
        _HEADERS,
        "a feed that lists certificates, from a peer that has shown none of them",
        frame(said(msh=MSH.replace("|EDIS|", "|CERTIFIED|"))),
        answers=("AR",),
        kept=refused_as("unknown-feed"),
    ),
    Row(
        _HEADERS,
        "no control id (MSH-10)",
        frame(said(msh=MSH.replace("{row}", ""))),
        marks=("control-id-missing",),
    ),
    Row(
        _HEADERS,
        "a sequence number (MSH-13) that is none",
        frame(said(msh=MSH.replace("|123|", "|12a|"))),
        marks=("sequence-invalid",),
    ),
    Row(
        _HEADERS,
        "an MSH-18 that names no known character set",
        frame(said(msh=MSH.replace("UNICODE", "KLINGON"))),
        marks=("charset-unknown:MSH-18",),
    ),
    Row(
        _HEADERS,
        "an acknowledgement (MSH-9 `ACK`)",
        frame(b"MSH|^~\\&|EDIS|RTEST|HALYARD||||ACK|{row}|P|2.4\rMSA|AA|1\r"),
        answers=(),
        kept=refused_as("acknowledgement"),
    ),
    Row(
        _CONTENT,
        "no PID",
        frame(said(pid="")),
        answers=("AE",),
        kept=refused_as("no-pid"),
    ),
    Row(
        _CONTENT,
        "no NHS number",
        frame(said(pid=PID.replace("9990000018^^^NHS~", ""))),
    ),
    Row(
        _CONTENT,
        "an NHS number with a wrong check digit",
        frame(said(pid=PID.replace("9990000018", "9990000019"))),
        marks=("nhs-number-invalid",),
    ),
    Row(
        _CONTENT,
        "several NHS numbers",
        frame(said(pid=PID.replace("~T123456", "~9990000026^^^NHS~T123456"))),
        marks=("nhs-number-several",),
    ),
    Row(
        _CONTENT,
        "neither NHS number nor local id",
        frame(said(pid=PID.replace("9990000018^^^NHS~T123456^^^RTEST", ""))),
    ),
    Row(
        _CONTENT,
        "no name",
        frame(said(pid=PID.replace("TESTCHILD^ROBIN^^^^^L", ""))),
        marks=("family-name-missing",),
    ),
    Row(
        _CONTENT,
        "born in month 13",
        frame(said(pid=PID.replace("20190602", "20191302"))),
        marks=("birth-date-invalid",),
    ),
    Row(
        _CONTENT,
        "a sex code that is none",
        frame(said(pid=PID.replace("20190602|1|", "20190602|Z|"))),
        marks=("gender-unknown-code",),
    ),
    Row(
        _CONTENT,
        "bytes that are not UTF-8 where MSH-18 says `UNICODE`",
        frame(said().replace(b"TESTCHILD", b"ZO\xcb")),
        marks=("charset-fallback:PID-5", "charset-fallback:message"),
    ),
    Row(
        _CONTENT,
        "UTF-8 where MSH-18 is empty or says `8859/1`",
        frame(said(msh=MSH.replace("UNICODE", "")).replace(b"TESTCHILD", "ZOË".encode())),
        marks=("charset-declared-otherwise:PID-5", "charset-declared-otherwise:message"),
    ),
    Row(
        _CONTENT,
        "bytes that the feed's fallback does not know either",
        frame(said().replace(b"TESTCHILD", b"ZO\x81")),
        marks=("charset-fallback:message", "charset-replaced:PID-5"),
    ),
    Row(
        _CONTENT,
        "control characters in a name",
        frame(said().replace(b"TESTCHILD", b"TEST\x00CHILD")),
        marks=("control-characters:PID-5",),
    ),
    Row(
        _CONTENT,
        "an event time (EVN-6) in the far future",
        frame(said().replace(b"|20260314214105\rPID", b"|20990314214105\rPID")),
        marks=("occurred-implausible",),
    ),
    Row(
        _CONTENT,
        "no visit number (PV1-19)",
        frame(said(pv1=PV1.replace("ED2026000123^^^VISITID", ""))),
        marks=("visit-number-missing",),
    ),
    Row(_CONTENT, "no PV1", frame(said(pv1="")), marks=("visit-number-missing",)),
    Row(
        _CONTENT,
        "a newborn whose message names the mother (PID-21)",
        frame(BIRTH),
        kept=("BIRTH", "REGISTER"),
    ),
    Row(_TRIGGERS, "a booking (A05)", frame(BOOKING), kept=("PRE_ADMIT",)),
    Row(_TRIGGERS, "a merge (A40)", frame(MERGE), kept=("MERGE",)),
    Row(
        _TRIGGERS,
        "more than 16 merges in one message",
        frame(MERGE + b"MRG|T999998^^^RTEST\r" * 16),
        answers=("AR",),
        kept=refused_as("merges"),
    ),
    Row(
        _TRIGGERS,
        "a trigger that nobody knows (A99)",
        frame(said(msh=MSH.replace("^A04^", "^A99^"))),
        kept=("NOT_USED",),
    ),
    Row(
        _TRIGGERS,
        "a message type other than ADT",
        frame(said(msh=MSH.replace("ADT^A04^ADT_A01", "ORU^R01^ORU_R01"))),
        kept=("NOT_USED",),
    ),
    Row(
        _TRIGGERS,
        "`ADT_A04` in one component",
        frame(said(msh=MSH.replace("ADT^A04^ADT_A01", "ADT_A04"))),
        marks=("message-type-odd",),
    ),
)
