"""A change of a case, as those are told of it who must be; and the letters that tell it (pure)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from policies.ruling import Flow
from schemas.deaths import CaseChanged, CaseContent, CaseState, ReportRequested
from stores.audit import HUB
from stores.directory import Directory
from stores.mailbox import Letter
from streams.letters import Draft


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


Requested = tuple[ReportRequested, CaseContent, str, str | None]
"""A new version of a report request, the case that it is about as it stands, its trace, and the
case's verified person (pseudonym)."""


def reviewer(content: CaseContent, directory: Directory) -> str:
    """Whose people decide about a letter of the case that is held: its panel's; without one the
    hub's operator.
    """
    panel = directory.panels.get(content.panel or "")
    return panel.organisation if panel is not None else HUB


def letter_of(
    change: Change,
    letter_id: uuid.UUID,
    kind: str,
    organisation: str,
    body: bytes,
    directory: Directory,
    now: datetime,
    *,
    corrects: bool | None = None,
    ends: uuid.UUID | None = None,
) -> Draft:
    """The letter `kind` about a change. `corrects`: it takes something back, and so must be
    acknowledged; True if this organisation got what it takes back, or knows it.
    """
    content = change.changed.content
    letter = letter_to(
        letter_id,
        kind,
        organisation,
        body,
        directory,
        now,
        change.changed.case_id,
        change.traceparent,
        needs_acknowledgement=corrects is not None,
    )
    return Draft(
        letter,
        Flow.CASE_EVENT,
        reviewer=reviewer(content, directory),
        person=change.person,
        restricted=content.restricted,
        ends=ends,
        correction=bool(corrects),
    )


def letter_to(
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
    """A letter to an organisation, at the endpoint that it has."""
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
