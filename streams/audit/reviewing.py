"""Which accesses a person looks at: rules over an entry and what its actor did in the hour before.

A rule can only see what the hub knows. That somebody looks at a relative or neighbour it cannot
know: the sample is for that.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

from halyard import ids, metrics
from halyard.actor import Actor
from halyard.errors import PermanentError
from halyard.local_hours import LocalHours
from halyard.postgres import Connection
from halyard.settings_audit import AuditSettings
from stores import audit, audit_reviews
from stores.audit import HUB, AuditEntry
from stores.audit_reviews import OUTCOMES, Hour, Review
from stores.audit_seals import Unsealed
from streams.audit.reading import Reader

PERSON: Final = ("user:", "cli:")
"""How actors that are human beings begin; a system looks at many children all day."""
_LOOKS: Final = frozenset({"access", "refusal"})


class ReviewRefused(PermanentError):
    """The review cannot be closed so; the message says why."""

    def __init__(self, rule: str, message: str) -> None:
        super().__init__(message)
        self.rule = rule


@dataclass(frozen=True, slots=True)
class Look:
    """What the rules see of one entry."""

    entry: Unsealed
    hour: Hour

    @property
    def body(self) -> dict[str, Any]:
        """Members of the entry."""
        return self.entry.body

    @property
    def human(self) -> bool:
        """Whether a human being looked."""
        return str(self.body["actor"]).startswith(PERSON)

    @property
    def shown(self) -> bool:
        """Whether it is an access that was not refused."""
        return bool(self.body["kind"] == "access" and self.body["decision"] == "permit")


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason to review. `once`: one review for an actor and hour, not for each entry."""

    name: str
    holds: Callable[[Look, AuditSettings], bool]
    urgent: bool = False
    once: bool = False


def _restricted(look: Look, _settings: AuditSettings) -> bool:
    detail = look.body.get("detail", {})
    told = "yes" if detail.get("person") == "restricted" else detail.get("restricted")
    return look.body["kind"] == "access" and told == "yes" and look.human


def _out_of_hours(look: Look, settings: AuditSettings) -> bool:
    hours = settings.usual_hours.get(look.body["organisation"])
    if hours is None or not look.shown or not look.human:
        return False
    return not LocalHours.parse(hours).contain(look.entry.recorded_at)


def _sampled(look: Look, settings: AuditSettings) -> bool:
    if not settings.sample_one_in or not look.shown:
        return False
    number = int.from_bytes(hashlib.sha256(look.entry.entry_id.bytes).digest()[:8], "big")
    return number % settings.sample_one_in == 0


RULES: Final = (
    Rule("break-glass", lambda look, _: look.body.get("purpose") == "break-glass", urgent=True),
    Rule("restricted", _restricted, urgent=True),
    Rule(
        "many-children",
        lambda look, given: look.human and look.hour.children > given.children_an_hour,
        once=True,
    ),
    Rule(
        "refused-often",
        lambda look, given: (
            look.body["decision"] == "deny" and look.hour.refusals > given.refusals_an_hour
        ),
        once=True,
    ),
    Rule("out-of-hours", _out_of_hours),
    Rule("sample", _sampled),
)
"""In this order; an entry may be reviewed under several."""


def reviews_of(look: Look, settings: AuditSettings, now: datetime) -> list[Review]:
    """The reviews that an entry opens; none unless somebody looked or was refused. Pure."""
    if look.body["kind"] not in _LOOKS:
        return []
    return [_review(rule, look, settings, now) for rule in RULES if rule.holds(look, settings)]


def _review(rule: Rule, look: Look, settings: AuditSettings, now: datetime) -> Review:
    entry = look.entry
    due = (
        timedelta(hours=settings.urgent_review_hours)
        if rule.urgent
        else timedelta(days=settings.review_days)
    )
    cause: tuple[str, ...] = (str(entry.entry_id), entry.recorded_at.isoformat())
    if rule.once:
        cause = (entry.chain, look.body["actor"], f"{entry.recorded_at:%Y-%m-%dT%H}")
    return Review(
        review_id=ids.derive("audit-review", rule.name, *cause),
        entry_id=entry.entry_id,
        recorded_at=entry.recorded_at,
        chain=entry.chain,
        actor=look.body["actor"],
        person=look.body.get("person"),
        rule=rule.name,
        opened_at=now,
        due_at=now + due,
    )


