"""Is this message an arrival? The feed's rule decides, the same for HL7 v2 and FHIR.

Pure, and told by name: every event and every dry run says which clause decided. Source: CP-IS
unscheduled settings; ADR 0015 says why the default is what it is.
"""

from __future__ import annotations

from typing import Final

from schemas.events import VisitDetail, VisitEventKind
from stores.arrival_rules import ArrivalRule, Clause

ARRIVING: Final = frozenset({VisitEventKind.REGISTER, VisitEventKind.ADMIT})
"""The kinds that can be an arrival; a booking, an update or a return from leave never is."""


def is_arrival(
    kind: VisitEventKind, trigger: str, detail: VisitDetail, rule: ArrivalRule
) -> tuple[bool, str]:
    """Whether somebody arrives, and what decided: ``<rule>.<clause>`` of the first clause of
    `arrive` that holds, ``<rule>.never.<clause>`` of the first of `never` that forbids it, or
    ``<rule>.no-arrival``.

    `trigger` is the HL7 v2 trigger (``A04``); a FHIR message gives that of the same meaning.
    """
    if kind in ARRIVING:
        arrived = _first(rule.arrive, trigger, detail)
        if arrived is not None:
            forbidden = _first(rule.never, trigger, detail)
            if forbidden is not None:
                return False, f"{rule.name}.never.{forbidden.name}"
            return True, f"{rule.name}.{arrived.name}"
    return False, f"{rule.name}.no-arrival"


def _first(clauses: tuple[Clause, ...], trigger: str, detail: VisitDetail) -> Clause | None:
    """The first clause whose every given condition holds."""
    for clause in clauses:
        if (
            _among(trigger, clause.triggers)
            and _among(detail.patient_class, clause.classes)
            and _among(detail.admission_method, clause.admission_methods)
            and _among(detail.department, clause.departments)
            and _among(detail.site_ods, clause.sites)
        ):
            return clause
    return None


def _among(code: str | None, codes: tuple[str, ...]) -> bool:
    """No condition, or met; the directory has made `codes` capitals already."""
    return not codes or (code is not None and code.strip().upper() in codes)
