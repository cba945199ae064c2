"""The duty desk of the practice authority: which alerts it accepts by itself. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

PLANS: Final = frozenset({"CPP", "LAC", "UCPP"})


@dataclass(frozen=True, slots=True)
class Duty:
    """Accepts alerts with an active plan of one of `plans`; of none, if there are none."""

    plans: frozenset[str] = frozenset()
    by: str = "duty desk"
    answer: str = "Seen; the duty worker rings the ward."

    def accepts(self, body: Mapping[str, Any]) -> bool:
        """Whether an alert's webhook is answered with an acceptance."""
        if body.get("change") == "withdrawn":
            return False
        flags = body.get("flags")
        return isinstance(flags, list) and any(
            isinstance(one, Mapping) and one.get("active") and one.get("plan_type") in self.plans
            for one in flags
        )


def duty_of(text: str) -> Duty:
    """From a setting: ``all``, ``none`` or plan types by comma. Raises `ValueError`."""
    if text.strip().lower() in ("", "none"):
        return Duty()
    if text.strip().lower() == "all":
        return Duty(plans=PLANS)
    return Duty(plans=chosen(text.split(",")))


def chosen(plans: Iterable[str]) -> frozenset[str]:
    """These plan types. Raises `ValueError` if one is none."""
    found = frozenset(plan.strip().upper() for plan in plans)
    if not found <= PLANS:
        raise ValueError(f"plan types are {', '.join(sorted(PLANS))}")
    return found
