"""Answers as a pure function of the request's bytes (HL7 v2.4, 2.9): AA, AE, AR in original mode;
in enhanced mode CA, CE, CR and then, where it is asked for, AA, AE, AR (`connectors.hl7v2.modes`).

Control ids restart and repeat in real feeds, so nothing is remembered here: the same bytes with
the same outcome always get the same answers, byte for byte. Therefore MSH-7 repeats the request's
own MSH-7 (an answer that told its own time would differ each time), and MSH-10 is a digest of the
request, never the request's id.

Both answers of enhanced mode leave when the message is durable, the commit answer first. What we
repeat of the request stays in its bytes and our own words are ASCII, so that an answer is in the
request's character set whatever that is; MSH-18 is repeated with it.

====================  =====  ===========  ======================================================
rule                  code   0357         when
====================  =====  ===========  ======================================================
``no-msh``            AE     100          the frame does not begin with MSH: no HL7 v2 message
``delimiters``        AE     102          MSH-1 and MSH-2 cannot delimit
``no-pid``            AE     100          nobody to attribute it to
``unknown-feed``      AR     207          MSH-3, MSH-4 and address are no feed of the directory
``oversize``          AR     207          larger than the hub takes: not a matter of content
``batch-size``        AR     207          more messages in one frame than the hub takes
``merges``            AR     207          more merges in one message than the hub takes
``broker-away``       AR     207          only for a feed that asks for it; else no answer at all
====================  =====  ===========  ======================================================

AE is an error of content or format; AR says that the content is not the reason; as commit answers
they are CE and CR. Senders up to 2.4 get MSA-3 and ERR-1, from 2.5 ERR-2, -3, -4, -7 and -8.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from connectors.hl7v2.delimiters import Delimiters
from connectors.hl7v2.er7 import Er7Error, Message, Segment
from connectors.hl7v2.framing import START
from connectors.hl7v2.modes import ORIGINAL, mode_of
from halyard.errors import RejectedError


class AckCode(StrEnum):
    """MSA-1 (HL7 table 0008)."""

    ACCEPT = "AA"
    ERROR = "AE"
    REJECT = "AR"
    COMMIT_ACCEPT = "CA"
    COMMIT_ERROR = "CE"
    COMMIT_REJECT = "CR"


_COMMIT: Final = {
    AckCode.ACCEPT: AckCode.COMMIT_ACCEPT,
    AckCode.ERROR: AckCode.COMMIT_ERROR,
    AckCode.REJECT: AckCode.COMMIT_REJECT,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a message is refused. `text` is ours and quotes nothing of the message.

    `segment`, `field`: the place (``PID``, 3); `hl7_code` from HL7 table 0357.
    """

    rule: str
    text: str
    segment: str = "MSH"
    field: int = 0
    hl7_code: int = 207


_HL7_TEXTS: Final = {
    100: "Segment sequence error",
    101: "Required field missing",
    102: "Data type error",
    207: "Application internal error",
}

PROBLEMS: Final = {
    "no-msh": (
        AckCode.ERROR,
        Problem(
            "no-msh",
            "No MSH segment at the start; send an HL7 v2 message in ER7",
            "MSH",
            0,
            100,
        ),
    ),
    "delimiters": (
        AckCode.ERROR,
        Problem(
            "delimiters",
            "MSH-1 and MSH-2 are not usable delimiters; send five different marks",
            "MSH",
            2,
            102,
        ),
    ),
    "no-pid": (
        AckCode.ERROR,
        Problem("no-pid", "No PID segment; send the patient the message is about", "PID", 0, 100),
    ),
    "unknown-feed": (
        AckCode.REJECT,
        Problem(
            "unknown-feed",
            "MSH-3, MSH-4 and the sending address are no feed known here; register the feed",
            "MSH",
            4,
        ),
    ),
    "oversize": (
        AckCode.REJECT,
        Problem("oversize", "The message is larger than this receiver takes", "MSH"),
    ),
    "batch-size": (
        AckCode.REJECT,
        Problem("batch-size", "More messages in one frame than this receiver takes", "BHS"),
    ),
    "merges": (
        AckCode.REJECT,
        Problem("merges", "More merges in one message than this receiver takes; split it", "MRG"),
    ),
    "broker-away": (
        AckCode.REJECT,
        Problem("broker-away", "The hub cannot store messages now; send it again", "MSH"),
    ),
}
"""Every refusal of this connector, with its code."""

