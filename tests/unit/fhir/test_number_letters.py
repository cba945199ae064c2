"""Letters about numbers that are no longer current: FHIR, and never a number too many."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import orjson
import pytest
from fhir.resources.R4B.bundle import Bundle

from connectors.fhir import number_letters
from connectors.fhir.own_records import OwnRecord

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
NUMBER = "9990000026"
RECORDS = [
    OwnRecord(local_id="C1", upload_id=uuid.UUID(int=3), line=7),
    OwnRecord(message_id="m1"),
    OwnRecord(case_id=uuid.UUID(int=4)),
]


@pytest.mark.parametrize("successor", [NUMBER, None])
def test_a_superseded_number_is_told_with_the_one_that_stands_to_who_may_have_it(
    successor: str | None,
) -> None:
    """A valid FHIR message; without the right to a number there is none in it."""
    body = number_letters.superseded(
        letter_id=uuid.UUID(int=1),
        at=AT,
        organisation="E08000001",
        records=RECORDS,
        successor=successor,
    )
    Bundle.model_validate(orjson.loads(body))
    assert (NUMBER.encode() in body) is (successor is not None)
    assert b"C1" in body


def test_an_invalidated_number_is_told_by_the_recipients_own_ids_alone() -> None:
    """There is no parameter for a number, and no system of NHS numbers in the letter."""
    for build in (number_letters.invalidated, number_letters.superseded_by_another):
        body = build(letter_id=uuid.UUID(int=1), at=AT, organisation="E1", records=RECORDS)
        Bundle.model_validate(orjson.loads(body))
        assert b"nhs-number" not in body
