"""Whether an answer is older than what the hub knows by now of whom it is about.

An answer waits between PDS and the hub. Meanwhile another may have said that the number was
superseded or invalidated, or that the child is restricted; the older one must not undo that
(docs/adr/0047).
"""

from __future__ import annotations

from datetime import datetime

from connectors.pds.outcomes import Found, Invalidated, Superseded
from halyard.postgres import Connection
from halyard.privacy import Keys
from stores import identities, number_changes, trace_requests
from stores.trace_requests import TraceRequest
from streams.identity.answers import TraceAnswer, person_answered, with_former_names
from streams.identity.evidence import same_record
from streams.identity.ledger import Ledger


async def outdated(
    connection: Connection,
    trace: TraceRequest,
    answer: TraceAnswer,
    keys: Keys,
    ledger: Ledger | None,
) -> bool:
    """Whether `answer` names somebody whose number does not stand, or says otherwise than is known
    of somebody, by what was said while it was asked for perhaps: then `trace` is put back, to be
    asked anew. What PDS says then counts.

    The caller has `hold` of `trace` and the locks of whom the answer is about.
    """
    said = []
    if (person := _named(answer, keys)) is not None:
        said.append(await number_changes.changed_at(connection, person))
    if ledger is not None:
        said.append(await _heard_since(connection, trace, answer, keys, ledger))
    for since in said:
        mark = f"asked-after {since.isoformat()}" if since is not None else None
        if mark is not None and mark not in trace.answered:  # else this call was made after that
            await trace_requests.put_back(connection, trace, mark=mark)
            return True
    return False


async def stand(connection: Connection, ledger: Ledger, answer: TraceAnswer, keys: Keys) -> None:
    """After the ledger was written: whom it took in by an answer that is not `outdated` has a
    number that stands.
    """
    person = _named(answer, keys)
    if person is not None and person in ledger.changes.persons:
        await number_changes.stand_again(connection, [person])


async def _heard_since(
    connection: Connection,
    trace: TraceRequest,
    answer: TraceAnswer,
    keys: Keys,
    ledger: Ledger,
) -> datetime | None:
    """When the hub took the last word of PDS about somebody of whom `answer` says otherwise; None
    if that was before the question was taken to be asked.
    """
    if trace.leased_at is None:
        return None
    about = set()
    found = person_answered(answer, keys, ledger.now)
    if found is not None:
        known = ledger.person(found.person)
        if known is not None and known.person == found.person:
            found = with_former_names(answer, found, known, keys)
            if not same_record(known, found):
                about.add(known.person)
    if trace.kind == "get" and isinstance(answer.outcome, Superseded | Invalidated):
        known = ledger.person(trace.token)
        if known is not None and known.person == trace.token:
            about.add(known.person)
    heard = [await identities.heard_since(connection, one, trace.leased_at) for one in about]
    return max((at for at in heard if at is not None), default=None)


def _named(answer: TraceAnswer, keys: Keys) -> str | None:
    outcome = answer.outcome
    return (
        keys.person(outcome.record.nhs_number) if isinstance(outcome, Found | Superseded) else None
    )
