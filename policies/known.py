"""Which fields a body of a flow can have, where that is known: a name that no body has grants,
withholds and asks about nothing, so a policy that has one is a slip of the pen. Pure.

Flows that are not here have fields that this room does not know: lists of the look-up, the entries
of a worklist, the facts of a case and of an extract (their catalogue grows).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Final

from policies.ruling import Flow

_VERSION: Final = frozenset({"schema", "alert_id", "version", "change", "changed_at"})
_AUTHORITY: Final = frozenset({"authority.gss", "authority.name"})
_PHONES: Final = frozenset({"authority.phone_office", "authority.phone_emergency"})
_CALLBACK: Final = ("callback.name", "callback.phone")
_VISIT: Final = frozenset(
    f"visit.{name}"
    for name in (
        *("state", "arrived_at", "repeated_hour", "department", "mode_of_arrival", "reason"),
        *("admission_method", "acuity", "departed_at", "discharge_destination", "birth"),
        "location_shielded",
    )
)
_ALERT: Final = (
    _VERSION
    | _AUTHORITY
    | _VISIT
    | {"rule", "provisional", "late", "restricted", "earlier_attendances", "person.nhs_number"}
    | {f"hospital.{name}" for name in ("ods", "name", "site_ods", *_CALLBACK)}
    | {f"flags.{name}" for name in ("plan_type", "start", "end", "active", "local_id")}
)

KNOWN: Final[Mapping[Flow, frozenset[str]]] = {
    Flow.ALERT: _ALERT
    | {"state", "round", "raised_at", "delivered_at", "seen_at", "accepted_at", "accepted_by"}
    | {"answer", "withdrawn_at"},
    Flow.MATCH: _VERSION
    | _AUTHORITY
    | _PHONES
    | {"provisional", "hospital.ods", "hospital.name", "person.nhs_number", "plan_types"}
    | {f"visit.{name}" for name in ("state", "arrived_at", "repeated_hour", "department")}
    | {"visit.departed_at", "visit.birth"},
    Flow.RECEIPT: _AUTHORITY
    | {"schema", "alert_id", "version", "rung", "at", "by", "answer"}
    | {"hospital.ods", "hospital.name"},
    Flow.SHARE: _ALERT | _PHONES | {"shared_at", "share.local_id", "share.attended_on"},
    Flow.ACCESS_NOTICE: _AUTHORITY
    | {"schema", "access_id", "version", "at", "purpose", "break_glass", "unscheduled", "flagged"}
    | {"restricted", "reason", "by.name", "by.job_role", "by.system", "person.nhs_number"}
    | {f"organisation.{name}" for name in ("code", "name", *_CALLBACK)},
    Flow.NUMBER_CHANGE: frozenset({"letter", "letter.number"}),
    Flow.TRACE: frozenset({"outcome", "rule", "nhs_number"})
    | {f"fields.{name}" for name in ("nhs_number", "family", "given", "birth_date", "gender")}
    | {f"lines.{name}" for name in ("local_id", "outcome", "rule", "nhs_number")},
    Flow.PERSON_RECORD: frozenset(
        {"answer", "as_of", "relation", "restricted", "deceased", "birth_date", "gender"}
        | {"name.family", "name.given", "siblings.local_id"}
        | {f"number_status.{name}" for name in ("indicator", "verified_at", "basis")}
        | {
            f"{tree}.{name}"
            for tree in ("identifiers", "other_identifiers")
            for name in ("scheme", "value", "assigner", "organisation", "stated_at")
        }
    ),
}
"""Every field of every body of these flows."""


def unknown(flows: Iterable[Flow], written: Iterable[str]) -> tuple[str, str] | None:
    """The first of the patterns that means no field of any of `flows`, and the known field whose
    name is nearest (empty: none is near). None where all mean one, or a flow's fields are not
    known.
    """
    known: set[str] = set()
    for flow in flows:
        if flow not in KNOWN:
            return None
        known |= KNOWN[flow]
    trees = {f"{name[:place]}.*" for name in known for place in _dots(name)}
    for one in written:
        if one != "*" and one not in known and one not in trees:
            near = get_close_matches(one, sorted(known | trees), n=1)
            return one, near[0] if near else ""
    return None


def _dots(name: str) -> list[int]:
    return [place for place, sign in enumerate(name) if sign == "."]
