"""The register of flows and releases: what is disclosed, to whom, why, as a data-release register
says it. Pure: made from the policies, the releases and what the audit chain counts.

The members are those of the NHS data-uses register, as far as they can be known here.
"""

from __future__ import annotations

import csv
import html
import io
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from policies.model import Policies, Policy, Recipient
from stores.releases import Release

Row = Mapping[str, Any]

FLOWS: Final = (
    "organisation",
    "title",
    "reference",
    "flows",
    "type_of_data",
    "opt_outs_honoured",
    "opt_outs_reason",
    "legal_basis",
    "purposes",
    "commercial",
    "sensitive",
    "start",
    "end",
    "access_method",
    "controllers",
    "sub_licensing",
    "datasets",
    "outputs",
    "used",
    "fields",
    "restricted_fields",
    "permitted",
    "denied",
    "reviewed",
    "first",
    "last",
)
RELEASES: Final = (
    "organisation",
    "title",
    "reference",
    "state",
    "type_of_data",
    "opt_outs_honoured",
    "opt_outs_reason",
    "opt_outs_as_at",
    "legal_basis",
    "purposes",
    "commercial",
    "sensitive",
    "start",
    "end",
    "release_window",
    "access_method",
    "controllers",
    "sub_licensing",
    "datasets",
    "outputs",
    "used",
    "policy",
    "fields",
    "rows",
    "left_out",
    "file",
    "file_rows",
    "file_sha256",
    "released_at",
    "people",
    "project",
    "setting",
    "data",
    "safe_outputs",
)


def flows(policies: Policies, totals: Iterable[Row], today: date) -> list[dict[str, Any]]:
    """One row for each recipient of each policy version that has begun: what may flow, and how
    often the audit chain says that it did. `totals`: `stores.releases.flow_totals`, each with the
    `sector` of its recipient.
    """
    counted = list(totals)
    return [
        {
            "organisation": one.organisation or f"every organisation of {one.sector}",
            **_common(policy),
            "reference": policy.register_entry.reference or f"{policy.id} {policy.version}",
            "flows": ", ".join(policy.flows),
            "fields": ", ".join(one.fields),
            "restricted_fields": ", ".join(
                next((r.fields for r in policy.restricted if r.key == one.key), ("none",))
            ),
            **_counts(policy, one, counted),
        }
        for policy in sorted(policies.all, key=lambda each: (each.id, each.version))
        if policy.start <= today
        for one in policy.recipients
    ]


def releases(policies: Policies, given: Sequence[Release]) -> list[dict[str, Any]]:
    """One row for each file that was released; a release without a file (held, refused) has one."""
    rows = []
    for one in given:
        policy = policies.named(one.policy, one.policy_version)
        common = {
            **(_common(policy) if policy is not None else {}),
            "organisation": one.organisation,
            "title": one.title,
            "reference": one.reference,
            "state": one.state,
            "opt_outs_honoured": one.opt_outs_value,
            "opt_outs_reason": one.opt_outs_reason,
            "opt_outs_as_at": _at(one.opt_outs_as_at),
            "legal_basis": one.legal_basis,
            "purposes": one.purpose,
            "release_window": f"{one.handed_at:%Y.%m}" if one.handed_at else None,
            "policy": f"{one.policy} {one.policy_version}",
            "fields": ", ".join(one.fields),
            "rows": one.rows,
            "left_out": _pairs(one.left_out),
            "people": _pairs(one.five_safes.get("people", {})),
            "project": _pairs(one.five_safes.get("project", {})),
            "setting": _pairs(one.five_safes.get("setting", {})),
            "data": _pairs(one.five_safes.get("data", {})),
            "safe_outputs": _pairs(one.five_safes.get("outputs", {})),
        }
        rows += [
            {
                **common,
                "file": file.name,
                "file_rows": file.rows,
                "file_sha256": file.sha256,
                "released_at": _at(file.released_at),
            }
            for file in one.files
        ] or [common]
    return [{name: row.get(name) for name in RELEASES} for row in rows]


