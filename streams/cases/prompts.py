"""Deaths that are indicated: somebody is asked to notify them; an indication is never a case.

A hospital's record (PID-29, PID-30, Patient.deceased) or PDS says that somebody died. If that may
be a child and nobody has notified it, one hospital is asked to: whose record it is, else where the
child was seen last; if neither is known, the prompt is listed and a person finds out. However
often it is indicated, it is asked once. Even a formal PDS notification may be of a stillbirth: it
prompts like the others. If PDS takes a death back, the prompt is cancelled, and the cases of that
person are marked (`streams.cases.content.questioned`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

from connectors.fhir import letters
from halyard.ids import derive
from halyard.postgres import Connection, Pool, transaction
from halyard.privacy import Keys
from policies.ruling import Flow
from schemas.deaths import DeathIndication, DeathNotified, DeathVerified
from schemas.events import Identity
from stores import known, prompts
from stores.directory import Directory
from stores.mailbox import Letter
from stores.prompts import Prompt
from streams.cases.ages import under_18
from streams.cases.content import last_day_of
from streams.cases.facts import Facts
from streams.cases.model import Indication, Known, Notification
from streams.letters import Draft

KEPT: Final = timedelta(days=400)
"""So long a prompt is kept that was answered or cancelled."""


class Action(Enum):
    """What becomes of an indication."""

    NOTHING = "nothing"
    ASK = "ask"
    LIST = "list"  # nobody is known to ask
    CANCEL = "cancel"
    ANSWERED = "answered"  # notified already


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do, by which rule, and whom to ask."""

    action: Action
    rule: str
    organisation: str | None = None


@dataclass(frozen=True, slots=True)
class Prompted:
    """What leaves because of an indication; the person (pseudonym) and what its cases note."""

    decision: Decision
    letters: tuple[Draft, ...] = ()
    indication: Indication | None = field(default=None, repr=False)
    person: str | None = None


def decide(
    notified: DeathNotified,
    identity: Identity | None,
    *,
    prompt: Prompt | None,
    case_id: UUID | None,
    seen: Known,
) -> Decision:
    """`prompt`: the one that stands for this person; `case_id`: of a live notification of it;
    `seen`: what the hub knows of the person.
    """
    indication = notified.indication
    is_open = prompt is not None and prompt.state == "open"
    removed = indication is DeathIndication.PDS_REMOVED
    older = prompt is not None and _indicated_at(notified) < prompt.indicated_at
    if older and (removed or not is_open):
        return Decision(Action.NOTHING, "older-indication")
    if removed:
        return Decision(Action.CANCEL, "death-removed")
    if _adult(notified, identity):
        return Decision(Action.CANCEL if is_open else Action.NOTHING, "adult")
    if case_id is not None:
        return Decision(Action.ANSWERED if is_open else Action.NOTHING, "already-notified")
    ask = _whom(notified, seen)
    if is_open and prompt is not None and (prompt.organisation or ask.organisation is None):
        return Decision(Action.NOTHING, "already-asked")
    return ask


def _whom(notified: DeathNotified, seen: Known) -> Decision:
    if notified.indication is DeathIndication.HOSPITAL:
        return Decision(Action.ASK, "hospital-record", notified.organisation)
    if notified.indication is DeathIndication.UNKNOWN:
        return Decision(Action.LIST, "unknown-indication")
    if seen.attendances:
        return Decision(Action.ASK, "last-attendance", seen.attendances[0].hospital)
    return Decision(Action.LIST, "nobody-known")


def _adult(notified: DeathNotified, identity: Identity | None) -> bool:
    """Surely 18 or more at death; unknown age may be a child's."""
    born = (identity.birth_date if identity else None) or notified.claim.birth_date
    died = notified.died_at or _indicated_at(notified).date().isoformat()
    return under_18(born, died[:10]) is False


def _indicated_at(notified: DeathNotified) -> datetime:
    return notified.effective_at or notified.received_at


_NO_FACTS: Final = Facts()


def tokens(
    keys: Keys, notified: DeathNotified, person: str | None, facts: Facts = _NO_FACTS
) -> frozenset[str]:
    """Keyed tokens by which an indication and a notification are of one person: the verified
    person or the number as sent; the hospital's own id with the birth date; the source's patient.
    """
    claim = notified.claim
    found = {f"patient:{notified.source_patient}"}
    if person is not None:
        found.add(f"person:{person}")
    if claim.nhs_number:
        found.add(f"person:{keys.person(claim.nhs_number.replace(' ', ''))}")
    local = claim.local_id or facts.value("child.local-id")
    born = claim.birth_date or facts.value("child.birth-date")
    if local and born:
        found.add(keys.token("death-local", notified.organisation, local, born))
    return frozenset(found)


def locks(keys: Keys, notified: DeathNotified, person: str | None) -> frozenset[str]:
    """Names of the locks to hold while an indication or a notification is decided."""
    facts = Facts(notified.facts)
    return frozenset(f"prompt:{one}" for one in tokens(keys, notified, person, facts))


