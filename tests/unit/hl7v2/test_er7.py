"""The ER7 view, against the standard and against two other parsers."""

from __future__ import annotations

from typing import Any

import hl7
import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_segment
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.hl7v2.delimiters import Delimiters, unescape
from connectors.hl7v2.er7 import Er7Error, Mark, Message
from tests.unit.hl7v2.messages import MSH, arrival, message

HEADER = "MSH|^~\\&|A|B|C|D|20260101||ADT^A04|1|P|2.4\r"
STANDARD = Delimiters(b"|", b"^", b"~", b"\\", b"&")

_text = st.text(alphabet="ABCdef 019.-'", min_size=1, max_size=6).map(str.strip).filter(bool)
_subs = st.lists(_text, min_size=1, max_size=3)
_components = st.lists(_subs, min_size=1, max_size=4)
_field = st.lists(_components, min_size=1, max_size=3)


def _er7(field: list[list[list[str]]]) -> str:
    return "~".join("^".join("&".join(subs) for subs in parts) for parts in field)


@given(st.lists(_field, min_size=1, max_size=6))
def test_every_part_is_where_it_was_written(fields: list[list[list[list[str]]]]) -> None:
    """Any field, repetition, component and subcomponent comes back from its position."""
    view = Message.parse((HEADER + "PID|" + "|".join(map(_er7, fields)) + "\r").encode())
    for number, field in enumerate(fields, start=1):
        assert view.raw(f"PID-{number}") == _er7(field).encode()
        assert len(view.segment("PID").repetitions(number)) == len(field)
        for repetition, components in enumerate(field, start=1):
            for component, subs in enumerate(components, start=1):
                for sub, text in enumerate(subs, start=1):
                    assert view.get(f"PID-{number}({repetition}).{component}.{sub}") == text


@given(_field, _field)
def test_agrees_with_python_hl7(
    first: list[list[list[str]]], second: list[list[list[str]]]
) -> None:
    """python-hl7 reads the same parts at the same positions."""
    text = HEADER + f"PID|1||{_er7(first)}||{_er7(second)}\r"
    view = Message.parse(text.encode())
    oracle: Any = hl7.parse(text)
    for number, field in ((3, first), (5, second)):
        for repetition, components in enumerate(field, start=1):
            for component, subs in enumerate(components, start=1):
                for sub in range(1, len(subs) + 1):
                    theirs = oracle.extract_field("PID", 1, number, repetition, component, sub)
                    assert view.get(f"PID-{number}({repetition}).{component}.{sub}") == theirs


@settings(max_examples=25, deadline=None)
@given(st.lists(st.lists(_text, min_size=1, max_size=4), min_size=1, max_size=3))
def test_agrees_with_hl7apy(names: list[list[str]]) -> None:
    """hl7apy reads the same names from PID-5."""
    line = "PID|1||||" + "~".join("^".join(parts) for parts in names)
    view = Message.parse((HEADER + line + "\r").encode())
    oracle: Any = parse_segment(line, version="2.4", validation_level=VALIDATION_LEVEL.TOLERANT)
    assert len(oracle.pid_5) == len(names)
    for repetition, parts in enumerate(names, start=1):
        theirs = oracle.pid_5[repetition - 1].to_er7().split("^")
        ours = [view.get(f"PID-5({repetition}).{at}") for at in range(1, len(parts) + 1)]
        assert ours == theirs


@given(st.text(alphabet="ab|^~&", max_size=12))
def test_unescapes_as_python_hl7_does(value: str) -> None:
    """What python-hl7 escapes, the view reads back as it was."""
    oracle: Any = hl7.parse(HEADER)
    escaped = oracle.escape(value)
    assert unescape(escaped.encode(), STANDARD).decode() == value


@given(st.binary(max_size=200))
def test_nothing_but_er7_error_comes_of_any_bytes(data: bytes) -> None:
    """Arbitrary bytes are read or refused, never any other error."""
    for body in (data, b"MSH|^~\\&|" + data, b"MSH" + data):
        try:
            view = Message.parse(body)
        except Er7Error:
            continue
        for path in ("MSH-2", "MSH-9.2", "MSH-10", "PID-3(2).1", "PID-5.1.1"):
            assert isinstance(view.get(path), str)
        assert isinstance(view.charset, str)


@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_segments_may_end_in_cr_lf_or_both(end: str) -> None:
    """CR is the standard; LF and CR LF are read too."""
    view = Message.parse(arrival().replace(b"\r", end.encode()))
    assert view.names == ["MSH", "EVN", "PID", "PV1", "PV2"]
    assert view.get("PV2-38") == "Ambulance"


