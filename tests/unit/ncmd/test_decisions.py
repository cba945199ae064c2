"""Pure decisions of the NCMD connector: may it go on, what of an attempt, what of an answer."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.ncmd.client import MAX_ANSWER_BYTES, Again, Outcome, Taken, judged
from connectors.ncmd.message import Answer, answer
from connectors.ncmd.position import Gap, GapKind, Log, gap_of, refusal, refused
from connectors.ncmd.sender import decide
from halyard.errors import ConfigurationError
from halyard.settings import NcmdSettings
from stores.ncmd import Offset
from stores.ncmd_submissions import Claimed, Kind

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MESSAGE = uuid.UUID(int=5)
SETTINGS = NcmdSettings(
    submit_first_retry_seconds=10,
    submit_max_retry_seconds=100,
    submit_max_attempts=3,
    submit_answer_seconds=60,
    submit_poll_seconds=5,
)


@pytest.mark.parametrize(
    ("next_offset", "stored", "log", "gap"),
    [
        (0, "a", Log(0, 0, "a"), None),
        (5, "a", Log(0, 9, "a"), None),
        (5, "a", Log(5, 5, "a"), None),
        (5, "a", Log(6, 9, "a"), GapKind.RETENTION),
        (0, "a", Log(3, 9, "a"), GapKind.RETENTION),
        (5, "a", Log(0, 4, "a"), GapKind.BEYOND_END),
        (5, "a", Log(0, 9, "b"), GapKind.ANOTHER_LOG),
        (0, "a", Log(0, 9, "b"), None),  # nothing was read of the other one
        (5, "", Log(0, 9, "b"), None),  # a broker that told no id
        (5, "a", Log(0, 9, ""), None),
    ],
)
def test_the_store_goes_on_only_where_the_log_follows(
    next_offset: int, stored: str, log: Log, gap: GapKind | None
) -> None:
    """Each relation of store and log, and what it is called."""
    found = gap_of(1, Offset(next_offset, stored, NOW), log)
    assert (None if found is None else found.kind) == gap
    if found is not None:
        assert (found.partition, found.expected, found.found) == (1, next_offset, log.start)
        assert "republish --all" in refusal("child-death.case.changed.v1", [found]).message


def test_leave_is_given_for_one_place_and_no_other() -> None:
    """A person names partition and offset of each gap, as the refusal printed them: another gap,
    and a gap beside it, are refused again."""
    gaps = [Gap(GapKind.RETENTION, 0, 5, 9), Gap(GapKind.ANOTHER_LOG, 2, 7, 0)]
    error = refusal("topic", gaps)
    assert isinstance(error, ConfigurationError)  # which gives the exit code 78
    said = error.message
    assert "HALYARD_NCMD__AFTER_GAP=0:5,2:7" in said
    assert "offset 5 of topic/0" in said
    assert "offset 7 of topic/2" in said
    assert refused(gaps, "0:5,2:7") == []
    assert refused(gaps, "0:5") == gaps[1:]
    assert refused(gaps, "0:9,2:5") == gaps
    assert refused(gaps, "refuse") == gaps
    assert refused(gaps, "") == gaps


@pytest.mark.parametrize("text", ["earliest", "5", "0:5,", "0:-1", "0:5 1:6"])
def test_leave_that_names_no_place_is_a_wrong_setting(text: str) -> None:
    """What cannot be read as places is refused when the process starts."""
    with pytest.raises(ValidationError):
        NcmdSettings(after_gap=text)


@given(st.integers(0, 50), st.integers(0, 50), st.integers(0, 50))
def test_nothing_is_ever_read_from_before_or_behind_the_log(
    next_offset: int, start: int, length: int
) -> None:
    """Going on means that the log holds every offset from the store's on."""
    log = Log(start, start + length, "a")
    goes_on = gap_of(0, Offset(next_offset, "a", NOW), log) is None
    assert goes_on == (log.start <= next_offset <= log.end)


def row(attempts: int = 0, sent: float | None = None) -> Claimed:
    """A row in hand; `sent`: seconds since it was taken without an answer."""
    sent_at = None if sent is None else NOW - timedelta(seconds=sent)
    return Claimed(uuid.UUID(int=1), 2, MESSAGE, Kind.UPDATE, attempts, b"{}", sent_at)


