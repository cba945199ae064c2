"""Entries of the worklist as they are shown."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from flag_service.worklist_words import words
from halyard.settings import IdentitySettings
from stores.resolutions import Resolution
from stores.worklist import WorklistEntry


def row(entry: WorklistEntry, settings: IdentitySettings, now: datetime) -> dict[str, Any]:
    """An entry as lists have it: nothing of a person but the organisation's own id."""
    rule = entry.shown_rule or entry.rule
    held = entry.claimed(now)
    return {
        "entry_id": str(entry.entry_id),
        "kind": entry.event_kind,
        "rule": rule,
        "words": words(rule),
        "indicator": entry.indicator,
        "local_id": entry.local_id,
        "upload_id": str(entry.upload_id) if entry.upload_id else None,
        "line": entry.line,
        "opened_at": entry.opened_at.isoformat(),
        "age_seconds": max(int((now - entry.opened_at).total_seconds()), 0),
        "claimed_by": (entry.claimed_name or entry.claimed_by) if held else None,
        "claimed_until": _iso(entry.claimed_until) if held else None,
        "question": entry.question,
        "asked_at": _iso(entry.asked_at),
        "next_try_at": _iso(entry.next_try_at),
        "tries": entry.tries,
        "ends_at": _iso(_ends(entry, settings)),
    }


def item(
    entry: WorklistEntry,
    decisions: Sequence[Resolution],
    settings: IdentitySettings,
    now: datetime,
) -> dict[str, Any]:
    """One entry with what was sent, candidates, and what was decided."""
    ended = entry.closed_rule
    return {
        **row(entry, settings, now),
        "claim": entry.claim,
        "candidates": list(entry.candidates),
        "closed_at": _iso(entry.closed_at),
        "closed_rule": ended,
        "closed_words": words(ended),
        "ended_by": entry.ended_name or entry.ended_by,
        "ended_reason": entry.ended_reason,
        "decisions": [_decision(one) for one in decisions],
    }


def _decision(one: Resolution) -> dict[str, Any]:
    return {
        "decision_id": str(one.resolution_id),
        "action": one.action,
        "code": one.code,
        "despite": list(one.despite),
        "scheduled": one.scheduled,
        "by": one.made_by_name or one.made_by,
        "reason": one.reason,
        "at": one.made_at.isoformat(),
        "state": one.state,
        "outcome": one.outcome,
        "words": words(one.outcome),
        "ended_at": _iso(one.ended_at),
    }


def _ends(entry: WorklistEntry, settings: IdentitySettings) -> datetime | None:
    """When an open entry ends by itself."""
    if entry.closed_at is not None:
        return None
    visit = entry.event_kind == "attendance" and not entry.rule.startswith("merge-")
    if visit and entry.person is None:  # else an alert stands of it
        taken_back = entry.decided_at if entry.rule == "resolution-withdrawn" else None
        since = max(entry.opened_at, taken_back or entry.opened_at)
        return since + timedelta(hours=settings.backmatch_hours)
    return entry.opened_at + timedelta(days=settings.worklist_days)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
