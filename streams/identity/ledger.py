"""The books of one batch: what was known, what has been decided since, what is to be written.

In memory, without I/O: `attendances`, `flags`, `release` and `answering` decide and write here;
`apply` loads it and carries its changes to PostgreSQL. A claim changes only by `transition`, so
that a changed person comes with retraction and assertion (correctness rule 9).
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from halyard import metrics
from halyard.errors import ContractError
from schemas import codec
from schemas.events import Assertion, AttendanceReported, FlagSubmitted, NhsNumberStatus
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from stores.merges import Merge
from stores.parked import ParkedKey
from stores.trace_requests import TraceKind, TraceRequest
from stores.uploads import Answer
from streams.identity import outputs
from streams.identity.aliases import Aliases
from streams.identity.changes import Changes, Limits
from streams.identity.evidence import (
    Evidence,
    Reported,
    Standing,
    about_person,
    evidence_of,
    freshest,
    number_fingerprint,
    search_fingerprint,
    standing,
)
from streams.identity.index import ClaimIndex

NEW: Final = "new"
"""Rule of a claim that nothing has decided yet; it is never written."""
FOR_EVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
_VISIT_KEPT: Final = timedelta(hours=48)
_NOT_NAMED: Final = (ClaimState.UNRESOLVED, ClaimState.NOT_TRACED)
_QUERIES: Final = {"get": 1, "search": 2}


class Ledger:
    """See the module. `new_id` gives random ids of trace requests and of their calls."""

    def __init__(
        self,
        limits: Limits,
        *,
        now: datetime,
        new_id: Callable[[], uuid.UUID],
        claims: Iterable[ClaimRow] = (),
        persons: Iterable[KnownPerson] = (),
        parked: Iterable[ParkedKey] = (),
        traces: Iterable[TraceRequest] = (),
        evidence: Mapping[uuid.UUID, Evidence] | None = None,
        merges: Iterable[Merge] = (),
    ) -> None:
        self.limits = limits
        self.now = now
        self.changes = Changes()
        self._new_id = new_id
        self.aliases = Aliases(merges)
        self.touched: set[str] = set()  # keys of which something was decided (`merging.settle`)
        self._claims = ClaimIndex()
        self.sharing = self._claims.sharing
        self.around = self._claims.around
        self.of_key = self._claims.of_key
        self.of_visit = self._claims.of_visit
        self._events: dict[uuid.UUID, Reported] = {}
        self._evidence = dict(evidence or {})
        self._persons: dict[str, KnownPerson] = {}
        self._by_demographics: dict[str, set[str]] = defaultdict(set)
        self._parked = {one.key: one for one in parked}
        self._traces: dict[uuid.UUID, TraceRequest] = {}
        self._live: dict[str, uuid.UUID] = {}
        for claim in claims:
            self._claims.add(self._renamed(claim) if self.aliases else claim)
        for person in persons:
            self._know(person)
        self.learn_traces(traces)

    # -- loading and reading

    def learn_traces(self, traces: Iterable[TraceRequest]) -> None:
        """Know these requests; live ones are shared by whoever asks the same."""
        for trace in traces:
            self._traces[trace.trace_id] = trace
            if trace.state in ("queued", "leased"):
                self._live[trace.fingerprint] = trace.trace_id

    def questions(self) -> set[str]:
        """Fingerprints of what claims that are not verified would ask PDS."""
        rows = [row for row in self._claims if row.state is not ClaimState.VERIFIED]
        asked = [self.evidence(row) for row in rows if row.event is not None]
        return {self.fingerprint(one) for one in asked if one.traceable}

    def claim(self, event_id: uuid.UUID) -> ClaimRow:
        """A claim as it stands now."""
        return self._claims[event_id]

    def event(self, row: ClaimRow) -> Reported:
        """The reported event. Raises `ContractError` if retention has emptied it."""
        if row.reported_event_id not in self._events:
            decoded = codec.decode(row.event)
            if not isinstance(decoded, AttendanceReported | FlagSubmitted):
                raise ContractError("A claim holds an event that is not a reported one.")
            self._events[row.reported_event_id] = decoded
        return self._events[row.reported_event_id]

    def evidence(self, row: ClaimRow) -> Evidence:
        """What the claim says of its person."""
        found = self._evidence.get(row.reported_event_id)
        return self.weigh(self.event(row)) if found is None else found

    def weigh(self, event: Reported) -> Evidence:
        """What an event says of its person."""
        found = self._evidence.get(event.event_id)
        if found is None:
            limits = self.limits
            found = evidence_of(event.claim, keys=limits.keys, profile=limits.profile)
            self._evidence[event.event_id] = found
        return found

    def restate(self, event: Reported, evidence: Evidence) -> None:
        """Another of the event's numbers is in front (`streams.identity.numbers`)."""
        self._events[event.event_id], self._evidence[event.event_id] = event, evidence
        row, token = self._claims.get(event.event_id), evidence.number_token
        if row is not None and token is not None:
            body = codec.encode(replace(event, message=b""))
            self._claims.put(replace(row, number_token=token, event=body))

    def person(self, person: str | None) -> KnownPerson | None:
        """A known person."""
        return None if person is None else self._persons.get(person)

    def standing(self, row: ClaimRow, person: KnownPerson) -> Standing:
        """How a claim stands to a person."""
        return standing(self.evidence(row), person)

    def flagged(self, evidence: Evidence) -> tuple[Standing, ...]:
        """Flagged people who share number or family name and birth date, likeliest first."""
        wanted = {evidence.number_token} | self._by_demographics.get(
            evidence.demographic_token or "", set()
        )
        people = [self._persons[one] for one in wanted if one and one in self._persons]
        found = [standing(evidence, person) for person in people if person.flagged]
        found.sort(key=lambda one: (not one.number, not one.all_but_number, one.person.person))
        return tuple(found)

    def parked(self, key: str) -> ParkedKey | None:
        """The key's trace and candidate, if it is parked."""
        return self._parked.get(key)

    def trace(self, trace_id: uuid.UUID) -> TraceRequest:
        """A trace request as it stands now."""
        return self._traces[trace_id]

    def recent(self, row: ClaimRow) -> bool:
        """Received within the window in which claims are decided anew, and still readable."""
        return row.event is not None and row.received_at > self.now - self.limits.backmatch

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
        event, revision = self.event(before), before.revision
        if state in _NOT_NAMED and not stands and about_person(event):
            state, rule = ClaimState.NOT_USED, "demographics"
        named = before.person
        names = person.person if person is not None and state.asserted else None
        if stands and state is ClaimState.UNRESOLVED:
            names = named
        if named is not None and named != names:
            revision += 1
            self._say(before, event, self._known(named), revision, Assertion.RETRACTED, rule, basis)
        after = replace(
            before,
            state=state,
            rule=rule,
            indicator=indicator,
            person=names,
            restricted=person.restricted if person is not None else before.restricted,
            priority=priority,
            revision=revision,
            decided_at=self.now,
        )
        if person is not None and names is not None and (named, before.state) != (names, state):
            after = replace(after, revision=revision + 1)
            self._say(after, event, person, after.revision, Assertion.ASSERTED, rule, basis)
        if state is ClaimState.UNRESOLVED:  # said anew each time: its id needs a revision too
            after = replace(after, revision=revision + 1)
            self.changes.entries.append(outputs.unresolved_entry(after, event, self.now))
        self._claims.put(after)
        self.touched.add(after.key)
        self.changes.claims[event_id] = None
        self._worklist(before, after, event)
        if not state.open or state is not before.state:
            metrics.count("halyard_identity_outcomes_total", outcome=state, rule=rule)
        if person is not None and state is ClaimState.VERIFIED:
            self.keep(person, self.now + _VISIT_KEPT)

    def rekey(self, row: ClaimRow, key: str, *, stored: bool = True) -> ClaimRow:
        """The claim under the key of the patient that its own was merged into; unless `stored`,
        in this batch alone.
        """
        if stored:
            self.changes.claims[row.reported_event_id] = None
        self.touched.add(key)
        return self._claims.rekey(row, key)

    def say_again(self, row: ClaimRow, basis: str) -> None:
        """Assert a claim's person anew: what is known of the visit's patient has changed."""
        person = self.person(row.person)
        if person is not None:
            after = replace(row, revision=row.revision + 1)
            event, rule = self.event(row), row.rule
            self._say(after, event, person, after.revision, Assertion.ASSERTED, rule, basis)
            self._claims.put(after)
            self.changes.claims[row.reported_event_id] = None

    def _renamed(self, row: ClaimRow) -> ClaimRow:
        known = row.event is not None
        key = self.aliases.key_of(self.event(row)) if known else self.aliases.survivor(row.key)
        return replace(row, key=key)

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

    def _worklist(self, before: ClaimRow, after: ClaimRow, event: Reported) -> None:
        event_id = after.reported_event_id
        if after.state is ClaimState.UNRESOLVED:
            self.changes.worklist[event_id] = outputs.worklist_entry(after, event, self.now)
            self.changes.closed.pop(event_id, None)
        elif after.state in (ClaimState.VERIFIED, ClaimState.NOT_USED):
            self.changes.worklist.pop(event_id, None)
            if before.rule != NEW:
                self.changes.closed[event_id] = after.rule

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
        if known is None or longer or flagged or now_held.verified_at > held.verified_at:
            self._know(now_held)
            self.changes.persons.add(person.person)
        return newly

    def _know(self, person: KnownPerson) -> None:
        self._persons[person.person] = person
        for token in person.demographic_tokens:
            self._by_demographics[token].add(person.person)

    def _known(self, person: str) -> KnownPerson:
        known = self._persons.get(person)
        if known is None:
            raise ContractError("A claim names a person who is no longer in the local index.")
        return known

    # -- keys and traces

    def park_behind(self, key: str, trace_id: uuid.UUID) -> None:
        """Let a key without a trace of its own wait for another's (a visit under two keys)."""
        if key not in self._parked:
            self._park(ParkedKey(key, trace_id))

    def settle(self, key: str) -> list[ClaimRow]:
        """Make the key wait for the best question its open claims ask, or for nothing.

        A number asks better than names; the trace in flight is kept while it is as good. The
        trace gets the highest priority of anything that waits in the key (rule 7). Gives the open
        claims that wait for nothing any more: the caller must end them, and settle again.
        """
        open_claims = [row for row in self.of_key(key) if row.state.open]
        asking = [row for row in open_claims if row.priority and self.evidence(row).traceable]
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
        prints = [self.fingerprint(self.evidence(row)) for row in best]
        if current is None or current.fingerprint not in prints:
            current = self._trace(best[0], prints[0])
        self._raise(current, min(row.priority for row in asking if row.priority))
        self._park(ParkedKey(key, current.trace_id, _candidate(open_claims)))
        return []

    def fingerprint(self, evidence: Evidence) -> str:
        """The question a claim asks, single-flight."""
        if evidence.number_token is not None:
            return number_fingerprint(evidence.number_token)
        return f"search:{search_fingerprint(self.limits.keys, evidence)}"

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
