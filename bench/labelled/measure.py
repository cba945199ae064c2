"""Runs labelled claims through PDS client, comparison and judge, as the tracer does; no database.

A claim with a usable number is a question by number, another with names and birth date a search:
the choice of the identity ladder (`streams.identity.ledger`). Two yardsticks judge the same answers
to the same questions by number: the number alone (its check digit is right and PDS has a record),
and all fields equal byte for byte (number, family name, first given name, birth date, gender,
postcode).
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Final

from bench.labelled.model import Labelled, Outcome
from connectors.pds.client import PdsClient
from connectors.pds.outcomes import (
    Bug,
    Found,
    Invalidated,
    NotFound,
    NotSearchable,
    RateLimited,
    Superseded,
    TokenRefused,
    TooMany,
    Unavailable,
)
from connectors.pds.search import QUERIES_AT_MOST, search
from halyard.errors import PermanentError
from halyard.nhs_number import NhsNumberOutcome
from halyard.privacy import Keys
from streams.identity.answers import Judgement, TraceAnswer, answer_of, judge
from streams.identity.evidence import Evidence, evidence_of

_KEYS: Final = Keys(bus=b"b" * 32, store=b"s" * 32)  # of this measurement alone
_AT_ONCE: Final = 8
_TRIES_MORE: Final = 2  # on a machine that is busy with something else


class NoAnswer(PermanentError):
    """The practice PDS gave no answer to a labelled claim."""

    def __init__(self, rule: str) -> None:
        super().__init__(
            f"The practice PDS gave no answer to a labelled claim ({rule}); run again."
        )


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a claim: by the hub, by the number alone, by all fields equal.

    `rule` is the hub's. `by_number`: the question was one by number. `other`: its potential match
    is somebody else. `linked`: who must never be named is, be it as a potential match. `leak`: a
    restricted person's postcode stands somewhere in what the client or the judge gave.
    """

    labelled: Labelled
    outcome: Outcome
    rule: str
    calls: int
    by_number: bool
    number_alone: Outcome
    exact: Outcome
    other: bool
    linked: bool
    leak: bool

    @property
    def allowed(self) -> bool:
        """True if a right hub may say this."""
        return self.outcome in self.labelled.may


async def measure(claims: Iterable[Labelled], url: str, token: str | None) -> list[Result]:
    """Every claim's result, in order. Raises `NoAnswer`."""
    waiting = asyncio.Semaphore(_AT_ONCE)
    async with PdsClient(
        url, token=token, end_user_organisation="X26", profile="test", timeout_seconds=30
    ) as client:

        async def one(labelled: Labelled) -> Result:
            async with waiting:
                return await _result(client, labelled)

        return await asyncio.gather(*(one(labelled) for labelled in claims))


async def _result(client: PdsClient, labelled: Labelled) -> Result:
    evidence = evidence_of(labelled.claim, keys=_KEYS, profile="test")
    if not evidence.traceable:
        return _untraced(labelled, evidence)
    ids = tuple(uuid.uuid4() for _ in range(QUERIES_AT_MOST))
    said, calls = await _ask(client, evidence, ids)
    for _ in range(_TRIES_MORE):
        if not isinstance(said, TraceAnswer):
            said, calls = await _ask(client, evidence, ids)
    if not isinstance(said, TraceAnswer):
        raise NoAnswer(said.rule)
    judgement = judge(said, evidence)
    outcome = _outcome(labelled, said, judgement)
    by_number = said if said.query is None else None
    shown = {*_texts(said), *_texts(judgement)}
    named = judgement.potential
    records = [one.nhs_number for one in (judgement.record, named) if one is not None]
    return Result(
        labelled=labelled,
        outcome=outcome,
        rule=judgement.rule,
        calls=calls,
        by_number=by_number is not None,
        number_alone=_number_alone(labelled, by_number),
        exact=_exact(labelled, by_number),
        other=named is not None and named.nhs_number != labelled.person,
        linked=labelled.never is not None and labelled.never in records,
        leak=labelled.hidden is not None and labelled.hidden in shown,
    )


async def _ask(
    client: PdsClient, evidence: Evidence, ids: tuple[uuid.UUID, ...]
) -> tuple[TraceAnswer | Unavailable | RateLimited | TokenRefused | Bug, int]:
    """What PDS says, and how many calls it took; asked again under the same ids."""
    if evidence.number_token is not None:
        return answer_of(await client.get(evidence.claim.nhs_number or "", ids[0])), 1
    searched = await search(client, evidence.claim, ids)
    return answer_of(searched), searched.calls


def _untraced(labelled: Labelled, evidence: Evidence) -> Result:
    absent = evidence.number is NhsNumberOutcome.ABSENT
    rule = "without-evidence" if absent else f"number-{evidence.number}"
    nothing = Outcome.NOT_ASKED
    return Result(labelled, nothing, rule, 0, False, nothing, nothing, False, False, False)


def _outcome(labelled: Labelled, said: TraceAnswer, judgement: Judgement) -> Outcome:
    if judgement.record is not None:
        return _whose(labelled, judgement.record.nhs_number)
    if judgement.potential is not None:
        return Outcome.POTENTIAL
    match said.outcome:
        case Found() | Superseded():
            return Outcome.CONFLICT
        case Invalidated():
            return Outcome.QUARANTINED
        case NotFound() | TooMany():
            return Outcome.UNRESOLVED
        case NotSearchable():
            return Outcome.NOT_ASKED
        case other:
            raise NoAnswer(other.rule)


def _whose(labelled: Labelled, number: str) -> Outcome:
    return Outcome.VERIFIED if number == labelled.person else Outcome.WRONG


def _number_alone(labelled: Labelled, said: TraceAnswer | None) -> Outcome:
    if said is None or not isinstance(said.outcome, Found | Superseded):
        return Outcome.UNRESOLVED
    return _whose(labelled, said.outcome.record.nhs_number)


def _exact(labelled: Labelled, said: TraceAnswer | None) -> Outcome:
    if said is None or not isinstance(said.outcome, Found):
        return Outcome.UNRESOLVED
    claim, record = labelled.claim, said.outcome.record
    ours = (claim.family, claim.given[:1], claim.birth_date, claim.gender, claim.postcode)
    theirs = (record.family, record.given[:1], record.birth_date, record.gender, record.postcode)
    if ours != theirs:
        return Outcome.UNRESOLVED
    return _whose(labelled, record.nhs_number)


def _texts(value: Any) -> Iterator[str]:
    """Every text in an outcome, however deep."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from _texts(getattr(value, each.name))
    elif isinstance(value, dict):
        yield from _texts(tuple(value.items()))
    elif isinstance(value, Sequence | frozenset | set):
        for each in value:
            yield from _texts(each)
