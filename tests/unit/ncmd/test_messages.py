"""The messages that are submitted, and the practice receiver that takes them."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest
from fhir.resources.R4B.bundle import Bundle

from connectors.fhir.case_projection import case_bundle
from connectors.ncmd.message import EVENTS, answer, builder, message
from halyard.errors import ConfigurationError
from halyard.settings import NcmdSettings, Settings
from sandbox.ncmd.receiver import Inbox, Unreadable
from schemas.deaths import CaseChanged
from stores.ncmd_submissions import Kind
from tests.support.ncmd_cases import NUMBER, case_id, changed, voided

MESSAGE = uuid.UUID(int=5)
BUILD = builder(case_bundle)


def _event(kind: Kind) -> CaseChanged:
    return voided(1, 3) if kind is Kind.VOID else changed(1, 2)


@pytest.mark.parametrize("kind", list(Kind))
def test_each_message_is_valid_fhir(kind: Kind) -> None:
    """Submission, update and void validate as R4B, with header, parameters and focus; the void has
    a reason and nothing of the child."""
    made = message(_event(kind), kind, MESSAGE, case_bundle)
    Bundle.model_validate(made)
    header, parameters = (made["entry"][number]["resource"] for number in (0, 1))
    assert header["id"] == made["id"] == str(MESSAGE)
    assert header["eventCoding"]["code"] == EVENTS[kind]
    assert [one["reference"] for one in header["focus"]] == [
        one["fullUrl"] for one in made["entry"][1:]
    ]
    named = {one["name"]: one for one in parameters["parameter"]}
    assert named["reference"]["valueString"] == str(case_id(1))
    assert ("reason" in named) == (kind is Kind.VOID)
    assert len(made["entry"]) == (2 if kind is Kind.VOID else 3)
    if kind is Kind.VOID:
        assert NUMBER.encode() not in orjson.dumps(made)


def test_the_same_version_is_the_same_bytes() -> None:
    """Nothing in a message depends on when it is built."""
    assert BUILD(changed(1), Kind.SUBMISSION, MESSAGE) == BUILD(
        changed(1), Kind.SUBMISSION, MESSAGE
    )


def _take(inbox: Inbox, event: CaseChanged, kind: Kind, number: int, mode: str = "ok") -> Any:
    message_id = uuid.UUID(int=number)
    return answer(orjson.dumps(inbox.take(BUILD(event, kind, message_id), mode)), message_id)


def test_the_receivers_answers_are_valid_fhir() -> None:
    """An acknowledgement and a rejection of the practice receiver validate as R4B."""
    inbox = Inbox()
    for mode in ("ok", "reject"):
        body = BUILD(changed(1), Kind.SUBMISSION, uuid.uuid4())
        Bundle.model_validate(inbox.take(body, mode))


def test_the_receiver_keeps_the_rules_of_the_exchange(tmp_path: Path) -> None:
    """Repeats get the same answer, a re-used id is refused, lower versions change nothing, a void
    leaves a tombstone; all of it outlives the process."""
    journal = tmp_path / "ncmd.jsonl"
    inbox = Inbox(journal_path=journal)
    assert _take(inbox, changed(1, 2), Kind.SUBMISSION, 1).accepted
    assert _take(inbox, changed(1, 2), Kind.SUBMISSION, 1).accepted
    assert inbox.received[-1].repeat
    assert _take(inbox, changed(1, 3), Kind.UPDATE, 1).reason == "id-reuse"
    assert _take(inbox, changed(1, 1), Kind.UPDATE, 2).accepted
    assert inbox.cases[str(case_id(1))].version == 2
    assert _take(inbox, voided(2, 4), Kind.VOID, 3).accepted
    assert _take(inbox, changed(2, 3), Kind.UPDATE, 4).accepted
    assert inbox.cases[str(case_id(2))].state == "voided"
    assert inbox.cases[str(case_id(2))].reason == "entered-in-error"
    assert not _take(inbox, changed(3), Kind.SUBMISSION, 5, "reject").accepted
    again = Inbox(journal_path=journal)
    assert again.cases == inbox.cases
    assert again.answers.keys() == inbox.answers.keys()


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"resourceType": "Bundle", "entry": [{}]}'])
def test_the_receiver_takes_nothing_else(body: bytes) -> None:
    """What is no message of a case is refused without a trace."""
    inbox = Inbox()
    with pytest.raises(Unreadable):
        inbox.take(body, "ok")
    assert inbox.received == []


def test_an_unknown_mode_is_refused() -> None:
    """A typing error in a test does not pass as good behaviour."""
    with pytest.raises(ConfigurationError):
        Inbox().misbehave("503s")


def test_production_submits_over_tls_only() -> None:
    """An http:// address is refused in production."""
    with pytest.raises(ValueError, match="over TLS"):
        Settings.model_validate(
            {
                "profile": "production",
                "security": {"secrets_file": "/x"},
                "ncmd": NcmdSettings(submit_url="http://127.0.0.1:1"),
            }
        )