async def on_indicated(
    connection: Connection,
    verified: DeathVerified,
    *,
    keys: Keys,
    directory: Directory,
    now: datetime,
    traceparent: str,
) -> Prompted:
    """Decide and store an indication; the caller holds `locks` and sends the letters. If `person`
    has cases, their families note `indication`.
    """
    notified, identity = verified.notified, verified.identity
    person = identity.person if identity is not None else None
    shared = tokens(keys, notified, person)
    held = await prompts.of_tokens(connection, shared)
    prompt = next((one for one in held if one.state == "open"), held[-1] if held else None)
    seen = Known()
    if person is not None and notified.indication is not DeathIndication.HOSPITAL:
        seen = await known.known(connection, person, last_day_of(notified.died_at), now)
    case_id = await prompts.notified(connection, shared)
    decision = decide(notified, identity, prompt=prompt, case_id=case_id, seen=seen)
    after = _after(decision, verified, prompt, now, case_id)
    if after is not None:
        await prompts.save(connection, after, shared)
    told: tuple[Draft, ...] = ()
    if decision.action is Action.ASK and decision.organisation is not None:
        told = (_letter(verified, decision.organisation, directory, now, traceparent),)
    indication = Indication(
        indication=notified.indication,
        organisation=notified.organisation,
        at=_indicated_at(notified),
        died_at=notified.died_at,
    )
    return Prompted(decision, told, indication, person)


def _after(
    decision: Decision,
    verified: DeathVerified,
    prompt: Prompt | None,
    now: datetime,
    case_id: UUID | None,
) -> Prompt | None:
    """The prompt as it stands afterwards; None if nothing of it changes."""
    notified, identity = verified.notified, verified.identity
    person = identity.person if identity is not None else None
    action = decision.action
    if action is Action.NOTHING:
        if prompt is None:
            return None
        # what is known of whom it is about grows, so that a notification finds it
        return replace(prompt, person=prompt.person or person)
    asked = action in (Action.ASK, Action.LIST)
    state: prompts.State = "open" if asked else "cancelled"
    if action is Action.ANSWERED:
        state = "answered"
    return Prompt(
        prompt_id=(
            prompt.prompt_id
            if prompt is not None
            else derive("death-prompt", person or notified.source_patient)
        ),
        person=person or (prompt.person if prompt is not None else None),
        source=notified.source,
        indication=notified.indication,
        rule=decision.rule,
        organisation=(
            decision.organisation if asked else prompt.organisation if prompt is not None else None
        ),
        state=state,
        event_id=notified.event_id,
        indicated_at=_indicated_at(notified),
        opened_at=(prompt.opened_at if prompt is not None and prompt.state == "open" else now),
        changed_at=now,
        case_id=case_id if action is Action.ANSWERED else None,
    )


def _letter(
    verified: DeathVerified,
    organisation: str,
    directory: Directory,
    now: datetime,
    traceparent: str,
) -> Draft:
    """To a hospital by its own id of the patient, else by the verified number."""
    notified, identity = verified.notified, verified.identity
    own = notified.organisation == organisation and bool(notified.claim.local_id)
    letter_id = derive("letter", letters.DEATH_PROMPT, str(notified.event_id), organisation)
    letter = Letter(
        letter_id=letter_id,
        organisation=organisation,
        kind=letters.DEATH_PROMPT,
        body=letters.prompt(
            letter_id=letter_id,
            at=now,
            organisation=organisation,
            notified=notified,
            nhs_number=None if own or identity is None else identity.nhs_number,
        ),
        created_at=now,
        endpoint=directory.message_endpoint(organisation),
        about=notified.event_id,
        traceparent=traceparent,
    )
    return Draft(
        letter,
        Flow.REPORT_REQUEST,
        person=None if identity is None else identity.person,
        restricted=identity is not None and identity.restricted,
    )


async def on_notified(
    connection: Connection,
    notifications: Sequence[Notification],
    *,
    void: Collection[UUID] = (),
    keys: Keys,
    now: datetime,
) -> None:
    """These notifications stand so now: the open prompts of the same people are answered by the
    live ones, unless a person voided their case (`void`); what nobody answers any more is open
    again. The caller holds `locks_of` them.
    """
    if not notifications:
        return
    case_ids = {one.case_id for one in notifications}
    await prompts.forget_notified(connection, case_ids)
    found = sorted(
        (token, one.case_id)
        for one in notifications
        if not one.voided and one.case_id not in void
        for token in tokens(keys, one.notified, _person(one), Facts(one.notified.facts))
    )
    await prompts.note_notified(connection, found, now)
    await prompts.reopen(connection, case_ids, now)


def locks_of(keys: Keys, notifications: Iterable[Notification]) -> frozenset[str]:
    """Names of the locks to hold while these notifications come to stand otherwise."""
    return frozenset(
        name for one in notifications for name in locks(keys, one.notified, _person(one))
    )


def _person(note: Notification) -> str | None:
    return note.identity.person if note.identity is not None else None


async def purge(pool: Pool, now: datetime) -> int:
    """Forget prompts that were closed long ago; gives how many."""
    async with transaction(pool) as connection:
        return await prompts.purge(connection, before=now - KEPT)
