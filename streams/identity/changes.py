"""What the ladder is told, and what it wants written."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from connectors.pds.comparison import DEFAULT_THRESHOLDS, Thresholds, thresholds_of
from halyard.nhs_number import NumberProfile, profile_for
from halyard.privacy import Keys
from halyard.settings import Settings
from stores.directory import Directory
from stores.merges import Merge
from stores.outbox import Entry
from stores.trace_requests import TraceRequest
from stores.uploads import Answer
from stores.worklist import Notice, WorklistEntry


@dataclass(frozen=True, slots=True)
class Limits:
    """The ladder's settings, and who is connected."""

    keys: Keys
    profile: NumberProfile
    directory: Directory
    verified_for: timedelta
    flagged_recheck: timedelta
    backmatch: timedelta
    adult_age: int
    worklist_retries: tuple[timedelta, ...] = ()  # from the opening of an entry
    thresholds: Thresholds = DEFAULT_THRESHOLDS


@dataclass(slots=True)
class Changes:
    """What is to be written, in this order of kinds."""

    finished: dict[uuid.UUID, str] = field(default_factory=dict)
    claims: dict[uuid.UUID, None] = field(default_factory=dict)
    persons: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)
    new_traces: list[TraceRequest] = field(default_factory=list)
    priorities: dict[uuid.UUID, int] = field(default_factory=dict)
    left_traces: set[uuid.UUID] = field(default_factory=set)
    entries: list[Entry] = field(default_factory=list)
    worklist: dict[uuid.UUID, WorklistEntry] = field(default_factory=dict)
    closed: dict[uuid.UUID, str] = field(default_factory=dict)
    # of which notifications older entries are closed: of versions below, by which rule
    settled: dict[Notice, tuple[int, str]] = field(default_factory=dict)
    # of which authority's child which plan is held, by a record received then
    resent: dict[tuple[str, str], datetime] = field(default_factory=dict)
    answers: dict[uuid.UUID, Answer] = field(default_factory=dict)
    merges: list[Merge] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)  # source patients whose place is hidden
    reused: dict[uuid.UUID, tuple[uuid.UUID, int]] = field(default_factory=dict)
    # whom each event is verified of by now, and of whom which event is no longer: with these go
    # identifiers and siblings (`streams.identity.identifiers`)
    stated: dict[uuid.UUID, str] = field(default_factory=dict)
    unstated: set[tuple[str, uuid.UUID]] = field(default_factory=set)


def limits_of(settings: Settings, keys: Keys, directory: Directory) -> Limits:
    """The limits in `settings`."""
    return Limits(
        keys=keys,
        profile=profile_for(settings.profile),
        directory=directory,
        verified_for=timedelta(days=settings.identity.verified_for_days),
        flagged_recheck=timedelta(hours=settings.identity.flagged_recheck_hours),
        backmatch=timedelta(hours=settings.identity.backmatch_hours),
        adult_age=settings.identity.adult_age_years,
        worklist_retries=tuple(
            timedelta(hours=hours) for hours in settings.identity.worklist_retry_hours
        ),
        thresholds=thresholds_of(settings.pds),
    )
