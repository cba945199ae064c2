"""Local authorities with children's services, and which of them had an area on a day.

``reference/authorities.csv`` (names and codes; source and licence in the README beside it).
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from importlib.resources import files
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Authority:
    """An authority, the days (both included) on which it existed, and who took over its area."""

    gss: str
    name: str
    first: date | None = None
    last: date | None = None
    replaced_by: tuple[str, ...] = ()


@functools.cache
def authorities() -> Mapping[str, Authority]:
    """All of them, by GSS code."""
    with (files("stores") / "reference" / "authorities.csv").open(encoding="utf-8") as file:
        rows = [
            Authority(
                gss=row["gss"],
                name=row["name"],
                first=_day(row["first"]),
                last=_day(row["last"]),
                replaced_by=tuple(row["replaced_by"].split()),
            )
            for row in csv.DictReader(file)
        ]
    return MappingProxyType({one.gss: one for one in rows})


def holders(gss: str, on: date) -> tuple[Authority, ...]:
    """Who had the area of this code on that day: itself, or those that came after or before it.

    Empty for a code that is not in the table. Several where the area was divided between
    successors, or joined from predecessors: whose it was the code alone cannot tell.
    """
    one = authorities().get(gss)
    if one is None:
        return ()
    if one.last is not None and on > one.last:
        after = [found for code in one.replaced_by for found in holders(code, on)]
        return tuple({found.gss: found for found in after}.values())
    before = _predecessors().get(gss, ())
    if before and one.first is not None and on < one.first:
        # one that it replaced may itself be too young for the day: its own are asked
        return tuple({f.gss: f for code in before for f in _back(code, on)}.values())
    return (one,)


def authority(gss: str, on: date) -> Authority | None:
    """Who had the area of this code on that day, if that was one authority."""
    found = holders(gss, on)
    return found[0] if len(found) == 1 else None


def _back(gss: str, on: date) -> tuple[Authority, ...]:
    one = authorities()[gss]
    return holders(gss, on) if one.last is None or on <= one.last else ()


@functools.cache
def _predecessors() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for one in authorities().values():
        for code in one.replaced_by:
            found[code] = (*found.get(code, ()), one.gss)
    return MappingProxyType(found)


def _day(text: str) -> date | None:
    return date.fromisoformat(text) if text else None
