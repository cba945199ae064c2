"""A flag record's pupil number and siblings: taken, or left out with a mark; never refused."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from connectors.local_authority.records import Accepted, parse_line
from schemas.events import Identifier

GSS = "E99000001"
UPN = "B801200005001"


def read(**columns: Any) -> Accepted:
    """The record of a line with these columns beside the needed ones."""
    line = {"nhs_number": "9990000018", "plan_type": "CPP", "start": "2025-01-06"}
    whole = {**line, "local_id": "C-1", **columns}
    parsed = parse_line(json.dumps(whole).encode(), gss=GSS, today=date(2026, 3, 10))
    assert isinstance(parsed, Accepted)
    return parsed


@pytest.mark.parametrize("text", [UPN, UPN.lower(), f" {UPN} "])
def test_a_pupil_number_is_an_identifier_of_the_claim(text: str) -> None:
    """In capitals, with the authority as who told it."""
    parsed = read(upn=text)
    assert parsed.claim.identifiers == (Identifier("unique-pupil-number", UPN, GSS),)
    assert parsed.marks == ()


def test_a_wrong_check_letter_is_marked_and_taken() -> None:
    """The school's own record may have it so; a person may see it."""
    parsed = read(upn="C801200005001")
    assert [one.value for one in parsed.claim.identifiers] == ["C801200005001"]
    assert parsed.marks == ("upn.check_letter",)


@pytest.mark.parametrize("value", ["UN1", "123", "I801200005001", "a\x00b", 17, ["x"], "x" * 999])
def test_a_pupil_number_never_keeps_a_plan_out(value: Any) -> None:
    """What cannot be one is left out, and marked."""
    parsed = read(upn=value)
    assert parsed.claim.identifiers == ()
    assert parsed.marks == ("upn.not_taken",)
    assert parsed.record.start == "2025-01-06"


@pytest.mark.parametrize(
    ("value", "siblings"),
    [
        ("C-2;C-3", ("C-2", "C-3")),
        ("C-2 | C-2|C-1|", ("C-2",)),
        (["C-2", "C-3"], ("C-2", "C-3")),
        ("", ()),
        (None, ()),
        ([], ()),
    ],
)
def test_siblings_are_local_ids_and_an_empty_column_says_none(
    value: Any, siblings: tuple[str, ...]
) -> None:
    """Each once, without the child's own; that there is the column is what counts."""
    parsed = read(siblings=value)
    assert (parsed.siblings, parsed.marks) == (siblings, ())


def test_a_record_without_the_column_says_nothing_of_siblings() -> None:
    """What was stated before stays."""
    assert read().siblings is None


@pytest.mark.parametrize(
    "value", [7, [7], "UNKNOWN", "C-2;\x00", ";".join(f"C{one}" for one in range(30)), "x" * 99]
)
def test_siblings_never_keep_a_plan_out(value: Any) -> None:
    """A list that cannot be read says nothing, and is marked."""
    parsed = read(siblings=value)
    assert (parsed.siblings, parsed.marks) == (None, ("siblings.not_taken",))
