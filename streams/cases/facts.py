"""Facts of a form, found by name: what decisions about a case look at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.deaths import Fact

FALSE_OR_TRUE = {"false": False, "true": True}


@dataclass(frozen=True, slots=True)
class Facts:
    """See the module. The first fact of a name counts: put the ones that hold first."""

    facts: tuple[Fact, ...] = ()

    def value(self, name: str) -> str | None:
        """The value of a field that does not repeat; None if it is absent or was not asked."""
        return next((one.value for one in self.facts if one.name == name and one.value), None)

    def code(self, name: str) -> str | None:
        """As `value`, of a code: upper case, without spaces around it; None for nothing else."""
        return (self.value(name) or "").strip().upper() or None

    def yes(self, name: str) -> bool | None:
        """The value of a yes or no; None if it is not known."""
        return FALSE_OR_TRUE.get(self.value(name) or "")

    def absent(self, name: str) -> str | None:
        """Why a field has no value: ``unknown``, ``not-applicable``, ``not-asked``."""
        return next((one.absent for one in self.facts if one.name == name and one.absent), None)

    def rows(self, group: str) -> list[dict[str, str]]:
        """The rows of a repeating group, as field (without the group's name) to value, by row."""
        rows: dict[int, dict[str, str]] = defaultdict(dict)
        start = f"{group}."
        for one in self.facts:
            if one.row and one.value and one.name.startswith(start):
                rows[one.row].setdefault(one.name.removeprefix(start), one.value)
        return [rows[row] for row in sorted(rows)]


def facts_of(facts: Iterable[Fact]) -> Facts:
    """The facts, to be looked at."""
    return Facts(tuple(facts))
