"""Which of the NHS numbers that a sender gives for one person is likeliest the person's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, TypeVar

from connectors.pds.comparison import Agreement
from schemas.events import AttendanceReported
from stores.claims import ClaimRow
from stores.identities import KnownPerson
from streams.identity.evidence import Death, Evidence, standing
from streams.identity.ledger import Ledger

_UNLIKELY: Final = 3
_Event = TypeVar("_Event", bound=AttendanceReported | Death)


def likeliest(
    evidence: Evidence, person_of: Callable[[str | None], KnownPerson | None]
) -> Evidence:
    """With the number in front that is most surely the person's own, by the local index.

    Number, names and birth date decide, a flagged person's first; then a flagged person's number
    with one more demographic, whose given name is not another (a twin's). Else the sender's first
    stays. `person_of` gives a known person by token.
    """
    best, best_rank = evidence, _UNLIKELY
    for token in (evidence.number_token, *evidence.others):
        person = person_of(token)
        if token is None or person is None:
            continue
        one = evidence.with_number(token)
        rank = _rank(one, person)
        if rank < best_rank:
            best, best_rank = one, rank
    return best


def _rank(evidence: Evidence, person: KnownPerson) -> int:
    stands = standing(evidence, person)
    if stands.full:
        return 0 if person.flagged else 1
    likely = stands.number_and_more and stands.fields.given not in (
        Agreement.DIFFERS,
        Agreement.NEARLY,
    )
    return 2 if person.flagged and likely else _UNLIKELY


def choose(ledger: Ledger, event: _Event) -> _Event:
    """The event with its likeliest number in front, as it is to be kept."""
    weighed = ledger.weigh(event)
    evidence = likeliest(weighed, ledger.person) if weighed.others else weighed
    if evidence.number_token == weighed.number_token:
        return event
    claim = replace(
        event.claim,
        nhs_number=evidence.claim.nhs_number,
        other_numbers=tuple(evidence.others.values()),
    )
    chosen = replace(event, claim=claim)
    ledger.restate(chosen, evidence)
    return chosen


def choose_anew(ledger: Ledger, row: ClaimRow) -> ClaimRow:
    """A claim that is decided anew: who has one of its numbers may be known (as flagged) by now."""
    event = ledger.event(row)
    if isinstance(event, AttendanceReported):
        choose(ledger, event)
    return ledger.claim(row.reported_event_id)