_COMMITS: Final = frozenset(_COMMIT.values())
_DEFAULT = Delimiters(b"|", b"^", b"~", b"\\", b"&")
_TIME = re.compile(rb"[0-9]{4,14}(\.[0-9]{1,4})?([+-][0-9]{4})?")
_VERSION = re.compile(rb"2(?:\.([0-9]{1,2}))?")
_HEADER_BYTES: Final = 4096


def acknowledge(request: bytes, refusal: str | None = None) -> bytes:
    """The application answer to `request`: AA, or the refusal of that rule (a name in `PROBLEMS`).

    `request` may be anything: what cannot be read is answered with ``|^~\\&`` and an empty MSA-2.
    """
    code, problem = (AckCode.ACCEPT, None) if refusal is None else PROBLEMS[refusal]
    return answer(_readable(request), request, code, problem)


def acknowledgements(request: bytes, refusal: str | None = None) -> tuple[bytes, ...]:
    """As `acknowledge`, but the answers that the request's MSH-15 and MSH-16 ask for."""
    code, problem = (AckCode.ACCEPT, None) if refusal is None else PROBLEMS[refusal]
    return answers(_readable(request), request, code, problem)


def _readable(request: bytes) -> Message | None:
    try:
        # the header is enough, and an oversize frame's head may end anywhere
        return Message.parse(request[:_HEADER_BYTES])
    except Er7Error:
        return None


def answers(
    message: Message | None,
    request: bytes,
    code: AckCode,
    problem: Problem | None = None,
    *,
    msa_id: bytes = b"",
) -> tuple[bytes, ...]:
    """The answers that the request asks for, in the order in which they leave; maybe none.

    `code` is that of original mode. `msa_id` stands in MSA-2 where the request has no MSH-10.
    """
    mode = ORIGINAL if message is None else mode_of(message.segment("MSH"))
    if not mode.enhanced:
        return (answer(message, request, code, problem, msa_id=msa_id),)
    commit, application = mode.answers(success=problem is None)
    given = []
    if commit:
        given.append(answer(message, request, _COMMIT[code], problem))
    if application:
        given.append(answer(message, request, code, problem, enhanced=True))
    return tuple(given)


def answer(
    message: Message | None,
    request: bytes,
    code: AckCode,
    problem: Problem | None = None,
    *,
    enhanced: bool = False,
    msa_id: bytes = b"",
) -> bytes:
    """One answer to a request that is already parsed (None: it could not be).

    `enhanced`: an application answer that says in MSH-15 and MSH-16 that it wants no answer itself.
    """
    # two answers to one request are two messages: each has an id of its own
    kind = b"commit" if code in _COMMITS else b""
    control_id = hashlib.sha256(kind + request).hexdigest()[:20].upper().encode()
    if message is None:
        d = _DEFAULT
        lines = [b"MSH|^~\\&|HALYARD|||||ACK|" + control_id + b"|P|2.4"]
        minor = 4
    else:
        d = message.delimiters
        msh = message.segment("MSH")
        minor = _minor(msh)
        msa_id = msh.field(10)
        lines = [_header(msh, d, control_id, minor, enhanced=enhanced)]
    text = b"" if problem is None else _escaped(f"{problem.text} ({problem.rule})", d)
    msa = [b"MSA", code.encode(), msa_id]
    if problem is not None and minor <= 4:
        msa.append(text)
    lines.append(d.field.join(msa))
    if problem is not None:
        lines.append(_error(problem, d, text, minor))
    # what is repeated of the request may hold a start block, and none may stand inside a frame
    return (b"\r".join(lines) + b"\r").replace(START, b" ")


