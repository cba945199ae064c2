"""A record of the bus becomes a version of a case, or the reason why it cannot."""

from __future__ import annotations

from halyard.errors import ContractError
from halyard.kafka import Incoming
from schemas.codec import decode_as
from schemas.deaths import (
    CaseChange,
    CaseChanged,
    CaseState,
    Eligibility,
    FactKind,
    ReportKind,
    RequestState,
)
from stores.ncmd import Arrived


def read(record: Incoming) -> Arrived:
    """The version in `record`. Raises `ContractError` for bytes that are none."""
    event = decode_as(CaseChanged, record.value)
    if event.version < 1:
        raise ContractError("A version of a case is numbered below 1; inspect its producer.")
    return Arrived(event, record.value, needs_person=names_the_unknown(event))


def names_the_unknown(event: CaseChanged) -> bool:
    """Whether it says something under a symbol that this version does not know.

    Not so for what may truly be unknown: the state of a number, flags of somebody who is nobody.
    """
    content = event.content
    return (
        event.change is CaseChange.UNKNOWN
        or content.state is CaseState.UNKNOWN
        or content.eligibility is Eligibility.UNKNOWN
        or any(one.kind is ReportKind.UNKNOWN for one in content.reports)
        or any(one.state is RequestState.UNKNOWN for one in content.requests)
        or any(one.fact.kind is FactKind.UNKNOWN for one in content.facts)
    )