@pytest.mark.parametrize(
    ("claimed", "outcome", "state", "tried", "pause"),
    [
        (row(), Answer(True, "acknowledged"), "acknowledged", True, None),
        (row(sent=9), Answer(True, "acknowledged"), "acknowledged", False, None),
        (row(), Answer(False, "practice-rule"), "rejected", True, None),
        (row(), Taken(), "sent", True, 5.0),
        (row(sent=9), Taken(), "sent", False, 5.0),
        (row(1, sent=61), Taken(), "pending", False, 20.0),
        (row(3, sent=61), Taken(), "failed", False, None),
        (row(), Again("connect", True), "pending", True, 10.0),
        (row(1), Again("status-503", True, 90.0), "pending", True, 90.0),
        (row(2), Again("timeout", True), "failed", True, None),
        (row(1, sent=9), Again("timeout", True), "sent", False, 20.0),
        (row(1, sent=9), Again("not-known", False), "pending", False, 0.0),
        (row(3, sent=9), Again("not-known", False), "failed", False, None),
        (row(1, sent=61), Again("timeout", True), "pending", False, 20.0),
        (row(3, sent=61), Again("timeout", True), "failed", False, None),
    ],
)
def test_what_becomes_of_an_attempt(
    claimed: Claimed, outcome: Outcome, state: str, tried: bool, pause: float | None
) -> None:
    """A row for each outcome of sending and of asking, at the longest jitter."""
    settled = decide(claimed, outcome, NOW, SETTINGS, 1.0)
    due = None if settled.due_at is None else (settled.due_at - NOW).total_seconds()
    assert (settled.state, settled.tried, due) == (state, tried, pause)


@given(st.integers(0, 100), st.floats(0, 1))
def test_pauses_grow_and_stay_within_their_limit(attempts: int, jitter: float) -> None:
    """A retry waits between half the pause and the whole of it, never longer than the limit."""
    many = SETTINGS.model_copy(update={"submit_max_attempts": 1_000})
    settled = decide(row(attempts), Again("connect", True), NOW, many, jitter)
    assert settled.due_at is not None
    whole = min(10 * 2.0**attempts, 100)
    assert whole / 2 <= (settled.due_at - NOW).total_seconds() <= whole


def said(code: str, answered: str, **changes: Any) -> dict[str, Any]:
    """An answer to the message, with `changes` of its header."""
    header = {
        "resourceType": "MessageHeader",
        "eventCoding": {"system": "urn:halyard:fhir:death-event", "code": code},
        "response": {"identifier": str(MESSAGE), "code": answered},
        **changes,
    }
    return {"resourceType": "Bundle", "type": "message", "entry": [{"resource": header}]}


@pytest.mark.parametrize(
    ("body", "accepted"),
    [
        (said("acknowledgement", "ok"), True),
        (said("rejection", "fatal-error"), False),
        (said("acknowledgement", "fatal-error"), None),  # both is neither
        (said("rejection", "ok"), None),
        (said("acknowledgement", "transient-error"), None),
        (said("acknowledgement", "ok", response={"identifier": "another", "code": "ok"}), None),
        (said("acknowledgement", "ok", eventCoding={"system": "x", "code": "y"}), None),
        ({"resourceType": "Bundle", "type": "message", "entry": []}, None),
        ([], None),
        ("text", None),
    ],
)
def test_an_answer_acknowledges_or_rejects_never_both(body: Any, accepted: bool | None) -> None:
    """Only a whole answer to this very message settles it."""
    found = answer(orjson.dumps(body), MESSAGE)
    assert (None if found is None else found.accepted) == accepted


@given(st.binary(max_size=200))
def test_no_bytes_of_a_stranger_raise(body: bytes) -> None:
    """Whatever comes back is read as an answer or as none."""
    assert answer(body, MESSAGE) is None


def test_a_receivers_words_are_not_kept() -> None:
    """The rule of a rejection is kept if it is a code; text, which may name a child, is not."""
    for code, kept in (("id-reuse", "id-reuse"), ("Sam Example is unknown", "rejected")):
        body = said("rejection", "fatal-error")
        issue = {"details": {"coding": [{"code": code}]}, "diagnostics": "Sam Example"}
        body["entry"].append({"resource": {"resourceType": "OperationOutcome", "issue": [issue]}})
        assert answer(orjson.dumps(body), MESSAGE) == Answer(False, kept)


@pytest.mark.parametrize(
    ("status", "body", "outcome"),
    [
        (200, said("acknowledgement", "ok"), Answer(True, "acknowledged")),
        (422, said("rejection", "fatal-error"), Answer(False, "rejected")),
        (202, {}, Taken()),
        (200, {}, Again("no-answer", False)),
        (400, {}, Answer(False, "status-400")),
        (401, {}, Again("status-401", True)),
        (404, {}, Again("status-404", True)),
        (302, {}, Again("status-302", True)),
        (429, {}, Again("status-429", False, 7.0)),
        (503, {}, Again("status-503", True, 7.0)),
    ],
)
def test_what_a_status_means(status: int, body: Any, outcome: Outcome) -> None:
    """An answer settles the message under any status; a bare 4xx speaks of the message, or of our
    standing there."""
    assert judged(status, orjson.dumps(body), MESSAGE, "7") == (
        outcome if not isinstance(outcome, Again) or outcome.after_seconds else _with_seven(outcome)
    )


def _with_seven(outcome: Again) -> Again:
    if outcome.reason == "no-answer":
        return outcome
    return Again(outcome.reason, outcome.down, 7.0)


def test_an_answer_that_is_too_long_is_none() -> None:
    """An endless body settles nothing."""
    long = orjson.dumps({**said("acknowledgement", "ok"), "x": "y" * MAX_ANSWER_BYTES})
    assert judged(200, long, MESSAGE, None) == Again("no-answer", False)
