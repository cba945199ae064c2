"""Who is told of a change of a case, and what they are asked (letters in the mailbox).

Agencies get their report requests and what ends them; authorities with a plan of the child, and
that of its home, are asked once a case to look after the other children of the household; whoever
got something of a case that is void now, and whoever told of one that a person voided, hears so and
must say that they have. What no longer holds of this is taken back: a check about another child, a
void that was undone. And the note at the child's flags follows the case. Ids of letters follow from
what caused them: writing them again changes nothing.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from connectors.fhir import corrections, letters
from halyard.ids import derive
from halyard.postgres import Connection
from schemas.deaths import (
    CaseChanged,
    CaseContent,
    CaseState,
    Eligibility,
    FlagHistory,
    ReportRequested,
    RequestState,
)
from stores import case_commands, known
from stores.case_commands import Told
from stores.directory import Directory
from stores.mailbox import Letter
from streams.cases import provenance
from streams.cases.content import QUESTIONED
from streams.cases.model import Family
from streams.cases.requests import health_or_social_care

HOUSEHOLD: Final = "household-child"
_STANDS: Final = (Eligibility.IN_SCOPE, Eligibility.NEEDS_HUMAN)


@dataclass(frozen=True, slots=True)
class Change:
    """A new version of a case, what the case said before, and its verified person (pseudonym).

    `about`: every verified person of it; None while that is being looked up.
    """

    before: CaseContent | None
    changed: CaseChanged
    person: str | None
    traceparent: str
    about: frozenset[str] | None = frozenset()

    def turns(self, state: CaseState) -> bool:
        """Whether it is of this state from now on, and was not before."""
        return (
            self.changed.content.state is state
            and self.before is not None
            and self.before.state is not state
        )

    @property
    def tree(self) -> list[uuid.UUID]:
        """The case, and those that count in it."""
        return [self.changed.case_id, *self.changed.content.absorbed]


Requested = tuple[ReportRequested, CaseContent, str]
"""A new version of a report request, the case that it is about as it stands, and its trace."""


@dataclass(slots=True)
class _Ledger:
    """What was told and must be taken back if it no longer holds."""

    now: datetime
    rows: dict[tuple[uuid.UUID, str, str], Told]
    touched: set[tuple[uuid.UUID, str, str]] = field(default_factory=set)

    def standing(self, kind: str, case_ids: Collection[uuid.UUID]) -> list[Told]:
        """What was told of these cases and holds."""
        return [
            self.rows[key]
            for key in sorted(self.rows)
            if key[2] == kind and key[0] in case_ids and self.rows[key].withdrawn_at is None
        ]

    def put(self, kind: str, case_id: uuid.UUID, organisation: str, person: str | None) -> Told:
        """It is told now, once more."""
        before = self.rows.get((case_id, organisation, kind))
        times = 1 if before is None else before.round + 1
        return self._keep(Told(case_id, organisation, kind, times, person, self.now))

    def withdraw(self, told: Told) -> None:
        """It holds no more."""
        self._keep(replace(told, withdrawn_at=self.now))

    def _keep(self, told: Told) -> Told:
        key = (told.case_id, told.organisation, told.kind)
        self.rows[key] = told
        self.touched.add(key)
        return told


async def tell(
    connection: Connection,
    changes: Sequence[Change],
    requested: Sequence[Requested],
    *,
    directory: Directory,
    now: datetime,
    numbers: Mapping[uuid.UUID, Sequence[str]],
) -> list[Letter]:
    """The letters that leave because of `changes` and `requested`. Keeps the note at the flags.
    `numbers`: of each case that something is requested for, all that were said to be the child's.

    The caller holds the locks of the cases, has written their versions and requests, and adds the
    letters in the same transaction.
    """
    written = [
        letter
        for one in requested
        if (letter := _request_letter(one, directory, now, numbers.get(one[0].case_id, ())))
        is not None
    ]
    if not changes:
        return written
    rows = await case_commands.told(connection, {one for each in changes for one in each.tree})
    ledger = _Ledger(now, {(one.case_id, one.organisation, one.kind): one for one in rows})
    for change in changes:
        await _note(connection, change, now)
        written.extend(_withdrawals(change, ledger, directory))
        if change.turns(CaseState.VOIDED):
            reached = await _reached(connection, change, ledger, directory)
            written.extend(_voided_letters(change, reached, ledger, directory))
        written.extend(_household_letters(change, ledger, directory))
    await case_commands.save_told(connection, [ledger.rows[key] for key in sorted(ledger.touched)])
    return written


async def _note(connection: Connection, change: Change, now: datetime) -> None:
    """A death that stands and that nobody questions is noted at each verified person's flags."""
    case_id, content = change.changed.case_id, change.changed.content
    stands = content.state is CaseState.OPEN and QUESTIONED not in content.needs
    if not stands:
        await known.note_deaths(connection, case_id, (), now)
    elif change.about is not None:  # what is looked up leaves the note as it is
        await known.note_deaths(connection, case_id, change.about, now)


