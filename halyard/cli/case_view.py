"""How `halyard cases show` reads and prints a case."""

from __future__ import annotations

import uuid
from dataclasses import asdict
from typing import Any, Final

from halyard.cli.output import line, table
from halyard.errors import PermanentError
from halyard.postgres import Connection
from schemas.deaths import (
    CaseChanged,
    CaseContent,
    CaseFact,
    DeathNotified,
    Eligibility,
    ReportSubmitted,
)
from stores import case_commands, case_messages, cases, mailbox, proposals, report_requests
from stores.case_model import SHIELDED

_NO_GAP: Final = "; places are withheld: this is no gap of the form"
_RULED: Final = (Eligibility.IN_SCOPE, Eligibility.OUT_OF_SCOPE)


async def whole(connection: Connection, case_id: uuid.UUID, *, with_number: bool) -> dict[str, Any]:
    """A case, its history and what was decided, as JSON members; the number only if asked for."""
    row = await cases.case(connection, case_id)
    if row is None:
        raise PermanentError(f"There is no case {case_id}; `halyard cases list` shows them.")
    asked = await report_requests.load(connection, [case_id, *row.content.absorbed])
    waiting = await mailbox.unacknowledged(connection, case_id)
    shielding = await _shielding(connection, [case_id, *row.content.absorbed])
    return {
        "case_id": case_id,
        "version": row.version,
        "opened_at": row.opened_at,
        "changed_at": row.changed_at,
        **_content(row.content, with_number=with_number),
        "shielded_by": shielding,
        "requests": [asdict(one) for one in asked],
        "duplicates": [asdict(one) for one in await proposals.of_cases(connection, [case_id])],
        "decisions": [asdict(one) for one in await case_commands.of_case(connection, case_id)],
        "not_acknowledged": [
            {"organisation": organisation, "kind": kind} for organisation, kind in waiting
        ],
        "history": [_version(one) for one in await cases.history(connection, case_id)],
    }


async def _shielding(connection: Connection, family: list[uuid.UUID]) -> list[str]:
    """Whose notification or report says that the child is restricted."""
    said: list[DeathNotified | ReportSubmitted] = [
        *(one.notified for one in await case_messages.notifications(connection, family)),
        *(one.report for one in await case_messages.reports(connection, family)),
    ]
    return sorted({one.organisation for one in said if SHIELDED in one.marks})


def _content(content: CaseContent, *, with_number: bool) -> dict[str, Any]:
    said = asdict(content)
    if not with_number:
        said["nhs_number"] = None if content.nhs_number is None else "hidden"
    said["facts"] = [_fact(one) for one in content.facts]
    return said


def _fact(stated: CaseFact) -> dict[str, Any]:
    fact = stated.fact
    return {
        "name": fact.name,
        "row": fact.row,
        "value": fact.value,
        "absent": fact.absent,
        "kind": fact.kind.value,
        "as_at": fact.as_at,
        "organisation": stated.organisation,
        "event_id": stated.event_id,
        "stated_at": stated.stated_at,
        "form": stated.form,
    }


def _version(changed: CaseChanged) -> dict[str, Any]:
    return {
        "version": changed.version,
        "change": changed.change.value,
        "changed_at": changed.changed_at,
        "rule": changed.rule,
        "cause": changed.cause,
        "by": changed.by,
    }


def proposal(one: dict[str, Any]) -> dict[str, Any]:
    """A pair that may be one death, as a row of a table."""
    return {
        **one,
        "one_id": one["one"],
        "other_id": one["other"],
        "score": f"{one['score']:.2f}",
        "agreements": ", ".join(one["agreements"]),
        "differences": ", ".join(one["differences"]),
    }


def _withheld(case: dict[str, Any]) -> str:
    """Why places are missing, if somebody says that the child is restricted."""
    if case["shielded_by"]:
        why = f"the sender ({', '.join(case['shielded_by'])}) marked the child as restricted"
    elif case["restricted"]:
        why = "the child's record is restricted"
    else:
        return ""
    return f"{why}; do not ask for the address by ordinary means"


def print_case(case: dict[str, Any]) -> None:
    """Print it for a person."""
    withheld = _withheld(case)
    no_scope = _NO_GAP if withheld and case["eligibility"] not in _RULED else ""
    no_panel = _NO_GAP if withheld and case["panel"] is None else ""
    line(f"case {case['case_id']} version {case['version']}: {case['state']}")
    for name, text in (
        ("places withheld", withheld),
        ("eligibility", f"{case['eligibility']} ({case['eligibility_rule']}{no_scope})"),
        ("panel", f"{case['panel'] or '-'} ({case['panel_rule'] or '-'}{no_panel})"),
        ("panels told", ", ".join(case["panels_informed"])),
        ("needs", ", ".join(case["needs"])),
        ("conflicts", ", ".join(case["conflicts"])),
        ("number", f"{case['nhs_number'] or '-'} ({case['indicator']})"),
        ("restricted", "yes" if case["restricted"] else ""),
        ("plans at death", case["flag_history"]),
        ("merged into", case["merged_into"] or ""),
        ("counts in it", ", ".join(str(one) for one in case["absorbed"])),
    ):
        if text:
            line(f"  {name}: {text}")
    for title, columns, rows in (
        ("facts", ("name", "row", "value", "absent", "kind", "organisation"), case["facts"]),
        (
            "notifications",
            ("organisation", "version", "voided", "reason", "received_at"),
            case["notifications"],
        ),
        ("reports", ("organisation", "kind", "version", "received_at"), case["reports"]),
        (
            "requests",
            ("request_id", "agency", "agency_name", "role", "state", "due_at"),
            case["requests"],
        ),
        ("plans", ("authority", "plan_type", "history", "start", "end"), case["flags"]),
        ("attendances", ("hospital", "department", "arrived_at"), case["attendances"]),
        ("other numbers", ("system", "value", "organisation"), case["tracking"]),
        (
            "proposals",
            ("one_id", "other_id", "state", "score", "agreements", "differences"),
            [proposal(one) for one in case["duplicates"]],
        ),
        ("decisions", ("kind", "by", "reason", "panel", "decided_at"), case["decisions"]),
        ("not acknowledged", ("organisation", "kind"), case["not_acknowledged"]),
        ("history", ("version", "change", "rule", "by", "changed_at"), case["history"]),
    ):
        if rows:
            line(f"\n{title}")
            table(columns, rows)