def _common(policy: Policy) -> dict[str, Any]:
    entry = policy.register_entry
    return {
        "title": policy.name,
        "type_of_data": entry.type_of_data,
        "opt_outs_honoured": opt_outs(policy),
        "opt_outs_reason": policy.opt_out.reason,
        "legal_basis": policy.law,
        "purposes": ", ".join(policy.purposes),
        "commercial": _yes(entry.commercial),
        "sensitive": "sensitive" if entry.sensitive else "non-sensitive",
        "start": policy.start.isoformat(),
        "end": policy.end.isoformat() if policy.end else None,
        "access_method": entry.access_method,
        "controllers": "; ".join(
            f"{one.name} ({one.role})" for one in policy.parties if "controller" in one.role
        ),
        "sub_licensing": _yes(entry.sub_licensing),
        "datasets": "; ".join(entry.datasets),
        "outputs": "; ".join(entry.outputs),
        "used": entry.used,
    }


def opt_outs(policy: Policy) -> str:
    """Whether national data opt-outs are honoured."""
    return "Yes" if policy.opt_out.applies else "No"


def _counts(policy: Policy, recipient: Recipient, totals: Iterable[Row]) -> dict[str, Any]:
    mine = [
        one
        for one in totals
        if (one["policy"], one["policy_version"]) == (policy.id, policy.version)
        and (found := policy.recipient(one["recipient"], one["sector"])) is not None
        and found.key == recipient.key
    ]
    amounts = dict.fromkeys(("permit", "deny", "review"), 0)
    for one in mine:
        if one["decision"] in amounts:
            amounts[one["decision"]] += one["amount"]
    return {
        "permitted": amounts["permit"],
        "denied": amounts["deny"],
        "reviewed": amounts["review"],
        "first": _at(min((one["first"] for one in mine), default=None)),
        "last": _at(max((one["last"] for one in mine), default=None)),
    }


def as_csv(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """The register as CSV, safe to open in a spreadsheet."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_plain(row.get(name)) for name in columns)
    return text.getvalue()


def as_markdown(title: str, columns: Sequence[str], rows: Sequence[Row], made_at: datetime) -> str:
    """The register as a page, an entry below the other."""
    parts = [
        f"# {title}\n\nMade on {_at(made_at)} from the sharing policies and the audit chain.\n"
    ]
    for row in rows:
        parts.append(f"\n## {_md(row.get('organisation'))}: {_md(row.get('title'))}\n\n")
        parts += [
            f"- **{name.replace('_', ' ')}**: {_md(row[name])}\n"
            for name in columns
            if row.get(name) not in (None, "") and name not in ("organisation", "title")
        ]
    return "".join(parts) if rows else f"{parts[0]}\nNothing.\n"


def as_html(title: str, columns: Sequence[str], rows: Sequence[Row], made_at: datetime) -> str:
    """The register as one HTML page without script or style of others."""
    head = "".join(f"<th scope=col>{html.escape(one.replace('_', ' '))}</th>" for one in columns)
    body = "".join(
        "<tr>"
        + "".join(
            f"<td>{html.escape('' if row.get(one) is None else str(row[one]))}</td>"
            for one in columns
        )
        + "</tr>\n"
        for row in rows
    )
    told = html.escape(title)
    return (
        f"<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n<title>{told}</title>\n"
        "<style>body{font-family:sans-serif}table{border-collapse:collapse}"
        "td,th{border:1px solid #999;padding:.3em;vertical-align:top;text-align:left}</style>\n"
        f"<h1>{told}</h1>\n<p>Made on {_at(made_at)} from the sharing policies and the audit "
        f"chain.</p>\n<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody>\n</table>\n"
        "</html>\n"
    )


def _plain(value: Any) -> str:
    text = "" if value is None else str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _md(value: Any) -> str:
    text = " ".join(str(value).split())
    for mark in ("\\", "`", "*", "_", "[", "]", "<", ">", "#"):
        text = text.replace(mark, f"\\{mark}")
    return text


def _pairs(members: Mapping[str, Any]) -> str:
    return "; ".join(f"{name}: {value}" for name, value in sorted(members.items()) if value)


def _at(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="seconds")


def _yes(value: bool) -> str:
    return "Y" if value else "N"
