"""Letters under sharing policies: decided, recorded, and written into the mailbox or held.

What a policy denies is written nowhere but in the audit chain. A letter's body cannot be masked
afterwards, so whoever composes one asks `may_have_number` first; a body that holds a number which
the policy withholds does not leave.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from connectors.fhir.writing import NHS_NUMBER
from halyard import metrics
from halyard.caller import Caller
from halyard.postgres import Connection
from halyard.telemetry import get_logger
from policies.desk import Asked, Desk
from policies.fields import may_leave
from policies.ruling import Decision, Flow, Ruling
from stores import audit, held, mailbox
from stores.audit import HUB, AuditEntry
from stores.held import HeldLetter
from stores.mailbox import Letter
from stores.sectors import sector_of

LETTER: Final = "letter"
NUMBER: Final = "letter.number"
NUMBER_WITHHELD: Final = "number-withheld"
"""Rule of a letter that holds a number which the policy withholds."""
TELLS_MORE: Final = "tells-more"
"""Rule of a letter that was composed when more was permitted than is now."""
CORRECTION: Final = "correction"
"""Rule of a letter that takes back what its recipient was told, and tells no fact."""

_NUMBER_SYSTEM: Final = NHS_NUMBER.encode()

log = get_logger()


@dataclass(frozen=True, slots=True)
class Draft:
    """A letter that is composed. `fields` None: what the body of a letter about a death has."""

    letter: Letter
    flow: Flow
    reviewer: str = HUB  # organisation whose people decide, if it is held
    person: str | None = None  # pseudonym (store key)
    restricted: bool = False
    fields: frozenset[str] | None = None
    told: frozenset[str] | None = None  # those of them that stand in the body, if not all
    # takes back what this recipient was told, and tells no fact: no condition holds it up, for it
    # must not go on acting on what is not so
    correction: bool = False
    subject: str | None = None  # of the audit entry; else the letter itself
    asked: Asked | None = None  # if it was asked before
    by: Caller | None = None  # who causes it, if not this process by itself
    reason: str | None = None  # in that person's words
    request_id: str | None = None
    # a letter about the same case to the same organisation that is held and holds this id ends with
    # this one, which takes back what it would have said
    ends: uuid.UUID | None = None


def may_have_number(
    desk: Desk, flow: Flow, organisation: str, *, at: datetime, restricted: bool = False
) -> bool:
    """Whether a letter to `organisation` may hold an NHS number; of one that a person must release
    first, what holds then.
    """
    asked = desk.ask(
        flow,
        organisation,
        frozenset({LETTER, NUMBER}),
        at=at,
        restricted=restricted,
        released=True,
        count=False,
    )
    sector = sector_of(desk.directory, organisation)
    return asked.may(NUMBER) and may_leave(flow, sector, NUMBER, restricted=restricted)


async def write(
    connection: Connection, drafts: Sequence[Draft], desk: Desk, now: datetime
) -> list[Asked]:
    """Write `drafts` as policies say, with their audit entries; gives what was said to each. The
    caller's transaction is the one that decided them.
    """
    for one in drafts:
        if one.ends is not None and one.letter.case_id is not None:
            await held.end_letters(
                connection, one.letter.case_id, one.letter.organisation, str(one.ends), now
            )
    asked = [_asked(one, desk, now) for one in drafts]
    pairs = list(zip(drafts, asked, strict=True))
    await mailbox.add(connection, [one.letter for one, said in pairs if said.permitted])
    await held.add_letters(connection, [_held(one, said) for one, said in pairs if said.held])
    await audit.append(connection, [_entry(one, said, desk, now) for one, said in pairs])
    for one, said in pairs:
        if not said.permitted:
            log.warning(
                "letter_held" if said.held else "letter_denied",
                letter_id=str(one.letter.letter_id),
                organisation=one.letter.organisation,
                kind=one.letter.kind,
                policy=said.ruling.policy,
                policy_version=said.ruling.version,
                rule=said.ruling.rule,
            )
    return asked


def fields_of(letter: Letter) -> frozenset[str]:
    """The fields that a letter about a death has, coarsely."""
    return frozenset({LETTER, NUMBER} if _NUMBER_SYSTEM in letter.body else {LETTER})


def telling(said: Asked, letter: Letter, told: frozenset[str]) -> Asked:
    """What was said of a letter whose bytes tell `told`. They cannot be masked: it is denied unless
    all of that may leave.
    """
    if not said.permitted:
        return said
    asked, ruling = said.disclosure, said.ruling
    number = _NUMBER_SYSTEM in letter.body and not may_leave(
        asked.flow, asked.sector, NUMBER, restricted=asked.restricted
    )
    if number or NUMBER in told - ruling.fields:
        ruling = _denied(ruling, NUMBER_WITHHELD)
    elif told - ruling.fields:
        ruling = _denied(ruling, TELLS_MORE)
    else:
        ruling = replace(ruling, fields=told, withheld=asked.fields - told)
    return replace(said, ruling=ruling)


def _asked(draft: Draft, desk: Desk, now: datetime) -> Asked:
    letter, said = draft.letter, draft.asked
    fields = draft.fields or fields_of(letter)
    correction = draft.correction and fields_of(letter) == {LETTER}
    if said is None:
        said = desk.ask(
            draft.flow,
            letter.organisation,
            fields,
            at=now,
            restricted=draft.restricted,
            count=not correction,
        )
    if correction:
        metrics.count(
            "halyard_disclosures_total", flow=draft.flow.value, decision=Decision.PERMIT.value
        )
        ruling = replace(
            said.ruling,
            decision=Decision.PERMIT,
            rule=CORRECTION,
            fields=fields,
            withheld=frozenset(),
        )
        return replace(said, ruling=ruling)
    return telling(said, letter, fields if draft.told is None else draft.told)


def _denied(ruling: Ruling, rule: str) -> Ruling:
    return replace(
        ruling, decision=Decision.DENY, rule=rule, fields=frozenset(), withheld=frozenset()
    )


def _held(draft: Draft, said: Asked) -> HeldLetter:
    return HeldLetter(
        letter=draft.letter,
        reviewer=draft.reviewer,
        flow=draft.flow.value,
        fields=tuple(sorted(said.disclosure.fields)),
        told=tuple(sorted(said.disclosure.fields if draft.told is None else draft.told)),
        person=draft.person,
        restricted=draft.restricted,
        policy=said.ruling.policy,
        policy_version=said.ruling.version,
        rule=said.ruling.rule,
    )


def _entry(draft: Draft, said: Asked, desk: Desk, now: datetime) -> AuditEntry:
    letter = draft.letter
    return desk.entry(
        said,
        at=now,
        **_actor(draft.by),
        person=draft.person,
        case_id=letter.case_id,
        subject=draft.subject or f"letter:{letter.letter_id}",
        message_id=str(letter.letter_id),
        payload=letter.body if said.permitted else None,
        reason=draft.reason,
        request_id=draft.request_id,
        detail=(("kind", letter.kind),),
    )


def _actor(by: Caller | None) -> dict[str, Any]:
    if by is None:
        return {}
    return {
        "actor": by.subject,
        "organisation": by.organisation,
        "actor_name": by.name,
        "role": by.job_role,
        "token_id": by.token_id,
    }
