"""Several messages in one frame, with or without batch headers (HL7 v2.4, 2.10.3).

A frame may hold ``FHS BHS MSH… MSH… BTS FTS``, or MSH after MSH without any header. Every message
in it is a message of its own. The answer is one frame too, since a sender waits for one: the
*response batch* of 2.10.3.3 a), in the request's own form, with the answer to each message in its
order. Of a frame with headers alone the response batch is empty.

What stands between a header and the first message belongs to nobody and is refused as a message
without MSH: nothing is dropped unseen.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from connectors.hl7v2.delimiters import Delimiters, Er7Error, delimiters_of

_ENVELOPE: Final = frozenset({b"FHS", b"BHS", b"BTS", b"FTS"})
_FILLER: Final = b"\r\n\t \x00"
_BOM: Final = b"\xef\xbb\xbf"
# A segment that begins or ends something; the field separator may be any mark
_BOUNDARY: Final = re.compile(rb"(?:\A|(?<=[\r\n]))(?:MSH|FHS|BHS|BTS|FTS)(?![A-Za-z0-9])")
_PLAIN: Final = re.compile(rb"[A-Za-z0-9 ._:/-]{1,50}")
_DEFAULT: Final = Delimiters(b"|", b"^", b"~", b"\\", b"&")


@dataclass(frozen=True, slots=True)
class Piece:
    """A message, or a header or trailer of a batch: `name` is MSH, FHS, BHS, BTS or FTS."""

    name: str
    data: bytes = field(repr=False)

    @property
    def message(self) -> bool:
        """Whether it is to be taken as a message (which may lack its MSH)."""
        return self.name == "MSH"


@dataclass(frozen=True, slots=True)
class Batch:
    """The pieces of a frame, in order."""

    pieces: tuple[Piece, ...]

    @property
    def messages(self) -> tuple[bytes, ...]:
        """The messages alone."""
        return tuple(piece.data for piece in self.pieces if piece.message)

    @property
    def control_id(self) -> bytes:
        """The first BHS-11 (else FHS-11); empty if there is none or it is no plain name."""
        ids = {"BHS": b"", "FHS": b""}
        for piece in self.pieces:
            if piece.name in ids:
                ids[piece.name] = ids[piece.name] or _fields(piece.data)[0][11]
        given = ids["BHS"] or ids["FHS"]
        return given if _PLAIN.fullmatch(given) else b""

    @property
    def miscounted(self) -> bool:
        """Whether a BTS-1 tells another number of messages than its batch has."""
        count: int | None = None  # a trailer alone counts what came in other frames
        for piece in self.pieces:
            if piece.message:
                count = (count or 0) + 1
            elif piece.name == "BHS":
                count = 0
            elif piece.name == "BTS":
                told = _fields(piece.data)[0][1].strip()[:12]
                if count is not None and told.isdigit() and int(told) != count:
                    return True
                count = None
        return False


def split(frame: bytes) -> Batch | None:
    """The pieces of `frame`, or None when it is one message (as nearly all are)."""
    head = frame[:3]
    if head == b"MSH":
        if frame.find(b"MSH", 3) < 0:  # the hot path: one search
            return None
    elif head not in _ENVELOPE:
        start = frame[:16].removeprefix(_BOM).lstrip(_FILLER)[:3]
        if start not in _ENVELOPE and start != b"MSH":
            return None
    body = frame.removeprefix(_BOM).lstrip(_FILLER)
    found = list(_BOUNDARY.finditer(body))
    if len(found) <= 1 and not (found and found[0][0] in _ENVELOPE):
        return None
    starts = [one.start() for one in found]
    pieces: list[Piece] = []
    _stray(body[: starts[0]], pieces)
    for one, end in zip(found, [*starts[1:], len(body)], strict=True):
        data = body[one.start() : end]
        if one[0] == b"MSH":
            pieces.append(Piece("MSH", data))
            continue
        line, rest = _first_line(data)
        pieces.append(Piece(one[0].decode(), line))
        _stray(rest, pieces)
    return Batch(tuple(pieces))


def respond(batch: Batch, answers: Sequence[tuple[bytes, ...]]) -> bytes:
    """The response batch; `answers` are those of `batch.messages`, in their order."""
    lines: list[bytes] = []
    remaining = iter(answers)
    opened: list[tuple[bytes, Delimiters, int]] = []  # trailer due, its separator, its count
    loose = 0  # answers outside any batch
    for piece in batch.pieces:
        if piece.message:
            given = next(remaining)
            lines += given
            loose += len(given)
            _count(opened, b"BTS", len(given))
        elif piece.name in {"FHS", "BHS"}:
            trailer = b"FTS" if piece.name == "FHS" else b"BTS"
            _close(lines, opened, trailer)
            fields, d = _fields(piece.data)
            lines.append(_header(piece.name.encode(), fields, d))
            if trailer == b"BTS":
                _count(opened, b"FTS", 1)
            opened.append((trailer, d, 0))
        elif not _close(lines, opened, piece.name.encode()):
            lines.append(b"%s|%d\r" % (piece.name.encode(), loose))
            loose = 0
    _close(lines, opened, b"FTS")
    _close(lines, opened, b"BTS")
    return b"".join(lines)


def _header(name: bytes, fields: Sequence[bytes], d: Delimiters) -> bytes:
    """Sender and receiver swapped; field 12 refers to the request's control id (field 11)."""
    encoding = fields[2]
    given = [name, encoding, fields[5], fields[6], fields[3], fields[4], fields[7], b"", fields[9]]
    given += [b"", fields[11], fields[11]]
    return d.field.join(given).rstrip(d.field) + b"\r"


def _count(opened: list[tuple[bytes, Delimiters, int]], trailer: bytes, number: int) -> None:
    for at, (name, d, count) in enumerate(opened):
        if name == trailer:
            opened[at] = (name, d, count + number)


def _close(lines: list[bytes], opened: list[tuple[bytes, Delimiters, int]], trailer: bytes) -> bool:
    """Write the trailer and those inside it; False if it is not due."""
    if trailer not in {name for name, _, _ in opened}:
        return False
    name = b""
    while name != trailer:
        name, d, count = opened.pop()
        lines.append(name + d.field + str(count).encode() + b"\r")
    return True


def _stray(data: bytes, pieces: list[Piece]) -> None:
    if data.strip(_FILLER):
        pieces.append(Piece("MSH", data))


def _first_line(data: bytes) -> tuple[bytes, bytes]:
    ends = [at for at in (data.find(b"\r"), data.find(b"\n")) if at >= 0]
    end = min(ends, default=len(data))
    return data[:end], data[end:]


def _fields(line: bytes) -> tuple[list[bytes], Delimiters]:
    """Fields 0 to 12 or more of a header or trailer, counted as in the standard (1 is the
    separator of a header itself), and its delimiters (the usual ones where it has none)."""
    name = line[:3]
    if name in {b"FHS", b"BHS"}:
        separator = line[3:4]
        end = line.find(separator, 4) if separator else -1
        try:
            d = delimiters_of(line if end < 0 else line[:end])
        except Er7Error:
            d = _DEFAULT
            return [name, d.field, b"^~\\&", *[b""] * 10], d
        fields = line.split(d.field)
        fields.insert(1, d.field)
    else:
        d = _DEFAULT._replace(field=line[3:4] or b"|")
        fields = line.split(d.field)
    return fields + [b""] * (13 - len(fields)), d
