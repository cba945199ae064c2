"""Takes a merge of two of a hospital's patients, and shares among merged patients what is verified.

A merge is the hospital's word that two ids are one patient's: it moves events to the surviving id
and lets evidence count for both. It never takes a person away who was verified by contradicting
evidence: a wrong merge goes to the worklist, and all alerts stand (ADR 0017).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from connectors.persons import shared_local_id
from schemas.events import AttendanceReported, NhsNumberStatus, VisitEventKind
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from stores.merges import Merge
from streams.identity import attendances, corrections, merge_words, release
from streams.identity.corrections import MERGED
from streams.identity.evidence import is_merge
from streams.identity.ledger import Ledger

CONFLICT: Final = "merge-conflict"
_ENDED: Final = (ClaimState.UNRESOLVED, ClaimState.NOT_TRACED)


def hear(ledger: Ledger, event: AttendanceReported, traceparent: str) -> None:
    """Take an attendance, or a merge, with all that follows from it."""
    if event.kind is VisitEventKind.MERGE:
        take(ledger, event, traceparent)
    else:
        attendances.take(ledger, event, traceparent)
    settle(ledger)
    for told in merge_words.for_lacking(ledger, event):
        attendances.take(ledger, told, traceparent)
    settle(ledger)


def take(ledger: Ledger, event: AttendanceReported, traceparent: str) -> None:
    """Follow a merge from now on; its own claim ends not used, or as a conflict (`settle`)."""
    merge = merge_words.merge_of(event)
    row = attendances.new_claim(ledger, event, ledger.weigh(event), traceparent)
    row = replace(row, number_token=None, demographic_token=None)
    ledger.open_claim(row, event)
    rule = "merge-incomplete" if merge is None else MERGED
    ledger.transition(row, ClaimState.NOT_USED, rule, NhsNumberStatus.NOT_PRESENT)
    if merge is None:
        return
    _follow(ledger, merge)
    if ledger.aliases.crowded(merge.surviving_key):
        resolve = NhsNumberStatus.NEEDS_RESOLUTION
        ledger.transition(row, ClaimState.UNRESOLVED, merge_words.TOO_MANY, resolve)


def _follow(ledger: Ledger, merge: Merge) -> None:
    aliases = ledger.aliases
    survivor = aliases.survivor(merge.retired_key)
    concerned = ledger.of_key(survivor)
    movable = [row for row in concerned if row.event is not None and not _past(ledger, row)]
    before = {row.reported_event_id: aliases.patient_of(ledger.event(row)) for row in movable}
    if not aliases.add(merge):
        return
    ledger.changes.merges.append(merge)
    touched: set[str] = set()
    for seen in concerned:
        if seen.reported_event_id not in before:
            # too old to be moved: it only counts under the key that stands for its own by now
            if seen.key != (key := aliases.survivor(seen.key)):
                ledger.rekey(seen, key, stored=False)
            continue
        event = ledger.event(seen)
        row, key = seen, aliases.key_of(event)
        if key != row.key:
            touched |= {row.key, key}
            row = ledger.rekey(row, key)
        if row.person is not None and aliases.patient_of(event) != before[row.reported_event_id]:
            ledger.say_again(row, "merge")
    release.settle(ledger, touched)


def settle(ledger: Ledger) -> None:
    """What is verified under a merged key goes for all of it; what contradicts is a conflict.
    Before that, a corrected visit's person goes for what was recorded of it until then.

    Called when something was decided, so that the order of a merge and of the events that it
    concerns makes no difference.
    """
    while ledger.touched:
        key = min(ledger.touched)
        ledger.touched.discard(key)
        corrections.correct_visits(ledger, key)
        if not ledger.aliases or not ledger.aliases.joins(key):
            continue
        person = _fits_all(ledger, key)
        if person is not None:
            _share(ledger, key, person)
        _judge(ledger, key)


def _verified(ledger: Ledger, key: str) -> list[ClaimRow]:
    """Verified events whose own details can still be compared."""
    return [
        row
        for row in ledger.of_key(key)
        if row.state is ClaimState.VERIFIED
        and not _past(ledger, row)
        and not corrections.corrected(ledger, row)
    ]


def _past(ledger: Ledger, row: ClaimRow) -> bool:
    """Verified too long ago to be compared or moved: all that counts is of whom."""
    return row.state is ClaimState.VERIFIED and not ledger.recent(row)


def _named_before(ledger: Ledger, key: str) -> set[str | None]:
    return {row.person for row in ledger.of_key(key) if _past(ledger, row)}


def _fits_all(ledger: Ledger, key: str) -> KnownPerson | None:
    """The one person among those verified whom no verified event of the key contradicts.

    A merge alone takes no event away from a flagged person to give it to one who is not.
    """
    rows = _verified(ledger, key)
    named = sorted({row.person for row in rows if row.person is not None})
    people = [ledger.person(one) for one in named]
    known = [person for person in people if person is not None]
    before = _named_before(ledger, key)
    if not known or len(known) < len(people):
        return None
    # what is emptied cannot be compared any more: it fits whom it was verified of, nobody else
    fitting = [
        person
        for person in known
        if before <= {person.person}
        and (len(known) == 1 or all(ledger.standing(row, person).uncontradicted for row in rows))
    ]
    if len(fitting) != 1 or (any(one.flagged for one in known) and not fitting[0].flagged):
        return None
    return fitting[0]


def _share(ledger: Ledger, key: str, person: KnownPerson) -> None:
    for row in ledger.of_key(key):
        merge = row.event is None or is_merge(ledger.event(row))
        unsure = row.state.open or (row.state in _ENDED and ledger.recent(row))
        another = row.state is ClaimState.VERIFIED and row.person != person.person and row.event
        if not merge and (another or (unsure and _goes_with(ledger, row, person))):
            release.assert_verified(ledger, row, person, MERGED, "key-evidence")
        elif not merge and unsure:
            corrections.follow_merge(ledger, row, person)
    release.settle(ledger, [key])


def _goes_with(ledger: Ledger, row: ClaimRow, person: KnownPerson) -> bool:
    stands = ledger.standing(row, person)
    if not stands.uncontradicted or stands.supported:
        return stands.uncontradicted
    claim = ledger.event(row).claim
    return not shared_local_id(claim.local_id if claim else None)


def _judge(ledger: Ledger, key: str) -> None:
    """Put a merge on the worklist while the patients it joins are verified as different people."""
    verified = _verified(ledger, key)
    before = _named_before(ledger, key)
    for row in ledger.of_key(key):
        merged = ledger.event(row) if row.event is not None else None
        if not isinstance(merged, AttendanceReported) or not is_merge(merged):
            continue
        retired: set[str | None] = set()
        others: set[str | None] = set()
        for one in verified:
            mine = ledger.event(one).source_patient == merged.merged_patient
            (retired if mine else others).add(one.person)
        # which of the two ids an emptied event came under is known no longer
        conflict = bool(before or (retired and others)) and len(before | retired | others) > 1
        if conflict and row.state is not ClaimState.UNRESOLVED:
            resolve = NhsNumberStatus.NEEDS_RESOLUTION
            ledger.transition(row, ClaimState.UNRESOLVED, CONFLICT, resolve)
        elif not conflict and row.state is ClaimState.UNRESOLVED:
            ledger.transition(row, ClaimState.NOT_USED, MERGED, NhsNumberStatus.NOT_PRESENT)
