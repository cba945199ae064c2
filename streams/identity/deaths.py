"""Takes a message about a death: told at once, its person verified now, later or never.

A death never waits for its number (ADR 0025): whatever the ladder says, the message goes on to the
cases in the same transaction, and again with a higher revision when more is known of its person.
It is never told provisionally. All messages of one notification (or report) have one key and are
of one person, unless they contradict.
"""

from __future__ import annotations

from dataclasses import replace

from schemas import codec
from schemas.deaths import DeathNotified, ReportSubmitted
from schemas.events import NhsNumberStatus
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from streams.identity import ladder, notifications, numbers, release
from streams.identity.answers import Judgement
from streams.identity.death_ladder import DeathFacts, Need, decide, need_of
from streams.identity.evidence import Death, Evidence, standing
from streams.identity.ledger import NEW, Ledger


def take(ledger: Ledger, event: Death, traceparent: str) -> None:
    """Decide a new message, and with it what else of its notification it decides."""
    event = numbers.choose(ledger, event)
    evidence = ledger.weigh(event)
    row = ClaimRow(
        reported_event_id=event.event_id,
        key=event.source_patient,
        event_kind="death" if isinstance(event, DeathNotified) else "report",
        visit_id=None,
        state=ClaimState.WAITING,
        rule=NEW,
        indicator=NhsNumberStatus.UNKNOWN,
        received_at=event.received_at,
        decided_at=ledger.now,
        traceparent=traceparent,
        number_token=evidence.number_token,
        demographic_token=evidence.demographic_token,
        version=event.version,
        request_id=event.request_id if isinstance(event, ReportSubmitted) else None,
        event=codec.encode(replace(event, message=b"")),
    )
    facts = facts_of(ledger, event, evidence, row)
    decision = decide(facts)
    if decision.state is ClaimState.NOT_USED:
        row = replace(row, event=None, number_token=None, demographic_token=None)
    ledger.open_claim(row, event)
    if decision.person is not None:
        verify(ledger, row, decision.person, decision.rule, decision.basis)
    elif decision.state is ClaimState.WAITING:
        release.wait(ledger, row, decision.rule, decision.priority)
    else:
        indicator = ladder.indicator(decision.state, evidence)
        lacks = decision.state is ClaimState.UNRESOLVED
        state = notifications.unnamed(ledger, row) if lacks else decision.state
        ledger.transition(row, state, decision.rule, indicator)
    if facts.need is Need.NOTHING:
        notifications.settle_earlier(ledger, row, decision.rule)


def verify(ledger: Ledger, row: ClaimRow, person: KnownPerson, rule: str, basis: str) -> None:
    """A message's person is verified, and is that of all others of its notification that they fit:
    nobody need find the number of the earlier ones any more.
    """
    release.verify(ledger, row, person, rule, basis)
    notifications.settle_earlier(ledger, row, rule)


def refuse(ledger: Ledger, row: ClaimRow, one: Judgement) -> None:
    """PDS did not verify a message that asked it."""
    ledger.transition(row, notifications.unnamed(ledger, row), one.rule, one.indicator)


def facts_of(ledger: Ledger, event: Death, evidence: Evidence, row: ClaimRow) -> DeathFacts:
    """What the ladder looks at, before the message's own claim is in the ledger."""
    numbered = ledger.person(evidence.number_token)
    return DeathFacts(
        evidence=evidence,
        need=need_of(event, adult_age=ledger.limits.adult_age),
        by_number=standing(evidence, numbered) if numbered is not None else None,
        recent=numbered is not None and ledger.lately(numbered),
        of_key=notifications.of_whom(ledger, row, event),
        parked=ledger.parked(row.key) is not None,
    )
