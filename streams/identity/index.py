"""The claims of one batch, found by event, key, visit and token, in the order they were taken."""

from __future__ import annotations

import uuid
from bisect import insort
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Final

from stores.claims import ClaimRow, ClaimState
from stores.identities import KnownPerson
from streams.identity.versions import Versions

_UNSURE: Final = (
    ClaimState.WAITING,
    ClaimState.PROVISIONAL,
    ClaimState.UNRESOLVED,
    ClaimState.NOT_TRACED,
)


class ClaimIndex:
    """See the module; no I/O, no decisions."""

    def __init__(self) -> None:
        self._claims: dict[uuid.UUID, ClaimRow] = {}
        self._order: dict[uuid.UUID, int] = {}
        self._by_token: dict[str, set[uuid.UUID]] = defaultdict(set)
        self._by_key: dict[str, list[uuid.UUID]] = defaultdict(list)
        self._by_visit: dict[uuid.UUID, list[uuid.UUID]] = defaultdict(list)
        self._by_state: dict[tuple[str, ClaimState], set[uuid.UUID]] = defaultdict(set)
        self.versions = Versions()

    def __iter__(self) -> Iterator[ClaimRow]:
        return iter(self._claims.values())

    def __getitem__(self, event_id: uuid.UUID) -> ClaimRow:
        return self._claims[event_id]

    def get(self, event_id: uuid.UUID) -> ClaimRow | None:
        """The claim of a reported event, if it is here."""
        return self._claims.get(event_id)

    def add(self, row: ClaimRow) -> None:
        """Take in a claim that is not here yet."""
        self._order.setdefault(row.reported_event_id, len(self._order))
        self._claims[row.reported_event_id] = row
        for token in (row.number_token, row.demographic_token):
            if token is not None and row.event_kind == "attendance":
                self._by_token[token].add(row.reported_event_id)
        self._by_key[row.key].append(row.reported_event_id)
        self._by_state[row.key, row.state].add(row.reported_event_id)
        self.versions.put(row, self._order[row.reported_event_id])
        if row.visit_id is not None:
            self._by_visit[row.visit_id].append(row.reported_event_id)

    def put(self, row: ClaimRow) -> None:
        """What was decided of a claim that is here: key and visit are as they were."""
        event_id = row.reported_event_id
        before, self._claims[event_id] = self._claims[event_id], row
        self._by_state[before.key, before.state].discard(event_id)
        self._by_state[row.key, row.state].add(event_id)
        self.versions.put(row, self._order[event_id])
        if row.number_token is not None and row.event_kind == "attendance":
            self._by_token[row.number_token].add(row.reported_event_id)

    def rekey(self, row: ClaimRow, key: str) -> ClaimRow:
        """The claim under another key, in its place there."""
        event_id = row.reported_event_id
        self._by_key[row.key].remove(event_id)
        insort(self._by_key[key], event_id, key=self._order.__getitem__)
        moved = replace(self._claims[event_id], key=key)
        self._by_state[row.key, moved.state].discard(event_id)
        self._by_state[key, moved.state].add(event_id)
        self._claims[event_id] = moved
        return moved

    def sharing(self, person: KnownPerson) -> list[ClaimRow]:
        """Attendances with the person's number, or a family name of theirs and birth date."""
        found: set[uuid.UUID] = set()
        for token in (person.person, *person.demographic_tokens):
            found |= self._by_token.get(token, set())
        return self._in_order(found)

    def around(self, row: ClaimRow) -> list[ClaimRow]:
        """The claim and all others of its key and its visit."""
        found = {row.reported_event_id, *self._by_key.get(row.key, ())}
        if row.visit_id is not None:
            found.update(self._by_visit.get(row.visit_id, ()))
        return self._in_order(found)

    def unsure(self, row: ClaimRow) -> list[ClaimRow]:
        """The claim, and what of its key and visit is open, unresolved or untraced."""
        found = {row.reported_event_id}.union(*(self._by_state[row.key, one] for one in _UNSURE))
        found.update(one.reported_event_id for one in self.of_visit(row.visit_id))
        return self._in_order(found)

    def in_state(self, key: str, *states: ClaimState) -> list[ClaimRow]:
        """The key's claims in one of these states."""
        return self._in_order(set().union(*(self._by_state[key, one] for one in states)))

    def of_key(self, key: str) -> list[ClaimRow]:
        """The key's claims."""
        return [self._claims[one] for one in self._by_key.get(key, ())]

    def of_visit(self, visit_id: uuid.UUID | None) -> list[ClaimRow]:
        """The visit's claims."""
        ids = self._by_visit.get(visit_id, ()) if visit_id is not None else ()
        return [self._claims[one] for one in ids]

    def _in_order(self, ids: Iterable[uuid.UUID]) -> list[ClaimRow]:
        return [self._claims[one] for one in sorted(ids, key=self._order.__getitem__)]
