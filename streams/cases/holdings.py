"""What is held of cases in memory: configuration, what was loaded, what must be written."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Final

from halyard import ids
from halyard.nhs_number import NumberProfile, profile_for
from halyard.privacy import Keys
from halyard.settings import Settings
from policies.desk import Desk, open_desk
from policies.model import Policies, load_policies
from stores.case_messages import Thread
from stores.cases import Decided
from stores.directory import Directory
from stores.proposals import Proposal
from streams.cases.duplicates import Profile, profile_of
from streams.cases.model import CaseRow, Indication, Notification, Report, Request

PROFILES: Final = 20_000
"""So many profiles of notifications a worker remembers: some 40 MB."""

Statement = tuple[uuid.UUID, int]
"""A message's reported event, and the revision of what identity says of it."""


class Profiles:
    """Profiles made before, of statements that never change; the oldest make room."""

    def __init__(self, at_most: int = PROFILES, *, ranges: NumberProfile = "test") -> None:
        self._ranges = ranges
        self._made: dict[Statement, Profile] = {}
        self._at_most = at_most

    def of(self, note: Notification) -> Profile:
        """The notification's profile."""
        statement = (note.notified.event_id, note.revision)
        made = self._made.get(statement)
        if made is None:
            made = self._made[statement] = profile_of(note, ranges=self._ranges)
            while len(self._made) > self._at_most:
                del self._made[next(iter(self._made))]
        return made

    def get(self, statement: Statement) -> Profile | None:
        """The profile, if it is remembered."""
        return self._made.get(statement)


@dataclass(frozen=True, slots=True)
class World:
    """What decisions about cases look at besides the cases: configuration, never state."""

    keys: Keys
    directory: Directory
    due_days: int  # of a report request
    desk: Desk = field(compare=False)
    profiles: Profiles = field(default_factory=Profiles, compare=False)


def world_of(
    settings: Settings,
    keys: Keys,
    directory: Directory,
    policies: Policies | None = None,
    *,
    actor: str = "process:cases",
) -> World:
    """The world as it is configured; `actor` decides here. Raises `ConfigurationError` for sharing
    policies that cannot be used.
    """
    profiles = Profiles(ranges=profile_for(settings.profile))
    if policies is None and settings.policies.directory is not None:
        policies = load_policies(settings.policies.directory)
    desk = open_desk(policies, directory, keys, actor)
    return World(keys, directory, settings.cases.report_due_days, desk, profiles)


def case_id_of(source: str, source_patient: str) -> uuid.UUID:
    """Id of the case that a notification opens."""
    return ids.derive("case", source, source_patient)


Pair = tuple[uuid.UUID, uuid.UUID]


@dataclass(slots=True)
class Loaded:
    """What there is of the cases. Change what is indexed by the methods alone."""

    rows: dict[uuid.UUID, CaseRow] = field(default_factory=dict)
    decided: dict[uuid.UUID, Decided] = field(default_factory=dict)
    notes: dict[uuid.UUID, Notification] = field(default_factory=dict)  # by the case each opened
    reports: dict[Thread, Report] = field(default_factory=dict)
    requests: dict[uuid.UUID, Request] = field(default_factory=dict)
    proposals: dict[Pair, Proposal] = field(default_factory=dict)
    indications: dict[str, tuple[Indication, ...]] = field(default_factory=dict)  # by person
    members: dict[uuid.UUID, set[uuid.UUID]] = field(default_factory=dict)  # merged into it
    reports_of: dict[uuid.UUID, set[Thread]] = field(default_factory=dict)
    requests_of: dict[uuid.UUID, set[uuid.UUID]] = field(default_factory=dict)
    pairs_of: dict[uuid.UUID, set[Pair]] = field(default_factory=dict)

    def put_decided(self, decided: Decided) -> None:
        """What people decided of a case from now on."""
        before = self.decided.get(decided.case_id)
        if before is not None and before.merged_into is not None:
            self.members[before.merged_into].discard(decided.case_id)
        if decided.merged_into is not None:
            self.members.setdefault(decided.merged_into, set()).add(decided.case_id)
        self.decided[decided.case_id] = decided

    def put_report(self, thread: Thread, report: Report) -> None:
        """A report from now on."""
        before = self.reports.get(thread)
        if before is not None and before.case_id is not None:
            self.reports_of[before.case_id].discard(thread)
        if report.case_id is not None:
            self.reports_of.setdefault(report.case_id, set()).add(thread)
        self.reports[thread] = report

    def put_request(self, request: Request) -> None:
        """A request from now on; its case is always the same."""
        self.requests[request.request_id] = request
        self.requests_of.setdefault(request.case_id, set()).add(request.request_id)

    def put_proposal(self, proposal: Proposal) -> None:
        """A proposal from now on."""
        key = (proposal.one, proposal.other)
        self.proposals[key] = proposal
        for end in key:
            self.pairs_of.setdefault(end, set()).add(key)


@dataclass(slots=True)
class Touched:
    """What must be written."""

    notes: set[uuid.UUID] = field(default_factory=set)
    reports: set[Thread] = field(default_factory=set)
    requests: set[uuid.UUID] = field(default_factory=set)
    decided: set[uuid.UUID] = field(default_factory=set)
    proposals: set[Pair] = field(default_factory=set)
    tokens: dict[uuid.UUID, tuple[str, ...]] = field(default_factory=dict)

    @property
    def written(self) -> set[uuid.UUID]:
        """The cases whose notifications or decisions must be written."""
        return self.notes | self.decided