def test_a_line_feed_in_free_text_does_not_end_a_segment() -> None:
    """In a message with CR ends, LF inside a field belongs to the text."""
    view = Message.parse(message(MSH, "PV2|||^Fall\nat home|x"))
    assert view.get("PV2-3.2") == "Fall\nat home"
    assert view.get("PV2-4") == "x"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "no-msh"),
        (b"PID|1||9990000018^^^NHS", "no-msh"),
        (b"<xml/>", "no-msh"),
        (b"MSH", "delimiters"),
        (b"MSH|", "delimiters"),
        (b"MSH||||", "delimiters"),
        (b"MSH|^^\\&|A", "delimiters"),
        (b"MSHA^~\\&AB", "delimiters"),
        (b"MSH|^~\\\xc3|B", "delimiters"),
        (b"MSH|^~\\&#!|B", "delimiters"),
    ],
)
def test_what_cannot_be_delimited_is_refused_by_rule(data: bytes, rule: str) -> None:
    """No MSH, or delimiters that cannot delimit: the only two refusals."""
    with pytest.raises(Er7Error) as caught:
        Message.parse(data)
    assert caught.value.rule == rule


def test_other_delimiters_of_the_message_are_used() -> None:
    """Delimiters come from MSH-1 and MSH-2 of the message, its escapes too."""
    view = Message.parse(b"MSH$*!%/$A$B\rPID$1$$X*Y!Z*a/b$p%S%q%F%r\r")
    assert view.get("PID-3(2).2.2") == "b"
    assert view.get("PID-3.1") == "X"
    assert view.get("PID-4") == "p*q$r"


def test_a_short_msh_2_means_fewer_delimiters() -> None:
    """Without an escape mark in MSH-2 a backslash is a backslash."""
    view = Message.parse(b"MSH|^~|A\rPID|1||X^C:\\T\\home&x\r")
    assert view.get("PID-3.2") == "C:\\T\\home&x"


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (rb"A\F\B\S\C\T\D\R\E\E\F", "A|B^C&D~E\\F"),
        (rb"\H\bold\N\ \.br\next", "bold \nnext"),
        (rb"caf\XC3A9\ \X41\\X42\ ", "café AB "),
        (rb"C:\home\file", r"C:\home\file"),
        (rb"\X4\ \Zx\ \C2842\ ", r"\X4\ \Zx\ \C2842\ "),
        (rb"a\b c\T\d", "a\\b c&d"),
        (b"ends\\", "ends\\"),
    ],
)
def test_escapes(escaped: bytes, text: str) -> None:
    """Escapes of 2.10 are undone; unknown ones and lone marks stay as they are."""
    view = Message.parse(MSH.encode() + b"\rPV2|||^" + escaped + b"\r")
    assert view.get("PV2-3.2") == text


@pytest.mark.parametrize(
    ("charset", "raw", "text", "marks"),
    [
        (b"UNICODE", "Zoë".encode(), "Zoë", {}),
        (b"UNICODE UTF-8", "Zoë".encode(), "Zoë", {}),
        (b"UNICODE", b"Zo\xeb", "Zoë", {"PID-5": Mark.FALLBACK}),
        (b"", b"Zoe", "Zoe", {}),
        (b"", b"Zo\xeb", "Zoë", {"PID-5": Mark.FALLBACK}),
        (b"8859/1", b"Zo\xeb", "Zoë", {}),
        (b"UNICODE", b"Zo\x81", "Zo\ufffd", {"PID-5": Mark.REPLACED}),
        (b"KLINGON", b"Zoe", "Zoe", {"MSH-18": Mark.UNKNOWN_CHARSET}),
        (b"UTF-8", "Zoë".encode(), "Zoë", {}),
        (b"utf8", "Zoë".encode(), "Zoë", {}),
        (b"ASCII", b"Zo\xeb", "Zoë", {"PID-5": Mark.FALLBACK}),
        (b"8859/15", b"Zo\xeb \xa4", "Zoë €", {}),
        (b"8859/1", b"Zo\xeb \xa4", "Zoë ¤", {}),
        # several: the first that is more than ASCII, which is a part of all of them
        (b"ASCII~8859/1", b"Zo\xeb", "Zoë", {}),
        (b"~UNICODE UTF-8", "Zoë".encode(), "Zoë", {}),
        (b"KLINGON~UNICODE", "Zoë".encode(), "Zoë", {}),
        (b"KLINGON~ELVISH", b"Zoe", "Zoe", {"MSH-18": Mark.UNKNOWN_CHARSET}),
        (b'""', b"Zoe", "Zoe", {}),
        # UTF-8 under another name
        (b"", "Zoë".encode(), "Zoë", {"PID-5": Mark.OTHERWISE}),
        (b"ASCII", "Łó".encode(), "Łó", {"PID-5": Mark.OTHERWISE}),
        (b"8859/1", "Zoë".encode(), "Zoë", {"PID-5": Mark.OTHERWISE}),
        (b"windows-1252", "Zoë".encode(), "Zoë", {"PID-5": Mark.OTHERWISE}),
        (
            b"KLINGON",
            "Zoë".encode(),
            "Zoë",
            {"MSH-18": Mark.UNKNOWN_CHARSET, "PID-5": Mark.OTHERWISE},
        ),
        (b"8859/1", b"ZO\xc3", "ZOÃ", {}),
        # capitals of the east may be valid UTF-8 by chance: what is declared holds
        (b"8859/2", "PÓŁ".encode("iso8859-2"), "PÓŁ", {}),
    ],
)
def test_text_is_always_read_and_marked_where_it_was_guessed(
    charset: bytes, raw: bytes, text: str, marks: dict[str, Mark]
) -> None:
    """Bytes that the declared character set does not allow are read by the fallback, marked."""
    head = b"MSH|^~\\&|A|B|C|D|1||ADT^A04|1|P|2.4||||||" + charset
    view = Message.parse(head + b"\rPID|1||||" + raw + b"^X\r")
    assert view.get("PID-5.1") == text
    assert view.marks == marks


