"""Fault points: armed by name, at the Nth pass, and silent otherwise."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from halyard import faults
from halyard.errors import ConfigurationError, ContractError, TransientError

ROOMS = ("halyard", "connectors", "streams", "flag_service")
REPOSITORY = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _disarmed() -> Iterator[None]:
    yield
    faults.arm(None)


def test_an_unarmed_point_does_nothing() -> None:
    """In production every point is passed and none acts."""
    faults.arm(None)
    for name in faults.POINTS:
        faults.point(name)


def test_a_point_acts_once_at_its_pass() -> None:
    """The third pass raises; the others and other points go on."""
    faults.arm("identity.after_commit:raise:3")
    faults.point("identity.before_commit")
    faults.point("identity.after_commit")
    faults.point("identity.after_commit")
    with pytest.raises(faults.FaultInjected):
        faults.point("identity.after_commit")
    faults.point("identity.after_commit")


def test_actions_are_of_our_own_kinds() -> None:
    """``raise`` may pass by itself, ``poison`` will not."""
    faults.arm("identity.after_commit:raise, matching.after_commit:poison")
    with pytest.raises(TransientError):
        faults.point("identity.after_commit")
    with pytest.raises(ContractError):
        faults.point("matching.after_commit")


@pytest.mark.parametrize(
    "text",
    [
        "identity.no_such_point:kill",
        "identity.after_commit:explode",
        "identity.after_commit",
        "identity.after_commit:kill:x",
        "identity.after_commit:kill:0",
        "identity.after_commit:kill:-1",
    ],
)
def test_a_wrong_fault_does_not_start(text: str) -> None:
    """A test that arms nothing would prove nothing."""
    with pytest.raises(ConfigurationError, match="HALYARD_FAULT"):
        faults.arm(text)


def test_every_point_stands_somewhere_in_the_code() -> None:
    """A point that is named in the list alone would make its tests prove nothing."""
    code = "".join(
        path.read_text("utf-8")
        for room in ROOMS
        for path in (REPOSITORY / room).rglob("*.py")
        if path.name != "faults.py"
    )
    assert {name for name in faults.POINTS if f'"{name}"' not in code} == set()
    assert set(re.findall(r'faults\.point\("([a-z0-9_.]+)"\)', code)) <= faults.POINTS
