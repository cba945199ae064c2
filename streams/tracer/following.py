"""Carries a changed number to all that is held of the person: in whatever transaction PDS's answer
came to, a recheck's, that of claims, or that of a person's resolution.

The order is the caller's: `look`, then the ledger with the look's seeds, `lock`, `decide`, `write`,
`end` (docs/adr/0047). The decisions are `streams.identity.rechecks`.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from connectors.pds.outcomes import Found, Invalidated, Superseded
from halyard import metrics, telemetry
from halyard.clock import Clock
from halyard.lock_sets import LockSetGrew
from halyard.postgres import Connection
from halyard.postgres import lock as lock_names
from policies.desk import Desk
from schemas.events import Identity, IdentityStatus, NhsNumberStatus
from stores import identities, number_changes, person_identifiers, sibling_links
from stores.identities import KnownPerson
from stores.trace_requests import TraceRequest
from streams import letters
from streams.cases.books import locks_of_person
from streams.identity import outputs, rechecks, watching
from streams.identity.answers import TraceAnswer, person_answered, with_former_names
from streams.identity.apply import Seeds
from streams.identity.changes import Limits
from streams.identity.ledger import Ledger
from streams.identity.watching import URGENT, Question
from streams.matching import rekeying
from streams.tracer import number_letters, scenes, settled
from streams.tracer.followed import Followed
from streams.tracer.number_letters import Concerned
from streams.tracer.scenes import Scene

_NOT_CURRENT: Final = (rechecks.INVALIDATED, rechecks.DIFFERS, rechecks.NOT_FOUND)

log = telemetry.get_logger()


@dataclass(frozen=True, slots=True)
class Look:
    """What was known of `person` before any lock, of whom PDS says `answer`. `before`: as the index
    has them; `found`: whom PDS answered with; `plain`: PDS says of them what is known. `beside`: a
    successor who is known too, and of whom PDS says otherwise.
    """

    person: str
    answer: TraceAnswer
    before: KnownPerson | None = field(repr=False)
    found: KnownPerson | None = field(repr=False)
    plain: bool
    scene: Scene
    beside: Look | None = None

    @property
    def seeds(self) -> Seeds:
        """What the ledger must lock and load."""
        mine = scenes.seeds(self.person, self.found, self.scene)
        return mine if self.beside is None else mine.also(self.beside.seeds)


def report(trace: TraceRequest, followed: Followed | None) -> None:
    """Count what a changed number came to, and say so where somebody should look."""
    rule = None if followed is None else followed.rule
    if rule is not None:
        metrics.count("halyard_number_rechecks_total", outcome=rule)
    if rule in _NOT_CURRENT:
        log.warning("number_not_current", trace_id=str(trace.trace_id), rule=rule)


def changed(trace: TraceRequest, answer: TraceAnswer) -> bool:
    """Whether PDS says that the number that was asked for stands no more."""
    return trace.kind == "get" and isinstance(answer.outcome, Superseded | Invalidated)


async def ask_about(
    connection: Connection,
    trace: TraceRequest,
    answer: TraceAnswer,
    limits: Limits,
    now: datetime,
    new_id: Callable[[], uuid.UUID],
) -> None:
    """Where an answer counts for nothing that is held (a batch's): a question about somebody known
    of whom it says otherwise than is known.
    """
    if changed(trace, answer):
        await watching.check(connection, [trace], new_id)
    found = person_answered(answer, limits.keys, now)
    known = None if found is None else await _known(connection, found.person)
    if known is None or found is None:
        return
    if rechecks.differs(known, with_former_names(answer, found, known, limits.keys)).anything:
        question = Question(known.person, known.nhs_number, trace.organisation, URGENT)
        await watching.file(connection, [question], new_id)


class Follower:
    """See the module. It has no transaction of its own."""

    def __init__(
        self, limits: Limits, desk: Desk, clock: Clock, new_id: Callable[[], uuid.UUID]
    ) -> None:
        self._limits = limits
        self._desk = desk
        self._clock = clock
        self._new_id = new_id

    async def look(self, connection: Connection, person: str, answer: TraceAnswer) -> Look:
        """Read what is held of `person`, before any lock."""
        found = person_answered(answer, self._limits.keys, self._clock())
        before = await _known(connection, person)
        if found is not None:
            found = with_former_names(answer, found, before, self._limits.keys)
        plain = (
            isinstance(answer.outcome, Found)
            and before is not None
            and found is not None
            and not rechecks.differs(before, found).anything
        )
        scene = Scene() if plain else await scenes.read(connection, person)
        beside = None
        if isinstance(answer.outcome, Superseded) and before is not None:
            beside = await self._look_at_named(connection, answer)
        return Look(person, answer, before, found, plain, scene, beside)

    async def look_if_changed(
        self,
        connection: Connection,
        trace: TraceRequest,
        answer: TraceAnswer,
        locks: frozenset[str],
    ) -> Look | None:
        """`look` at somebody known of whom PDS says, by the way, that their number stands no more,
        or anything else that is otherwise. The latter is nearly never so, and `follow` sees it on
        the ledger: looked for only when that has started the transaction again, with `locks`.
        """
        if changed(trace, answer):
            look = await self.look(connection, trace.token, answer)
            if look.before is not None:
                return look
        return await self._look_at_named(connection, answer) if locks else None

    async def _look_at_named(self, connection: Connection, answer: TraceAnswer) -> Look | None:
        """`look` at whom `answer` names, if they are known otherwise."""
        outcome = answer.outcome
        found = person_answered(answer, self._limits.keys, self._clock())
        if found is None or not isinstance(outcome, Found | Superseded):
            return None
        named = TraceAnswer(Found(outcome.record), answer.query)
        look = await self.look(connection, found.person, named)
        return None if look.before is None or look.plain else look

    async def lock(self, connection: Connection, look: Look, locks: frozenset[str]) -> None:
        """The locks of matching, after identity's. Raises `LockSetGrew` if anything changed."""
        if look.plain:
            return
        others = [look.found.person] if look.found is not None else []
        both = [look] if look.beside is None else [look, look.beside]
        visits = {visit for one in both for visit in one.scene.visits}
        records = {record for one in both for record in one.scene.records}
        await rekeying.lock(connection, look.person, others, visits, records)
        for one in both:
            if await scenes.read(connection, one.person) != one.scene:
                raise LockSetGrew(locks)

    async def follow(
        self,
        connection: Connection,
        ledger: Ledger,
        look: Look | None,
        trace: TraceRequest,
        answer: TraceAnswer,
        locks: frozenset[str],
    ) -> Followed | None:
        """What `answer` says otherwise than is known means for all that is held of its person,
        before anything is judged by it; None if there is nobody to follow. `look`: of
        `look_if_changed`.
        """
        known = ledger.person(trace.token) if changed(trace, answer) else None
        if known is not None and known.person == trace.token:
            if look is None or look.person != trace.token:  # known only now
                raise LockSetGrew(locks)
            return await self.decide(connection, ledger, trace, look, locks)
        if look is not None and changed(trace, look.answer):  # moved meanwhile, or forgotten
            raise LockSetGrew(locks)
        outcome = answer.outcome
        named = outcome.record.nhs_number if isinstance(outcome, Superseded) else None
        # the old number leads elsewhere now: is whom it led to well?
        if known is not None and known.nhs_number != named:
            question = Question(known.person, known.nhs_number, trace.organisation, URGENT)
            await watching.file(connection, [question], self._new_id)
        found = person_answered(answer, self._limits.keys, ledger.now)
        if found is None or not _otherwise(ledger, answer, found):
            return None
        if look is None:  # `look_if_changed` looks now
            raise LockSetGrew(locks | {f"tok:{found.person}"})
        return await self.decide(connection, ledger, trace, look, locks)

    async def decide(
        self,
        connection: Connection,
        ledger: Ledger,
        trace: TraceRequest,
        look: Look,
        locks: frozenset[str],
    ) -> Followed | None:
        """Apply what PDS says; None if the person was forgotten, or moved."""
        known = ledger.person(look.person)
        if known is None or known.person != look.person:
            return None
        if look.before is None or rechecks.differs(look.before, known).anything:
            raise LockSetGrew(locks)
        outcome, found, scene = look.answer.outcome, look.found, look.scene
        traceparent = telemetry.new_traceparent()
        if isinstance(outcome, Found) and found is not None:
            await settled.settle(
                connection, self._limits.directory, known.person, found, ledger.now
            )
            holding, held = await scenes.held(
                connection, ledger, known, scene, traceparent, deaths=True
            )
            difference = rechecks.refresh(ledger, known, found, held)
            if difference.names and look.answer.query is not None:  # the whole record has more
                question = Question(known.person, known.nhs_number, trace.organisation, URGENT)
                await watching.file(connection, [question], self._new_id)
            if difference.deceased:
                ledger.changes.entries.extend(
                    rechecks.death_entries(ledger, trace, found, traceparent)
                )
            if not difference.anything:
                return Followed("unchanged")
            if not (difference.restricted and found.restricted):
                return Followed(rechecks.RECHECKED)
            return Followed(
                rechecks.RECHECKED, holding, _proven(found, rechecks.RECHECKED, ledger.now)
            )
        if isinstance(outcome, Superseded) and found is not None:
            beside = None
            if _otherwise(ledger, look.answer, found):
                if look.beside is None:  # known, or so, only now
                    raise LockSetGrew(locks)
                beside = await self.decide(connection, ledger, trace, look.beside, locks)
            came = await self._superseded(
                connection, ledger, trace, outcome, known, found, scene, traceparent
            )
            return replace(came, beside=beside)
        if isinstance(outcome, Invalidated):
            return await self._invalidated(connection, ledger, trace, known, scene, traceparent)
        _, held = await scenes.held(connection, ledger, known, scene, traceparent, deaths=False)
        rechecks.list_flags(ledger, held, rechecks.NOT_FOUND, known)
        return Followed(rechecks.NOT_FOUND)

    async def heed_word(
        self, connection: Connection, ledger: Ledger, trace: TraceRequest, answer: TraceAnswer
    ) -> None:
        """After the ledger was written: word of whom a search has just made known."""
        if trace.kind != "search":
            return
        found = person_answered(answer, self._limits.keys, ledger.now)
        if found is not None:
            known = ledger.person(found.person)
            await watching.again_if_word(connection, trace, known, self._new_id)

    async def end(
        self, connection: Connection, ledger: Ledger, look: Look | None, followed: Followed | None
    ) -> None:
        """After the ledger was written, which is when the successor is in the index, and what the
        answer says of each claim is decided.
        """
        if look is None or look.found is None or followed is None:
            return
        await followed.carry(connection, ledger, look.person)
        if followed.rule == rechecks.SUPERSEDED:
            await person_identifiers.move(connection, look.person, look.found.person)
            await sibling_links.move(connection, look.person, look.found.person)
            await number_changes.forget_person(connection, look.person)

    async def _superseded(
        self,
        connection: Connection,
        ledger: Ledger,
        trace: TraceRequest,
        outcome: Superseded,
        known: KnownPerson,
        successor: KnownPerson,
        scene: Scene,
        traceparent: str,
    ) -> Followed:
        now = ledger.now
        holding, held = await scenes.held(
            connection, ledger, known, scene, traceparent, deaths=True
        )
        concerned = await scenes.concerned(connection, known.person, holding, held, now)
        if not rechecks.same_person(known, outcome):
            rechecks.list_flags(ledger, held, rechecks.DIFFERS, known, successor)
            said = rechecks.cause_of(ledger, rechecks.DIFFERS, known, successor)
            await self._tell(connection, concerned, rechecks.DIFFERS, known, said, traceparent)
            return Followed(rechecks.DIFFERS)
        await settled.settle(connection, self._limits.directory, known.person, successor, now)
        news = rechecks.differs(known, successor).deceased
        if news and ledger.person(successor.person) is None:
            ledger.changes.entries.extend(
                rechecks.death_entries(ledger, trace, successor, traceparent)
            )
        moved = rechecks.supersede(ledger, known, successor, held)
        identity = _proven(successor, rechecks.SUPERSEDED, now)
        await number_changes.supersede(connection, known.person, successor.person, now)
        # after all others: a worker of the cases takes none of identity's and matching's
        both = (known.person, successor.person)
        await lock_names(connection, {name for one in both for name in locks_of_person(one)})
        await number_changes.move_deaths(connection, *both)
        cause = str(trace.trace_id)
        await self._tell(connection, concerned, rechecks.SUPERSEDED, successor, cause, traceparent)
        return Followed(rechecks.SUPERSEDED, holding, identity, moved)

    async def _invalidated(
        self,
        connection: Connection,
        ledger: Ledger,
        trace: TraceRequest,
        known: KnownPerson,
        scene: Scene,
        traceparent: str,
    ) -> Followed:
        now = ledger.now
        holding, held = await scenes.held(
            connection, ledger, known, scene, traceparent, deaths=True
        )
        concerned = await scenes.concerned(connection, known.person, holding, held, now)
        revisions = rechecks.invalidate(ledger, known, held)
        await number_changes.invalidate(connection, known.person, now)
        await rekeying.quarantine(connection, holding, known.person, revisions, now)
        await number_changes.forget_person(connection, known.person)
        cause = str(trace.trace_id)
        await self._tell(connection, concerned, rechecks.INVALIDATED, known, cause, traceparent)
        return Followed(rechecks.INVALIDATED)

    async def _tell(
        self,
        connection: Connection,
        concerned: Concerned,
        rule: str,
        person: KnownPerson,
        cause: str,
        traceparent: str,
    ) -> None:
        now = self._clock()
        drafts = number_letters.drafts(
            self._desk,
            concerned,
            rule,
            person,
            cause=cause,
            now=now,
            traceparent=traceparent,
        )
        known = await number_changes.told_already(
            connection, [one.letter.letter_id for one in drafts]
        )
        new = [one for one in drafts if one.letter.letter_id not in known]
        await letters.write(connection, new, self._desk, now)


def _proven(person: KnownPerson, rule: str, now: datetime) -> Identity:
    status, indicator = IdentityStatus.VERIFIED, NhsNumberStatus.VERIFIED
    return outputs.identity_of(person, status, indicator, "pds-get", rule, now)


def _otherwise(ledger: Ledger, answer: TraceAnswer, found: KnownPerson) -> bool:
    known = ledger.person(found.person)
    if known is None or known.person != found.person:
        return False
    found = with_former_names(answer, found, known, ledger.limits.keys)
    return rechecks.differs(known, found).anything


async def _known(connection: Connection, person: str) -> KnownPerson | None:
    found = await identities.known(connection, persons=[person], demographics=[])
    return next((one for one in found if one.person == person), None)
