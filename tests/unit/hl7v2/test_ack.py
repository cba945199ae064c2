"""Answers: pure functions of the request's bytes, and the NACK table."""

from __future__ import annotations

from typing import Any

import hl7
import pytest
from hl7apy.parser import parse_message
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.ack import PROBLEMS, AckCode, AckError, acknowledge, answer, parse_ack
from connectors.hl7v2.er7 import Er7Error, Message
from tests.unit.hl7v2.messages import MSH, arrival


def _lines(raw: bytes) -> list[str]:
    return raw.decode().split("\r")


def test_an_accept_swaps_the_header_and_names_the_request() -> None:
    """AA: application and facility swapped, own control id, MSA-2 is the request's id."""
    header, msa, rest = _lines(acknowledge(arrival()))
    fields = header.split("|")
    assert fields[:9] == [
        "MSH", "^~\\&", "ROUTE", "ROUTE", "EDIS", "RTEST", "20260314214233", "", "ACK^A04^ACK",
    ]  # fmt: skip
    assert fields[9] not in {"", "ED-000123"}
    assert len(fields[9]) == 20
    assert fields[10:12] == ["P", "2.4"]
    assert fields[17] == "UNICODE"
    assert (msa, rest) == ("MSA|AA|ED-000123", "")


@given(st.binary(max_size=300), st.sampled_from([None, *PROBLEMS]), st.booleans())
def test_the_answer_is_a_function_of_the_bytes(
    body: bytes, refusal: str | None, header: bool
) -> None:
    """The same bytes give the same answer, whatever they are, and it can be read."""
    request = b"MSH|^~\\&|A|B|C|D|1||ADT^A04|" + body if header else body
    first, again = acknowledge(request, refusal), acknowledge(bytes(bytearray(request)), refusal)
    assert first == again
    read = parse_ack(first)
    assert read.code == ("AA" if refusal is None else PROBLEMS[refusal][0])


@given(st.binary(min_size=1, max_size=100))
def test_other_bytes_get_another_control_id(more: bytes) -> None:
    """MSH-10 of the answer tells requests with a re-used control id apart."""
    one, other = arrival(), arrival() + more
    assert Message.parse(acknowledge(one)).get("MSH-10") != Message.parse(acknowledge(other)).get(
        "MSH-10"
    )


def test_parsed_and_unparsed_requests_get_the_same_answer() -> None:
    """The listener's fast path and the plain function agree."""
    request = arrival()
    assert answer(Message.parse(request), request, AckCode.ACCEPT) == acknowledge(request)


def test_up_to_2_4_the_reason_stands_in_msa_3_and_err_1() -> None:
    """ERR-1 is segment, sequence, field, and the code in subcomponents."""
    _, msa, err, _ = _lines(acknowledge(arrival(), "delimiters"))
    assert msa.startswith("MSA|AE|ED-000123|MSH-1 and MSH-2 are not usable delimiters")
    assert err == "ERR|MSH^1^2^102&Data type error&HL70357"


def test_from_2_5_the_reason_stands_in_err_2_to_8() -> None:
    """No MSA-3; ERR-2 place, ERR-3 code, ERR-4 severity, ERR-7 rule, ERR-8 words."""
    request = arrival(msh=MSH.replace("|2.4|", "|2.5.1|"))
    header, msa, err, _ = _lines(acknowledge(request, "no-pid"))
    assert "|ACK^A04^ACK|" in header
    assert msa == "MSA|AE|ED-000123"
    fields = err.split("|")
    assert fields[1:5] == ["", "PID^1", "100^Segment sequence error^HL70357", "E"]
    assert fields[7] == "no-pid"
    assert fields[8].startswith("No PID segment; send")


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("ADT^A04", "ACK^A04"),
        ("ADT^A04^ADT_A01", "ACK^A04^ACK"),
        ("ADT", "ACK"),
        ("", "ACK"),
    ],
)
def test_msh_9_follows_the_request(kind: str, expected: str) -> None:
    """The structure is named where the sender names it too (from 2.5: always)."""
    request = arrival(msh=MSH.replace("ADT^A04^ADT_A01", kind))
    assert Message.parse(acknowledge(request)).get("MSH-9") == expected


