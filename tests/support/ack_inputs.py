"""Messages for the ACK table, with `{row}` where a row's own marker goes."""

from __future__ import annotations

from typing import Literal, overload

from connectors.hl7v2.framing import frame
from tests.unit.hl7v2 import messages
from tests.unit.hl7v2.messages import EVN, PID, PV1

__all__ = ["BIRTH", "BOOKING", "MERGE", "MSH", "PID", "batch", "frame", "pv2", "said"]

MSH = messages.MSH.replace("ED-000123", "{row}")
_TODAY = "20260314"


def pv2(text: str = "Fall at home") -> str:
    """PV2 with the row's marker in its reason."""
    return f"PV2|||^{text} {{row}}"


def said(
    accept: str = "",
    application: str = "",
    *,
    number: int | None = None,
    delimiters: bytes | None = None,
    **changed: str,
) -> bytes:
    """An arrival with these MSH-15 and MSH-16; `changed` as in `messages.arrival`."""
    msh = changed.pop("msh", MSH)
    if number is not None:
        msh = msh.replace("{row}", f"{{row}}-{number}")
    msh = msh.replace("|123||||GBR", f"|123||{accept}|{application}|GBR")
    body = messages.arrival(msh=msh, **{"pv2": pv2(), **changed})
    if delimiters is not None:
        body = body.translate(bytes.maketrans(b"|^~\\&", delimiters))
    return body


@overload
def batch(*parts: bytes, count: int | None = None) -> bytes: ...
@overload
def batch(*parts: bytes, count: int | None = None, parts_alone: Literal[True]) -> list[bytes]: ...
def batch(
    *parts: bytes, count: int | None = None, parts_alone: bool = False
) -> bytes | list[bytes]:
    """`parts` between batch headers and trailers, joined or (`parts_alone`) as a list."""
    told = len(parts) if count is None else count
    pieces = [
        (
            b"FHS|^~\\&|EDIS|RTEST|ROUTE|ROUTE|20260314214233||night||F-1\r"
            b"BHS|^~\\&|EDIS|RTEST|ROUTE|ROUTE|20260314214233||{row}||B-1\r"
        ),
        *parts,
        b"BTS|%d\rFTS|1\r" % told,
    ]
    return pieces if parts_alone else b"".join(pieces)


BOOKING = said(msh=MSH.replace("^A04^ADT_A01", "^A05^ADT_A05"))
MERGE = messages.message(
    MSH.replace("^A04^ADT_A01", "^A40^ADT_A39"),
    EVN,
    PID,
    "MRG|T999999^^^RTEST",
    pv2(),
)
_BABY = PID.split("|")
_BABY[3], _BABY[5], _BABY[7] = "T777777^^^RTEST", "TESTBABY", _TODAY
_BABY += [""] * (33 - len(_BABY))
_BABY[21], _BABY[32] = "9990000026^^^NHS", "NSTS08"
BIRTH = said(pid="|".join(_BABY), pv1=PV1.replace("ED2026000123", "ED2026000777"))
