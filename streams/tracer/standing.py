"""Whether an answer is older than what the hub knows by now of the number that it names.

An answer waits between PDS and the hub. Meanwhile another may have said that the number was
superseded, or invalidated; the older one must not undo that (docs/adr/0047).
"""

from __future__ import annotations

from connectors.pds.outcomes import Found, Superseded
from halyard.postgres import Connection
from halyard.privacy import Keys
from stores import number_changes, trace_requests
from stores.trace_requests import TraceRequest
from streams.identity.answers import TraceAnswer
from streams.identity.ledger import Ledger


async def outdated(
    connection: Connection, trace: TraceRequest, answer: TraceAnswer, keys: Keys
) -> bool:
    """Whether `answer` names somebody whose number does not stand, by what was said while it was
    asked for perhaps: then `trace` is put back, to be asked anew. What PDS says then counts.

    The caller has `hold` of `trace` and the lock of whom the answer names.
    """
    if (person := _named(answer, keys)) is None:
        return False
    since = await number_changes.changed_at(connection, person)
    if since is None:
        return False
    mark = f"asked-after {since.isoformat()}"
    if mark in trace.answered:  # this call was made when the change was known
        return False
    await trace_requests.put_back(connection, trace, mark=mark)
    return True


async def stand(connection: Connection, ledger: Ledger, answer: TraceAnswer, keys: Keys) -> None:
    """After the ledger was written: whom it took in by an answer that is not `outdated` has a
    number that stands.
    """
    person = _named(answer, keys)
    if person is not None and person in ledger.changes.persons:
        await number_changes.stand_again(connection, [person])


def _named(answer: TraceAnswer, keys: Keys) -> str | None:
    outcome = answer.outcome
    return (
        keys.person(outcome.record.nhs_number) if isinstance(outcome, Found | Superseded) else None
    )
