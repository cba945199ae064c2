"""A version of a case as rows of the NCMD store: pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from schemas.deaths import CaseChanged, CaseContent, CaseState

Row = dict[str, Any]

_NO_LINK: Final[Row] = {
    "organisation": "",
    "key": "",
    "source": "",
    "version": None,
    "state": "",
    "at": None,
    "from_day": None,
    "to_day": None,
    "event_id": None,
    "request_id": None,
    "other_case": None,
    "reason": None,
}


def case_row(event: CaseChanged, needs_person: bool) -> Row:
    """The current row of a case. A voided one keeps no number."""
    content = event.content
    return {
        "case_id": event.case_id,
        "version": event.version,
        "change": event.change.value,
        "rule": event.rule,
        "changed_at": event.changed_at,
        "needs_person": needs_person,
        "state": content.state.value,
        "eligibility": content.eligibility.value,
        "eligibility_rule": content.eligibility_rule,
        "indicator": content.indicator.value,
        "identity_rule": content.identity_rule,
        "nhs_number": None if content.state is CaseState.VOIDED else content.nhs_number,
        "restricted": content.restricted,
        "panel": content.panel,
        "panel_rule": content.panel_rule,
        "panels_informed": list(content.panels_informed),
        "needs": list(content.needs),
        "conflicts": list(content.conflicts),
        "flag_history": content.flag_history.value,
        "known_as_at": content.known_as_at,
        "merged_into": content.merged_into,
    }


def fact_rows(event: CaseChanged) -> list[Row]:
    """The facts that are current, in the order of the case; none of a voided one."""
    if event.content.state is CaseState.VOIDED:
        return []
    return [
        {
            "case_id": event.case_id,
            "position": position,
            "name": stated.fact.name,
            "row_number": stated.fact.row,
            "organisation": stated.organisation,
            "event_id": stated.event_id,
            "value": stated.fact.value,
            "absent": stated.fact.absent,
            "kind": stated.fact.kind.value,
            "as_at": stated.fact.as_at,
            "stated_at": stated.stated_at,
            "form": stated.form,
        }
        for position, stated in enumerate(event.content.facts, 1)
    ]


def link_rows(event: CaseChanged) -> list[Row]:
    """What the case is connected with; of a voided one its notifications alone."""
    content = event.content
    kinds: Sequence[tuple[str, Iterator[Row]]] = [("notification", _notifications(content))]
    if content.state is not CaseState.VOIDED:
        kinds = [*kinds, *_others(content)]
    return [
        {"case_id": event.case_id, "kind": kind, "position": position, **_NO_LINK, **row}
        for kind, rows in kinds
        for position, row in enumerate(rows, 1)
    ]


def void_reason(event: CaseChanged) -> str:
    """The code that the void's sender gave; else the rule that decided."""
    given = [one for one in event.content.notifications if one.voided and one.reason]
    newest = max(given, key=lambda one: one.received_at, default=None)
    return event.rule if newest is None or newest.reason is None else newest.reason


def _notifications(content: CaseContent) -> Iterator[Row]:
    for one in content.notifications:
        yield {
            "organisation": one.organisation,
            "key": one.reference,
            "source": one.source,
            "version": one.version,
            "state": "voided" if one.voided else "",
            "at": one.received_at,
            "event_id": one.event_id,
            "reason": one.reason,
        }


def _others(content: CaseContent) -> list[tuple[str, Iterator[Row]]]:
    merged = () if content.merged_into is None else (content.merged_into,)
    return [
        (
            "report",
            (
                {
                    "organisation": one.organisation,
                    "version": one.version,
                    "state": one.kind.value,
                    "at": one.received_at,
                    "event_id": one.event_id,
                    "request_id": one.request_id,
                }
                for one in content.reports
            ),
        ),
        (
            "request",
            (
                {
                    "organisation": one.agency,
                    "key": one.role,
                    "state": one.state.value,
                    "at": one.due_at,
                    "request_id": one.request_id,
                }
                for one in content.requests
            ),
        ),
        (
            "tracking",
            (
                {"organisation": one.organisation, "source": one.system, "key": one.value}
                for one in content.tracking
            ),
        ),
        (
            "flag",
            (
                {
                    "organisation": one.authority,
                    "key": one.plan_type,
                    "state": one.history.value,
                    "from_day": one.start,
                    "to_day": one.end,
                }
                for one in content.flags
            ),
        ),
        (
            "attendance",
            (
                {
                    "organisation": one.hospital,
                    "key": one.department or "",
                    "at": one.arrived_at,
                }
                for one in content.attendances
            ),
        ),
        ("merged", ({"other_case": case_id} for case_id in merged)),
        ("absorbed", ({"other_case": case_id} for case_id in content.absorbed)),
        ("duplicate", ({"other_case": case_id} for case_id in content.duplicates)),
    ]