def test_a_frame_without_msh_gets_a_whole_answer() -> None:
    """What is no HL7 v2 is answered in HL7 v2 all the same."""
    header, msa, err, _ = _lines(acknowledge(b"PID|1||9990000018", "no-msh"))
    assert header.startswith("MSH|^~\\&|HALYARD|||||ACK|")
    assert msa.startswith("MSA|AE||No MSH segment")
    assert err == "ERR|MSH^1^^100&Segment sequence error&HL70357"


@pytest.mark.parametrize("rule", sorted(PROBLEMS))
def test_every_refusal_has_its_code(rule: str) -> None:
    """AE for content and format, AR for what is neither."""
    expected = "AE" if rule in {"no-msh", "delimiters", "no-pid"} else "AR"
    read = parse_ack(acknowledge(arrival(), rule), arrival())
    assert (read.code, read.control_id, read.accepted) == (expected, "ED-000123", False)
    assert f"({rule})" in read.text


def test_a_header_cut_off_is_answered() -> None:
    """The head of an oversize message may end anywhere in MSH."""
    for end in range(9, len(MSH)):
        assert parse_ack(acknowledge(MSH[:end].encode(), "oversize")).code == "AR"


def test_other_delimiters_are_kept_and_text_is_escaped() -> None:
    """The answer speaks with the sender's delimiters; a text with one of them in it is escaped."""
    request = b"MSH(*!%/(A(B(C(D(1((ADT*A04(7(P(2.4\r"
    raw = acknowledge(request, "no-msh")
    assert raw.split(b"\r")[1].startswith(b"MSA(AE(7(No MSH")
    assert Message.parse(raw).get("MSA-3").endswith("(no-msh)")


@pytest.mark.parametrize("refusal", [None, "no-pid"])
@pytest.mark.parametrize("version", ["2.4", "2.5"])
def test_other_parsers_read_the_answer(refusal: str | None, version: str) -> None:
    """python-hl7 and hl7apy find code and control id where we put them."""
    raw = acknowledge(arrival(msh=MSH.replace("|2.4|", f"|{version}|")), refusal).decode()
    code = "AA" if refusal is None else "AE"
    theirs: Any = hl7.parse(raw)
    assert str(theirs.segment("MSA")[1]) == code
    model: Any = parse_message(raw)
    assert model.msa.msa_1.value == code
    assert model.msa.msa_2.value == "ED-000123"


def test_parse_ack_refuses_what_is_no_answer_or_another_one() -> None:
    """An answer out of step must never count for the message in hand."""
    with pytest.raises(AckError):
        parse_ack(b"hello")
    with pytest.raises(AckError):
        parse_ack(arrival())
    with pytest.raises(AckError) as caught:
        parse_ack(acknowledge(arrival()), arrival(msh=MSH.replace("ED-000123", "ED-000124")))
    assert caught.value.rule == "control-id"


def test_every_refusal_of_the_view_is_in_the_table() -> None:
    """A rule of `er7` always finds its answer."""
    for data in (b"", b"MSH||||"):
        with pytest.raises(Er7Error) as caught:
            Message.parse(data)
        assert caught.value.rule in PROBLEMS


@pytest.mark.parametrize(
    ("lines", "errors"),
    [
        ("", ()),
        ("ERR|^^^203&Unsupported version id&HL70357\r", ("203",)),
        ("ERR||MSH^1^12|203^Unsupported version id^HL70357|E\r", ("203",)),
        ("ERR|PID^1^3^101\rERR|MSH^1^9^200\r", ("101", "200")),
        ("ERR|\r", ()),
    ],
)
def test_the_error_codes_of_an_answer_are_read(lines: str, errors: tuple[str, ...]) -> None:
    """ERR-1.4 to 2.4, ERR-3 from 2.5."""
    text = f"MSH|^~\\&|A|B|C|D|2026||ACK|1|P|2.4\rMSA|AR|9\r{lines}"
    assert parse_ack(text.encode()).errors == errors
