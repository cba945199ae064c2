"""Matches and answers as HL7 v2: the same as the webhooks say, and nothing else."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from hl7apy.consts import VALIDATION_LEVEL
from hl7apy.parser import parse_message
from hl7apy.validation import Validator
from hypothesis import example, given, settings
from hypothesis import strategies as st

from connectors.hl7v2.er7 import Message as View
from connectors.hl7v2.outgoing import Parties, UnsendableError, build, short_id
from connectors.sending import Message
from tests.unit.delivery.payloads import current

PARTIES = Parties("HALYARD", "EPR", "RZ9", production=False)
DELIVERY = uuid.UUID("7b0c1f5e-7c1d-5d3e-8f5a-0a4b5c6d7e8f")
BODIES = {name: one for name, one in current().items() if one[0] != "alert"}


def sent(kind: str, body: bytes, delivery_id: uuid.UUID = DELIVERY) -> View:
    """The message as a hospital reads it."""
    return View.parse(build(Message(delivery_id, kind, "1", body, ""), PARTIES).data)


def told(view: View) -> dict[str, list[str]]:
    """OBX-5 by OBX-3.1; the lines of a text and the members of a list in order."""
    found: dict[str, list[str]] = {}
    for obx in view.segments("OBX"):
        lines = [obx.text(5, repetition=at + 1) for at in range(max(len(obx.repetitions(5)), 1))]
        found.setdefault(obx.text(3, 1), []).append("\n".join(lines))
    return found


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, value) of everything in a body that is not null."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from leaves(inner, f"{path}-{name}" if path else name)
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    elif value is not None:
        yield path.upper().replace("_", "-"), value


@pytest.mark.parametrize("name", BODIES)
def test_every_value_of_the_webhook_is_in_the_message(name: str) -> None:
    """Whatever the JSON body tells is told: the number in PID-3, each other in its own OBX."""
    kind, body = BODIES[name]
    view = sent(kind, body)
    found = told(view)
    for code, value in leaves(json.loads(body)):
        if code == "PERSON-NHS-NUMBER":
            assert view.get("PID-3.1") == value
        elif isinstance(value, bool):
            assert found[code] == ["Y^Yes^HL70136" if value else "N^No^HL70136"]
        elif code == "AT" or code.endswith("-AT"):
            assert found[code] == [
                re.sub(r"[-:]|\.\d+", "", value[:19]).replace("T", "") + zone(value)
            ]
        else:
            assert str(value) in found[code]


def zone(iso: str) -> str:
    """The offset of an ISO time as TS writes it."""
    return "+0000" if iso.endswith("Z") else iso[-6:].replace(":", "")


@pytest.mark.parametrize("name", BODIES)
def test_nothing_is_told_beyond_the_webhook(name: str) -> None:
    """No segment but MSH, PID, OBR and OBX; no OBX that the body does not have."""
    kind, body = BODIES[name]
    view = sent(kind, body)
    assert set(view.names) <= {"MSH", "PID", "OBR", "OBX"}
    assert set(told(view)) == {"DELIVERY-ID"} | {
        code for code, _ in leaves(json.loads(body)) if code != "PERSON-NHS-NUMBER"
    }


@pytest.mark.parametrize("name", BODIES)
def test_the_message_is_valid_hl7_v2_4(name: str) -> None:
    """hl7apy reads it back, with its groups, as a valid ORU_R01 of 2.4."""
    kind, body = BODIES[name]
    data = build(Message(DELIVERY, kind, "1", body, ""), PARTIES).data
    parsed = parse_message(data.decode(), VALIDATION_LEVEL.TOLERANT, find_groups=True)
    assert parsed.name == "ORU_R01"
    assert parsed.version == "2.4"
    assert Validator.validate(parsed)


def test_the_header_names_both_sides() -> None:
    """MSH of a match, field by field."""
    view = sent(*BODIES["match"])
    header = [view.segment("MSH").text(number) for number in range(3, 20)]
    assert header == [
        *("HALYARD", "HALYARD", "EPR", "RZ9", "20261025003000+0000", "", "ORU^R01^ORU_R01"),
        *(short_id(str(DELIVERY)), "T", "2.4", "", "", "", "", "GBR", "UNICODE", "EN"),
    ]
    assert (
        build(
            Message(DELIVERY, *BODIES["match"][:1], "1", BODIES["match"][1], ""),
            Parties("HALYARD", "", "", production=True),
        ).data.split(b"|")[10]
        == b"P"
    )


def test_c16_a_repeat_is_the_same_bytes_under_the_same_id() -> None:
    """The message is a function of the delivery; another delivery has another MSH-10."""
    kind, body = BODIES["match"]
    again = [build(Message(DELIVERY, kind, "1", body, trace), PARTIES) for trace in ("", "00-ab")]
    assert again[0] == again[1]
    other = build(Message(uuid.uuid4(), kind, "1", body, ""), PARTIES)
    assert other.control_id != again[0].control_id
    assert len(again[0].control_id) == 20


def test_what_is_provisional_or_withdrawn_says_so_in_its_status() -> None:
    """OBR-25 and OBX-11: F, P while the identity is provisional, C when it is withdrawn; the
    withdrawal has the match's OBR-3, so that it replaces it.
    """
    kind, body = BODIES["match"]
    provisional = json.dumps({**json.loads(body), "provisional": True}).encode()
    views = [sent(kind, body), sent(kind, provisional), sent(*BODIES["match-withdrawn"])]
    assert [view.get("OBR-25") for view in views] == ["F", "P", "C"]
    assert [view.get("OBX-11") for view in views] == ["F", "P", "C"]
    assert len({view.get("OBR-3") for view in views}) == 1


def test_an_answer_names_no_person_and_points_to_its_match() -> None:
    """As in the webhook: OBR-29 holds the match's OBR-3, and there is no PID."""
    answer, match = sent(*BODIES["receipt-accepted"]), sent(*BODIES["match"])
    assert "PID" not in answer.names
    assert answer.get("OBR-29.2") == match.get("OBR-3")
    assert answer.get("OBR-3") != match.get("OBR-3")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("alert", current()["alert-raised"][1]),
        ("match", b"{"),
        ("match", b"[]"),
        ("match", b'{"alert_id": "x"}'),
        ("receipt", b'{"alert_id": "x", "at": "soon"}'),
        ("receipt", b'{"alert_id": "x", "at": 3}'),
    ],
)
def test_what_has_no_hl7_form_is_refused(kind: str, body: bytes) -> None:
    """An alert (its restricted twin must never reach a hospital's system), or no body of ours."""
    with pytest.raises(UnsendableError):
        sent(kind, body)


LINES = re.compile("\r\n|[\r\n\x85\u2028\u2029]")
CONTROLS = re.compile("[\x00-\x1f\x7f\x85\u2028\u2029]+")
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@settings(max_examples=60)
@given(TEXT)
@example("a|b^c&d~e\\f\r\nMSH|^~\\&|x\\F\\ \\.br\\ \\E\\")
@example("\\E\\E\\")
@example("\\\\T\\T")
@example(" ")
def test_no_text_breaks_the_message(text: str) -> None:
    """A person's words come out as they went in, line by line; delimiters and line ends in them
    make no segment and no field, control characters become spaces.
    """
    body = json.dumps(
        {"alert_id": "x", "at": "2026-03-01T12:00:00Z", "answer": text, "by": "B", "new": [text]}
    ).encode()
    view = sent("receipt", body)
    assert view.names == ["MSH", "OBR", "OBX"]
    assert len(view.segments("OBX")) == 6
    wanted = "\n".join(CONTROLS.sub(" ", line) for line in LINES.split(text))
    assert told(view)["ANSWER"] == [wanted]
    assert told(view)["NEW"] == [wanted]
    assert told(view)["BY"] == ["B"]
