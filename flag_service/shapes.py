"""The JSON of this room's routes, as OpenAPI documents it. Nothing is checked against these at run
time; a test makes requests from the document and compares what comes back.

A member that a sharing policy may withhold is null then. Members are only ever added.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field

# --- Alerts -----------------------------------------------------------------------------------


class AlertView(BaseModel):
    """An alert as it stands; of one that is withheld since only id, version, state, changed_at."""

    alert_id: UUID
    version: int = Field(ge=1)
    state: Literal["raised", "accepted", "closed", "withdrawn", "withheld"]
    changed_at: datetime | None
    withheld_by: Literal["policy"] | None = Field(
        default=None, description="A sharing policy withholds it; else its child is restricted."
    )


class AlertPage(BaseModel):
    """Alerts by change."""

    alerts: list[AlertView]
    next: str | None = Field(description="`after` of the next page; it never goes back.")
    more: bool


class Accepted(BaseModel):
    """An alert after its acceptance."""

    alert_id: UUID
    version: int = Field(ge=1)
    round: int = Field(ge=1)
    state: str
    accepted_at: datetime | None
    accepted_by: str | None
    answer: str | None
    changed: bool = Field(description="False: it was accepted before, and stays as it was.")


# --- Worklist ---------------------------------------------------------------------------------


class WorklistView(BaseModel):
    """A record that matches nobody yet."""

    entry_id: UUID
    kind: str
    rule: str
    words: str | None
    indicator: str
    local_id: str | None
    upload_id: UUID | None
    line: int | None
    opened_at: datetime
    age_seconds: int = Field(ge=0)
    claimed_by: str | None = Field(description="Who has it in hand now.")
    claimed_until: datetime | None
    question: str | None = Field(description="What its sender is asked.")
    asked_at: datetime | None
    next_try_at: datetime | None = Field(description="When PDS is asked again by itself.")
    tries: int = Field(ge=0, description="How often that was done.")
    ends_at: datetime | None = Field(description="When it ends if nobody resolves it.")


class WorklistSent(BaseModel):
    """Of whom the record is, as the organisation sent it."""

    nhs_number: str | None
    family: str | None
    given: list[str]
    birth_date: str | None
    gender: str | None
    plan_type: str | None = Field(default=None, description="Of a flag.")


class WorklistCandidate(BaseModel):
    """A record that PDS named without proof: only whether its fields agree with what was sent."""

    rule: str
    found_by: Literal["number", "search"]
    fields: dict[str, str]


class WorklistDecision(BaseModel):
    """What somebody decided, and what came of it."""

    decision_id: UUID
    action: Literal["resolve", "reject", "ask", "retry", "undo"]
    code: str | None
    despite: list[str]
    scheduled: bool
    by: str
    reason: str
    at: datetime
    state: Literal["waiting", "asked", "done", "refused"]
    outcome: str | None
    words: str | None
    ended_at: datetime | None


class WorklistItem(WorklistView):
    """One entry."""

    claim: WorklistSent | None
    candidates: list[WorklistCandidate]
    closed_at: datetime | None
    closed_rule: str | None
    closed_words: str | None
    ended_by: str | None
    ended_reason: str | None
    decisions: list[WorklistDecision]


class WorklistDecided(BaseModel):
    """A decision was taken; what comes of it stands with the entry."""

    entry_id: UUID
    decision_id: UUID
    action: Literal["resolve", "reject", "ask", "retry", "undo"]
    state: Literal["waiting", "asked", "done", "refused"]
    changed: bool = Field(description="False: the same was decided before.")


class WorklistPage(BaseModel):
    """Open entries, the oldest first."""

    entries: list[WorklistView]
    next: str | None
    more: bool


# --- The process, and who asks ----------------------------------------------------------------


class Livez(BaseModel):
    """The process runs."""

    status: Literal["pass"]


class Readyz(BaseModel):
    """Whether it can do its work, and why not."""

    status: Literal["pass", "fail"]
    reasons: dict[str, str]


class Status(BaseModel):
    """In the form of NHS APIs."""

    status: Literal["pass", "warn", "fail"]
    version: str
    checks: dict[str, list[dict[str, str]]]


class May(BaseModel):
    """A route that the caller may use."""

    method: str
    route: str
    right: str
    scope: str
    purpose: bool


class Me(BaseModel):
    """Who the hub takes the caller for."""

    organisation: str
    organisation_name: str | None
    subject: str
    name: str | None
    person: bool
    job_role: str | None
    credential: str
    expires_at: datetime | None
    roles: list[str]
    may: list[May]


class SessionView(BaseModel):
    """Who is logged in."""

    organisation: str
    subject: str
    name: str | None
    job_role: str | None
    roles: list[str]
    credential: str
    ends_at: datetime | None
    idle_seconds: int | None
    csrf_token: str | None
