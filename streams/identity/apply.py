"""Between the ledger and PostgreSQL: locks, loading, writing. One transaction, the caller's.

Locks (correctness rules 1, 6, 10) are advisory and named: ``key:`` a source patient, ``ivisit:`` a
visit, ``tok:`` a person's pseudonym, or family name + birth date. Both sides of every race take
them before they load: an arrival those of its number and demographics, a flag the same, a release
those of everything it may touch. What may be touched is read first without locks; if the load
then finds more than is locked, the transaction starts again with the larger set.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime

from halyard import postgres
from halyard.lock_sets import LockSetGrew
from halyard.postgres import Connection
from schemas import codec
from stores import (
    claims,
    identities,
    merges,
    number_changes,
    outbox,
    parked,
    trace_requests,
    uploads,
    visits,
    worklist,
)
from stores.claims import ClaimRow, Reach, Touched
from stores.identities import KnownPerson
from stores.merges import Families, Merge
from streams.identity import identifiers, merge_words, merging
from streams.identity.answers import LINE_REUSED
from streams.identity.changes import Limits
from streams.identity.evidence import Evidence, evidence_in, number_fingerprint
from streams.identity.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Seeds:
    """What a batch starts from: its keys, visits, and the tokens of its events.

    `flag_numbers`, `flag_demographics`: of people who may become flagged in this batch.
    `mothers`: the keys under which births are told. `named`: keys that become one by a merge, of
    which is told what concerns all their visits: whom they were verified of counts however old.
    """

    keys: frozenset[str] = frozenset()
    visits: frozenset[uuid.UUID] = frozenset()
    numbers: frozenset[str] = frozenset()
    demographics: frozenset[str] = frozenset()
    flag_numbers: frozenset[str] = frozenset()
    flag_demographics: frozenset[str] = frozenset()
    mothers: frozenset[str] = frozenset()
    named: frozenset[str] = frozenset()
    words: bool = False
    events: frozenset[uuid.UUID] = frozenset()  # claims that are decided however old they are
    evidence: Mapping[uuid.UUID, Evidence] = field(default_factory=dict)

    def naming(self, person: KnownPerson | None) -> Seeds:
        """And `person`, whom PDS answered with, and who may become flagged; nobody adds nothing."""
        if person is None:
            return self
        people = frozenset({person.person})
        demographics = frozenset(person.demographic_tokens)
        return replace(
            self,
            numbers=self.numbers | people,
            demographics=self.demographics | demographics,
            flag_numbers=self.flag_numbers | people,
            flag_demographics=self.flag_demographics | demographics,
        )

    def also(self, other: Seeds) -> Seeds:
        """Both, for what is decided in one transaction; of neither with words or new events."""
        return Seeds(
            keys=self.keys | other.keys,
            visits=self.visits | other.visits,
            numbers=self.numbers | other.numbers,
            demographics=self.demographics | other.demographics,
            flag_numbers=self.flag_numbers | other.flag_numbers,
            flag_demographics=self.flag_demographics | other.flag_demographics,
            mothers=self.mothers | other.mothers,
            named=self.named | other.named,
            events=self.events | other.events,
        )


async def open_ledger(
    connection: Connection,
    limits: Limits,
    seeds: Seeds,
    *,
    now: datetime,
    new_id: Callable[[], uuid.UUID],
    more_locks: frozenset[str],
) -> Ledger:
    """Take the locks, then load all that decisions about `seeds` may touch.

    Raises `LockSetGrew` with the names to take in the next attempt.
    """
    people = await identities.tokens(
        connection, persons=seeds.numbers, demographics=seeds.demographics
    )
    touched, merged = await claims.scope(connection, _reach(limits, seeds, people, now))
    if merged:
        found = await merges.family(connection, merged)
        families = Families(found)
        linked = _keys_of(families.of(found, merged))
        mothers = _keys_of(families.of(found, seeds.mothers))
        seeds = replace(
            seeds,
            keys=seeds.keys | linked,
            mothers=seeds.mothers | mothers,
            named=seeds.named | linked,
        )
        touched, _ = await claims.scope(connection, _reach(limits, seeds, people, now))
        if seeds.words:  # what they say is locked with the rest
            found_words = await claims.merge_words(
                connection, seeds.keys, merge_words.COUNT, since=now - limits.backmatch
            )
            seeds = _with_words(limits, seeds, found_words)
            people = await identities.tokens(
                connection, persons=seeds.numbers, demographics=seeds.demographics
            )
    held = frozenset(_names(seeds, people, touched)) | more_locks
    await postgres.lock(connection, held)

    rows = await claims.load(connection, _reach(limits, seeds, people, now))
    if merged and seeds.words:  # with those that were committed meanwhile
        said = [row.event for row in rows if row.rule in merge_words.COUNT and row.person is None]
        seeds = _with_words(limits, seeds, [event for event in said if event is not None])
    persons = seeds.numbers | {one.person for one in touched if one.person is not None}
    known = await identities.known(connection, persons=persons, demographics=seeds.demographics)
    people = {one.person: one.demographic_tokens for one in known}
    needed = frozenset(_names(seeds, people, [_touched(row) for row in rows]))
    if not needed <= held:
        raise LockSetGrew(needed | held)
    return await _books(connection, limits, seeds, rows, known, now=now, new_id=new_id, locks=held)


def _with_words(limits: Limits, seeds: Seeds, events: Iterable[bytes]) -> Seeds:
    """With the tokens of what merges said that were read before (`merge_words`)."""
    words = [
        evidence_in(told, keys=limits.keys, profile=limits.profile)
        for event in events
        if (told := merge_words.word_of(codec.decode(event))) is not None
    ]
    numbers = {token for one in words for token in (one.number_token, *one.others) if token}
    demographics = {one.demographic_token for one in words if one.demographic_token}
    return replace(
        seeds, numbers=seeds.numbers | numbers, demographics=seeds.demographics | demographics
    )


async def _books(
    connection: Connection,
    limits: Limits,
    seeds: Seeds,
    rows: list[ClaimRow],
    known: list[KnownPerson],
    *,
    now: datetime,
    new_id: Callable[[], uuid.UUID],
    locks: frozenset[str],
) -> Ledger:
    keys = seeds.keys | {row.key for row in rows}
    held, merged = await parked.load(connection, keys)
    family = await merges.family(connection, merged) if merged else []
    # those of a visit's other keys are followed, not decided
    linked = _keys_of(Families(family).of(family, seeds.keys))
    if not linked <= seeds.keys:  # merged since the locks were chosen
        raise LockSetGrew(locks | {f"key:{key}" for key in linked})
    numbers = {*seeds.numbers, *(row.number_token for row in rows if row.number_token)}
    ledger = Ledger(
        limits,
        now=now,
        new_id=new_id,
        claims=rows,
        persons=known,
        parked=held,
        evidence=seeds.evidence,
        merges=family,
        inactive=await number_changes.inactive(connection, numbers),
    )
    prints = {ledger.fingerprint(one) for one in seeds.evidence.values() if one.traceable}
    # an event of several numbers may come to ask for any of them
    prints |= {number_fingerprint(token) for token in seeds.numbers}
    traces = await trace_requests.load(
        connection,
        ids={one.trace_id for one in held},
        fingerprints=prints | ledger.questions(),
    )
    ledger.learn_traces(traces)
    return ledger


async def write(connection: Connection, ledger: Ledger) -> set[int]:
    """Write what the ledger decided; gives the outbox lanes to publish after the commit.

    First what was decided last is shared among patients that their hospital merged.
    """
    merging.settle(ledger)
    changes = ledger.changes
    for trace_id, outcome in changes.finished.items():
        await trace_requests.finish(connection, trace_id, outcome)
    await merges.put(connection, changes.merges)
    await _write_hidden(connection, ledger)
    await claims.put(connection, [ledger.claim(one) for one in changes.claims])
    known = [ledger.person(one) for one in sorted(changes.persons)]
    await identities.put(connection, [one for one in known if one is not None])
    await identifiers.write(connection, ledger)
    await trace_requests.add(connection, changes.new_traces)
    await trace_requests.raise_priorities(connection, changes.priorities)
    after = [(key, ledger.parked(key)) for key in sorted(changes.keys)]
    await parked.put(connection, [one for _, one in after if one is not None])
    await parked.free(connection, [key for key, one in after if one is None])
    await trace_requests.cancel_orphans(connection, changes.left_traces)
    await worklist.add(connection, list(changes.worklist.values()))
    await worklist.close(connection, changes.closed, now=ledger.now)
    before = ledger.now - ledger.limits.backmatch
    await worklist.close_earlier(connection, changes.settled, before=before, now=ledger.now)
    await worklist.close_resent(connection, changes.resent, now=ledger.now)
    await uploads.answer(connection, changes.answers, now=ledger.now)
    await uploads.take_over(connection, changes.reused, LINE_REUSED, now=ledger.now)
    return await outbox.add(connection, changes.entries)


async def _write_hidden(connection: Connection, ledger: Ledger) -> None:
    """Whose place is hidden, and who is one with them by a new merge."""
    hidden = set(ledger.changes.hidden)
    merged = [ledger.aliases.patients(one.surviving_key) for one in ledger.changes.merges]
    if merged:
        known = hidden | await visits.hidden(connection, set().union(*merged))
        hidden |= {one for family in merged if family & known for one in family}
    await visits.put_hidden(connection, hidden, ledger.now)


def _reach(
    limits: Limits, seeds: Seeds, people: Mapping[str, tuple[str, ...]], now: datetime
) -> Reach:
    demographics = set(seeds.flag_demographics)
    for person in seeds.flag_numbers:
        demographics.update(people.get(person, ()))
    return Reach(
        keys=seeds.keys,
        visits=seeds.visits,
        numbers=seeds.flag_numbers,
        demographics=frozenset(demographics) if seeds.flag_numbers else frozenset(),
        since=now - limits.backmatch,
        mothers=seeds.mothers,
        named=seeds.named,
        events=seeds.events,
    )


def _names(
    seeds: Seeds, people: Mapping[str, tuple[str, ...]], touched: Iterable[Touched]
) -> set[str]:
    names = {f"key:{key}" for key in seeds.keys}
    names |= {f"ivisit:{visit}" for visit in seeds.visits}
    tokens: set[str | None] = {*seeds.numbers, *seeds.demographics, *people}
    tokens |= seeds.flag_numbers | seeds.flag_demographics
    for person in seeds.flag_numbers:
        tokens.update(people.get(person, ()))
    for one in touched:
        names.add(f"key:{one.key}")
        if one.visit_id is not None:
            names.add(f"ivisit:{one.visit_id}")
        tokens.add(one.person)
        if one.state.open:
            # its trace is guarded by what it asks
            tokens |= {one.number_token, one.demographic_token}
    return names | {f"tok:{token}" for token in tokens if token is not None}


def _keys_of(family: Iterable[Merge]) -> frozenset[str]:
    return frozenset(key for one in family for key in (one.retired_key, one.surviving_key))


def _touched(row: ClaimRow) -> Touched:
    return Touched(
        key=row.key,
        visit_id=row.visit_id,
        person=row.person,
        number_token=row.number_token,
        demographic_token=row.demographic_token,
        state=row.state,
    )
