"""What PDS is asked for a decision about a worklist entry, one number at a time."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Final

from connectors.pds.search import QUERIES_AT_MOST
from schemas import codec
from schemas.events import PersonClaim
from stores.claims import ClaimRow, ClaimState
from stores.resolutions import Resolution
from stores.trace_requests import LEAST_URGENT, TraceRequest
from stores.worklist import WorklistEntry
from streams.identity import resolutions as decisions
from streams.identity.changes import Limits
from streams.identity.evidence import Evidence, Reported, evidence_in

GONE: Final = "resolution.record_gone"
PERSON_WAITS: Final = 2
"""Priority of what a person resolves."""
_AGAIN: Final = {"flag": 4}
"""Priority of what a person has asked again."""
_AGAIN_OTHERS: Final = 5


def question(
    order: Resolution,
    row: ClaimRow,
    limits: Limits,
    new_id: Callable[[], uuid.UUID],
    *,
    after: str | None = None,
) -> TraceRequest | None:
    """The next question of a decision; None if there is nothing to ask.

    Of a resolution first each number that was sent, where a person names another: an invalidated
    one is joined to nothing (ADR 0047). Then the number that was named. `after`: the token of the
    number that was answered last.
    """
    evidence = _evidence(row, limits)
    if order.action != "resolve":
        if evidence is None or not evidence.traceable:
            return None
        token = evidence.number_token or evidence.demographic_token or ""
        urgency = _AGAIN.get(row.event_kind, _AGAIN_OTHERS)
        if order.scheduled:  # it may be many queries of many entries: whatever came in goes before
            urgency = LEAST_URGENT
        return _request(order, evidence.claim, token, urgency, new_id)
    if not order.number or not order.person:
        return None
    sent = _sent(evidence) if evidence is not None else {}
    sent.pop(order.person, None)
    left = [token for token in sorted(sent) if after is None or token > after]
    token, number = (left[0], sent[left[0]]) if left else (order.person, order.number)
    return _request(order, PersonClaim(nhs_number=number), token, PERSON_WAITS, new_id)


def hindrance(entry: WorklistEntry | None, row: ClaimRow | None) -> str | None:
    """Why PDS need not be asked: what `streams.identity.resolutions` would say in the end."""
    if row is None or row.event is None:
        return GONE
    if entry is None or entry.closed_at is not None or row.state is not ClaimState.UNRESOLVED:
        return decisions.OVERTAKEN
    return decisions.LINE_REUSED if row.rule == decisions.REUSED_LINE else None


def is_last(order: Resolution, trace: TraceRequest) -> bool:
    """Whether the answer decides: it is of the number that a person named, or of a retry."""
    return order.action != "resolve" or trace.token == order.person


def _sent(evidence: Evidence) -> dict[str, str]:
    """The usable numbers of what was sent, by token."""
    token, number = evidence.number_token, evidence.claim.nhs_number
    return {**evidence.others, **({token: number} if token and number else {})}


def _evidence(row: ClaimRow, limits: Limits) -> Evidence | None:
    if row.event is None:
        return None
    event = codec.decode(row.event)
    if not isinstance(event, Reported):
        return None
    return evidence_in(event, keys=limits.keys, profile=limits.profile)


def _request(
    order: Resolution,
    claim: PersonClaim,
    token: str,
    urgency: int,
    new_id: Callable[[], uuid.UUID],
) -> TraceRequest:
    search = claim.nhs_number is None
    return TraceRequest(
        trace_id=new_id(),
        fingerprint=f"resolution:{order.resolution_id}",
        token=token,
        kind="search" if search else "get",
        priority=urgency,
        claim=claim,
        organisation=order.organisation,
        request_ids=tuple(new_id() for _ in range(QUERIES_AT_MOST if search else 1)),
        purpose="resolution",
    )