async def open_reviews(
    connection: Connection, entries: Sequence[Unsealed], settings: AuditSettings, *, now: datetime
) -> int:
    """Open the reviews of `entries`, which are being sealed; gives how many. Once more for the
    same entry changes nothing.
    """
    looks = [one for one in entries if one.body["kind"] in _LOOKS]
    until: dict[str, datetime] = {}
    for one in looks:
        actor = one.body["actor"]
        if actor.startswith(PERSON) or one.body["decision"] == "deny":
            until[actor] = max(until.get(actor, one.recorded_at), one.recorded_at)
    hours = await audit_reviews.recent(connection, until)
    wanted: dict[uuid.UUID, Review] = {}
    for one in looks:
        for review in reviews_of(Look(one, hours.get(one.body["actor"], Hour())), settings, now):
            wanted.setdefault(review.review_id, review)
    opened = await audit_reviews.open_(connection, list(wanted.values()), now=now)
    if opened:
        metrics.count("halyard_audit_reviews_opened_total", opened)
    return opened


async def read_reviews(
    connection: Connection,
    reader: Reader,
    *,
    now: datetime,
    entry_id: uuid.UUID,
    chain: str | None = None,
    closed_too: bool = False,
    after: tuple[datetime, uuid.UUID] | None = None,
    limit: int = 100,
) -> list[Review]:
    """A page of reviews, the first due first, read and recorded: a review shows who looked at
    which child.
    """
    found = await audit_reviews.page(
        connection, chain=chain, closed_too=closed_too, after=after, limit=limit
    )
    await audit.append(
        connection,
        [
            AuditEntry(
                entry_id=entry_id,
                recorded_at=now,
                kind="access",
                chain=reader.chain,
                actor=reader.subject,
                actor_name=reader.name,
                organisation=reader.organisation,
                role=reader.role,
                decision="permit",
                rule="audit.own-chain" if chain else "audit.every-chain",
                purpose="audit",
                subject="access-reviews",
                request_id=reader.request_id,
                token_id=reader.token_id,
                detail=(("reviews", str(len(found))),),
            )
        ],
    )
    return found


def _own(reviewer: Actor, review: Review) -> bool:
    """Whether the access is the reviewer's own."""
    return reviewer.did(review.actor, (review.entry or {}).get("actor_name"))


async def close_review(
    connection: Connection,
    review_id: uuid.UUID,
    reviewer: Actor,
    *,
    outcome: str,
    note: str,
    now: datetime,
    entry_id: uuid.UUID,
    chain: str | None = None,
) -> Review | None:
    """Close a review and append its audit entry; gives it closed, None if there is none.

    Once more with the same outcome and reviewer changes nothing. Raises `ReviewRefused` for one's
    own access, and for a review that was closed otherwise.
    """
    if outcome not in OUTCOMES:
        raise ReviewRefused("review.outcome", f"Give one of: {', '.join(OUTCOMES)}.")
    found = await audit_reviews.lock(connection, review_id, chain=chain)
    if found is None:
        return None
    if found.closed_at is not None:
        if (found.outcome, found.reviewer) == (outcome, reviewer.subject):
            return found
        raise ReviewRefused(
            "review.closed", "The review is closed; what was found stays as it was written."
        )
    if _own(reviewer, found):
        raise ReviewRefused("review.own_access", "Nobody reviews an access of their own.")
    entered = (("decided_at", "command-line"), ("entered_by", HUB)) if reviewer.entered else ()
    await audit_reviews.close(
        connection, review_id, reviewer=reviewer.subject, outcome=outcome, note=note, at=now
    )
    await audit.append(
        connection,
        [
            AuditEntry(
                entry_id=entry_id,
                recorded_at=now,
                kind="review",
                chain=found.chain,
                actor=reviewer.subject,
                actor_name=reviewer.name,
                organisation=reviewer.organisation,
                role=reviewer.role,
                decision="permit",
                rule=f"review.{found.rule}",
                purpose="audit",
                reason=note,
                person=found.person,
                subject=f"entry:{found.entry_id}",
                request_id=reviewer.request_id,
                token_id=reviewer.token_id,
                detail=(("outcome", outcome), ("review", str(review_id)), *entered),
            )
        ],
    )
    return replace(found, closed_at=now, reviewer=reviewer.subject, outcome=outcome, note=note)


async def gauges(connection: Connection, now: datetime) -> None:
    """How many reviews are open, and for how long the oldest has been."""
    count, oldest = await audit_reviews.standing(connection)
    metrics.gauge("halyard_audit_reviews_open", count)
    age = (now - oldest).total_seconds() if oldest else 0.0
    metrics.gauge("halyard_audit_reviews_oldest_seconds", max(age, 0.0))
