"""Ends the worklist entries of plans whose number PDS has a record of again."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from halyard.postgres import Connection
from stores import number_changes
from stores.directory import Directory
from stores.identities import KnownPerson
from streams.identity.rechecks import DIFFERS, NO_CONTACT, NOT_FOUND, RECHECKED

_OF_RECORD: Final = (NOT_FOUND, DIFFERS)


async def settle(
    connection: Connection, directory: Directory, person: str, record: KnownPerson, now: datetime
) -> None:
    """`record` is PDS's of `person`: nobody need look for it any more, nor register a contact,
    save an authority that has none for a child who is restricted.
    """
    unreachable = [
        one.gss
        for one in directory.authorities.values()
        if record.restricted and one.restricted_endpoint is None
    ]
    await number_changes.settle_entries(connection, person, _OF_RECORD, RECHECKED, now)
    await number_changes.settle_entries(
        connection, person, (NO_CONTACT,), RECHECKED, now, but=unreachable
    )
