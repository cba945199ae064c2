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
from datetime import datetime
from typing import Final

from connectors.fhir import corrections, letters
from halyard.ids import derive
from halyard.postgres import Connection
from policies.desk import Desk
from policies.ruling import Flow
from schemas.deaths import (
    CaseContent,
    CaseState,
    Eligibility,
    FlagHistory,
    RequestState,
)
from stores import case_commands, held, known
from stores.case_commands import Told
from stores.directory import Directory
from streams.cases import provenance
from streams.cases.changes import Change, Requested, letter_of, letter_to, reviewer
from streams.cases.content import QUESTIONED
from streams.cases.ledger import Ledger
from streams.cases.model import Family
from streams.letters import Draft, may_have_number

HOUSEHOLD: Final = "household-child"
_STANDS: Final = (Eligibility.IN_SCOPE, Eligibility.NEEDS_HUMAN)


async def tell(
    connection: Connection,
    changes: Sequence[Change],
    requested: Sequence[Requested],
    *,
    desk: Desk,
    now: datetime,
    numbers: Mapping[uuid.UUID, Sequence[str]],
) -> list[Draft]:
    """The letters that are to leave because of `changes` and `requested`, as far as policies
    permit it. Keeps the note at the flags.
    `numbers`: of each case that something is requested for, all that were said to be the child's.

    The caller holds the locks of the cases, has written their versions and requests, and adds the
    letters in the same transaction.
    """
    directory = desk.directory
    written = [
        letter
        for one in requested
        if (letter := _request_letter(one, desk, now, numbers.get(one[0].case_id, ()))) is not None
    ]
    if not changes:
        return written
    rows = await case_commands.told(connection, {one for each in changes for one in each.tree})
    ledger = Ledger(now, {(one.case_id, one.organisation, one.kind): one for one in rows})
    for change in changes:
        await _note(connection, change, now)
        heard, unheard = await _heard(connection, change, ledger)
        written.extend(_withdrawals(change, heard, unheard, ledger, directory))
        if change.turns(CaseState.VOIDED):
            await held.end_cases(connection, change.tree, now)
            knowing, asked = await _reached(connection, change, ledger, directory)
            written.extend(_voided_letters(change, heard | knowing, asked, ledger, directory))
        written.extend(_household_letters(change, ledger, desk))
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
    one: Requested, desk: Desk, now: datetime, numbers: Sequence[str]
) -> Draft | None:
    """The letter to an agency that the hub knows; None if nobody can be written to, or need be."""
    event, content, traceparent, person = one
    if not event.agency:
        return None
    if event.state is RequestState.REQUESTED:
        kind = letters.REPORT_REQUEST
    elif event.state is RequestState.CANCELLED:
        kind = letters.REPORT_REQUEST_CANCELLED
    else:
        return None
    letter_id = derive("letter", kind, str(event.event_id), event.agency)
    restricted = content.restricted
    with_number = may_have_number(
        desk, Flow.REPORT_REQUEST, event.agency, at=now, restricted=restricted
    )
    body = letters.report_request(
        letter_id=letter_id,
        at=now,
        requested=event,
        nhs_number=content.nhs_number if with_number else None,
        with_number=with_number,
        numbers=numbers,
    )
    directory = desk.directory
    letter = letter_to(
        letter_id, kind, event.agency, body, directory, now, event.case_id, traceparent
    )
    return Draft(
        letter,
        Flow.REPORT_REQUEST,
        reviewer=reviewer(content, directory),
        person=person,
        restricted=restricted,
        ends=event.request_id if event.state is RequestState.CANCELLED else None,
    )


def _household_letters(change: Change, ledger: Ledger, desk: Desk) -> Iterator[Draft]:
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
    directory = desk.directory
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
            with_number=may_have_number(desk, Flow.CASE_EVENT, authority, at=ledger.now),
        )
        yield letter_of(change, letter_id, kind, authority, body, directory, ledger.now)


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


async def _heard(
    connection: Connection, change: Change, ledger: Ledger
) -> tuple[set[str], set[str]]:
    """Organisations that the mailbox has (or had) a letter for about the case, or one that counts
    in it, in any version; and those whose void was still held as the case stands again: it ends.
    """
    tree = change.tree
    if not change.turns(CaseState.VOIDED) and not any(key[0] in tree for key in ledger.rows):
        return set(), set()
    unheard: set[str] = set()
    if change.changed.content.state is CaseState.OPEN:
        unheard = await held.end_kind(connection, tree, letters.CASE_VOIDED, ledger.now)
    return await case_commands.recipients(connection, tree), unheard


def _withdrawals(
    change: Change,
    heard: Collection[str],
    unheard: Collection[str],
    ledger: Ledger,
    directory: Directory,
) -> Iterator[Draft]:
    """What was told and is not so: a void, once the case stands again (unless it never left the
    hub); a check of the household of a child whom the case is not about. A void ends the checks by
    itself.
    """
    case_id, now = change.changed.case_id, ledger.now
    if change.turns(CaseState.VOIDED):
        for told in ledger.standing(letters.HOUSEHOLD_CHECK, change.tree):
            ledger.withdraw(told)
    if change.changed.content.state is not CaseState.OPEN:
        return
    for told in ledger.standing(letters.CASE_VOIDED, change.tree):
        ledger.withdraw(told)
        if told.case_id != case_id or told.organisation in unheard:
            continue
        kind = letters.CASE_REINSTATED
        letter_id = derive("letter", kind, str(change.changed.event_id), told.organisation)
        body = corrections.case_reinstated(
            letter_id=letter_id, at=now, organisation=told.organisation, case=change.changed
        )
        yield letter_of(
            change,
            letter_id,
            kind,
            told.organisation,
            body,
            directory,
            now,
            corrects=told.organisation in heard,
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
        yield letter_of(
            change,
            letter_id,
            kind,
            told.organisation,
            body,
            directory,
            now,
            corrects=told.organisation in heard,
            ends=_household_id(told),
        )


async def _reached(
    connection: Connection, change: Change, ledger: Ledger, directory: Directory
) -> tuple[set[str], set[str]]:
    """Beside those who had a letter of it: organisations that know of the case (its panels, and
    when a person voided it also those who told of it, as they do not know that); and those to whom
    something was to be said, which may have been held or denied.
    """
    panels, agencies = await case_commands.had(connection, change.tree)
    knowing = {directory.panels[one].organisation for one in panels & directory.panels.keys()}
    asked = agencies | {key[1] for key in ledger.rows if key[0] in change.tree}
    return knowing | _tellers(change.changed.content), asked


def _tellers(voided: CaseContent) -> set[str]:
    """Whose notifications and reports a case has that a person voided: one is live still. What its
    senders voided they know.
    """
    notifiers = {one.organisation for one in voided.notifications if not one.voided}
    return notifiers | {one.organisation for one in voided.reports} if notifiers else set()


def _voided_letters(
    change: Change,
    heard: Collection[str],
    asked: Collection[str],
    ledger: Ledger,
    directory: Directory,
) -> Iterator[Draft]:
    kind = letters.CASE_VOIDED
    for organisation in sorted({*heard, *asked}):
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
        corrects = organisation in heard
        yield letter_of(
            change, letter_id, kind, organisation, body, directory, ledger.now, corrects=corrects
        )
