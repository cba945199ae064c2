"""Rows of a research extract: a case as coded values under a pseudonym, and counts. Pure.

An extract never holds text, a day, a place or a name, whatever a policy grants: only what
`FIELDS` names. What organisations differ about is left empty: a disputed value is not told as one.
"""

from __future__ import annotations

import csv
import hmac
import io
import re
import uuid
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Final

from schemas.death_fields import catalogue
from schemas.deaths import CaseContent, CaseFact

SUPPRESSED: Final = "*"
"""In place of a count that could single somebody out."""

_TYPES: Final = frozenset({"code", "boolean", "integer", "decimal"})
_CODES_OF_PEOPLE: Final = ("-code", "-authority", "-country")
_NEONATAL_DAYS: Final = 28
_YEARS: Final = ((5, "1-4 years"), (10, "5-9 years"), (15, "10-14 years"), (18, "15-17 years"))
_DAY: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_MONTH: Final = re.compile(r"([0-9]{4})-([0-9]{2})")

Row = Mapping[str, str]


def _facts() -> frozenset[str]:
    """Facts that are codes, numbers or yes and no, and neither a place nor somebody's code."""
    return frozenset(
        name
        for name, one in catalogue().items()
        if one.type in _TYPES
        and not one.location
        and not name.endswith(_CODES_OF_PEOPLE)
        and not (one.type == "code" and not one.codes)
    )


DERIVED: Final = ("age_band", "died_quarter", "died_year", "eligibility", "flag_history")
FIELDS: Final = frozenset((*DERIVED, *_facts()))
"""Every field that an extract can have."""


def row(content: CaseContent) -> dict[str, str]:
    """The values of a case that an extract can have; what is not known is not there."""
    said: dict[str, list[CaseFact]] = {}
    for one in content.facts:
        if one.fact.value is not None:
            said.setdefault(one.fact.name, []).append(one)
    born, died = _agreed(said, "child.birth-date"), _agreed(said, "death.date")
    disputed = frozenset(content.conflicts)
    values = {
        "age_band": None if {"child.birth-date", "death.date"} & disputed else age_band(born, died),
        "died_quarter": None if "death.date" in disputed else _quarter(died),
        "died_year": None if died is None or "death.date" in disputed else died[:4],
        "eligibility": content.eligibility.value,
        "flag_history": content.flag_history.value,
        **{name: _agreed(said, name) for name in said if name in FIELDS and name not in disputed},
    }
    return {name: value for name, value in values.items() if value}


def age_band(born: str | None, died: str | None) -> str | None:
    """The band of the age at death; None where a day is not known, or the dates cannot be."""
    if not (born and died and _DAY.match(born) and _DAY.match(died)):
        return None
    try:
        first, last = date.fromisoformat(born[:10]), date.fromisoformat(died[:10])
    except ValueError:
        return None
    days = (last - first).days
    years = last.year - first.year - ((last.month, last.day) < (first.month, first.day))
    if days < 0:
        return None
    if years < 1:
        return "0-27 days" if days < _NEONATAL_DAYS else "28-364 days"
    return next((band for limit, band in _YEARS if years < limit), None)


def pseudonym(key: bytes, case_id: uuid.UUID) -> str:
    """What stands for a case in one release: nobody can make it without the key of the release."""
    return hmac.digest(key, b"release:" + case_id.bytes, "sha256").hex()[:32]


def table(rows: Mapping[str, Row], fields: Sequence[str]) -> bytes:
    """CSV of rows by pseudonym, in its order (which says nothing of theirs), of `fields`."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(("case", *fields))
    for name in sorted(rows):
        writer.writerow((name, *(_cell(rows[name].get(one, "")) for one in fields)))
    return lines.getvalue().encode()


def summary(rows: Sequence[Row], fields: Sequence[str], threshold: int) -> bytes:
    """CSV of how many rows have each value of each field, with small numbers suppressed.

    A count below `threshold` is suppressed; where it is the only one of its field, the next
    smallest is too, or the total would give it away. The total is suppressed if it is small.
    """
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\r\n")
    writer.writerow(("field", "value", "cases"))
    total = SUPPRESSED if 0 < len(rows) < threshold else str(len(rows))
    writer.writerow(("", "all", total))
    for name in fields:
        counts = Counter(one.get(name, "") for one in rows)
        hidden = suppressed(counts, threshold)
        for value, amount in sorted(counts.items()):
            shown = SUPPRESSED if value in hidden or total == SUPPRESSED else str(amount)
            writer.writerow((name, _cell(value) or "not known", shown))
    return lines.getvalue().encode()


def suppressed(counts: Mapping[str, int], threshold: int) -> frozenset[str]:
    """The values whose counts are not told."""
    hidden = {value for value, amount in counts.items() if amount < threshold}
    told = sorted((amount, value) for value, amount in counts.items() if value not in hidden)
    if told and hidden and (len(hidden) == 1 or sum(counts[one] for one in hidden) < threshold):
        hidden.add(told[0][1])
    return frozenset(hidden)


def _agreed(said: Mapping[str, Sequence[CaseFact]], name: str) -> str | None:
    """What is said of a field: of a repeating one every value, of others if all say the same."""
    values = sorted({one.fact.value for one in said.get(name, ()) if one.fact.value})
    known = catalogue().get(name)
    if known is not None and known.group is not None:
        return ";".join(values) or None
    return values[0] if len(values) == 1 else None


def _quarter(died: str | None) -> str | None:
    match = _MONTH.match(died or "")
    return f"{match[1]}-Q{(int(match[2]) + 2) // 3}" if match else None


def _cell(value: str) -> str:
    # a spreadsheet would take it for a formula
    return f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
