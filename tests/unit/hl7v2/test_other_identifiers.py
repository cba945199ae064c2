"""Identifiers beside the NHS number and the local id: which of PID-3 and PID-2 are kept."""

from __future__ import annotations

import pytest

from tests.unit.hl7v2.messages import arrival
from tests.unit.hl7v2.reading import event


def read(pid_3: str, pid_2: str = "") -> list[tuple[str, str, str]]:
    """Scheme, value and assigner of what stands beside the local id."""
    claim = event(arrival(pid=f"PID|1|{pid_2}|{pid_3}||TESTCHILD^ROBIN||20190602|1")).claim
    return [(one.scheme, one.value, one.assigner) for one in claim.identifiers]


def test_most_messages_have_none() -> None:
    """A number and a local id are all that there is: an event is no larger for it."""
    assert read("9990000018^^^NHS~T123456^^^RTEST^MR") == []


def test_further_record_numbers_are_kept_with_who_assigned_them() -> None:
    """In the sender's order, each once; the local id stands where it always stood."""
    pid_3 = "9990000018^^^NHS~T1^^^RTEST^MR~H7^^^RYY^MR~H8^^^&1.2.3&ISO~H7^^^RYY^PI~h9^^^RZZ^HN"
    assert read(pid_3) == [
        ("hospital-number", "H7", "RYY"),
        ("hospital-number", "H8", "1.2.3"),
        ("hospital-number", "h9", "RZZ"),
    ]


def test_of_pid_2_what_says_whose_it_is() -> None:
    """Also where PID-3 has the NHS number; an NHS number there is none of these."""
    assert read("9990000018^^^NHS~T1", "H7^^^RYY~H8~9990000026^^^RYY") == [
        ("hospital-number", "H7", "RYY")
    ]


def test_a_pupil_number_is_one_by_its_type() -> None:
    """And by its form."""
    assert read("T1~B801200005001^^^DFE^UPN~UN1^^^DFE^UPN") == [
        ("unique-pupil-number", "B801200005001", "DFE")
    ]


@pytest.mark.parametrize("kind", ["PPN", "NI", "SS", "AN", "VN", "DL", "NIIP"])
def test_what_nobody_needs_here_is_left_out(kind: str) -> None:
    """Passports, insurance numbers, accounts, visits."""
    assert read(f"T1^^^RTEST^MR~QQ123456C^^^X^{kind}") == []


@pytest.mark.parametrize("value", ["UNKNOWN", "0000", "9990000026", "x" * 65])
def test_placeholders_numbers_and_novels_are_none(value: str) -> None:
    """What is shared by many, what may be an NHS number, what is too long."""
    assert read(f"T1^^^RTEST^MR~{value}^^^RYY^MR") == []


def test_at_most_ten_are_kept() -> None:
    """However many repetitions there are."""
    many = "~".join(f"H{number}^^^RYY^MR" for number in range(60))
    assert len(read(f"T1^^^RTEST^MR~{many}")) == 10