def test_the_charset_of_the_message_counts_every_byte() -> None:
    """A broken byte in a field that nobody reads still makes it a fallback message."""
    view = Message.parse(arrival(pv2="PV2|||^x") + b"NK1|1|\xeb\r")
    assert view.charset == "windows-1252"
    assert view.marks == {"message": Mark.FALLBACK}
    assert Message.parse(arrival()).charset == "utf-8"


@pytest.mark.parametrize("charset", [b"", b"8859/1"])
def test_a_message_in_utf8_is_that_whatever_it_declares(charset: bytes) -> None:
    """The event of a UTF-8 message whose MSH-18 says otherwise names UTF-8, marked; one broken byte
    elsewhere changes nothing for the fields that are valid."""
    data = arrival().replace(b"|UNICODE", b"|" + charset).replace(b"TESTCHILD", "ZOË".encode())
    view = Message.parse(data)
    assert view.charset == "utf-8"
    assert view.marks == {"message": Mark.OTHERWISE}
    mixed = Message.parse(data + b"NK1|1|\xeb\r")
    assert (mixed.get("PID-5.1"), mixed.get("NK1-2")) == ("ZOË", "ë")
    assert mixed.charset == ("iso8859-1" if charset else "windows-1252")
    assert mixed.marks["PID-5"] is Mark.OTHERWISE


def test_the_worst_mark_of_a_field_stands() -> None:
    """Two parts of a field that were read in different ways: the less certain one is told."""
    view = Message.parse(b"MSH|^~\\&|A|B|C|D|1||ADT^A04|1|P|2.4\rPID|1||||Zo\xeb^" + "ë".encode())
    assert (view.get("PID-5.1"), view.get("PID-5.2")) == ("Zoë", "ë")
    assert view.marks == {"PID-5": Mark.FALLBACK}


def test_an_unknown_character_set_in_bytes_that_are_none_stays_unknown() -> None:
    """MSH-18 itself may hold bytes that are not ASCII; reading it keeps its own mark."""
    view = Message.parse(b"MSH|^~\\&|A|B|C|D|1||ADT^A04|1|P|2.4||||||X\x80\r")
    assert view.get("MSH-18") == "X€"
    assert view.marks == {"MSH-18": Mark.UNKNOWN_CHARSET}


def test_null_and_absent_are_empty_text_but_not_the_same_bytes() -> None:
    """HL7 null (two quotes) is empty as text and still visible in the bytes."""
    view = Message.parse(message(MSH, 'PID|1||""'))
    assert view.get("PID-3.1") == ""
    assert view.raw("PID-3") == b'""'
    assert view.get("PID-9.1", "none") == "none"
    assert not view.segment("PV1")
    assert view.segment("PV1").text(3, 1) == ""


def test_a_path_that_is_none_says_how_to_write_one() -> None:
    """A wrong path is a programming error with advice."""
    with pytest.raises(ValueError, match="write SEG-field"):
        Message.parse(arrival()).get("PID.5")
