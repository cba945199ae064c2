"""Which identifiers make a patient's key: one person's alone, however they are written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.hl7v2.identifiers import MAX_REPETITIONS
from connectors.persons import key_names, shared_local_id, usable_number
from halyard import nhs_number
from schemas.events import AttendanceReported, VisitEventKind
from tests.unit.hl7v2.messages import MSH, PID, PV1, arrival, trigger
from tests.unit.hl7v2.reading import event

_PV1 = "PV1|1|E|ED^^^RTES5|21"
_NUMBER = "9990000018"


def _of(pid_3: str, pid: str = "TESTCHILD^ANN||20190602|2", **changed: str) -> AttendanceReported:
    return event(arrival(**{"pid": f"PID|1||{pid_3}||{pid}", "pv1": _PV1, **changed}))


@pytest.mark.parametrize(
    "pid_3",
    [
        "9999999999^^^NHS",
        "0000000000^^^NHS",
        "1234567890^^^NHS",
        "9876543210^^^NHS",
        "UNKNOWN^^^NHS",
        "0^^^NHS",
        "9990000019^^^NHS",
        "9999999999^^^RTEST^HN",
        "UNKNOWN^^^RTEST^MR",
        "TRAUMA 3",
        "UNKNOWN~9999999999^^^NHS",
    ],
)
def test_two_children_behind_one_placeholder_are_two(pid_3: str) -> None:
    """What a desk types to get past the field is no key: each has a visit of their own."""
    one = _of(pid_3)
    other = _of(pid_3, "TESTCHILD^BOB||20120101|1", msh=MSH.replace("ED-000123", "ED-000124"))
    assert one.arrival
    assert other.arrival
    assert one.visit_id != other.visit_id
    assert one.source_patient != other.source_patient
    assert one.source_person != other.source_person


@pytest.mark.parametrize("pid_3", ["9999999999^^^NHS", "UNKNOWN^^^RTEST^MR"])
def test_a_placeholder_is_known_by_the_visit(pid_3: str) -> None:
    """So that the events of one visit stay together, and a cancel finds its arrival."""
    visit = {"pv1": f"{_PV1}|||||||||||||||V1^^^VISITID"}
    one, cancel = _of(pid_3, **visit), _of(pid_3, msh=trigger("A11"), **visit)
    assert (one.visit_id, one.source_person) == (cancel.visit_id, cancel.source_person)


def test_a_number_is_one_number_however_it_is_spaced() -> None:
    """The cancel of an arrival finds it; the same number twice is not several."""
    one = _of(f"{_NUMBER}^^^NHS")
    for written in ("999 000 0018", "999-000-0018", " 9990000018 "):
        other = _of(f"{written}^^^NHS", msh=trigger("A11"))
        assert other.kind is VisitEventKind.CANCEL
        assert (other.visit_id, other.source_person) == (one.visit_id, one.source_person)
        assert other.claim.nhs_number == _NUMBER
        both = _of(f"{_NUMBER}^^^NHS~{written}^^^NHS")
        assert (both.claim.other_numbers, "nhs-number-several" in both.marks) == ((), False)


def test_a_real_number_counts_before_a_placeholder() -> None:
    """Wherever it stands, and a real record number likewise."""
    found = _of(f"9999999999^^^NHS~{_NUMBER}^^^NHS~UNKNOWN^^^RTEST^MR~T1^^^RTEST")
    assert (found.claim.nhs_number, found.claim.local_id) == (_NUMBER, "T1")
    assert found.source_person == _of("T1^^^RTEST").source_person


@pytest.mark.parametrize("authority", ["RTESTNHST", "BARTSNHS", "NHSTRUST"])
@pytest.mark.parametrize("record", ["T123456", "9990000026", "1234567"])
def test_a_trust_with_nhs_in_its_name_assigns_record_numbers(authority: str, record: str) -> None:
    """A record number of ten digits may pass the check digit by chance."""
    found = _of(f"{record}^^^{authority}^MRN~{_NUMBER}^^^NHS")
    assert (found.claim.local_id, found.claim.nhs_number) == (record, _NUMBER)
    assert found.claim.other_numbers == ()


@pytest.mark.parametrize(
    ("pid_3", "number", "local_id"),
    [
        (f"{_NUMBER}^^^NHSNO", _NUMBER, None),
        (f"{_NUMBER}^^^&2.16.840.1.113883.2.1.4.1&ISO", _NUMBER, None),
        (f"{_NUMBER}^^^2.16.840.1.113883.2.1.4.1", _NUMBER, None),
        ("9990000019^^^ENGLANDNHS", "9990000019", None),
        ("T1^^^BARTSNHS", None, "T1"),
    ],
)
def test_an_authority_that_is_nearly_nhs_counts_by_the_form(
    pid_3: str, number: str | None, local_id: str | None
) -> None:
    """Without a type of record number; the OID is as good as the name."""
    claim = _of(pid_3).claim
    assert (claim.nhs_number, claim.local_id) == (number, local_id)


@pytest.mark.parametrize(
    ("pid", "place"),
    [
        ("PID|1||{}T1^^^RTEST||TESTCHILD^ANN||20190602|2", "PID-3"),
        ("PID|1||T1^^^RTEST||{}TESTCHILD^ANN||20190602|2", "PID-5"),
        ("PID|1||T1^^^RTEST||TESTCHILD^ANN||20190602|2|||{}A", "PID-11"),
    ],
)
def test_repetitions_are_bounded_and_marked(pid: str, place: str) -> None:
    """The first 64 count; what is behind them is told to be left out."""
    assert event(arrival(pid=pid.format("A~" * (MAX_REPETITIONS - 1)))).marks == ()
    found = event(arrival(pid=pid.format("A~" * MAX_REPETITIONS)))
    assert found.marks == (f"repetitions-cut:{place}",)


@given(st.text(alphabet="0123456789 -xé９", max_size=14))
def test_a_usable_number_is_ten_digits_and_nothing_that_many_share(text: str) -> None:
    """Whatever is said; and said again it is the same."""
    number = usable_number(text)
    if number is not None:
        assert (len(number), number.isascii(), number.isdigit()) == (10, True, True)
        assert len(set(number)) > 1
        assert nhs_number.check_digit(number[:9]) == int(number[9])
        assert usable_number(number) == usable_number(nhs_number.format_334(number)) == number


def test_numbers_of_every_range_are_somebodys() -> None:
    """A live number in a practice hub, and a Scottish one, are no placeholders."""
    for nine in ("450557710", "010101000", "320000000"):
        number = f"{nine}{nhs_number.check_digit(nine)}"
        assert usable_number(number) == number


def test_whom_nothing_names_stands_alone() -> None:
    """By the digest of the message; a local id, then a visit, then a number come first."""
    nothing = key_names(local_id=None, local_key=None, visit=None, number=None, digest="d")
    assert nothing == (None, "d", None)
    named = key_names(local_id="T1", local_key="R^T1", visit="V", number="999 000 0018", digest="d")
    assert named == ("R^T1", "V", _NUMBER)
    assert key_names(local_id=None, local_key=None, visit=None, number=_NUMBER, digest="d") == (
        None,
        None,
        _NUMBER,
    )
    assert shared_local_id("unknown-2")
    assert not shared_local_id("U2")
    assert not shared_local_id(None)


@pytest.mark.parametrize("placeholder", ["0", "UNKNOWN", "000000"])
def test_a_placeholder_visit_number_joins_no_two_patients(placeholder: str) -> None:
    """Desks that type something into PV1-19 do not put two children into one visit."""
    pv1 = PV1.replace("ED2026000123", placeholder)
    one = event(arrival(pv1=pv1))
    other = event(arrival(pv1=pv1, pid=PID.replace("T123456", "T654321")))
    assert one.visit_id != other.visit_id
    assert "visit-number-missing" in one.marks
