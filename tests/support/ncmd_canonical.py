"""The NCMD store without what may differ between two runs of the same notifications.

Left out: ids, times of writing and receiving, version numbers. Kept, by business key: what the case
is now, its facts and links, its tombstones, and its history as the sequence of what it said.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import psycopg
from psycopg.rows import dict_row

from schemas.codec import decode_as
from schemas.deaths import CaseChanged
from stores.ncmd_rows import case_row, fact_rows, link_rows

Key = tuple[tuple[str, str], ...]
"""Source and reference of each notification that a case ever had, in order."""

_CASE = (
    "state",
    "eligibility",
    "eligibility_rule",
    "indicator",
    "identity_rule",
    "nhs_number",
    "restricted",
    "panel",
    "panel_rule",
    "panels_informed",
    "needs",
    "conflicts",
    "flag_history",
)
_FACT = ("name", "row_number", "organisation", "value", "absent", "kind", "as_at", "form")
_LINK = ("kind", "organisation", "key", "source", "state", "from_day", "to_day", "reason")


def canonical(connection: psycopg.Connection[Any]) -> dict[str, Any]:
    """The store by business key; two runs that mean the same give equal results.

    `connection`: anyone's who may read the schema ``ncmd``.
    """
    with connection.cursor(row_factory=dict_row) as cursor:
        tables = {
            name: cursor.execute(statement).fetchall()
            for name, statement in (
                ("history", "select * from ncmd.history order by case_id, version"),
                ("cases", "select * from ncmd.cases"),
                ("facts", "select * from ncmd.facts"),
                ("links", "select * from ncmd.links"),
                ("tombstones", "select * from ncmd.tombstones order by case_id, version"),
            )
        }
    told = [decode_as(CaseChanged, bytes(row["content"])) for row in tables["history"]]
    keys = _keys(told)
    name = _namer(keys)
    found: dict[str, Any] = {
        name(case_id): {"history": [], "facts": [], "links": [], "tombstones": []}
        for case_id in keys
    }
    for event in told:
        said = _said(event, name)
        history = found[name(event.case_id)]["history"]
        if not history or history[-1] != said:  # a version that changed nothing but times
            history.append(said)
    for row in tables["cases"]:
        found[name(row["case_id"])]["case"] = _case(row, name)
    for kind, pick in (("facts", _fact), ("links", lambda row: _link(row, name))):
        for row in tables[kind]:
            found[name(row["case_id"])][kind].append(pick(row))
    for one in found.values():
        one["facts"].sort(key=repr)
        one["links"].sort(key=repr)
    for row in tables["tombstones"]:
        found[name(row["case_id"])]["tombstones"].append(
            (row["reason"], row["lifted_version"] is not None)
        )
    return found


def _keys(told: list[CaseChanged]) -> dict[uuid.UUID, Key]:
    """By case: what its first version was made of (a merge brings the keys of others later)."""
    keys: dict[uuid.UUID, Key] = {}
    for event in told:
        own = tuple(sorted((one.source, one.reference) for one in event.content.notifications))
        keys.setdefault(event.case_id, own)
    return keys


def _namer(keys: Mapping[uuid.UUID, Key]) -> Callable[[uuid.UUID | None], str]:
    def name(case_id: uuid.UUID | None) -> str:
        if case_id is None:
            return ""
        return " ".join(f"{source}/{reference}" for source, reference in keys.get(case_id, ()))

    return name


def _case(row: Mapping[str, Any], name: Callable[[uuid.UUID | None], str]) -> dict[str, Any]:
    return {
        **{column: row[column] for column in _CASE},
        "needs": sorted(row["needs"]),
        "conflicts": sorted(row["conflicts"]),
        "panels_informed": sorted(row["panels_informed"]),
        "merged_into": name(row["merged_into"]),
    }


def _fact(row: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column] for column in _FACT)


def _link(row: Mapping[str, Any], name: Callable[[uuid.UUID | None], str]) -> tuple[Any, ...]:
    # an attendance is an event of the world, and so is its time
    at = row["at"] if row["kind"] == "attendance" else None
    return (*(row[column] for column in _LINK), at, name(row["other_case"]))


def _said(event: CaseChanged, name: Callable[[uuid.UUID | None], str]) -> dict[str, Any]:
    return {
        "change": event.change.value,
        "rule": event.rule,
        "by": event.by,
        "case": _case(case_row(event, needs_person=False), name),
        "facts": sorted((_fact(row) for row in fact_rows(event)), key=repr),
        "links": sorted((_link(row, name) for row in link_rows(event)), key=repr),
    }
