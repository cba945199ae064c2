"""The message rules of a notification: one row per rule, for the pure rules and for the stage."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.deaths import DeathMessageKind

SUBMITTED = DeathMessageKind.SUBMITTED
UPDATED = DeathMessageKind.UPDATED
VOIDED = DeathMessageKind.VOIDED
HOURS = 24  # of a hold

REUSED_ID = "an-id-of-before"


@dataclass(frozen=True, slots=True)
class Say:
    """A message: what it does, its version, what it says. `message_id` None: one of its own."""

    kind: DeathMessageKind
    version: int
    words: str = ""
    reason: str | None = "duplicate"
    message_id: str | None = None
    source: str = "rz9-fhir"


@dataclass(frozen=True, slots=True)
class Ends:
    """The holds of all that is held end, and somebody looks."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is said, how each message was answered in the end (a status, ``!`` and the rule that
    rejected it, None while it is held; ``+`` and a warning), and what then holds: ``live`` or
    ``void`` and the version whose content does, None if nothing.
    """

    name: str
    said: tuple[Say | Ends, ...]
    answers: tuple[str | None, ...]
    holds: tuple[str, int] | None
    cases: tuple[str, ...] = ()  # changes of the case, in order


def sub(version: int = 1, words: str = "", **more: str) -> Say:
    """A submission; what it says differs by version unless told."""
    return Say(SUBMITTED, version, words or f"v{version}", **more)


def upd(version: int = 2, words: str = "", **more: str) -> Say:
    """An update."""
    return Say(UPDATED, version, words or f"v{version}", **more)


def void(version: int = 2, reason: str | None = "duplicate") -> Say:
    """A void."""
    return Say(VOIDED, version, reason=reason)


ENDS = Ends()
OK, STALE = "accepted", "superseded"
LATE = "accepted-without-submission+update-without-submission"

ROWS = (
    Row("a new submission opens a case", (sub(),), (OK,), ("live", 1), ("OPENED",)),
    Row(
        "the same id with another body",
        (sub(message_id=REUSED_ID), upd(2, "other", message_id=REUSED_ID)),
        (OK, "!id-reuse"),
        ("live", 1),
        ("OPENED",),
    ),
    Row(
        "a submission with a higher version is an update",
        (sub(1), sub(2)),
        (OK, OK),
        ("live", 2),
        ("OPENED", "UPDATED"),
    ),
    Row(
        "the same version with the same content",
        (sub(1, "same"), sub(1, "same")),
        (OK, "already-held"),
        ("live", 1),
        ("OPENED",),
    ),
    Row(
        "the same version with another content",
        (sub(1), sub(1, "other")),
        (OK, "!version-reuse"),
        ("live", 1),
        ("OPENED",),
    ),
    Row(
        "an update with a higher version",
        (sub(), upd(2)),
        (OK, OK),
        ("live", 2),
        ("OPENED", "UPDATED"),
    ),
    Row(
        "an update with a lower version",
        (sub(), upd(3), upd(2)),
        (OK, OK, STALE),
        ("live", 3),
        ("OPENED", "UPDATED"),
    ),
    Row("an update before its submission is held", (upd(2),), (None,), None),
    Row(
        "the submission releases what is held, by version",
        (upd(3), upd(2), sub(1)),
        (OK, OK, OK),
        ("live", 3),
        ("OPENED", "UPDATED", "UPDATED"),
    ),
    Row(
        "a held update becomes a submission when its hold ends",
        (upd(2), ENDS),
        (LATE,),
        ("live", 2),
        ("OPENED",),
    ),
    Row(
        "a submission after that",
        (upd(2), ENDS, sub(1)),
        (LATE, STALE),
        ("live", 2),
        ("OPENED",),
    ),
    Row(
        "two held updates: the first stands for the submission",
        (upd(3), upd(2), ENDS),
        (OK, LATE),
        ("live", 3),
        ("OPENED", "UPDATED"),
    ),
    Row(
        "a void of a known notification",
        (sub(), void(2)),
        (OK, OK),
        ("void", 1),
        ("OPENED", "VOIDED"),
    ),
    Row(
        "a void without a reason",
        (sub(), void(2, None)),
        (OK, "!void-without-reason"),
        ("live", 1),
        ("OPENED",),
    ),
    Row("a void before its submission is held", (void(2),), (None,), None),
    Row(
        "a void, then its submission within the hold",
        (void(2), sub(1)),
        (OK, OK),
        ("void", 1),
        ("OPENED", "VOIDED"),
    ),
    Row(
        "a void of something that never came",
        (void(2), ENDS),
        ("!unknown-reference",),
        None,
    ),
    Row(
        "a lower submission after that is void at once",
        (void(2), ENDS, sub(1)),
        ("!unknown-reference", "superseded+notification-void"),
        ("void", 1),
        ("OPENED", "VOIDED"),
    ),
    Row(
        "a higher submission after that stands",
        (void(2), ENDS, sub(3)),
        ("!unknown-reference", OK),
        ("live", 3),
        ("OPENED",),
    ),
    Row(
        "an update after a void of something that never came",
        (void(2), ENDS, upd(3), ENDS),
        ("!unknown-reference", "!voided"),
        None,
    ),
    Row(
        "an update after a void",
        (sub(), void(2), upd(3)),
        (OK, OK, "!voided"),
        ("void", 1),
        ("OPENED", "VOIDED"),
    ),
    Row(
        "a lower update after a void",
        (sub(), void(3), upd(2)),
        (OK, OK, "superseded+notification-void"),
        ("void", 2),
        ("OPENED", "VOIDED", "UPDATED"),
    ),
    Row(
        "a void with a lower version than an update",
        (sub(), upd(3), void(2)),
        (OK, OK, "accepted+later-version-undone"),
        ("void", 1),
        ("OPENED", "UPDATED", "VOIDED"),
    ),
    Row(
        "a void with a lower version than a submission",
        (sub(1), sub(3), void(2)),
        (OK, OK, STALE),
        ("live", 3),
        ("OPENED", "UPDATED"),
    ),
    Row(
        "a submission with a higher version takes the void back",
        (sub(), void(2), sub(3)),
        (OK, OK, OK),
        ("live", 3),
        ("OPENED", "VOIDED", "REINSTATED"),
    ),
    Row(
        "a submission with a lower version does not",
        (sub(1), void(3), sub(2)),
        (OK, OK, "superseded+notification-void"),
        ("void", 2),
        ("OPENED", "VOIDED", "UPDATED"),
    ),
    Row(
        "an update in the version of a held one",
        (upd(2), upd(2, "other"), sub(1)),
        (OK, "!version-reuse", OK),
        ("live", 2),
        ("OPENED", "UPDATED"),
    ),
    Row(
        "a held update in the version of the submission",
        (upd(1, "other"), sub(1)),
        ("!version-reuse", OK),
        ("live", 1),
        ("OPENED",),
    ),
    Row(
        "nobody else's void reaches it",
        (sub(), Say(VOIDED, 2, source="other-fhir")),
        (OK, None),
        ("live", 1),
        ("OPENED",),
    ),
)
