"""What senders call people, and which siblings authorities state: written with what was verified.

No rule of the ladder reads it (ADR 0048).
"""

from __future__ import annotations

from connectors.identifiers import stated
from halyard.postgres import Connection
from schemas.events import FlagSubmitted
from stores import person_identifiers, sibling_links
from stores.person_identifiers import Stated
from stores.sibling_links import SCHEME, SiblingList
from streams.identity.knowledge import INVALIDATED
from streams.identity.ledger import Ledger


async def write(connection: Connection, ledger: Ledger) -> None:
    """Take back what events state of people they are no longer verified of, and keep what they
    state of those they are verified of; in the transaction of the decision, after the people.
    """
    changes = ledger.changes
    await person_identifiers.take_back(connection, changes.unstated)
    await sibling_links.take_back(connection, changes.unstated)
    said: list[Stated] = []
    lists: list[SiblingList] = []
    for event_id, person in changes.stated.items():
        event = ledger.event(ledger.claim(event_id))
        organisation, at = event.organisation, event.received_at
        said += [Stated(person, organisation, one, event_id, at) for one in stated(event)]
        if isinstance(event, FlagSubmitted) and event.siblings_stated and not _deletes(event):
            lists.append(
                SiblingList(
                    authority=event.source,
                    person=person,
                    reported_event_id=event_id,
                    sequence=event.sequence,
                    line=event.line,
                    stated_at=at,
                    siblings=event.siblings,
                )
            )
    await person_identifiers.add(connection, said)
    await sibling_links.put(connection, lists)
    await sibling_links.forget(connection, _of_invalidated(ledger))
    ids = {
        (one.organisation, one.identifier.value) for one in said if one.identifier.scheme == SCHEME
    }
    ids |= {(one.authority, local_id) for one in lists for local_id in one.siblings}
    await sibling_links.resolve(connection, ids)


def _of_invalidated(ledger: Ledger) -> set[tuple[str, str]]:
    """Whose ids, of what authority, came under a number that is invalidated."""
    rows = [ledger.claim(event_id) for event_id in ledger.changes.claims]
    gone = [row for row in rows if row.rule in INVALIDATED and row.event is not None]
    events = [ledger.event(row) for row in gone]
    return {
        (event.source, event.claim.local_id)
        for event in events
        if isinstance(event, FlagSubmitted) and event.claim is not None and event.claim.local_id
    }


def _deletes(event: FlagSubmitted) -> bool:
    """A record that takes another back says nothing new of the family."""
    return event.record is not None and event.record.delete is not None
