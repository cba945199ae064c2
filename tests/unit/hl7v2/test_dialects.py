"""Real dialects: the product's sample of them, and how files of messages are read."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.er7 import Message
from connectors.hl7v2.files import messages_of, read_files
from connectors.hl7v2.framing import frame
from halyard.errors import ConfigurationError
from halyard.nhs_number import parse
from sandbox.samples.cast import CAST
from sandbox.samples.render import DIALECTS, messages, render
from schemas.codec import decode, encode
from schemas.events import AttendanceReported, VisitEventKind
from tests.unit.hl7v2.messages import arrival, message
from tests.unit.hl7v2.reading import event, events

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
BODIES = messages(render(DIALECTS.read_text(), NOW, "r1"))


def _read(number: int) -> AttendanceReported:
    """The first event of the sample's message `number` (from 1)."""
    return events(BODIES[number - 1], at=NOW)[0]


@pytest.mark.parametrize("number", range(1, 10))
def test_one_child_in_nine_dialects_is_one_child(number: int) -> None:
    """ITK with and without local id, JSAT, Genomics, Epic, Carecast, Simhospital, Wales, spaces."""
    found = _read(number)
    assert parse(found.claim.nhs_number or "", profile="test").number == CAST.robin.nhs_number
    assert found.claim.local_id == (None if number == 2 else "T01014")
    assert (found.claim.family, found.claim.birth_date) == ("TESTCHILD", CAST.robin.birth_date)
    assert (found.claim.gender, found.claim.postcode) == ("male", "ZZ1 1AA")
    assert found.arrival
    assert found.detail.department == "ED"
    assert found.marks == (("nhs-number-untyped",) if number == 6 else ())
    assert found.charset == ("utf-8" if number not in (5, 6, 7) else "us-ascii")


def test_every_dialect_is_taken() -> None:
    """No message of the sample is refused, and every event fits its schema; marks are few."""
    found = [one for body in BODIES for one in events(body, at=NOW)]
    assert all(decode(encode(one)) == one for one in found)
    assert {one.kind for one in found} == set(VisitEventKind) - {VisitEventKind.UNKNOWN}
    assert {mark for one in found for mark in one.marks} == {
        "nhs-number-untyped",
        "message-type-odd",
        "location-shielded",
        "identity-unknown",
    }


def test_a_visits_life_is_one_visit() -> None:
    """Registered, triaged, moved, on leave, back, discharged, and that taken back."""
    life = [_read(number) for number in range(15, 22)]
    assert len({one.visit_id for one in life}) == 1
    assert len({one.source_person for one in life}) == 1
    triage = life[1].detail
    assert (triage.reason, triage.acuity) == ("Pain in arm", "Urgent")
    assert triage.mode_of_arrival == "Ambulance"
    assert [one.detail.department for one in life[1:3]] == ["ED", "CAU"]
    discharge = life[5].detail
    assert discharge.discharge_destination == "19"
    assert discharge.discharged_at is not None


def test_the_samples_merges_meet_the_keys_of_their_dialect() -> None:
    """The retired patient as that dialect would have sent them before."""
    for number, earlier in ((27, "T09999^^^RZ9"), (28, "T09999^^^MRENTR^MEDREC")):
        before = event(arrival(pid=f"PID|1||{earlier}||A^B||20170314"))
        assert _read(number).merged_person == before.source_person
    assert _read(29).merged_person == event(arrival(pid="PID|1||T09999^^^RZ9")).source_person


def test_every_number_of_the_sample_is_of_the_cast() -> None:
    """Nobody's number: all of them are characters of the samples."""
    numbers = set(re.findall(rb"\b\d{10}\b", b"".join(BODIES).replace(b" ", b"")))
    cast = {person.nhs_number.encode() for person in CAST.everybody.values()}
    assert numbers <= cast


def test_a_number_in_pid_2_counts_only_where_pid_3_has_none() -> None:
    """Untyped, and only with the form of an NHS number: else it is some other id."""

    def read(pid_2: str, pid_3: str) -> AttendanceReported:
        return event(arrival(pid=f"PID|1|{pid_2}|{pid_3}||TESTCHILD^ROBIN||20190602|1"))

    assert read("9990000018", "T1").claim.nhs_number == "9990000018"
    assert read("9990000019", "T1").claim.nhs_number is None
    assert read("8000002", "T1").marks == ()
    typed = read("9990000018", "9990000026^^^NHS~T1")
    assert (typed.claim.nhs_number, typed.marks) == ("9990000026", ())
    assert read("9990000018^^^RTEST^MR", "T1").claim.nhs_number is None
    suspect = read("9990000018", "9990000019^^^NHS")
    assert (suspect.claim.nhs_number, suspect.marks) == ("9990000019", ("nhs-number-invalid",))


