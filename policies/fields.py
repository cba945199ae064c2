"""The names of fields: which a body has, which hold a number, which tell of a place; and masking.

A field is named by its dotted path, of lists without an index (``flags.plan_type``). A policy names
fields by patterns: a name; ``visit.*`` for everything beneath; ``*`` for everything. Pure.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from policies.ruling import Flow, Ruling
from schemas.death_fields import catalogue, is_location
from stores.sectors import MAY_HOLD_NUMBER, Sector

WITHHELD: Final = "withheld"
"""What stands in place of a text that a payload promises and that nobody may read."""

NUMBERS: Final = frozenset({"person.nhs_number", "nhs_number", "letter.number", "child.chi"})
"""The fields known to hold a number by which health and care identify somebody. `holds_number` is
the rule: it knows such a field also where it is new.
"""

_NUMBER_ENDS: Final = frozenset({"nhs_number", "nhs_numbers", "chi", "successor_number"})

_PLACES: Final = frozenset(
    {
        "hospital.ods",
        "hospital.name",
        "hospital.site_ods",
        "visit.department",
        "visit.discharge_destination",
        "site",
        "site_ods",
        "department",
        "postcode",
        "address",
    }
)
_PLACE_TREES: Final = ("address", "person.address")
# From where somebody looked may be where the child is
_ASKER: Final = frozenset({"organisation.code", "organisation.name", "by.name", "by.job_role"})
_AUTHORITY: Final = frozenset(
    {
        "flags.authority",
        "flags.authority_name",
        "flags.phone_office",
        "flags.phone_emergency",
        "flags.local_id",
    }
)

Body = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Patterns:
    """Compiled patterns of field names."""

    exact: frozenset[str]
    beneath: tuple[str, ...]  # "visit." of "visit.*"
    everything: bool

    def match(self, name: str) -> bool:
        """Whether a pattern means the field."""
        return self.everything or name in self.exact or name.startswith(self.beneath)

    def select(self, fields: Iterable[str]) -> frozenset[str]:
        """Those of `fields` that a pattern means."""
        return frozenset(name for name in fields if self.match(name))


@functools.lru_cache(maxsize=4_096)
def patterns(written: tuple[str, ...]) -> Patterns:
    """The patterns that a policy has written."""
    return _patterns(written)


# The rules stand apart from the memory of their answers: a tool can change and test them there
def _patterns(written: tuple[str, ...]) -> Patterns:
    return Patterns(
        exact=frozenset(one for one in written if not one.endswith("*")),
        beneath=tuple(sorted(one[:-1] for one in written if one.endswith(".*"))),
        everything="*" in written,
    )


@functools.lru_cache(maxsize=16_384)
def holds_number(name: str) -> bool:
    """Whether a field holds an NHS number (or Scotland's), whatever the flow."""
    return _holds_number(name)


def _holds_number(name: str) -> bool:
    last = name.rpartition(".")[2].replace("-", "_")
    return name in NUMBERS or last in _NUMBER_ENDS


@functools.lru_cache(maxsize=16_384)
def tells_place(flow: Flow, sector: Sector, name: str) -> bool:
    """Whether a field may tell where a restricted person lives or is, to a recipient of `sector`.

    Of a case every fact that is not known to be none. Of a look-up also whose plan it is: an
    authority alone sees that, of its own plans (the look-up blanks those of others).
    """
    return _tells_place(flow, sector, name)


def _tells_place(flow: Flow, sector: Sector, name: str) -> bool:
    if name in _PLACES or _under(name, _PLACE_TREES) or name.startswith("earlier_attendances."):
        return True  # of an alert, `earlier_attendances` is a mere count
    if flow in (Flow.CASE_EVENT, Flow.NCMD_SUBMISSION, Flow.EXTRACT):
        return _fact_of_place(name)
    if flow is Flow.ACCESS_NOTICE:
        return name in _ASKER
    if flow is Flow.PERSON_RECORD:
        # another hospital's number says where somebody was, a pupil number at which school
        return _under(name, ("other_identifiers",))
    if flow is Flow.FLAG_LOOKUP and sector is not Sector.SOCIAL_CARE:
        return name in _AUTHORITY or _under(name, ("accesses",))
    return False


def _fact_of_place(name: str) -> bool:
    if name.startswith("unlisted") or name in catalogue():
        return is_location(name)
    return False  # a member of the case itself, not a fact


def _under(name: str, trees: tuple[str, ...]) -> bool:
    return any(name == tree or name.startswith(f"{tree}.") for tree in trees)


def may_leave(flow: Flow, sector: Sector, name: str, *, restricted: bool) -> bool:
    """The hard rules of one field, whatever a policy says."""
    if sector not in MAY_HOLD_NUMBER and holds_number(name):
        return False
    return not (restricted and tells_place(flow, sector, name))


def names(body: Body) -> frozenset[str]:
    """The fields of `body` that tell something: null, an empty list or object, and the text
    ``withheld`` tell nothing and are not named.
    """
    found: set[str] = set()
    _collect(body, "", found)
    return frozenset(found)


def mask(body: Body, ruling: Ruling) -> dict[str, Any]:
    """`body` with what may leave alone. A withheld field is null; a list of objects keeps its
    length, and the members of a withheld object are null: the structure stays. If the ruling is
    not PERMIT, nothing is left.
    """
    return _masked(body, ruling.fields, "")


def _collect(value: Any, path: str, found: set[str]) -> None:
    # every alert goes through here: what is usual is asked first
    kind = type(value)
    if kind is str or value is None:
        if value is not None and value != WITHHELD:
            found.add(path)
    elif kind is dict or isinstance(value, Mapping):
        for key, member in value.items():
            _collect(member, f"{path}.{key}" if path else str(key), found)
    elif isinstance(value, list | tuple):
        for one in value:
            _collect(one, path, found)
    elif _tells(value):
        found.add(path)


def _tells(value: Any) -> bool:
    return value is not None and value != WITHHELD


def _masked(body: Body, fields: frozenset[str], path: str) -> dict[str, Any]:
    return {
        key: _mask_value(value, fields, f"{path}.{key}" if path else str(key))
        for key, value in body.items()
    }


def _mask_value(value: Any, fields: frozenset[str], path: str) -> Any:
    if isinstance(value, Mapping):
        return _masked(value, fields, path)
    if isinstance(value, list | tuple):
        if any(isinstance(one, Mapping | list | tuple) for one in value):
            return [_mask_value(one, fields, path) for one in value]
        return value if path in fields or not any(map(_tells, value)) else None
    return value if path in fields or not _tells(value) else None
