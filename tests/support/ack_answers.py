"""Rows of the ACK table about answers: enhanced mode, batches, a broker that is away."""

from __future__ import annotations

from typing import Final

from tests.support.ack_inputs import MSH, batch, frame, said
from tests.support.ack_rows import Row, refused_as

_MODES = "Answers that the sender asks for (MSH-15, MSH-16)"
_BATCHES = "Several messages in one frame"
_AWAY = "The broker does not confirm in time"

_GOOD = said()

ANSWERS: Final[tuple[Row, ...]] = (
    Row(_MODES, "AL, AL", frame(said("AL", "AL")), answers=("CA", "AA")),
    Row(_MODES, "AL, NE", frame(said("AL", "NE")), answers=("CA",)),
    Row(_MODES, "NE, AL", frame(said("NE", "AL")), answers=("AA",)),
    Row(_MODES, "NE, NE", frame(said("NE", "NE")), answers=()),
    Row(_MODES, "ER, SU", frame(said("ER", "SU")), answers=("AA",)),
    Row(_MODES, "ER, NE", frame(said("ER", "NE")), answers=()),
    Row(
        _MODES,
        "ER, NE, and no PID",
        frame(said("ER", "NE", pid="")),
        answers=("CE",),
        kept=refused_as("no-pid"),
    ),
    Row(
        _MODES,
        "AL, AL, and no PID",
        frame(said("AL", "AL", pid="")),
        answers=("CE",),
        kept=refused_as("no-pid"),
    ),
    Row(
        _MODES,
        "AL, NE, from an unknown feed",
        frame(said("AL", "NE", msh=MSH.replace("|RTEST|", "|OTHER|"))),
        answers=("CR",),
        kept=refused_as("unknown-feed"),
    ),
    Row(
        _MODES,
        "SU, ER, and no PID",
        frame(said("SU", "ER", pid="")),
        answers=("AE",),
        kept=refused_as("no-pid"),
    ),
    Row(
        _MODES,
        "SU, NE, and no PID",
        frame(said("SU", "NE", pid="")),
        answers=(),
        kept=refused_as("no-pid"),
    ),
    Row(_MODES, "codes that table 0155 does not have", frame(said("YES", "1"))),
    Row(
        _BATCHES,
        "three messages between FHS, BHS and BTS, FTS",
        frame(batch(said(number=1), said(number=2), said(number=3))),
        answers=("AA AA AA",),
        kept=("REGISTER",) * 3,
    ),
    Row(
        _BATCHES,
        "the second of three has no PID",
        frame(batch(said(number=1), said(number=2, pid=""), said(number=3))),
        answers=("AA AE AA",),
        kept=("REGISTER", "REGISTER", "rejected: no-pid"),
    ),
    Row(
        _BATCHES,
        "one of two asks for two answers",
        frame(batch(said(number=1), said("AL", "AL", number=2))),
        answers=("AA CA AA",),
        kept=("REGISTER", "REGISTER"),
    ),
    Row(
        _BATCHES,
        "two messages without batch headers",
        frame(said(number=1) + said(number=2)),
        answers=("AA AA",),
        kept=("REGISTER", "REGISTER"),
    ),
    Row(
        _BATCHES,
        "segments between BHS and the first MSH",
        frame(batch(b"PID|1||9990000026^^^NHS|{row}\r", said())),
        answers=("AE AA",),
        kept=("REGISTER", "rejected: no-msh"),
    ),
    Row(
        _BATCHES,
        "a BTS-1 that counts more messages than there are",
        frame(batch(said(), count=2)),
    ),
    Row(
        _BATCHES,
        "each header, message and trailer in a frame of its own",
        b"".join(frame(part) for part in batch(said(), parts_alone=True)),
        answers=("", "AA", ""),
    ),
    Row(
        _BATCHES,
        "headers and trailers outside the frames",
        b"BHS|^~\\&|{row}\r" + frame(_GOOD),
        kept=("REGISTER", "rejected: noise"),
    ),
    Row(
        _BATCHES,
        "more messages than `HALYARD_HL7V2__MAX_BATCH_MESSAGES`",
        frame(batch(*(said(number=number) for number in range(6)))),
        answers=("AR",),
        kept=refused_as("batch-size"),
    ),
    Row(
        _AWAY,
        "a message of a feed with `broker_away` `close`",
        frame(_GOOD),
        answers=(),
        connection="closes",
        kept=(),
        away=True,
    ),
    Row(
        _AWAY,
        "the same, asking for no answer (NE, NE)",
        frame(said("NE", "NE")),
        answers=(),
        connection="closes",
        kept=(),
        away=True,
    ),
    Row(
        _AWAY,
        "a message of a feed with `broker_away` `AR`",
        frame(said(msh=MSH.replace("|EDIS|", "|PATIENT|"))),
        answers=("AR",),
        kept=(),
        away=True,
    ),
    Row(
        _AWAY,
        "the same, asking for a commit answer (AL, NE)",
        frame(said("AL", "NE", msh=MSH.replace("|EDIS|", "|PATIENT|"))),
        answers=("CR",),
        kept=(),
        away=True,
    ),
    Row(
        _AWAY,
        "a message that would be refused (no PID)",
        frame(said(pid="")),
        answers=(),
        connection="closes",
        kept=(),
        away=True,
    ),
    Row(
        _AWAY,
        "a batch",
        frame(batch(said(number=1), said(number=2))),
        answers=(),
        connection="closes",
        kept=(),
        away=True,
    ),
)
