"""The messages of one notification (or report): of whom they are, and who still needs a number."""

from __future__ import annotations

from connectors.pds.comparison import Agreement
from connectors.persons import shared_local_id
from schemas.deaths import DeathMessageKind, DeathNotified, ReportSubmitted
from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from streams.identity.evidence import Reported, Standing
from streams.identity.ledger import Ledger
from streams.identity.versions import notice_of


def of_whom(ledger: Ledger, row: ClaimRow, event: Reported) -> Standing | None:
    """How a message stands to whom its notification is of; None if that is not known, or not for
    this message.

    Of several people whom its versions name (a corrected number) it is the one of the highest
    verified version up to the message's own, else of what was verified last. Where nothing of the
    notification is verified, another report under the same reference counts for what says itself
    that it is of the same child.
    """
    version = row.version or 0
    own = ledger.versions.verified(notice_of(row), version)
    found = own or ledger.versions.last(row.key)
    person = ledger.person(ledger.claim(found).person) if found is not None else None
    if person is None:
        return None
    stands = ledger.standing(row, person)
    follows = own is not None and not anybodys(event)
    return stands if fits(stands) and (follows or stands.supported) else None


def goes_with(ledger: Ledger, mate: ClaimRow, row: ClaimRow, person: KnownPerson) -> bool:
    """Whether the message `mate` is of the person whom `row`, by now, is verified to be of."""
    stands = ledger.standing(mate, person)
    if not fits(stands) or stands.supported:
        return fits(stands)
    if notice_of(mate) != notice_of(row):
        return False
    named = of_whom(ledger, mate, ledger.event(mate))
    return named is not None and named.person.person == person.person


def fits(stands: Standing) -> bool:
    """Whether nothing says that a message is of another: not the gender either, because twins may
    share all the rest.
    """
    return stands.uncontradicted and stands.fields.gender is not Agreement.DIFFERS


def unnamed(ledger: Ledger, row: ClaimRow) -> ClaimState:
    """How a message ends whose person is not known: on the worklist, unless nothing depends on its
    number: it only indicates a death, it names nobody and answers a request of the hub, or a later
    message was verified or voids it.
    """
    event = ledger.event(row)
    if isinstance(event, DeathNotified) and event.kind is DeathMessageKind.INDICATED:
        return ClaimState.NOT_TRACED
    asked = isinstance(event, ReportSubmitted) and event.request_id is not None
    if asked and not ledger.evidence(row).traceable:
        return ClaimState.NOT_TRACED
    later = ledger.versions.settled(notice_of(row)) > (row.version or 0)
    return ClaimState.NOT_TRACED if later else ClaimState.UNRESOLVED


def settle_earlier(ledger: Ledger, row: ClaimRow, rule: str) -> None:
    """Nobody need find the number of what came before a verified message, or a void.

    Done once for each version that settles. What is too old to be here is the earlier for it
    (`Changes.settled`).
    """
    notice, settled = notice_of(row), ledger.changes.settled
    version = ledger.versions.settled(notice)
    if notice in settled and settled[notice][0] >= version:
        return
    settled[notice] = (version, rule)
    for mate in ledger.in_state(row.key, ClaimState.UNRESOLVED):
        if notice_of(mate) == notice and (mate.version or 0) < version and ledger.recent(mate):
            ledger.let_go(mate, rule)


def anybodys(event: Reported) -> bool:
    """Whether its key may be several patients': it came under a placeholder local id, and not
    under its sender's reference to a notification or report.
    """
    if isinstance(event, DeathNotified | ReportSubmitted) and event.reference:
        return False
    return shared_local_id(event.claim.local_id if event.claim else None)
