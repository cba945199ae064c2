"""What one transaction decides about cases, in memory; see `streams.cases.books`."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from halyard import ids
from halyard.postgres import Connection
from schemas.deaths import CaseChange, CaseChanged, CaseContent, CaseState
from stores import known
from stores.case_messages import thread_of
from stores.cases import Decided
from stores.proposals import PROPOSED, Proposal, pair
from streams.cases import requests
from streams.cases.changes import Change, Requested
from streams.cases.content import assemble, death_day, decision_facts, same
from streams.cases.duplicates import compare
from streams.cases.holdings import Loaded, Touched, World
from streams.cases.model import (
    Assignment,
    CaseRow,
    Family,
    Known,
    Notification,
    Report,
)
from streams.letters import Draft

DUPLICATES: Final = "duplicates"
_TICK: Final = timedelta(microseconds=1)
_LONDON: Final = ZoneInfo("Europe/London")


@dataclass(slots=True)
class Books:
    """See the module. Made by `open_books`; nothing is written before `write`."""

    connection: Connection
    world: World
    now: datetime
    traceparent: str  # of what causes the next change: the stage sets it message by message
    loaded: Loaded
    locks: frozenset[str] = frozenset()  # that this transaction holds
    touched: Touched = field(default_factory=Touched)
    changes: list[Change] = field(default_factory=list)
    requested: list[Requested] = field(default_factory=list)
    letters: list[Draft] = field(default_factory=list)
    _known: dict[tuple[str, date | None], Known] = field(default_factory=dict)

    # --- what holds ----------------------------------------------------------------------------

    def row(self, case_id: uuid.UUID) -> CaseRow | None:
        """The case as of its last version, also one made in these books."""
        return self.loaded.rows.get(case_id)

    def root(self, case_id: uuid.UUID) -> uuid.UUID:
        """The case in which it counts: itself, or the one it was merged into, at the end."""
        return self._upwards(case_id)[-1]

    def tree(self, case_id: uuid.UUID) -> list[uuid.UUID]:
        """The case and all that was merged into it, sorted after itself."""
        found, known = [case_id], {case_id}
        for one in found:
            members = sorted(set(self.loaded.members.get(one, ())) - known)
            found.extend(members)
            known.update(members)
        return found

    def family(self, case_id: uuid.UUID) -> Family:
        """The case with everything that was merged into it, as decided up to now; `known` empty."""
        members = self.tree(case_id)
        within = set(members)
        decided = self._decided(case_id)
        notes = tuple(self.loaded.notes[one] for one in members if one in self.loaded.notes)
        persons = {one.identity.person for one in notes if one.identity is not None}
        return Family(
            case_id=case_id,
            notifications=notes,
            absorbed=tuple(members[1:]),
            reports=tuple(
                self.loaded.reports[thread]
                for one in members
                for thread in sorted(self.loaded.reports_of.get(one, ()))
            ),
            requests=tuple(
                self.loaded.requests[request_id]
                for one in members
                for request_id in sorted(self.loaded.requests_of.get(one, ()))
            ),
            assignment=decided.assignment,
            indications=tuple(
                indication
                for person in sorted(persons)
                for indication in self.loaded.indications.get(person, ())
            ),
            duplicates=self._duplicates(within),
            merged_into=decided.merged_into,
            voided_by_person=decided.voided,
        )

    def proposals(self, case_id: uuid.UUID) -> list[Proposal]:
        """The proposals between the case's tree and others, of every state."""
        within = set(self.tree(case_id))
        return list(self._between(within))

    def person(self, case_id: uuid.UUID) -> str | None:
        """The verified child of a case: the oldest live notification's that has one, else of any
        notification, so that a tombstone is found too.
        """
        found = [
            note
            for one in self.tree(case_id)
            if (note := self.loaded.notes.get(one)) is not None and note.identity is not None
        ]
        live = [one for one in found if not one.voided]
        live.sort(key=lambda one: (one.first_received_at, one.source, one.reference))
        first = next(iter((*live, *found)), None)
        return None if first is None or first.identity is None else first.identity.person

    def above(self, case_ids: Iterable[uuid.UUID]) -> set[uuid.UUID]:
        """These cases, and those that they count in."""
        return {one for case_id in case_ids for one in self._upwards(case_id)}

    def is_void(self, case_id: uuid.UUID) -> bool:
        """Whether a person voided the case, or one that it counts in."""
        return any(self._decided(one).voided for one in self._upwards(case_id))

    def cases_of_person(self, person: str) -> list[uuid.UUID]:
        """The cases of that child that are open and count for themselves, the oldest first."""
        found = {
            self.root(case_id)
            for case_id, one in self.loaded.notes.items()
            if one.identity is not None and one.identity.person == person and not one.voided
        }
        rows = [row for one in found if (row := self.row(one)) is not None]
        rows = [row for row in rows if row.content.state is CaseState.OPEN]
        return [row.case_id for row in sorted(rows, key=lambda row: (row.opened_at, row.case_id))]

    # --- what is decided -----------------------------------------------------------------------

    def put(self, notification: Notification) -> None:
        """A notification as it stands from now on."""
        self.loaded.notes[notification.case_id] = notification
        if notification.case_id not in self.loaded.decided:
            self.loaded.put_decided(Decided(notification.case_id))
        self.touched.notes.add(notification.case_id)

    def put_report(self, report: Report) -> None:
        """A report as it stands from now on (its `case_id` says of which case)."""
        thread = thread_of(report)
        self.loaded.put_report(thread, report)
        self.touched.reports.add(thread)

    def put_proposal(self, proposal: Proposal) -> None:
        """A proposal as it stands from now on."""
        self.loaded.put_proposal(proposal)
        self.touched.proposals.add((proposal.one, proposal.other))

    def merge(self, member: uuid.UUID, into: uuid.UUID) -> None:
        """From now on `member` and all it absorbed count in `into`; both count for themselves now,
        and are of different trees (the caller has asked `root`).
        """
        self._decide(replace(self._decided(member), merged_into=into))

    def unmerge(self, member: uuid.UUID) -> uuid.UUID | None:
        """From now on `member`, with what was merged into it before, counts for itself. Gives the
        case that it counted in; None if it was not merged.
        """
        before = self._decided(member)
        if before.merged_into is not None:
            self._decide(replace(before, merged_into=None))
        return before.merged_into

    def assign(self, case_id: uuid.UUID, assignment: Assignment) -> None:
        """A person's word on panel and eligibility."""
        self._decide(replace(self._decided(case_id), assignment=assignment))

    def void(self, case_id: uuid.UUID, *, voided: bool = True) -> None:
        """A person voids the case, or takes that back."""
        self._decide(replace(self._decided(case_id), voided=voided))

    def decide(self, one: uuid.UUID, other: uuid.UUID, state: str, *, by: str, reason: str) -> None:
        """A person merged or rejected: closes each proposal between the trees of the two; without
        one, a decided proposal is written, so that the hub does not propose the pair anew.
        """
        between = [
            pair(left, right)
            for left in self.tree(one)
            for right in self.tree(other)
            if left != right and pair(left, right) in self.loaded.proposals
        ] or [pair(one, other)]
        for key in between:
            made = self.loaded.proposals.get(key) or self._unproposed(key, state)
            self.put_proposal(
                replace(
                    made,
                    state=state,
                    decided_by=by,
                    decided_reason=reason,
                    decided_at=self.now,
                    changed_at=self.now,
                )
            )

    # --- what comes of it ----------------------------------------------------------------------

    async def reassemble(
        self,
        case_id: uuid.UUID,
        change: CaseChange,
        *,
        rule: str,
        cause: uuid.UUID,
        by: str | None = None,
    ) -> list[CaseChanged]:
        """New versions of the case and of those it counts in, where the content changed.

        `change` is what is said if the state stays as it was; OPENED, VOIDED and REINSTATED are
        said by themselves. Requests follow (wanted, answered, cancelled). Then the cases that have
        a proposal with it are made anew, if that changes what duplicates they show.
        """
        made = [
            changed
            for one in self._upwards(case_id)
            if (changed := await self._renew(one, change, rule, cause, by)) is not None
        ]
        for other in self._neighbours(case_id):
            row = self.row(other)
            if row is None or row.content.state is not CaseState.OPEN:
                continue
            if set(row.content.duplicates) != set(self._duplicates(set(self.tree(other)))):
                await self._renew(other, CaseChange.UPDATED, DUPLICATES, cause, by)
        return made

    async def _renew(
        self, case_id: uuid.UUID, change: CaseChange, rule: str, cause: uuid.UUID, by: str | None
    ) -> CaseChanged | None:
        before = self.row(case_id)
        family = self.family(case_id)
        person = self.person(case_id)
        if person is not None and family.merged_into is None and family.live:
            on = death_day(decision_facts(family))
            if (person, on) not in self._known:
                found = await known.known(self.connection, person, on, self.now)
                self._known[person, on] = found
            family = replace(family, known=self._known[person, on])
        content = self._assembled(family)
        directory, now = self.world.directory, self.now
        revised = [
            *requests.wanted(family, content, directory, now=now, due_days=self.world.due_days),
            *requests.answered(family, content, directory, now=now),
        ]
        if revised:
            family = replace(family, requests=requests.after(family.requests, revised))
            content = self._assembled(family)
        for one in revised:
            self.loaded.put_request(one)
            self.touched.requests.add(one.request_id)
            event = requests.event_of(one, content, directory, now=now)
            self.requested.append((event, content, self.traceparent, person))
        if before is not None and same(before.content, content):
            return None
        about = requests.persons_of(family)
        return self._next(case_id, before, content, change, rule, cause, by, person, about)

    def _next(
        self,
        case_id: uuid.UUID,
        before: CaseRow | None,
        content: CaseContent,
        change: CaseChange,
        rule: str,
        cause: uuid.UUID,
        by: str | None,
        person: str | None,
        about: frozenset[str] | None,
    ) -> CaseChanged:
        version = 1 if before is None else before.version + 1
        # the clock was read before the locks were held, or is another machine's
        at = self.now if before is None else max(self.now, before.changed_at + _TICK)
        changed = CaseChanged(
            event_id=ids.derive("case-changed", str(case_id), version),
            case_id=case_id,
            version=version,
            change=_said(None if before is None else before.content.state, content.state, change),
            changed_at=at,
            rule=rule,
            cause=cause,
            content=content,
            by=by,
        )
        said = None if before is None else before.content
        self.changes.append(Change(said, changed, person, self.traceparent, about))
        self.loaded.rows[case_id] = CaseRow(
            case_id=case_id,
            version=version,
            content=content,
            opened_at=at if before is None else before.opened_at,
            changed_at=at,
            person=person,
            merged_into=content.merged_into,
        )
        return changed

    def _assembled(self, family: Family) -> CaseContent:
        today = self.now.astimezone(_LONDON).date()
        return assemble(family, panels=self.world.directory.panels, today=today)

    def _upwards(self, case_id: uuid.UUID) -> list[uuid.UUID]:
        """The case and those it counts in, up to the root."""
        found = [case_id]
        while True:
            decided = self.loaded.decided.get(found[-1])
            if decided is None or decided.merged_into is None or decided.merged_into in found:
                return found
            found.append(decided.merged_into)

    def _duplicates(self, within: set[uuid.UUID]) -> tuple[uuid.UUID, ...]:
        """The cases with which a tree has open proposals, as those they count in."""
        found = set()
        for one in self._between(within):
            if one.state == PROPOSED:
                end = one.other if one.one in within else one.one
                if not self.is_void(end):
                    found.add(self.root(end))
        return tuple(sorted(found - within))

    def _between(self, within: set[uuid.UUID]) -> Iterator[Proposal]:
        """The proposals with exactly one end in a tree."""
        for case_id in sorted(within):
            for key in sorted(self.loaded.pairs_of.get(case_id, ())):
                if not within.issuperset(key):
                    yield self.loaded.proposals[key]

    def _neighbours(self, case_id: uuid.UUID) -> list[uuid.UUID]:
        """The cases that count for themselves and have a proposal with a case's tree, or with a
        case that has just left it.
        """
        tree = set(self.tree(self.root(case_id)))
        ends = {end for one in tree for key in self.loaded.pairs_of.get(one, ()) for end in key}
        return sorted({self.root(end) for end in ends} - tree)

    def _unproposed(self, key: tuple[uuid.UUID, uuid.UUID], state: str) -> Proposal:
        one, other = (self.loaded.notes.get(end) for end in key)
        if one is None or other is None:
            return Proposal(*key, 0.0, "person", (), (), state, self.now, self.now)
        alike = compare(self.world.profiles.of(one), self.world.profiles.of(other))
        return Proposal(
            *key,
            alike.score,
            "person",
            alike.agreements,
            alike.differences,
            state,
            self.now,
            self.now,
        )

    def _decided(self, case_id: uuid.UUID) -> Decided:
        return self.loaded.decided.get(case_id, Decided(case_id))

    def _decide(self, decided: Decided) -> None:
        self.loaded.put_decided(decided)
        self.touched.decided.add(decided.case_id)


def _said(before: CaseState | None, after: CaseState, change: CaseChange) -> CaseChange:
    if before is None:
        return CaseChange.OPENED
    if after is CaseState.VOIDED and before is not CaseState.VOIDED:
        return CaseChange.VOIDED
    if before is CaseState.VOIDED and after is CaseState.OPEN:
        return CaseChange.REINSTATED
    if change in (CaseChange.OPENED, CaseChange.VOIDED, CaseChange.REINSTATED):
        return CaseChange.UPDATED  # of a case that counts others: its own state is as it was
    return change
