"""The answer to a file as a whole (CPF01 to CPF05), and what is odd about its number."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from connectors.local_authority.answers import FILE_TEXTS, FileCode, file_code, sequence_note
from connectors.local_authority.router import version
from stores.uploads import UploadRow

ROW = UploadRow(
    upload_id=uuid.UUID(int=1),
    authority="E99000001",
    sequence=7,
    received_at=datetime(2026, 3, 10, 12, 0, tzinfo=UTC),
    expected=3,
    counts={"CPR06": 3},
    held=3,
)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({}, FileCode.ALL),
        ({"expected": 0, "counts": {}, "held": 0}, FileCode.ALL),
        ({"refused": 1}, FileCode.PARTIAL),
        ({"counts": {"CPR06": 2, "CPR01": 1}, "held": 2}, FileCode.PARTIAL),
        ({"counts": {"CPR01": 3}, "held": 0}, FileCode.NONE),
        ({"expected": 0, "counts": {}, "held": 0, "refused": 2}, FileCode.NONE),
        ({"expected": None}, None),
        ({"counts": {"CPR06": 2}, "held": 2}, None),
        ({"counts": {"CPR06": 2}, "held": 2, "pds_away": True}, FileCode.PDS_AWAY),
        ({"expected": None, "counts": {}, "held": 0, "pds_away": True}, FileCode.PDS_AWAY),
        ({"pds_away": True}, FileCode.ALL),
        ({"expected": 0, "counts": {}, "refused": 1, "file_rule": "header.none"}, FileCode.CORRUPT),
    ],
)
def test_the_file_is_answered_once_its_last_record_is_known(
    changes: dict[str, object], code: FileCode | None
) -> None:
    """Refused records count as not held; PDS's absence is told only while something waits."""
    assert file_code(replace(ROW, **changes)) == code  # type: ignore[arg-type]


def test_every_code_has_its_words() -> None:
    """CPF01 to CPF06."""
    assert [one.value for one in FILE_TEXTS] == [f"CPF0{number}" for number in range(1, 7)]


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, None),
        ({"sender_sequence": 7}, None),
        ({"sender_sequence": 7, "sequence_before": 6}, None),
        ({"sender_sequence": 7, "sequence_before": 4}, "gap: expected 5, got 7"),
        ({"sender_sequence": 7, "late": True}, "late: a file with a higher number came before"),
        ({"sender_sequence": 7, "reused": True}, "reused: another file came under this number"),
    ],
)
def test_a_gap_a_late_file_and_a_number_used_twice_are_told(
    changes: dict[str, object], note: str | None
) -> None:
    """Only where the sender's own numbers order the files."""
    told = sequence_note(replace(ROW, **changes))  # type: ignore[arg-type]
    assert told is note is None or (told is not None and note is not None and note in told)


def test_versions_compare_by_their_numbers() -> None:
    """2.10 is later than 2.9, and 2 is 2.0."""
    assert version("2.10") > version("2.9") > version("2.0") == version("2") == version("2.0-beta")
    assert version("unknown") == ()
