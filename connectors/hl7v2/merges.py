"""Two of a hospital's patients are one: PID survives, MRG is retired (A34, A40; A47).

The retired patient's keys must be those that their own earlier events had, or the merge finds
nobody; see `identifiers.Identifiers.local_as` for senders that write MRG-1 otherwise than PID-3.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import Final

from connectors.hl7v2.er7 import Er7Error, Message, Segment
from connectors.hl7v2.identifiers import LocalId, identifiers
from connectors.persons import shared_local_id
from halyard.ids import derive
from halyard.privacy import Keys

MAX_PAIRS: Final = 16
"""Merges in one message (the structure repeats PID and MRG); one with more is refused: each is an
event that holds the message, and a merge that is left out after AA would be lost."""

INCOMPLETE: Final = "merge.incomplete"
"""Arrival rule of a merge that does not say who is retired."""


@dataclass(frozen=True, slots=True)
class Retired:
    """The keys (bus, store) of the patient who is retired, and the visit if one is named."""

    person: str = field(repr=False)
    patient: str = field(repr=False)
    visit: uuid.UUID | None


def pairs(message: Message) -> list[tuple[Segment, Segment]]:
    """Each PID with its MRG. Several MRG after one PID are all retired into it; any other
    difference in number says not who becomes whom: none. Raises `Er7Error` (rule ``merges``).
    """
    pids, mrgs = message.segments("PID"), message.segments("MRG")
    if len(pids) == 1:
        pids = pids * len(mrgs)
    if len(pids) != len(mrgs) or not mrgs:
        return []
    if len(mrgs) > MAX_PAIRS:
        raise Er7Error(
            f"More than {MAX_PAIRS} merges in one message; send them in several.",
            place="MRG",
            rule="merges",
        )
    return list(zip(pids, mrgs, strict=True))


def retired(
    message: Message, mrg: Segment | None, own: LocalId | None, *, source: str, keys: Keys
) -> Retired | None:
    """Who `mrg` retires; None if it names nobody, or there is no MRG for the patient.

    MRG-1 (a list), else MRG-4 (one identifier, to v2.3); an NHS number there is no local id, and a
    placeholder (UNKNOWN, 9999999999) is nobody's.
    """
    if mrg is None:
        return None
    found = identifiers(message, mrg, (1,))
    local = _somebodys(found.local_as(own))
    local = local or _somebodys(identifiers(message, mrg, (4,)).local_as(own))
    visit = visit_number(message, mrg, 5)
    number = next(iter(found.numbers), None)
    if local is None and visit is None and number is None:
        return None
    names = (local.key if local else None, visit, number)
    return Retired(
        person=keys.source_person(source, *names),
        patient=keys.source_patient(source, *names),
        visit=derive("visit", source, visit) if visit else None,
    )


def _somebodys(local: LocalId | None) -> LocalId | None:
    return None if local is None or shared_local_id(local.value) else local


def visit_number(message: Message, segment: Segment, number: int) -> str | None:
    """A visit number (CX) with its assigning authority; two sites may both count from 1.

    One without authority has that of PV1-19 of the same message, by which visits are known.
    """
    value = segment.text(number, 1).strip()
    if not value or shared_local_id(value):  # "0", "UNKNOWN": many people's, no visit's
        return None
    authority = (segment.text(number, 4, 1) or segment.text(number, 4, 2)).strip().upper()
    if not authority and segment.name != "PV1":
        known = visit_number(message, message.segment("PV1"), 19)
        authority = known.partition("^")[0] if known else ""
    return f"{authority}^{value}"
