"""The books of one batch: what was known, what has been decided since, what is to be written.

In memory, without I/O: `attendances`, `flags`, `deaths`, `release` and `answering` decide and write
here; `apply` loads it and carries its changes to PostgreSQL. A claim changes only by `transition`,
so that a changed person comes with retraction and assertion (correctness rule 9).
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from connectors.pds.search import QUERIES_AT_MOST
from halyard import metrics
from schemas.events import Assertion, NhsNumberStatus
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from stores.parked import ParkedKey
from stores.trace_requests import TraceKind, TraceRequest
from stores.uploads import Answer
from streams.identity import doubts, outputs
from streams.identity.evidence import Death, Reported, about_person, freshest
from streams.identity.knowledge import INVALIDATED, Knowledge

NEW: Final = "new"
"""Rule of a claim that nothing has decided yet; it is never written."""
FOR_EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_VISIT_KEPT: Final = timedelta(hours=48)
_NOT_NAMED: Final = (ClaimState.UNRESOLVED, ClaimState.NOT_TRACED)
_QUERIES: Final = {"get": 1, "search": QUERIES_AT_MOST}


class Ledger(Knowledge):
    """See the module."""

    # -- claims

    def open_claim(self, row: ClaimRow, event: Reported) -> None:
        """Take in a new claim; `transition` then says what becomes of it."""
        self._events[row.reported_event_id] = event
        self._claims.add(row)
        self.changes.claims[row.reported_event_id] = None

    def transition(
        self,
        row: ClaimRow,
        state: ClaimState,
        rule: str,
        indicator: NhsNumberStatus,
        *,
        person: KnownPerson | None = None,
        basis: str = "",
        priority: int | None = None,
        stands: bool = False,
    ) -> None:
        """Decide a claim (anew). `stands`: an unresolved one stays asserted of whom it was."""
        event_id, before = row.reported_event_id, self._claims[row.reported_event_id]
        event = self.event(before)
        if state in _NOT_NAMED and not stands and about_person(event):
            state, rule = ClaimState.NOT_USED, "demographics"
        names = person.person if person is not None and state.asserted else None
        if stands and state is ClaimState.UNRESOLVED:
            names = before.person
        after = replace(
            before,
            state=state,
            rule=rule,
            indicator=indicator,
            person=names,
            restricted=person.restricted if person is not None else before.restricted,
            priority=priority,
            decided_at=self.now,
        )
        if isinstance(event, Death):
            after = self._tell(before, after, event, person, basis)
        else:
            after = self._assert(before, after, event, person, basis)
        if state is ClaimState.UNRESOLVED:  # said anew each time: its id needs a revision too
            after = replace(after, revision=after.revision + 1)
            self.changes.entries.append(outputs.unresolved_entry(after, event, self.now))
        self._claims.put(after)
        if rule in INVALIDATED and after.number_token is not None:
            self.inactive.add(after.number_token)
        if not isinstance(event, Death):  # no visit and no merge concerns those
            self.touched.add(after.key)
        self.changes.claims[event_id] = None
        self._identifiers(before, after)
        self._worklist(before, after, event)
        if not state.open or state is not before.state:
            metrics.count("halyard_identity_outcomes_total", outcome=state, rule=rule)
        if person is not None and state is ClaimState.VERIFIED:
            self.keep(person, after.received_at + _VISIT_KEPT)

    def _identifiers(self, before: ClaimRow, after: ClaimRow) -> None:
        """An event tells what its sender calls the person, while it is verified of them."""
        was = before.person if before.state is ClaimState.VERIFIED else None
        now = after.person if after.state is ClaimState.VERIFIED else None
        if was != now:
            self.changes.stated.pop(after.reported_event_id, None)
            if was is not None:
                self.changes.unstated.add((was, after.reported_event_id))
            if now is not None:
                self.changes.stated[after.reported_event_id] = now

    def rekey(self, row: ClaimRow, key: str, *, stored: bool = True) -> ClaimRow:
        """The claim under the key of the patient that its own was merged into; unless `stored`,
        in this batch alone.
        """
        if stored:
            self.changes.claims[row.reported_event_id] = None
        self.touched.add(key)
        return self._claims.rekey(row, key)

    def let_go(self, row: ClaimRow, rule: str) -> None:
        """Nobody need find the number of an unresolved message any more; nothing is said of it."""
        self._claims.put(replace(row, state=ClaimState.NOT_TRACED))
        self.changes.claims[row.reported_event_id] = None
        self.changes.worklist.pop(row.reported_event_id, None)
        self.changes.closed[row.reported_event_id] = rule

    def say_again(self, row: ClaimRow, basis: str) -> None:
        """Assert a claim's person anew: what is known of the visit's patient has changed."""
        person = self.person(row.person)
        if person is not None:
            after = replace(row, revision=row.revision + 1)
            event, rule = self.event(row), row.rule
            self._say(after, event, person, after.revision, Assertion.ASSERTED, rule, basis)
            self._claims.put(after)
            self.changes.claims[row.reported_event_id] = None

    def put_aside(self, row: ClaimRow) -> None:
        """Nothing decides a claim again, and nobody resolves it: what it said is emptied."""
        self._claims.put(replace(row, event=None, number_token=None, demographic_token=None))
        self.changes.claims[row.reported_event_id] = None

    def put_again(self, row: ClaimRow) -> None:
        """A claim of which something was said again (`streams.identity.resaying`)."""
        self._claims.put(row)
        self.changes.claims[row.reported_event_id] = None

    def _assert(
        self,
        before: ClaimRow,
        after: ClaimRow,
        event: Reported,
        person: KnownPerson | None,
        basis: str,
    ) -> ClaimRow:
        """Take back whom the claim named, and say whom it names; gives it with its revision."""
        named, names, rule, revision = before.person, after.person, after.rule, before.revision
        if named is not None and named != names:
            revision += 1
            self._say(before, event, self._known(named), revision, Assertion.RETRACTED, rule, basis)
        if (
            person is not None
            and names is not None
            and (named, before.state)
            != (
                names,
                after.state,
            )
        ):
            revision += 1
            self._say(after, event, person, revision, Assertion.ASSERTED, rule, basis)
        return replace(after, revision=revision)

    def _tell(
        self,
        before: ClaimRow,
        after: ClaimRow,
        event: Death,
        person: KnownPerson | None,
        basis: str,
    ) -> ClaimRow:
        """Say a message about a death at once, and again whenever what is known of its person has
        changed; its number is never waited for (ADR 0025)."""
        same = (before.person, before.indicator, before.rule) == (
            after.person,
            after.indicator,
            after.rule,
        )
        if same or after.state is ClaimState.NOT_USED:
            return after
        after = replace(after, revision=before.revision + 1)
        named = person if after.person is not None else None
        keys = self.limits.keys
        self.changes.entries.append(outputs.told_entry(keys, after, event, named, basis))
        metrics.count(
            "halyard_identity_deaths_told_total",
            kind=after.event_kind,
            indicator=after.indicator.name,
        )
        return after

    def _say(
        self,
        row: ClaimRow,
        event: Reported,
        person: KnownPerson,
        revision: int,
        assertion: Assertion,
        rule: str,
        basis: str,
    ) -> None:
        patient, now = self.aliases.patient_of(event), self.now
        said = outputs.Statement(
            revision, assertion, person, row.state, row.indicator, basis, rule, now, patient
        )
        entry = outputs.verified_entry(self.limits.keys, row, event, said)
        self.changes.entries.append(entry)
        if assertion is Assertion.RETRACTED:
            self._taken_back[row.reported_event_id] = person.person, entry
            return
        whose, back = self._taken_back.pop(row.reported_event_id, ("", entry))
        if whose == person.person:  # one decision: who takes it sees nothing withdrawn between
            self.changes.entries.remove(back)

    def _worklist(self, before: ClaimRow, after: ClaimRow, event: Reported) -> None:
        event_id = after.reported_event_id
        if after.state is ClaimState.UNRESOLVED:
            entry = outputs.worklist_entry(after, event, self.now)
            if self.evidence(after).traceable:
                delays = self.limits.worklist_retries
                again = doubts.next_try(after.rule, 0, self.now, delays, of=event_id)
                entry = replace(entry, next_try_at=again)
            self.changes.worklist[event_id] = entry
            self.changes.closed.pop(event_id, None)
        elif after.state in (ClaimState.VERIFIED, ClaimState.NOT_USED, ClaimState.NOT_TRACED):
            self.changes.worklist.pop(event_id, None)
            if before.rule != NEW:
                self.changes.closed[event_id] = after.rule

    def doubt(self, row: ClaimRow, shown: doubts.Shown) -> None:
        """What the entry of an unresolved claim shows of PDS's answer."""
        entry = self.changes.worklist.get(row.reported_event_id)
        if entry is not None:
            known = replace(entry, candidates=shown.candidates, shown_rule=shown.rule)
            self.changes.worklist[row.reported_event_id] = known

    def answer(self, row: ClaimRow, answer: Answer) -> None:
        """Answer the line of an upload."""
        self.changes.answers[row.reported_event_id] = answer

    # -- persons

    def keep(self, person: KnownPerson, until: datetime, *, flagged: bool = False) -> bool:
        """Hold a person in the local index until then; True if a plan is new to them."""
        known = self._persons.get(person.person)
        held = known or person
        newly = flagged and not held.flagged
        now_held = freshest(held, person, until, flagged_at=self.now if flagged else None)
        # An hour more or less is not worth a write for each event of a visit
        longer = now_held.keep_until > held.keep_until + timedelta(hours=1)
        otherwise = replace(now_held, keep_until=held.keep_until) != held
        if known is None or longer or flagged or otherwise:
            self._know(now_held)
            self.changes.persons.add(person.person)
        return newly

    # -- keys and traces

    def park_behind(self, key: str, trace_id: uuid.UUID) -> None:
        """Let a key without a trace of its own wait for another's (a visit under two keys)."""
        if key not in self._parked:
            self._park(ParkedKey(key, trace_id))

    def goes_along(self, row: ClaimRow) -> bool:
        """Whether a waiting claim changes nothing of what its settled key waits for: it asks
        nothing, or what the key's trace asks with no less urgency.
        """
        parked = self._parked.get(row.key)
        trace = self._traces.get(parked.trace_id) if parked is not None else None
        if trace is None or self._live.get(trace.fingerprint) != trace.trace_id:
            return False
        evidence = self.evidence(row)
        if row.priority is None or not evidence.traceable:
            return True
        return self.fingerprint(evidence) == trace.fingerprint and trace.priority <= row.priority

    def settle(self, key: str) -> list[ClaimRow]:
        """Make the key wait for the best question its open claims ask, or for nothing.

        A number asks better than names; the trace in flight is kept while it is as good. The
        trace gets the highest priority of anything that waits in the key (rule 7). Gives the open
        claims that wait for nothing any more: the caller must end them, and settle again.
        """
        open_claims = self.in_state(key, ClaimState.WAITING, ClaimState.PROVISIONAL)
        asking = [row for row in open_claims if row.priority and self.evidence(row).traceable]
        # what goes on provisionally came to its candidate by itself
        asking = [
            row
            for row in asking
            if row.state is ClaimState.PROVISIONAL or not self.unsearchable(row)
        ]
        parked = self._parked.get(key)
        current = self._traces.get(parked.trace_id) if parked is not None else None
        if current is not None and self._live.get(current.fingerprint) != current.trace_id:
            current = None
        if not asking:
            if open_claims and current is not None:
                self._park(ParkedKey(key, current.trace_id, _candidate(open_claims)))
                return []
            self._free(key)
            return open_claims
        numbered = [row for row in asking if self.evidence(row).number_token is not None]
        best = numbered or asking
        prints = (self.fingerprint(self.evidence(row)) for row in best)
        if current is None or current.fingerprint not in prints:
            current = self._trace(best[0], self.fingerprint(self.evidence(best[0])))
        self._raise(current, min(row.priority for row in asking if row.priority))
        self._park(ParkedKey(key, current.trace_id, _candidate(open_claims)))
        return []

    def finish(self, trace: TraceRequest, outcome: str) -> None:
        """The trace has its answer; asking the same again is a new request."""
        self.changes.finished[trace.trace_id] = outcome
        self._live.pop(trace.fingerprint, None)

    def _trace(self, row: ClaimRow, fingerprint: str) -> TraceRequest:
        if (trace_id := self._live.get(fingerprint)) is not None:
            return self._traces[trace_id]
        evidence = self.evidence(row)
        kind: TraceKind = "get" if evidence.number_token is not None else "search"
        trace = TraceRequest(
            trace_id=self._new_id(),
            fingerprint=fingerprint,
            token=evidence.number_token or evidence.demographic_token or "",
            kind=kind,
            priority=row.priority or 5,
            claim=evidence.claim,
            organisation=self.event(row).organisation,
            request_ids=tuple(self._new_id() for _ in range(_QUERIES[kind])),
        )
        self._traces[trace.trace_id] = trace
        self._live[fingerprint] = trace.trace_id
        self.changes.new_traces.append(trace)
        return trace

    def _raise(self, trace: TraceRequest, priority: int) -> None:
        if priority < trace.priority:
            self._traces[trace.trace_id] = replace(trace, priority=priority)
            self.changes.priorities[trace.trace_id] = priority

    def _park(self, parked: ParkedKey) -> None:
        before = self._parked.get(parked.key)
        if before == parked:
            return
        if before is not None and before.trace_id != parked.trace_id:
            self.changes.left_traces.add(before.trace_id)
        self._parked[parked.key] = parked
        self.changes.keys.add(parked.key)

    def _free(self, key: str) -> None:
        before = self._parked.pop(key, None)
        if before is not None:
            self.changes.left_traces.add(before.trace_id)
            self.changes.keys.add(key)


def _candidate(open_claims: Iterable[ClaimRow]) -> str | None:
    named = [row.person for row in open_claims if row.state is ClaimState.PROVISIONAL]
    return named[-1] if named else None