def _header(msh: Segment, d: Delimiters, control_id: bytes, minor: int, *, enhanced: bool) -> bytes:
    time = msh.component(7, 1)
    kind = [b"ACK"]
    if trigger := msh.component(9, 2):
        kind.append(trigger)
        if minor >= 5 or msh.component(9, 3):
            kind.append(b"ACK")
    fields = [
        b"MSH",
        msh.field(2),
        msh.field(5) or b"HALYARD",
        msh.field(6),
        msh.field(3),
        msh.field(4),
        time if _TIME.fullmatch(time) else b"",
        b"",
        d.component.join(kind),
        control_id,
        msh.field(11) or b"P",
        msh.field(12) or b"2.4",
    ]
    if enhanced:
        fields += [b"", b"", b"NE", b"NE"]
    if charset := msh.field(18):  # what we repeat of the request is in its character set
        fields += [b""] * (17 - len(fields)) + [charset]
    return d.field.join(fields)


def _error(problem: Problem, d: Delimiters, text: bytes, minor: int) -> bytes:
    where = problem.segment.encode()
    number = str(problem.field).encode() if problem.field else b""
    meaning = (
        str(problem.hl7_code).encode(),
        _escaped(_HL7_TEXTS[problem.hl7_code], d),
        b"HL70357",
    )
    if minor <= 4:
        # ELD: the code is a component, so its parts are subcomponents
        code = (d.subcomponent or b"&").join(meaning)
        return d.field.join((b"ERR", d.component.join((where, b"1", number, code))))
    place = d.component.join((where, b"1", number) if number else (where, b"1"))
    return d.field.join(
        (
            b"ERR",
            b"",
            place,
            d.component.join(meaning),
            b"E",
            b"",
            b"",
            problem.rule.encode(),
            text,
        )
    )


def _minor(msh: Segment) -> int:
    """Minor version of MSH-12; 4 where it says none that we can read."""
    match = _VERSION.match(msh.component(12, 1))
    return int(match[1] or 0) if match else 4


def _escaped(text: str, d: Delimiters) -> bytes:
    raw = text.encode("ascii")
    if d.escape:
        raw = raw.replace(d.escape, d.escape + b"E" + d.escape)
    for mark, name in (
        (d.field, b"F"),
        (d.component, b"S"),
        (d.repetition, b"R"),
        (d.subcomponent, b"T"),
    ):
        if mark and mark != d.escape and mark in raw:
            raw = raw.replace(mark, d.escape + name + d.escape if d.escape else b" ")
    return raw


@dataclass(frozen=True, slots=True)
class Ack:
    """What a receiver answered: MSA-1, MSA-2, its words (MSA-3 or ERR-8), and the HL7 error codes
    (table 0357) of its ERR segments.
    """

    code: str
    control_id: str
    text: str
    errors: tuple[str, ...] = ()

    @property
    def accepted(self) -> bool:
        """True for AA and CA."""
        return self.code in {"AA", "CA"}


class AckError(RejectedError):
    """The receiver's answer is no HL7 v2 acknowledgement; check what listens at that address."""


def parse_ack(answer_bytes: bytes, request: bytes | None = None) -> Ack:
    """Read an answer; with `request`, check that it is the answer to that one (MSA-2).

    Raises `AckError`. After a wrong MSA-2 the connection must be dropped: answers are out of step.
    """
    try:
        message = Message.parse(answer_bytes)
    except Er7Error:
        raise AckError(place="MSH", rule="no-msh") from None
    msa = message.segment("MSA")
    if not msa:
        raise AckError(place="MSA", rule="no-msa")
    if request is not None:
        try:
            expected = Message.parse(request).segment("MSH").field(10)
        except Er7Error:
            expected = b""
        if msa.field(2) != expected:
            raise AckError(
                "The answer names another message (MSA-2); the connection was out of step.",
                place="MSA-2",
                rule="control-id",
            )
    text = message.get("MSA-3") or message.get("ERR-8")
    # from 2.5 in ERR-3, before in ERR-1.4
    errors = [err.text(3, 1) or err.text(1, 4, 1) for err in message.segments("ERR")[:8]]
    return Ack(msa.text(1), msa.text(2), text, tuple(one.strip() for one in errors if one))
