"""The FHIR samples are what they say: valid, of practice people, understood."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from connectors.fhir.messages import Parsed, read_message
from halyard.cli import practice
from sandbox.samples.cast import CAST
from sandbox.samples.render import FHIR, render
from schemas.events import VisitEventKind
from tests.unit.fhir.bundles import event

NOW = datetime(2026, 7, 1, 9, 0, tzinfo=UTC)
KINDS = {
    "arrival": VisitEventKind.REGISTER,
    "english-arrival": VisitEventKind.REGISTER,
    "update": VisitEventKind.UPDATE,
    "departure": VisitEventKind.DISCHARGE,
    "cancel": VisitEventKind.CANCEL,
}


def test_each_sample_is_known() -> None:
    """No file without its test."""
    assert {file.stem for file in FHIR.glob("*.json")} == set(KINDS)


@pytest.mark.parametrize("name", KINDS)
def test_a_sample_says_what_it_says(name: str) -> None:
    """Its event, about Robin, of the practice feed, without a mark."""
    text = render((FHIR / f"{name}.json").read_text(), NOW, "r1")
    assert "{i" not in text
    parsed = read_message(text.encode())
    assert isinstance(parsed, Parsed)
    assert parsed.endpoint == practice.FHIR_ENDPOINT
    one = event({**json.loads(text)})
    assert one.kind is KINDS[name]
    assert one.claim.nhs_number == CAST.robin.nhs_number
    assert one.claim.birth_date == CAST.robin.birth_date
    assert not [mark for mark in one.marks if "implausible" not in mark]


def test_samples_of_one_run_are_one_visit() -> None:
    """Arrival, update, departure and cancellation go together."""
    found = {
        event(json.loads(render(_text(name), NOW, "r1"))).visit_id
        for name in ("arrival", "update", "departure", "cancel")
    }
    assert len(found) == 1


def _text(name: str) -> str:
    return Path(FHIR / f"{name}.json").read_text()
