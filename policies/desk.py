"""Where a process asks whether something may leave: the policies, who the recipients are, the keys
of the audit, and what was asked a moment ago.

Everything that discloses asks `Desk.ask` (or `Desk.masked`) in the transaction that decides, and
adds `Desk.entry` there. A desk belongs to one process; it holds no state but a bounded memory of
rulings, which are the same for the same question within a minute.
"""

from __future__ import annotations

import functools
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from halyard import metrics
from halyard.privacy import Keys
from policies import fields as field_names
from policies import record
from policies.decision import decide
from policies.model import Policies, load_policies
from policies.ruling import Decision, Disclosure, Flow, Ruling
from stores.audit import HUB, AuditEntry, Kind
from stores.directory import Directory
from stores.sectors import sector_of

_REMEMBERED: Final = 4_096

_Question = tuple[Flow, str, str | None, frozenset[str], bool, frozenset[str], int, bool]


@dataclass(frozen=True, slots=True)
class Asked:
    """A disclosure and what the policies say to it."""

    disclosure: Disclosure
    ruling: Ruling

    @property
    def permitted(self) -> bool:
        """It may leave, less what is withheld."""
        return self.ruling.decision is Decision.PERMIT

    @property
    def held(self) -> bool:
        """A person decides."""
        return self.ruling.decision is Decision.REVIEW

    def may(self, name: str) -> bool:
        """Whether this field leaves."""
        return self.permitted and name in self.ruling.fields


@dataclass(slots=True)
class Desk:
    """See the module. `actor` is who asks where nobody else does ("process:matching")."""

    policies: Policies
    directory: Directory
    keys: Keys
    actor: str
    _rulings: dict[_Question, Asked] = field(default_factory=dict, repr=False)

    def ask(
        self,
        flow: Flow,
        recipient: str,
        fields: frozenset[str],
        *,
        at: datetime,
        restricted: bool = False,
        purpose: str | None = None,
        roles: frozenset[str] = frozenset(),
        released: bool = False,
        count: bool = True,
    ) -> Asked:
        """May `fields` leave to `recipient` (ODS or GSS code) at this time? `released`: a person
        has released what a policy leaves to one. `count` False: the question is asked again of
        what was counted before.
        """
        minute = int(at.timestamp() // 60)  # policies begin and end on a minute, at the finest
        question = (flow, recipient, purpose, fields, restricted, roles, minute, released)
        asked = self._rulings.get(question)
        if asked is None:
            disclosure = Disclosure(
                flow=flow,
                recipient=recipient,
                sector=sector_of(self.directory, recipient),
                purpose=purpose,
                at=at,
                fields=fields,
                restricted=restricted,
                roles=roles,
            )
            asked = Asked(disclosure, decide(self.policies, disclosure, released=released))
            if len(self._rulings) >= _REMEMBERED:
                self._rulings.clear()
            self._rulings[question] = asked
        if count:
            metrics.count(
                "halyard_disclosures_total",
                flow=flow.value,
                decision=asked.ruling.decision.value,
            )
        return asked

    def masked(
        self, flow: Flow, recipient: str, body: Mapping[str, Any], **more: Any
    ) -> tuple[Asked, dict[str, Any]]:
        """As `ask`, of every field of `body`; and `body` with what may leave alone."""
        asked = self.ask(flow, recipient, field_names.names(body), **more)
        return asked, masked(body, asked)

    def entry(
        self,
        asked: Asked,
        *,
        at: datetime,
        entry_id: uuid.UUID | None = None,
        kind: Kind = "disclosure",
        actor: str | None = None,
        organisation: str = HUB,
        **more: Any,
    ) -> AuditEntry:
        """The audit entry of what was asked; `more` as in `policies.record.entry`. Without an
        `entry_id` the act is one of its own, however often it is repeated.
        """
        return record.entry(
            asked.ruling,
            asked.disclosure,
            entry_id=entry_id or uuid.uuid4(),
            recorded_at=at,
            kind=kind,
            actor=actor or self.actor,
            organisation=organisation,
            keys=self.keys,
            **more,
        )


def of_each(persons: Iterable[str | None]) -> dict[str | None, int]:
    """How many of what is told are about each of `persons` (None: nobody known), at least one
    entry: an audit entry each, so that a person's own report lists it."""
    return dict(Counter(persons)) or {None: 0}


def masked(body: Mapping[str, Any], asked: Asked) -> dict[str, Any]:
    """`body` with what may leave alone."""
    if asked.permitted and not asked.ruling.withheld:
        return dict(body)
    return field_names.mask(body, asked.ruling)


def open_desk(policies: Policies | None, directory: Directory, keys: Keys, actor: str) -> Desk:
    """A desk; without `policies` with those of the package. Raises `ConfigurationError`."""
    return Desk(packaged() if policies is None else policies, directory, keys, actor)


@functools.cache
def packaged() -> Policies:
    """The policies of the package, which change with it alone."""
    return load_policies(None)
