"""What a message does to the notification, or report, whose version it is (pure).

The rules are those of the table in ``docs/reference/cases.md``. One sender's `reference` is one
thread of versions. What holds of it is a fold of its messages *in the order of their versions*, so
that the order in which they arrived decides nothing but how each of them is answered:

- a submission says what holds, and takes back a void of a lower version;
- an update says what holds, unless a void of a lower version stands;
- a void ends it, until a submission of a higher version.

An update or void before its submission is held for a time. Every message is answered once:
acknowledged with a status, or rejected with a rule.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from schemas.deaths import CaseChange, DeathMessageKind


class Standing(StrEnum):
    """What became of a message. The first five count in the fold."""

    APPLIED = "applied"
    SUPERSEDED = "superseded"  # a higher version was there; it counts, and changes nothing
    PROMOTED = "promoted"  # an update whose submission never came: it stands for one
    REMEMBERED = "remembered"  # a void whose submission never came: it was rejected, and counts
    HELD = "held"
    REPEATED = "repeated"
    REJECTED = "rejected"


COUNTED: Final = frozenset(
    {Standing.APPLIED, Standing.SUPERSEDED, Standing.PROMOTED, Standing.REMEMBERED}
)

# Statuses of an acknowledgement
ACCEPTED: Final = "accepted"
SUPERSEDED: Final = "superseded"
WITHOUT_SUBMISSION: Final = "accepted-without-submission"
ALREADY_HELD: Final = "already-held"

# Rules that reject
ID_REUSE: Final = "id-reuse"
VERSION_REUSE: Final = "version-reuse"
VOIDED: Final = "voided"
UNKNOWN_REFERENCE: Final = "unknown-reference"
VOID_WITHOUT_REASON: Final = "void-without-reason"
NOT_YOUR_REQUEST: Final = "not-your-request"

# Rules that warn, beside an acknowledgement
UPDATE_WITHOUT_SUBMISSION: Final = "update-without-submission"
NOTIFICATION_VOID: Final = "notification-void"
LATER_VERSION_UNDONE: Final = "later-version-undone"
CASE_VOIDED: Final = "case-voided-by-person"
UNKNOWN_REQUEST: Final = "unknown-request"
NO_CASE: Final = "no-case-yet"

WORDS: Final = {
    ID_REUSE: "This message id was used before for another message. The first message under this "
    "id stands. Send this one under a new id.",
    VERSION_REUSE: "This version of the reference was sent before with another content. Send it "
    "under a higher version.",
    VOIDED: "The notification was voided. To take the void back, send a submission with a higher "
    "version.",
    UNKNOWN_REFERENCE: "No submission of this reference came while the void was held. A "
    "submission with a lower version will be void at once.",
    VOID_WITHOUT_REASON: "A void needs a reason. Send it again with one.",
    NOT_YOUR_REQUEST: "The request was made to another organisation. Send the report without it, "
    "or with your own.",
    UPDATE_WITHOUT_SUBMISSION: "No submission of this reference came while the update was held. "
    "It was taken as one.",
    NOTIFICATION_VOID: "A void with a higher version is known: the notification is void.",
    LATER_VERSION_UNDONE: "An update with a higher version than the void counts no more.",
    CASE_VOIDED: "A person voided the case of this notification. What it says is kept, but the "
    "death is not reviewed and nobody is asked about it. If the child has died, ask the operator "
    "of the hub to take the void back.",
    UNKNOWN_REQUEST: "The request is not known. The report was taken as one that was not asked "
    "for.",
    NO_CASE: "No case of this child is known yet. The report is kept, and joins the case when it "
    "is opened.",
}
"""What each rule says to a sender."""


@dataclass(frozen=True, slots=True)
class Message:
    """A version of a notification (or report, whose messages are all SUBMITTED) and its standing.

    `content`: keyed digest of what it says, without message id and times.
    """

    event_id: uuid.UUID
    kind: DeathMessageKind
    version: int
    content: str
    received_at: datetime
    reason: str | None = None
    standing: Standing = Standing.HELD
    rule: str = ""
    due_at: datetime | None = None

    @property
    def order(self) -> tuple[int, datetime, uuid.UUID]:
        """Messages of one thread count in this order."""
        return (self.version, self.received_at, self.event_id)


@dataclass(frozen=True, slots=True)
class Live:
    """What holds of a notification: the message whose content does, and its void, if any."""

    content: Message
    first_received_at: datetime
    void: Message | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a message's sender is told: a `status` with warnings, or the rule that rejected it."""

    event_id: uuid.UUID
    status: str | None = None
    rejection: str | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """What holds from now on, because of the message `cause`."""

    live: Live
    cause: uuid.UUID
    change: CaseChange
    rule: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is decided: messages whose standing is new, changes in order, answers."""

    messages: tuple[Message, ...] = ()
    steps: tuple[Step, ...] = ()
    answers: tuple[Answer, ...] = ()


def fold(messages: Iterable[Message]) -> Live | None:
    """What holds of a notification; None while there is no submission (nor what stands for one)."""
    counted = sorted((one for one in messages if one.standing in COUNTED), key=lambda m: m.order)
    if not any(_creates(one) for one in counted):
        return None
    content: Message | None = None
    void: Message | None = None
    for one in counted:
        if one.kind is DeathMessageKind.VOIDED:
            void = one
        elif one.kind is DeathMessageKind.SUBMITTED:
            content, void = one, None
        elif void is None:
            content = one
    if content is None:  # voided before anything was said: what was said later describes it
        content = next(one for one in counted if one.kind is not DeathMessageKind.VOIDED)
    return Live(content, min(one.received_at for one in counted), void)


def decide(
    thread: Sequence[Message], message: Message, *, now: datetime, hold: timedelta
) -> Outcome:
    """What `message` does: a new one of the thread `thread` (in any order, without itself)."""
    deciding = _Deciding(list(thread))
    if deciding.live is not None:
        deciding.take(message)
    elif message.kind is DeathMessageKind.SUBMITTED:
        deciding.open_with(message)
    elif message.kind is DeathMessageKind.VOIDED and not message.reason:
        deciding.reject(message, VOID_WITHOUT_REASON)
    else:
        held = replace(message, standing=Standing.HELD, rule="held", due_at=now + hold)
        deciding.put(held)
    return deciding.outcome()


def expire(thread: Sequence[Message], *, now: datetime) -> Outcome:
    """What the ends of holds do, of all that are due; nothing if none is."""
    deciding = _Deciding(list(thread))
    due = [one for one in deciding.held() if one.due_at is not None and one.due_at <= now]
    for message in due:
        if deciding.live is not None:
            break  # its opening has released them all
        if message.kind is DeathMessageKind.VOIDED:
            deciding.remember(message)
        elif any(one.version < message.version for one in deciding.remembered()):
            deciding.reject(message, VOIDED)
        else:
            deciding.promote(message)
    return deciding.outcome()


def refuse(message: Message, rule: str) -> Outcome:
    """The message is rejected by a rule outside its thread."""
    deciding = _Deciding([])
    deciding.reject(message, rule)
    return deciding.outcome()


@dataclass(slots=True)
class _Deciding:
    """A thread while it is decided."""

    thread: list[Message]
    changed: dict[uuid.UUID, Message] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)

    @property
    def live(self) -> Live | None:
        return fold(self.thread)

    def outcome(self) -> Outcome:
        return Outcome(tuple(self.changed.values()), tuple(self.steps), tuple(self.answers))

    def held(self) -> list[Message]:
        """What is held, in the order of versions."""
        held = [one for one in self.thread if one.standing is Standing.HELD]
        return sorted(held, key=lambda one: one.order)

    def remembered(self) -> list[Message]:
        return [one for one in self.thread if one.standing is Standing.REMEMBERED]

    def put(self, message: Message) -> None:
        """The message's standing from now on."""
        self.thread = [one for one in self.thread if one.event_id != message.event_id]
        self.thread.append(message)
        self.changed[message.event_id] = message

    def accept(self, message: Message, standing: Standing, status: str, *warnings: str) -> None:
        self.put(replace(message, standing=standing, rule=status, due_at=None))
        self.answers.append(Answer(message.event_id, status, warnings=warnings))

    def reject(self, message: Message, rule: str) -> None:
        self.put(replace(message, standing=Standing.REJECTED, rule=rule, due_at=None))
        self.answers.append(Answer(message.event_id, rejection=rule))

    def remember(self, message: Message) -> None:
        """A void whose submission did not come: rejected, and a late submission is void."""
        self.put(
            replace(message, standing=Standing.REMEMBERED, rule=UNKNOWN_REFERENCE, due_at=None)
        )
        self.answers.append(Answer(message.event_id, rejection=UNKNOWN_REFERENCE))

    def open_with(self, message: Message) -> None:
        """A submission of an unknown reference; what was held for it follows by version."""
        later = [one for one in self.remembered() if one.version > message.version]
        if later:  # it was told that nothing came: the void stands all the same
            self.accept(message, Standing.SUPERSEDED, SUPERSEDED, NOTIFICATION_VOID)
        else:
            self.accept(message, Standing.APPLIED, ACCEPTED)
        self._opened(message, "submitted")

    def promote(self, message: Message) -> None:
        """An update whose submission did not come stands for one."""
        self.accept(message, Standing.PROMOTED, WITHOUT_SUBMISSION, UPDATE_WITHOUT_SUBMISSION)
        self._opened(message, UPDATE_WITHOUT_SUBMISSION)

    def _opened(self, message: Message, rule: str) -> None:
        live = self.live
        assert live is not None  # `message` opens it
        self._step(replace(live, void=None), message, CaseChange.OPENED, rule)
        if live.void is not None:
            self._step(live, live.void, CaseChange.VOIDED, _void_rule(live.void))
        for one in self.held():
            self.take(one)

    def take(self, message: Message) -> None:
        """A message of a known notification."""
        before = self.live
        assert before is not None
        same = [
            one
            for one in self.thread
            if one.standing in COUNTED
            and one.version == message.version
            and one.event_id != message.event_id
        ]
        if same:
            if any(one.content == message.content for one in same):
                self.accept(message, Standing.REPEATED, ALREADY_HELD)
            else:
                self.reject(message, VERSION_REUSE)
            return
        if message.kind is DeathMessageKind.VOIDED:
            self._take_void(message, before)
            return
        if (
            message.kind is DeathMessageKind.UPDATED
            and before.void is not None
            and before.void.version < message.version
        ):
            self.reject(message, VOIDED)
            return
        after = fold([*self.thread, replace(message, standing=Standing.APPLIED)])
        assert after is not None
        back = before.void is not None
        if after.void is None and (back or after.content.event_id == message.event_id):
            self.accept(message, Standing.APPLIED, ACCEPTED)
            change = CaseChange.REINSTATED if back else CaseChange.UPDATED
            self._step(after, message, change, "reinstated" if back else "version")
        else:
            self._stale(message, before)

    def _take_void(self, message: Message, before: Live) -> None:
        if not message.reason:
            self.reject(message, VOID_WITHOUT_REASON)
            return
        after = fold([*self.thread, replace(message, standing=Standing.APPLIED)])
        assert after is not None
        if after.void is None or after.void.event_id != message.event_id:
            self._stale(message, before)
            return
        undone = before.void is None and before.content.version > message.version
        warnings = (LATER_VERSION_UNDONE,) if undone else ()
        self.accept(message, Standing.APPLIED, ACCEPTED, *warnings)
        self._step(after, message, CaseChange.VOIDED, _void_rule(message))

    def _stale(self, message: Message, before: Live) -> None:
        """It counts, as the fold says, but a higher version decides."""
        warnings = (NOTIFICATION_VOID,) if before.void is not None else ()
        self.accept(message, Standing.SUPERSEDED, SUPERSEDED, *warnings)
        after = self.live
        if after is not None and after != before:
            # content of a voided notification: not told, but it is what a reader would find
            self._step(after, message, CaseChange.UPDATED, "superseded")

    def _step(self, live: Live, cause: Message, change: CaseChange, rule: str) -> None:
        self.steps.append(Step(live, cause.event_id, change, rule))


def _creates(message: Message) -> bool:
    return message.kind is DeathMessageKind.SUBMITTED or message.standing is Standing.PROMOTED


def _void_rule(message: Message) -> str:
    return f"void:{message.reason or 'unknown'}"
