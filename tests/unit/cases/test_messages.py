"""The message rules: a row per rule, and that only versions decide what holds."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from halyard.ids import derive
from streams.cases.messages import (
    WORDS,
    Answer,
    Live,
    Message,
    Outcome,
    Standing,
    decide,
    expire,
    fold,
)
from tests.support.case_rules import (
    ENDS,
    HOURS,
    REUSED_ID,
    ROWS,
    SUBMITTED,
    UPDATED,
    VOIDED,
    Ends,
    Row,
    Say,
)

NOON = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
HOLD = timedelta(hours=HOURS)


class Thread:
    """One notification's messages, decided one by one."""

    def __init__(self) -> None:
        self.messages: dict[uuid.UUID, Message] = {}
        self.answers: dict[uuid.UUID, Answer] = {}
        self.changes: list[str] = []
        self.now = NOON

    def say(self, said: Say | Ends, name: str) -> uuid.UUID | None:
        """Decide a message (a known one changes nothing), or the ends of all holds."""
        event_id = derive("test-message", name)
        self.now += timedelta(seconds=1)
        if isinstance(said, Ends):
            self.now += HOLD + timedelta(hours=1)
            outcome = expire(list(self.messages.values()), now=self.now)
        elif event_id in self.messages:
            return event_id
        else:
            message = Message(
                event_id=event_id,
                kind=said.kind,
                version=said.version,
                content=said.reason or "" if said.kind is VOIDED else said.words,
                received_at=self.now,
                reason=said.reason if said.kind is VOIDED else None,
            )
            outcome = decide(list(self.messages.values()), message, now=self.now, hold=HOLD)
        self.messages.update((one.event_id, one) for one in outcome.messages)
        self.changes.extend(one.change.value for one in outcome.steps)
        for answer in outcome.answers:
            assert answer.event_id not in self.answers, "answered twice"
            assert (answer.status is None) is not (answer.rejection is None)
            self.answers[answer.event_id] = answer
        return None if isinstance(said, Ends) else event_id

    @property
    def live(self) -> Live | None:
        return fold(self.messages.values())


def told(answer: Answer | None) -> str | None:
    """As in `Row.answers`."""
    if answer is None:
        return None
    said = f"!{answer.rejection}" if answer.rejection else answer.status or ""
    return "+".join((said, *answer.warnings))


def holds(live: Live | None) -> tuple[str, int] | None:
    """As in `Row.holds`."""
    if live is None:
        return None
    return ("void" if live.void else "live", live.content.version)


def of_one_thread(row: Row) -> bool:
    """Whether the pure rules alone decide it: not what is about message ids or sources."""
    said = [one for one in row.said if isinstance(one, Say)]
    return not any(one.message_id == REUSED_ID or one.source != said[0].source for one in said)


@pytest.mark.parametrize("row", [*filter(of_one_thread, ROWS)], ids=lambda row: row.name)
def test_each_rule(row: Row) -> None:
    """Every message is answered as its rule says, and what holds is what should."""
    thread = Thread()
    said = [
        event_id
        for number, one in enumerate(row.said)
        if (event_id := thread.say(one, str(number))) is not None
    ]
    assert [told(thread.answers.get(one)) for one in said] == list(row.answers)
    assert holds(thread.live) == row.holds
    assert tuple(thread.changes) == row.cases


def test_every_rule_has_words() -> None:
    """What rejects or warns is explained to its sender."""
    for row in ROWS:
        for answer in row.answers:
            parts = (answer or "").split("+")
            named = [one.removeprefix("!") for one in parts if one.startswith("!")] + parts[1:]
            assert all(one in WORDS for one in named)


def test_a_hold_that_has_not_ended_is_left_alone() -> None:
    """Somebody who looks early, or again, changes nothing."""
    thread = Thread()
    thread.say(Say(UPDATED, 2, "v2"), "a")
    early = expire(list(thread.messages.values()), now=NOON + HOLD - timedelta(seconds=1))
    assert early == Outcome()
    thread.say(ENDS, "")
    again = expire(list(thread.messages.values()), now=thread.now + HOLD)
    assert again == Outcome()


@st.composite
def histories(draw: st.DrawFn) -> list[Say]:
    """Messages of one notification, each with a version of its own, as a sender makes them: once it
    has voided, only a submission follows.
    """
    said = [Say(SUBMITTED, 1, "v1")]
    for version in range(2, draw(st.integers(2, 7))):
        after_void = said[-1].kind is VOIDED
        kinds = [SUBMITTED] if after_void else [SUBMITTED, UPDATED, UPDATED, VOIDED]
        said.append(Say(draw(st.sampled_from(kinds)), version, f"v{version}"))
    return said


def last_holds(said: Sequence[Say]) -> tuple[str, int]:
    """What the sender means, who sent them in the order of their versions."""
    state, version = "live", 1
    for one in said:
        if one.kind is VOIDED:
            state = "void"
        else:
            state, version = "live", one.version
    return (state, version)


@given(data=st.data(), said=histories())
def test_any_order_and_repetition_gives_what_the_versions_say(
    data: st.DataObject, said: list[Say]
) -> None:
    """Shuffled, repeated, and with holds that end in between: the same holds, unless the sender was
    told that a message was rejected; everything is answered once.
    """
    order = data.draw(st.permutations(said))
    again = data.draw(st.lists(st.sampled_from(said), max_size=4))
    thread = Thread()
    for one in [*order, *again]:
        thread.say(one, str(one.version))
        if data.draw(st.booleans()):
            thread.say(ENDS, "")
    thread.say(ENDS, "")
    assert len(thread.answers) == len(said)
    updates = [
        one
        for one in thread.messages.values()
        if one.kind is not VOIDED and one.standing is Standing.REJECTED
    ]
    counted = [
        one
        for one in said
        if derive("test-message", str(one.version)) not in {each.event_id for each in updates}
    ]
    assert holds(thread.live) == last_holds(counted)


@given(data=st.data(), said=histories())
def test_within_the_hold_order_decides_nothing(data: st.DataObject, said: list[Say]) -> None:
    """While nothing is held for too long, an update is rejected only where a void stands that no
    later submission has taken back.
    """
    thread = Thread()
    for one in data.draw(st.permutations(said)):
        thread.say(one, str(one.version))
    if not any(one.rejection for one in thread.answers.values()):
        assert holds(thread.live) == last_holds(said)


def test_the_fold_needs_no_order() -> None:
    """The same messages in any order fold to the same."""
    thread = Thread()
    for number, one in enumerate(
        (Say(SUBMITTED, 1, "a"), Say(UPDATED, 3, "c"), Say(UPDATED, 2, "b"))
    ):
        thread.say(one, str(number))
    messages = list(thread.messages.values())
    assert fold(messages) == fold(reversed(messages)) == thread.live
    assert fold([replace(one, standing=Standing.HELD) for one in messages]) is None
