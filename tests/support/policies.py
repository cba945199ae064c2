"""Policies, disclosures and strategies for tests of the sharing policies."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import yaml
from hypothesis import strategies as st

from halyard.cli.policy_samples import SAMPLES
from policies import fields as field_names
from policies.fields import NUMBERS
from policies.model import Policies, Policy
from policies.purposes import Purpose
from policies.ruling import Disclosure, Flow
from stores.sectors import MAY_HOLD_NUMBER, Sector

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
OUTSIDE = tuple(sector for sector in Sector if sector not in MAY_HOLD_NUMBER)
PACKAGE = Path(__file__).parents[2] / "policies"
NAMES = (
    *("answer", "visit.reason", "visit.department", "hospital.ods", "flags.authority", "letter"),
    *("child.postcode", "child.sex", "unlisted.words", "accesses.organisation", *sorted(NUMBERS)),
)


def every_field(flow: Flow) -> frozenset[str]:
    """Every field that a body of a flow can have, and every field known to hold a number."""
    return field_names.names(SAMPLES[flow]) | NUMBERS


def ask(flow: Flow, sector: Sector, **more: Any) -> Disclosure:
    """A disclosure of every field of a flow to somebody of a sector."""
    given: dict[str, Any] = {
        "flow": flow,
        "recipient": "NCMD" if flow is Flow.NCMD_SUBMISSION else "X0001",
        "sector": sector,
        "purpose": None,
        "at": NOON,
        "fields": every_field(flow),
    }
    return Disclosure(**{**given, **more})


class _Plain(yaml.SafeDumper):
    """Writes everything out: policy files have no aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def members(**changes: Any) -> dict[str, Any]:
    """A policy as a file says it, with `changes`."""
    return {
        "id": "made-up",
        "version": 1,
        "name": "A made-up policy",
        "contact": "Nobody",
        "start": date(2026, 1, 1),
        "end": date(2026, 12, 31),
        "parties": [{"name": "A hospital", "role": "controller"}],
        "data": ["Made-up data"],
        "flows": ["worklist"],
        "purposes": ["child-protection"],
        "legal_basis": [{"text": "A law", "source": "a test"}],
        "permitted_use": ["A test"],
        "retention": "None",
        "opt_out": {"applies": False, "reason": "a test"},
        "recipients": [{"sector": "health", "fields": ["*"]}],
        "register": {"type_of_data": "Made-up"},
        **changes,
    }


def policy(**changes: Any) -> Policy:
    """A made-up policy."""
    return Policy.model_validate(members(**changes))


def only(**changes: Any) -> Policies:
    """Policies of one made-up policy alone."""
    return Policies.of([policy(**changes)])


def folder(path: Path, *files: dict[str, Any]) -> Path:
    """A folder of policy files."""
    path.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(files):
        (path / f"{number}.yaml").write_text(yaml.dump(one, Dumper=_Plain), "utf-8")
    return path


def package_files() -> dict[str, dict[str, Any]]:
    """The files of the package by their id, the newest version of each, to be changed by a test."""
    loaded = [yaml.safe_load(one.read_text("utf-8")) for one in PACKAGE.glob("*.yaml")]
    return {one["id"]: one for one in sorted(loaded, key=lambda one: int(one["version"]))}


patterns = st.one_of(
    st.sampled_from(NAMES), st.sampled_from(NAMES).map(lambda name: f"{name.split('.')[0]}.*")
)
field_lists = st.lists(patterns, min_size=1, max_size=8, unique=True)
conditions = st.fixed_dictionaries(
    {"reason": st.just("a test")},
    optional={
        "sectors": st.lists(st.sampled_from([one.value for one in Sector]), max_size=2),
        "restricted": st.booleans(),
        "roles": st.lists(st.sampled_from(["clinician", "auditor"]), max_size=1),
        "fields": st.lists(patterns, max_size=2),
    },
)


def _said(given: list[dict[str, Any]], prefix: str) -> list[dict[str, Any]]:
    said = []
    for number, one in enumerate(given):
        when = {k: v for k, v in one.items() if k != "reason" and v not in ([], None)}
        said.append({**one, **({} if when else {"always": True}), "code": f"{prefix}-{number}"})
    return said


@st.composite
def policy_members(draw: st.DrawFn) -> dict[str, Any]:
    """Any policy that a file can hold; recipients are organisations, whose sector no file says."""
    recipients = draw(
        st.lists(
            st.tuples(st.sampled_from(["X0001", "X0002"]), field_lists),
            min_size=1,
            max_size=2,
            unique_by=lambda one: one[0],
        )
    )
    made = [{"organisation": code, "fields": fields} for code, fields in recipients]
    deny, review = (draw(st.lists(conditions, max_size=2)) for _ in range(2))
    asked = [Flow.WORKLIST, Flow.EXTRACT]
    if not any("roles" in one for one in (*deny, *review)):
        asked.append(Flow.CASE_EVENT)  # the hub itself tells it
    return members(
        flows=[draw(st.sampled_from(asked)).value],
        purposes=[draw(st.sampled_from(list(Purpose))).value],
        recipients=made,
        restricted=made if draw(st.booleans()) else [],
        deny=_said(deny, "deny"),
        review=_said(review, "review"),
    )


disclosures = st.builds(
    Disclosure,
    flow=st.sampled_from([Flow.WORKLIST, Flow.CASE_EVENT, Flow.EXTRACT, Flow.FLAG_LOOKUP]),
    recipient=st.sampled_from(["X0001", "X0002", "X0003"]),
    sector=st.sampled_from(list(Sector)),
    purpose=st.one_of(st.none(), st.sampled_from([one.value for one in Purpose])),
    at=st.datetimes(
        min_value=datetime(2025, 12, 1),  # noqa: DTZ001 - the strategy adds the zone
        max_value=datetime(2027, 2, 1),  # noqa: DTZ001 - the strategy adds the zone
        timezones=st.just(UTC),
    ),
    fields=st.frozensets(st.sampled_from(NAMES), max_size=8),
    restricted=st.booleans(),
    roles=st.frozensets(st.sampled_from(["clinician", "auditor"]), max_size=1),
)
