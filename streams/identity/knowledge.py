"""What one batch knows: claims, people, parked keys and traces, as they stand now.

In memory, without I/O. `streams.identity.ledger` decides on it and says what is to be written.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final

from connectors.persons import shared_local_id
from halyard.errors import ContractError
from schemas import codec
from schemas.events import AttendanceReported
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from stores.merges import Merge
from stores.outbox import Entry
from stores.parked import ParkedKey
from stores.trace_requests import TraceRequest
from streams.identity.aliases import Aliases
from streams.identity.changes import Changes, Limits
from streams.identity.evidence import (
    Evidence,
    Reported,
    Standing,
    about_person,
    evidence_in,
    number_fingerprint,
    search_fingerprint,
    standing,
)
from streams.identity.index import ClaimIndex

INVALIDATED: Final = ("pds.invalidated", "number-invalidated")
"""Rules of what was sent under an invalidated number: it is given to nobody (ADR 0047)."""


class Knowledge:
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
        inactive: Iterable[str] = (),
    ) -> None:
        self.limits = limits
        self.now = now
        self.changes = Changes()
        self._new_id = new_id
        self.aliases = Aliases(merges)
        self.touched: set[str] = set()  # keys of which something was decided (`merging.settle`)
        self.inactive = set(
            inactive
        )  # pseudonyms of invalidated numbers, as far as they matter here
        self._taken_back: dict[uuid.UUID, tuple[str, Entry]] = {}
        self._claims = ClaimIndex()
        self.sharing = self._claims.sharing
        self.around = self._claims.around
        self.of_key = self._claims.of_key
        self.unsure = self._claims.unsure
        self.in_state = self._claims.in_state
        self.versions = self._claims.versions
        self.of_visit = self._claims.of_visit
        self._events: dict[uuid.UUID, Reported] = {}
        self._evidence = dict(evidence or {})
        self._standings: dict[tuple[uuid.UUID, str | None, str, datetime], Standing] = {}
        self._persons: dict[str, KnownPerson] = {}
        self._successors: dict[str, str] = {}  # of superseded numbers
        self._by_demographics: dict[str, set[str]] = defaultdict(set)
        self._parked = {one.key: one for one in parked}
        self._traces: dict[uuid.UUID, TraceRequest] = {}
        self._live: dict[str, uuid.UUID] = {}
        for claim in claims:
            self._claims.add(self._renamed(claim) if self.aliases else claim)
            if claim.rule in INVALIDATED and claim.number_token is not None:
                self.inactive.add(claim.number_token)
        for person in persons:
            self._know(person)
        self.learn_traces(traces)

    def learn_traces(self, traces: Iterable[TraceRequest]) -> None:
        """Know these requests; live ones are shared by whoever asks the same."""
        for trace in traces:
            self._traces[trace.trace_id] = trace
            if trace.state in ("queued", "leased"):
                self._live[trace.fingerprint] = trace.trace_id

    def questions(self) -> set[str]:
        """Fingerprints of what claims that are not verified would ask PDS."""
        rows = [row for row in self._claims if row.state is not ClaimState.VERIFIED]
        deaths = [row for row in rows if row.version is not None]
        asking = [row for row in rows if row.version is None and row.event is not None]
        # of deaths only what is open asks, and the rows say of most what: none need be read
        asking += [row for row in deaths if row.state.open and row.number_token is None]
        tokens = {row.number_token for row in deaths if row.state.open and row.number_token}
        asked = [one for one in map(self.evidence, asking) if one.traceable]
        return {*map(number_fingerprint, tokens), *map(self.fingerprint, asked)}

    def naming(self, person: str) -> list[ClaimRow]:
        """The claims that name a person, in the order they were taken."""
        return [row for row in self._claims if row.person == person]

    def find(self, event_id: uuid.UUID) -> ClaimRow | None:
        """A claim as it stands now, if it is here."""
        return self._claims.get(event_id)

    def claim(self, event_id: uuid.UUID) -> ClaimRow:
        """A claim as it stands now."""
        return self._claims[event_id]

    def event(self, row: ClaimRow) -> Reported:
        """The reported event. Raises `ContractError` if retention has emptied it."""
        if row.reported_event_id not in self._events:
            decoded = codec.decode(row.event)
            if not isinstance(decoded, Reported):
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
            found = evidence_in(event, keys=limits.keys, profile=limits.profile)
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
        """A known person; of a superseded number, whom it stands for now."""
        if person is None:
            return None
        return self._persons.get(person) or self._persons.get(self._successors.get(person, ""))

    def standing(self, row: ClaimRow, person: KnownPerson) -> Standing:
        """How a claim stands to a person."""
        evidence = self.evidence(row)
        # each message of a notification may be compared with its person anew
        known = (row.reported_event_id, evidence.number_token, person.person, person.verified_at)
        if known not in self._standings:
            self._standings[known] = standing(evidence, person)
        return self._standings[known]

    def flagged(self, evidence: Evidence) -> tuple[Standing, ...]:
        """Flagged people who share number or family name and birth date, likeliest first."""
        wanted = {evidence.number_token} | self._by_demographics.get(
            evidence.demographic_token or "", set()
        )
        known = [self.person(one) for one in wanted]
        people = {one.person: one for one in known if one is not None}.values()
        found = [standing(evidence, person) for person in people if person.flagged]
        found.sort(key=lambda one: (not one.number, not one.all_but_number, one.person.person))
        return tuple(found)

    def parked(self, key: str) -> ParkedKey | None:
        """The key's trace and candidate, if it is parked."""
        return self._parked.get(key)

    def trace(self, trace_id: uuid.UUID) -> TraceRequest:
        """A trace request as it stands now."""
        return self._traces[trace_id]

    def lately(self, person: KnownPerson) -> bool:
        """Whether PDS verified the person lately enough to name them again without asking it."""
        # PDS may have restricted a flagged child since: told of as before, but asked again. Who is
        # restricted already stays on the safe path, and must not wait for PDS each day
        window = self.limits.verified_for
        if person.flagged and not person.restricted:
            window = min(window, self.limits.flagged_recheck)
        return person.verified_at > self.now - window

    def recent(self, row: ClaimRow) -> bool:
        """Received within the window in which claims are decided anew, and still readable."""
        return row.event is not None and row.received_at > self.now - self.limits.backmatch

    def of_old_life(self, row: ClaimRow) -> bool:
        """Whether a claim was sent under an invalidated number: nothing but that number's own
        record may ever be its person, whatever its hospital says of others."""
        if row.state is ClaimState.VERIFIED:
            return False
        return row.rule in INVALIDATED or row.number_token in self.inactive

    def barred(self, event: Reported, evidence: Evidence, key: str) -> bool:
        """Whether nobody may be looked for by an event's names: its number is invalidated, or it
        has none, and one of its patient or visit has such a number. Names of the old life might
        lead to the new one."""
        if evidence.number_token is not None:
            return evidence.number_token in self.inactive
        claim = event.claim
        shared = shared_local_id(claim.local_id if claim else None)
        near = [] if shared else self.of_key(key)
        if isinstance(event, AttendanceReported) and not about_person(event):
            near = [*near, *self.of_visit(event.visit_id)]
        return any(self.of_old_life(one) for one in near)

    def unsearchable(self, row: ClaimRow) -> bool:
        """Whether a claim without a number is `barred`."""
        if self.evidence(row).number_token is not None:
            return False
        return self.barred(self.event(row), self.evidence(row), row.key)

    def _renamed(self, row: ClaimRow) -> ClaimRow:
        known = row.event is not None
        key = self.aliases.key_of(self.event(row)) if known else self.aliases.survivor(row.key)
        return replace(row, key=key)

    def _know(self, person: KnownPerson) -> None:
        self._persons[person.person] = person
        for token in person.demographic_tokens:
            self._by_demographics[token].add(person.person)
        for old in person.former:
            self._successors[old] = person.person

    def _known(self, person: str) -> KnownPerson:
        known = self._persons.get(person)
        if known is None:
            raise ContractError("A claim names a person who is no longer in the local index.")
        return known

    def fingerprint(self, evidence: Evidence) -> str:
        """The question a claim asks, single-flight."""
        if evidence.number_token is not None:
            return number_fingerprint(evidence.number_token)
        return f"search:{search_fingerprint(self.limits.keys, evidence)}"