def numbers_of(family: Family) -> tuple[str, ...]:
    """Every NHS number that a message said to be the child's, verified or not, also in messages
    that were taken back.
    """
    found: set[str | None] = set()
    for note in family.notifications:
        found.add(note.notified.claim.nhs_number)
        found.add(note.identity.nhs_number if note.identity else None)
    for report in family.reports:
        found.add(report.report.claim.nhs_number)
        found.add(report.identity.nhs_number if report.identity else None)
    return tuple(sorted(one for one in found if one))


def _request_letter(
    one: Requested, directory: Directory, now: datetime, numbers: Sequence[str]
) -> Letter | None:
    """The letter to an agency that the hub knows; None if nobody can be written to, or need be."""
    event, content, traceparent = one
    if not event.agency:
        return None
    if event.state is RequestState.REQUESTED:
        kind = letters.REPORT_REQUEST
    elif event.state is RequestState.CANCELLED:
        kind = letters.REPORT_REQUEST_CANCELLED
    else:
        return None
    letter_id = derive("letter", kind, str(event.event_id), event.agency)
    with_number = health_or_social_care(event.agency, directory)
    body = letters.report_request(
        letter_id=letter_id,
        at=now,
        requested=event,
        nhs_number=content.nhs_number if with_number else None,
        with_number=with_number,
        numbers=numbers,
    )
    return _letter(letter_id, kind, event.agency, body, directory, now, event.case_id, traceparent)


def _household_letters(change: Change, ledger: _Ledger, directory: Directory) -> Iterator[Letter]:
    """Once for each case and authority, unless it was taken back meanwhile.

    Of a restricted child nobody is written to: it would tell where the child lived. A person does.
    """
    content = change.changed.content
    if (
        content.state is not CaseState.OPEN
        or content.eligibility not in _STANDS
        or content.restricted
        or QUESTIONED in content.needs
    ):
        return
    case_id, kind = change.changed.case_id, letters.HOUSEHOLD_CHECK
    household = [row for _, row in provenance.rows(content.facts, HOUSEHOLD)]
    asked = {one.organisation for one in ledger.standing(kind, [case_id])}
    for authority in sorted(_to_check(content, named=bool(household)) - asked):
        if authority not in directory.authorities:
            continue
        letter_id = _household_id(ledger.put(kind, case_id, authority, change.person))
        body = letters.household_check(
            letter_id=letter_id,
            at=ledger.now,
            authority=authority,
            case=change.changed,
            flags=[one for one in content.flags if one.authority == authority],
            household=household,
            with_number=True,
        )
        yield _letter_of(change, letter_id, kind, authority, body, directory, ledger.now)


def _household_id(told: Told) -> uuid.UUID:
    return derive("letter", told.kind, str(told.case_id), told.organisation, told.round)


def _to_check(content: CaseContent, *, named: bool) -> set[str]:
    """Authorities that have or had a plan of the child; and where it lived, if other children of
    the household were named.
    """
    asked = {
        one.authority
        for one in content.flags
        if one.history in (FlagHistory.CURRENT, FlagHistory.PREVIOUSLY)
    }
    if named:
        asked |= {
            one.fact.value
            for one in content.facts
            if one.fact.name == "child.residence-authority" and one.fact.value
        }
    return asked


