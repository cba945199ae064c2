"""PID-24 and PID-25: whether a child is one of several, and which."""

from __future__ import annotations

import pytest

from tests.unit.hl7v2.messages import arrival
from tests.unit.hl7v2.reading import event, events

Said = tuple[bool | None, int | None]


def pid(several: str, order: str, mother: str = "") -> bytes:
    """A baby's arrival with these two fields."""
    return arrival(
        pid=f"PID|1||9990000018^^^NHS||TESTCHILD^BABY||20260312|1|||||||||||||{mother}|||"
        f"{several}|{order}"
    )


@pytest.mark.parametrize(
    ("several", "order", "expected", "one_of_several"),
    [
        ("", "", (None, None), False),
        ("Y", "", (True, None), True),
        ("Y", "1", (True, 1), True),
        ("y", "2", (True, 2), True),
        ("N", "1", (False, 1), False),
        ("", "1", (None, 1), False),  # an only child's too
        ("", "2", (None, 2), True),
        ("N", "3", (False, 3), True),  # they contradict each other: the careful reading
        ("Y", "8", (True, None), True),  # not applicable
        ("", "9", (None, None), False),  # not known
        ('""', '""', (None, None), False),
    ],
)
def test_what_the_message_says_of_the_birth_is_in_the_claim(
    several: str, order: str, expected: Said, one_of_several: bool
) -> None:
    """As sent, unmarked; a first place alone makes nobody a twin."""
    found = event(pid(several, order))
    claim = found.claim
    assert (claim.multiple_birth, claim.birth_order) == expected
    assert claim.one_of_several is one_of_several
    assert not any(mark.startswith("multiple-birth") for mark in found.marks)


@pytest.mark.parametrize(
    ("several", "order"),
    [("Q", ""), ("", "0"), ("", "two"), ("", "10"), ("", "２"), ("MAYBE", "-1")],
)
def test_what_is_neither_is_marked_and_left_out(several: str, order: str) -> None:
    """The arrival is taken all the same."""
    found = event(pid(several, order))
    assert (found.claim.multiple_birth, found.claim.birth_order) == (None, None)
    assert found.marks.count("multiple-birth-invalid") == 1


def test_the_mother_of_twins_is_no_twin() -> None:
    """Her event holds her identifiers alone."""
    baby, mother = events(pid("Y", "2", mother="9990000026^^^NHS"))
    assert baby.claim.one_of_several
    assert (mother.claim.multiple_birth, mother.claim.birth_order) == (None, None)