_NUMBERS = st.sampled_from(
    [
        "9990000018^^^NHS",
        "9990000018^^^NHS^NH",
        "999 000 0018^^^NHS^NHS",
        "9990000018^^^NHSNBR^NHSNMBR",
        "9990000018^^^MRENTR^HN",
        "9990000018^^^&2.16.840.1.113883.2.1.4.1&ISO^NH",
        "9990000018^8^M11^nhs^nh",
    ]
)
_LOCALS = st.sampled_from(
    ["T1^^^RTEST^MR", "T1^^^MRENTR^MEDREC", "T1^^^SIMULATOR MRN^MRN", "T1^^^192^PI"]
)
_OTHERS = st.sampled_from(["X1", "X2^^^LAB", "X3^^^SITE^AN", "", '""', "^^^NHS", "T2^^^OTHER^HN"])


@given(number=_NUMBERS, local=_LOCALS, others=st.lists(_OTHERS, max_size=3), data=st.data())
def test_number_and_local_id_are_found_in_any_dialect_and_order(
    number: str, local: str, others: list[str], data: st.DataObject
) -> None:
    """Whatever stands beside them in PID-3, and wherever."""
    identifiers = "~".join(data.draw(st.permutations([number, local, *others])))
    found = event(arrival(pid=f"PID|1||{identifiers}||TESTCHILD^ROBIN||20190602|1"))
    assert parse(found.claim.nhs_number or "", profile="test").number == "9990000018"
    assert (found.claim.local_id, found.marks) == ("T1", ())


ONE, TWO = arrival(), message("MSH|^~\\&|B|C", "PID|1||T2")


@pytest.mark.parametrize(
    "data",
    [
        ONE + TWO,
        (ONE + b"\r" + TWO).replace(b"\r", b"\n"),
        (ONE + b"\r" + TWO).replace(b"\r", b"\r\n"),
        frame(ONE) + frame(TWO),
        b"\xef\xbb\xbf" + ONE + b"\r\n" + TWO,
        b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + TWO + b"BTS|2\rFTS|1\r",
        frame(b"FHS|^~\\&|A\rBHS|^~\\&|A\r" + ONE + TWO + b"BTS|2\rFTS|1\r"),
    ],
)
def test_messages_are_found_in_files_as_hospitals_have_them(data: bytes) -> None:
    """A segment a line, an empty line between or none, frames, batches."""
    found = [Message.parse(body) for body in messages_of(data)]
    assert [one.names for one in found] == [["MSH", "EVN", "PID", "PV1", "PV2"], ["MSH", "PID"]]
    assert [one.get("PID-3(1).1") for one in found] == ["9990000018", "T2"]


def test_what_is_no_message_is_not_lost() -> None:
    """It is given as it stands, so that a report can name it; an empty file has none."""
    assert messages_of(b"") == messages_of(b"\r\n\x0b\x1c\r") == []
    assert messages_of(b"PID|1\n") == [b"PID|1\r"]
    assert messages_of(b"FHS|^~\\&\rPID|9\r" + TWO) == [b"PID|9\r", TWO]


@given(st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(data: bytes) -> None:
    """Whatever a file holds."""
    for body in (data, b"MSH|" + data, b"FHS|" + data + b"\rMSH|" + data):
        assert all(one.endswith(b"\r") for one in messages_of(body))


def test_a_folder_is_read_by_name_and_nothing_to_read_is_told(tmp_path: Path) -> None:
    """Files of messages alone; a missing path or an empty folder says so."""
    with pytest.raises(ConfigurationError, match="no file"):
        list(read_files(tmp_path))
    (tmp_path / "b.hl7").write_bytes(ONE)
    (tmp_path / "a.TXT").write_bytes(TWO)
    (tmp_path / "c.pdf").write_bytes(b"%PDF")
    assert [(path.name, len(bodies)) for path, bodies in read_files(tmp_path)] == [
        ("a.TXT", 1),
        ("b.hl7", 1),
    ]
    with pytest.raises(ConfigurationError, match="cannot be read"):
        list(read_files(tmp_path / "absent.hl7"))