def _withdrawals(change: Change, ledger: _Ledger, directory: Directory) -> Iterator[Letter]:
    """What was told and is not so: a void, once the case stands again; a check of the household of
    a child whom the case is not about. A void ends the checks by itself.
    """
    case_id, now = change.changed.case_id, ledger.now
    if change.turns(CaseState.VOIDED):
        for told in ledger.standing(letters.HOUSEHOLD_CHECK, change.tree):
            ledger.withdraw(told)
    if change.changed.content.state is not CaseState.OPEN:
        return
    for told in ledger.standing(letters.CASE_VOIDED, change.tree):
        ledger.withdraw(told)
        if told.case_id != case_id:
            continue
        kind = letters.CASE_REINSTATED
        letter_id = derive("letter", kind, str(change.changed.event_id), told.organisation)
        body = corrections.case_reinstated(
            letter_id=letter_id, at=now, organisation=told.organisation, case=change.changed
        )
        yield _letter_of(
            change, letter_id, kind, told.organisation, body, directory, now, acknowledged=True
        )
    for told in ledger.standing(letters.HOUSEHOLD_CHECK, change.tree):
        if told.person is None or change.about is None or told.person in change.about:
            continue
        ledger.withdraw(told)
        kind = letters.HOUSEHOLD_CHECK_WITHDRAWN
        letter_id = derive("letter", kind, str(_household_id(told)))
        body = corrections.household_check_withdrawn(
            letter_id=letter_id,
            at=now,
            authority=told.organisation,
            case=change.changed,
            withdraws=_household_id(told),
        )
        yield _letter_of(
            change, letter_id, kind, told.organisation, body, directory, now, acknowledged=True
        )


async def _reached(
    connection: Connection, change: Change, ledger: _Ledger, directory: Directory
) -> set[str]:
    """Organisations that got something of the case, or of one that counts in it, in any version:
    those that the mailbox has (or had) a letter for, the panels, and the agencies that were asked.
    When a person voided it, also those who told of it, as they do not know.
    """
    reached = await case_commands.recipients(connection, change.tree)
    reached |= {key[1] for key in ledger.rows if key[0] in change.tree}
    panels, agencies = await case_commands.had(connection, change.tree)
    panels = panels & directory.panels.keys()
    reached |= agencies | {directory.panels[code].organisation for code in panels}
    return reached | _tellers(change.changed.content)


def _tellers(voided: CaseContent) -> set[str]:
    """Whose notifications and reports a case has that a person voided: one is live still. What its
    senders voided they know.
    """
    notifiers = {one.organisation for one in voided.notifications if not one.voided}
    return notifiers | {one.organisation for one in voided.reports} if notifiers else set()


def _voided_letters(
    change: Change, reached: set[str], ledger: _Ledger, directory: Directory
) -> Iterator[Letter]:
    kind = letters.CASE_VOIDED
    for organisation in sorted(reached):
        for one in change.tree:  # one that leaves the tree later was not void
            ledger.put(kind, one, organisation, change.person)
        letter_id = derive("letter", kind, str(change.changed.event_id), organisation)
        body = letters.case_voided(
            letter_id=letter_id,
            at=ledger.now,
            organisation=organisation,
            case=change.changed,
            with_number=False,  # the tombstone has none; it is known by the case's id
            tracked=change.before.tracking if change.before is not None else (),
        )
        yield _letter_of(
            change, letter_id, kind, organisation, body, directory, ledger.now, acknowledged=True
        )


def _letter_of(
    change: Change,
    letter_id: uuid.UUID,
    kind: str,
    organisation: str,
    body: bytes,
    directory: Directory,
    now: datetime,
    *,
    acknowledged: bool = False,
) -> Letter:
    return _letter(
        letter_id,
        kind,
        organisation,
        body,
        directory,
        now,
        change.changed.case_id,
        change.traceparent,
        needs_acknowledgement=acknowledged,
    )


def _letter(
    letter_id: uuid.UUID,
    kind: str,
    organisation: str,
    body: bytes,
    directory: Directory,
    now: datetime,
    case_id: uuid.UUID,
    traceparent: str,
    *,
    needs_acknowledgement: bool = False,
) -> Letter:
    return Letter(
        letter_id=letter_id,
        organisation=organisation,
        kind=kind,
        body=body,
        created_at=now,
        endpoint=directory.message_endpoint(organisation),
        case_id=case_id,
        needs_acknowledgement=needs_acknowledgement,
        traceparent=traceparent,
    )
