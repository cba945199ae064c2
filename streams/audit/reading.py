"""Reading the audit chain for a person: each reading is itself an entry, in the same transaction.

What a subject-access report says of each disclosure stands here too, for every way of printing it.
"""

from __future__ import annotations

import csv
import html
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from halyard.postgres import Connection
from stores import audit, audit_search
from stores.audit import AuditEntry
from stores.audit_search import Cursor, Filter, Found


@dataclass(frozen=True, slots=True)
class Reader:
    """Who reads, and in whose chain the reading is recorded."""

    subject: str  # "user:…", "cli:…"
    organisation: str
    chain: str
    name: str | None = field(default=None, repr=False)
    role: str | None = None
    request_id: str | None = None
    token_id: str | None = None


async def read(
    connection: Connection,
    wanted: Filter,
    reader: Reader,
    *,
    purpose: str,
    now: datetime,
    entry_id: uuid.UUID,
    reason: str | None = None,
    after: Cursor | None = None,
    limit: int = 100,
) -> list[Found]:
    """A page of entries, read and recorded: who read, what for, by which filters, how many.

    `purpose` is ``audit`` or ``subject-access``.
    """
    found = await audit_search.page(connection, wanted, after=after, limit=limit)
    persons: Sequence[str | None] = wanted.persons or (None,)
    filters = [name for name in Filter.__dataclass_fields__ if getattr(wanted, name) is not None]
    record = AuditEntry(
        entry_id=entry_id,
        recorded_at=now,
        kind="access",
        chain=reader.chain,
        actor=reader.subject,
        actor_name=reader.name,
        organisation=reader.organisation,
        role=reader.role,
        decision="permit",
        rule=f"{purpose}.own-chain" if wanted.chain else f"{purpose}.every-chain",
        purpose=purpose,
        reason=reason,
        subject="audit-chain",
        request_id=reader.request_id,
        token_id=reader.token_id,
        detail=(("entries", str(len(found))), ("filters", ",".join(filters))),
    )
    # one for each child, so that a child's own report lists it
    await audit.append(
        connection,
        [
            replace(
                record,
                person=person,
                entry_id=entry_id if place == 0 else uuid.uuid5(entry_id, str(place)),
            )
            for place, person in enumerate(persons)
        ],
    )
    return found


RESTRICTED: Final = (
    "This child is, or was, restricted: have the whole report looked at by the Caldicott guardian "
    "before it is handed out, the rows from before the restriction included; they may tell where "
    "the child is."
)
"""Of a report that has any entry made while the child was restricted."""


async def is_restricted(connection: Connection, wanted: Filter) -> bool:
    """Whether any entry of the whole report, on whichever page, was made while the child was."""
    return bool(await audit_search.page(connection, replace(wanted, restricted=True), limit=1))


def head(*, restricted: bool) -> dict[str, Any]:
    """What stands at the head of a report as JSON."""
    return {"restricted": restricted, "notice": RESTRICTED if restricted else None}


COLUMNS: Final = (
    "recorded_at",
    "told",
    "organisation",
    "actor",
    "actor_name",
    "role",
    "what",
    "fields",
    "purpose",
    "reason",
    "legal_basis",
    "decision",
    "rule",
    "policy",
    "policy_version",
    "subject",
    "restricted",
    "place",
)
"""Of a subject-access report: when; who was told, who acted for whom; what; why; under
which rule and policy; whether the child was restricted (where somebody looked may tell where it
is); and the place in the chain, by which it can be proven."""


def report_row(found: Found) -> dict[str, Any]:
    """One disclosure as the report states it. Pure."""
    body = found.body
    detail = body.get("detail", {})
    restricted = detail.get("restricted") == "yes" or detail.get("person") == "restricted"
    return {
        **{name: body.get(name) for name in COLUMNS},
        "recorded_at": body["recorded_at"],
        "told": found.chain,
        "what": body.get("flow") or body["kind"],
        "fields": list(body.get("fields", ())),
        "restricted": "yes" if restricted else "",
        "place": None if found.seq is None else f"{found.chain} {found.seq}",
        "entry_id": str(found.entry_id),
    }


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """The report as CSV (RFC 4180). A text that a spreadsheet would take for a formula is quoted
    with an apostrophe. CSV has no head: if any row is marked, the others say `report` there.
    """
    other = "report" if any(row["restricted"] for row in rows) else ""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        marked = {**row, "restricted": row["restricted"] or other}
        writer.writerow([_cell(marked[name]) for name in COLUMNS])
    return text.getvalue()


def as_page(rows: Sequence[dict[str, Any]], *, at: datetime) -> str:
    """The report as one HTML page that needs nothing else."""
    names = "".join(f"<th>{html.escape(name.replace('_', ' '))}</th>" for name in COLUMNS)
    mark = ""
    if any(row["restricted"] for row in rows):
        mark = f"<p><strong>{html.escape(RESTRICTED)}</strong></p>"
    lines = "".join(
        "<tr>" + "".join(f"<td>{html.escape(_text(row[name]))}</td>" for name in COLUMNS) + "</tr>"
        for row in rows
    )
    return (
        '<!doctype html><html lang="en-GB"><meta charset="utf-8">'
        "<title>Subject-access report</title>"
        "<style>body{font:14px sans-serif}td,th{border:1px solid #999;padding:2px 6px;"
        "text-align:left;vertical-align:top}table{border-collapse:collapse}</style>"
        f"<h1>Who was told of this child</h1>{mark}"
        f"<p>{len(rows)} entries of the audit chain, the newest "
        f"first, as at {html.escape(at.isoformat(timespec='seconds'))}. Refusals are listed too: "
        "see the column decision.</p>"
        f"<table><thead><tr>{names}</tr></thead><tbody>{lines}</tbody></table></html>\n"
    )


def _text(value: Any) -> str:
    if value is None:
        return ""
    return ", ".join(value) if isinstance(value, list) else str(value)


def _cell(value: Any) -> str:
    text = _text(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
