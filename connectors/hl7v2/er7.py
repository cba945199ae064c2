"""A lazy view over the bytes of an ER7 message (HL7 v2, chapter 2: "vertical bar" encoding).

Nothing is split or decoded before it is asked for: a hospital message costs a few microseconds
here. The bytes stay as they came; text is decoded field by field and never refused
(`connectors.hl7v2.charsets`): what the declared character set does not allow is read by the feed's
fallback, which decodes any byte (what it does not define becomes U+FFFD). Each place that was
guessed is listed in `Message.marks`. Control characters that no text may hold (C0 but TAB, LF, CR;
a NUL would be refused by the database), raw or escaped, become U+FFFD too: `Message.controls`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from connectors.hl7v2.charsets import MAY_BE_UTF8, RANK, Mark, as_utf8, declared
from connectors.hl7v2.delimiters import Delimiters, Er7Error, delimiters_of, unescape

__all__ = ["DEFAULT_FALLBACK", "HL7_NULL", "Er7Error", "Mark", "Message", "Segment", "part"]

HL7_NULL: Final = b'""'
"""The sender says: this field is empty, delete what you have (HL7 v2.4, 2.8.1)."""

DEFAULT_FALLBACK: Final = "windows-1252"


_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")


class _Path(NamedTuple):
    segment: str
    occurrence: int
    field: int
    repetition: int
    component: int
    subcomponent: int


_PATH = re.compile(
    r"([A-Z][A-Z0-9]{2})(?:\[(\d+)\])?(?:-(\d+)(?:\((\d+)\))?(?:\.(\d+)(?:\.(\d+))?)?)?"
)


@lru_cache(maxsize=512)
def _path(text: str) -> _Path:
    match = _PATH.fullmatch(text)
    if match is None or match[3] is None:
        raise ValueError(f"{text!r} is no path; write SEG-field(repetition).component.subcomponent")
    return _Path(
        match[1],
        int(match[2] or 1) - 1,
        int(match[3]),
        int(match[4] or 0),
        int(match[5] or 0),
        int(match[6] or 0),
    )


class Segment:
    """One segment; false when the message does not have it (every field of it is empty then).

    Positions count from 1 as in the standard; 0 for component or subcomponent means "whole".
    """

    __slots__ = ("_fields", "_message", "_shift", "line", "name")

    def __init__(self, message: Message, name: str, line: bytes) -> None:
        self.name = name
        self.line = line
        self._message = message
        self._shift = name in _HEADERS
        self._fields: list[bytes] | None = None

    def __bool__(self) -> bool:
        return bool(self.line)

    def field(self, number: int) -> bytes:
        """The raw bytes of a field, all repetitions; empty when absent."""
        fields = self._fields
        if fields is None:
            fields = self._fields = self.line.split(self._message.delimiters.field)
            if self._shift:  # MSH-1 is the separator itself
                fields.insert(1, self._message.delimiters.field)
        return fields[number] if number < len(fields) else b""

    @property
    def count(self) -> int:
        """Number of fields that are there."""
        self.field(0)
        return len(self._fields or ()) - 1 if self.line else 0

    def repetitions(self, number: int) -> list[bytes]:
        """The repetitions of a field; none when it is empty."""
        raw = self.field(number)
        mark = self._message.delimiters.repetition
        if not raw:
            return []
        if not mark or mark not in raw or (self._shift and number <= 2):
            return [raw]
        return raw.split(mark)

    def component(
        self,
        number: int,
        component: int = 1,
        subcomponent: int = 0,
        repetition: int = 1,
    ) -> bytes:
        """Raw bytes of a component of one repetition; empty when absent."""
        raw = self.field(number)
        if not raw or (self._shift and number <= 2):
            return raw
        return _piece(raw, self._message.delimiters, component, subcomponent, repetition)

    def text(
        self, number: int, component: int = 0, subcomponent: int = 0, repetition: int = 0
    ) -> str:
        """Decoded text of a field or a part of it; empty when absent or HL7 null (``""``)."""
        # the hot path of a message: most fields that are asked for are absent or plain
        fields = self._fields
        if fields is None:
            self.field(0)
            fields = self._fields or []
        if number >= len(fields):
            return ""
        raw = fields[number]
        if not raw or raw == HL7_NULL:
            return ""
        if self._shift and number <= 2:  # the delimiters are not escaped text
            return raw.decode("ascii", "replace")
        message = self._message
        if component or subcomponent or repetition:
            raw = _piece(raw, message.delimiters, component, subcomponent, repetition or 1)
            if not raw or raw == HL7_NULL:
                return ""
        return message.decode(raw, self.name, number)


_HEADERS: Final = frozenset({"MSH", "FHS", "BHS"})


def _piece(
    raw: bytes, delimiters: Delimiters, component: int, subcomponent: int, repetition: int
) -> bytes:
    """A part of one repetition of a whole field."""
    _, components, repetitions, _, subcomponents = delimiters
    if repetitions and repetitions in raw:
        parts = raw.split(repetitions, repetition)
        raw = parts[repetition - 1] if repetition <= len(parts) else b""
    elif repetition > 1:
        return b""
    if component == 1:
        at = raw.find(components)
        if at >= 0:
            raw = raw[:at]
        if not subcomponent or not subcomponents or subcomponents not in raw:
            return raw if subcomponent <= 1 else b""
        return part(raw, delimiters, 0, subcomponent)
    return part(raw, delimiters, component, subcomponent)


def part(raw: bytes, delimiters: Delimiters, component: int, subcomponent: int = 0) -> bytes:
    """A component (or subcomponent) of one repetition of a field; 0 means the whole."""
    if component:
        mark = delimiters.component
        if mark in raw:
            parts = raw.split(mark, component)
            raw = parts[component - 1] if component <= len(parts) else b""
        elif component > 1:
            return b""
    if subcomponent:
        mark = delimiters.subcomponent
        if mark and mark in raw:
            parts = raw.split(mark, subcomponent)
            raw = parts[subcomponent - 1] if subcomponent <= len(parts) else b""
        elif subcomponent > 1:
            return b""
    return raw


class Message:
    """A message as it came: `data` is never changed, everything else is a view.

    `fallback` may be set once the header has told which feed it is.
    """

    __slots__ = (
        "_codec",
        "_found",
        "_index",
        "_lines",
        "controls",
        "data",
        "delimiters",
        "fallback",
        "marks",
    )

    def __init__(
        self, data: bytes, lines: list[bytes], delimiters: Delimiters, fallback: str
    ) -> None:
        self.data = data
        self.delimiters = delimiters
        self.marks: dict[str, Mark] = {}
        self.controls: set[str] = set()
        """The fields that were read and held control characters."""
        self.fallback = fallback
        self._lines = lines
        self._found: dict[str, list[Segment]] = {}
        self._index: dict[bytes, list[bytes]] = {}
        self._codec = ""

    @classmethod
    def parse(cls, data: bytes, fallback: str = DEFAULT_FALLBACK) -> Message:
        """A view over `data`; segments may end in CR (the standard), LF or CR LF.

        `fallback` is the feed's character set for bytes that the declared one does not allow.
        Raises `Er7Error`: no MSH (rule ``no-msh``), or unusable delimiters (``delimiters``).
        """
        body = data
        if not body.startswith(b"MSH"):
            body = body.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n\t ")
            if not body.startswith(b"MSH"):
                raise Er7Error(
                    "The message does not begin with MSH; send an HL7 v2 message in ER7.",
                    place="MSH",
                    rule="no-msh",
                )
        line = body.split(b"\r", 1)[0].split(b"\n", 1)[0]
        end = line.find(line[3:4], 4) if len(line) > 3 else -1
        delimiters = delimiters_of(line if end < 0 else line[:end])
        if b"\n" in body:
            body = _line_feeds(body, delimiters.field)
        return cls(data, body.split(b"\r"), delimiters, fallback)

    def segments(self, name: str) -> list[Segment]:
        """All segments of a name, in order. Lines that are no segment stay in `data` alone."""
        found = self._found.get(name)
        if found is None:
            index = self._index or self._make_index()
            lines = index.get(name.encode(), ())
            found = self._found[name] = [Segment(self, name, line) for line in lines]
        return found

    def _make_index(self) -> dict[bytes, list[bytes]]:
        index = self._index
        separator = self.delimiters.field
        for line in self._lines:
            name = line[:3]
            if line[3:4] != separator and len(line) != 3:
                continue
            if name in index:
                index[name].append(line)
            else:
                index[name] = [line]
        return index

    def segment(self, name: str, occurrence: int = 0) -> Segment:
        """A segment by name (`occurrence` from 0); a false, empty one when it is not there."""
        found = self.segments(name)
        return found[occurrence] if occurrence < len(found) else Segment(self, name, b"")

    @property
    def names(self) -> list[str]:
        """The names of the segments that are there, in the order in which each first comes."""
        return [str(name, "latin-1") for name in self._index or self._make_index()]

    def raw(self, path: str) -> bytes:
        """Raw bytes at a path (``PID-5``, ``PID-3(2).4``, ``NK1[2]-2.1.1``); empty when absent."""
        where = _path(path)
        segment = self.segment(where.segment, where.occurrence)
        if where.component or where.repetition or where.subcomponent:
            return segment.component(
                where.field, where.component, where.subcomponent, where.repetition or 1
            )
        return segment.field(where.field)

    def get(self, path: str, default: str = "") -> str:
        """Text at a path; `default` when absent, empty or HL7 null."""
        where = _path(path)
        segment = self.segment(where.segment, where.occurrence)
        text = segment.text(where.field, where.component, where.subcomponent, where.repetition)
        return text or default

    @property
    def codec(self) -> str:
        """The Python codec that MSH-18 stands for."""
        if not self._codec:
            named = self.segment("MSH").repetitions(18)
            codec = declared([part(raw, self.delimiters, 1) for raw in named])
            self._codec = codec or "ascii"
            if codec is None:
                self.marks["MSH-18"] = Mark.UNKNOWN_CHARSET
        return self._codec

    @property
    def charset(self) -> str:
        """The character set of the whole message: the declared one (or UTF-8, if all of it is
        valid as such), else the fallback.
        """
        if not self.data.isascii():
            if self.codec in MAY_BE_UTF8 and as_utf8(self.data) is not None:
                self.marks.setdefault("message", Mark.OTHERWISE)
                return "utf-8"
            try:
                self.data.decode(self.codec)
            except UnicodeDecodeError:
                self.marks.setdefault("message", Mark.FALLBACK)
                return self.fallback
        return "us-ascii" if self.codec == "ascii" else self.codec

    def decode(self, raw: bytes, name: str, number: int) -> str:
        """Text of raw bytes from field `number` of segment `name`, which is marked if guessed."""
        escape = self.delimiters[3]
        if escape and escape in raw:
            raw = unescape(raw, self.delimiters)
        codec = self._codec or self.codec
        if codec in MAY_BE_UTF8 and not raw.isascii():
            text = self._guess(raw, codec, f"{name}-{number}")
        else:
            try:
                text = raw.decode(codec)
            except UnicodeDecodeError:
                text = self._fall_back(raw, f"{name}-{number}")
        if not text.isprintable() and _CONTROLS.search(text):
            self.controls.add(f"{name}-{number}")
            text = _CONTROLS.sub("\ufffd", text)
        return text

    def _guess(self, raw: bytes, codec: str, place: str) -> str:
        text = as_utf8(raw)
        if text is not None:
            self._mark(place, Mark.OTHERWISE)
            return text
        try:
            return raw.decode(codec)
        except UnicodeDecodeError:
            return self._fall_back(raw, place)

    def _fall_back(self, raw: bytes, place: str) -> str:
        text = raw.decode(self.fallback, "replace")
        self._mark(place, Mark.REPLACED if "\ufffd" in text else Mark.FALLBACK)
        return text

    def _mark(self, place: str, mark: Mark) -> None:
        """The worst of a field's marks stands."""
        before = self.marks.get(place)
        if before is None or RANK[mark] > RANK[before]:
            self.marks[place] = mark


def _line_feeds(body: bytes, separator: bytes) -> bytes:
    """`body` with CR alone as segment end.

    In a message that uses CR, a lone LF ends a segment only before something that looks like one:
    free text with line feeds in it stays whole.
    """
    if b"\r" not in body:
        return body.replace(b"\n", b"\r")
    pattern = re.compile(rb"\r\n|\n(?=[A-Z][A-Z0-9]{2}" + re.escape(separator) + rb")|\n\Z")
    return pattern.sub(b"\r", body)
