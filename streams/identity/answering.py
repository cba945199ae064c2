"""Carries an answer of PDS to every claim that waits for it, key by key."""

from __future__ import annotations

from dataclasses import replace

from connectors.pds.outcomes import Bug, NotSearchable, PdsRecord, TooMany
from schemas.events import FlagSubmitted
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from stores.trace_requests import TraceRequest
from streams.identity import deaths, doubts, flags, release
from streams.identity.answers import Judgement, TraceAnswer, judge, refusal, with_former_names
from streams.identity.evidence import Death, known_person
from streams.identity.ledger import Ledger


def answer(
    ledger: Ledger,
    trace: TraceRequest,
    keys: list[str],
    said: TraceAnswer,
    *,
    doubted: str | None = None,
) -> None:
    """Decide anew what waits in `keys` behind `trace`, and end the trace. `doubted`: whose number
    leads to a contradicting record; until a person has looked, no alert of theirs is taken back.

    Claims that asked this question are judged by the answer itself; others of their key go with
    the person it verified if they fit them (rule ``key-evidence``); the rest ask their own.
    """
    ledger.finish(trace, said.outcome.rule)
    waiting = [row for key in keys for row in ledger.of_key(key) if row.state.open]
    judged = [
        (row, judge(said, ledger.evidence(row), ledger.limits.thresholds))
        for row in waiting
        if ledger.fingerprint(ledger.evidence(row)) == trace.fingerprint
        # asked before its patient or visit had an invalidated number: its answer counts no more
        and (row.state is not ClaimState.WAITING or not ledger.unsearchable(row))
    ]
    verified = [(row, one, one.record) for row, one in judged if one.record is not None]
    for row, one, record in verified:
        verify(ledger, row, one, person_in(ledger, record, said))
    if verified:
        _release_keys(ledger, waiting, verified, said)
    told = not isinstance(said.outcome, Bug)
    for row, one in judged:  # what only follows is ended when its key settles
        state = ledger.claim(row.reported_event_id).state
        # No readable answer takes nothing back: a provisional claim's key asks anew
        if row.priority and state.open and (told or state is ClaimState.WAITING):
            refuse(ledger, row, one, said, doubted=doubted)
    _doubt_candidates(ledger, judged, waiting)
    release.settle(ledger, keys)


def person_in(ledger: Ledger, record: PdsRecord, said: TraceAnswer) -> KnownPerson:
    """Whom PDS answered with, verified now."""
    keys, now = ledger.limits.keys, ledger.now
    found = known_person(record, keys=keys, verified_at=now, keep_until=now)
    return with_former_names(said, found, ledger.person(found.person), keys)


def verify(ledger: Ledger, row: ClaimRow, one: Judgement, person: KnownPerson) -> None:
    """A claim is this person's, with all that follows from it."""
    row = ledger.claim(row.reported_event_id)
    if row.state is ClaimState.VERIFIED:
        return  # released by another claim of its visit
    if row.event_kind == "flag":
        flags.hold(ledger, row, person, one.rule, one.basis, superseded=one.superseded)
    elif isinstance(ledger.event(row), Death):
        deaths.verify(ledger, row, person, one.rule, one.basis)
    else:
        release.verify(ledger, row, person, one.rule, one.basis)


def _release_keys(
    ledger: Ledger,
    waiting: list[ClaimRow],
    verified: list[tuple[ClaimRow, Judgement, PdsRecord]],
    said: TraceAnswer,
) -> None:
    """Flags of a verified key; its attendances went along in `release.verify`."""
    found = {row.key: (row, person_in(ledger, record, said)) for row, _, record in verified}
    for seen in waiting:
        row = ledger.claim(seen.reported_event_id)
        if row.key not in found or row.event_kind != "flag" or not row.state.open:
            continue
        leader, person = found[row.key]
        if release.goes_with(ledger, row, leader, person):
            flags.release_compatible(ledger, row, person)


def refuse(
    ledger: Ledger,
    row: ClaimRow,
    one: Judgement,
    said: TraceAnswer,
    *,
    doubted: str | None = None,
) -> None:
    """PDS did not verify a claim. `doubted`: as in `answer`."""
    row = ledger.claim(row.reported_event_id)
    event = ledger.event(row)
    waits = doubts.postponed(said, ledger.evidence(row), event.received_at)
    if waits is not None:
        one = replace(one, indicator=waits)
    if isinstance(event, Death):
        deaths.refuse(ledger, row, one)
        ledger.doubt(row, doubts.shown(said, one))
        return
    likely = one.potential
    # Neither proven nor contradicted: the provisional alert stands until a person decides
    stands = likely is not None and row.person == ledger.limits.keys.person(likely.nhs_number)
    stands = stands or _still_fits(ledger, row, said)
    stands = stands or (doubted is not None and row.person == doubted)
    ledger.transition(row, ClaimState.UNRESOLVED, one.rule, one.indicator, stands=stands)
    ledger.doubt(row, doubts.shown(said, one))
    if isinstance(event, FlagSubmitted):
        ledger.answer(row, refusal(said))


def _still_fits(ledger: Ledger, row: ClaimRow, said: TraceAnswer) -> bool:
    """Whether `said` names nobody, and the person a claim goes on for is one it may be of. Who is
    restricted is never named without proof.
    """
    if row.person is None or not isinstance(said.outcome, TooMany | NotSearchable):
        return False
    person = ledger.person(row.person)
    if person is None or person.restricted:
        return False
    return ledger.standing(row, person).uncontradicted


def _doubt_candidates(
    ledger: Ledger, judged: list[tuple[ClaimRow, Judgement]], waiting: list[ClaimRow]
) -> None:
    """Take back what only followed a candidate whom the answer did not confirm."""
    refuted = {
        (row.key, row.person)
        for row, _ in judged
        if row.person and ledger.claim(row.reported_event_id).person != row.person
    }
    people = {person for _, person in refuted}
    for seen in waiting:
        row = ledger.claim(seen.reported_event_id)
        if row.state is ClaimState.PROVISIONAL and row.priority is None and row.person in people:
            release.wait(ledger, row, "behind-trace", None)
