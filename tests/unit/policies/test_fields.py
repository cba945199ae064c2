"""Names of fields, patterns, masking, and the record that is kept of them."""

from __future__ import annotations

import uuid
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from halyard.privacy import Keys
from policies.decision import decide
from policies.fields import mask, names, patterns
from policies.model import load_policies
from policies.record import entry
from policies.ruling import Decision, Flow, Ruling
from stores.sectors import Sector
from tests.support.policies import NOON, ask

KEYS = Keys(bus=b"b" * 32, store=b"s" * 32)
leaves = st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.sampled_from(["a", "withheld"]))
keys = st.sampled_from(["one", "two", "three"])
objects: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.dictionaries(keys, values, max_size=3)
)
values: st.SearchStrategy[Any] = st.one_of(
    leaves, st.lists(leaves, max_size=3), st.lists(objects, max_size=2), objects
)
bodies = objects


def permitting(fields: frozenset[str]) -> Ruling:
    """A ruling that permits these fields."""
    return Ruling(Decision.PERMIT, "p", 1, "permitted", "x", "y", fields)


def shape(value: Any) -> Any:
    """The structure of a value."""
    if isinstance(value, dict):
        return {key: shape(one) for key, one in value.items()}
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        return [shape(one) for one in value]
    return None


@given(bodies, st.data())
def test_a_masked_body_has_what_is_permitted_and_its_structure(
    body: dict[str, Any], data: st.DataObject
) -> None:
    """Exactly the permitted fields are left; objects and lists of objects keep their shape."""
    told = names(body)
    permitted = frozenset(one for one in sorted(told) if data.draw(st.booleans()))
    left = mask(body, permitting(permitted))
    assert names(left) == permitted
    assert shape(left) == shape(body)


@given(bodies)
def test_without_a_permit_nothing_is_left(body: dict[str, Any]) -> None:
    """Also of a ruling whose fields somebody forgot."""
    for decision in (Decision.DENY, Decision.REVIEW):
        assert names(mask(body, Ruling(decision, "p", 1, "r", "x", "y"))) == frozenset()


@given(bodies)
def test_what_is_all_permitted_stays_as_it_is(body: dict[str, Any]) -> None:
    """Masking changes nothing that may leave."""
    assert mask(body, permitting(names(body))) == body


def test_lists_are_named_without_an_index() -> None:
    """A list of objects names their members, a list of values itself; null names nothing."""
    body = {
        "flags": [{"plan_type": "CPP", "end": None}, {"end": "2026-01-01"}],
        "plan_types": ["CPP"],
        "empty": [],
        "visit": {"reason": None, "birth": False},
        "hospital": {"name": "withheld"},
    }
    assert names(body) == {"flags.plan_type", "flags.end", "plan_types", "visit.birth"}


def test_a_withheld_object_keeps_its_members_as_null() -> None:
    """A reader of the payload finds every member; a promised text stays `withheld`."""
    body = {
        "visit": {"reason": "x", "birth": False},
        "flags": [{"a": 1}, {"a": 2}],
        "hospital": {"name": "withheld"},
    }
    assert mask(body, permitting(frozenset({"visit.birth"}))) == {
        "visit": {"reason": None, "birth": False},
        "flags": [{"a": None}, {"a": None}],
        "hospital": {"name": "withheld"},
    }


def test_a_pattern_means_a_name_or_what_is_beneath() -> None:
    """`letter` does not mean `letter.number`; `visit.*` does not mean `visit` or `visitor.name`."""
    found = patterns(("letter", "visit.*"))
    asked = {"letter", "letter.number", "visit", "visit.reason", "visit.a.b", "visitor.name"}
    assert found.select(asked) == {"letter", "visit.reason", "visit.a.b"}


def test_the_record_holds_names_and_codes_alone() -> None:
    """The entry has what was asked and answered, a digest of what left, no value; and not the name
    that a sender gave a field of its own."""
    fields = frozenset({"unlisted.Sam Sample died", "child.sex", "nhs_number"})
    disclosure = ask(
        Flow.CASE_EVENT, Sector.CHILD_DEATH_REVIEW, fields=fields, roles=frozenset({"b", "a"})
    )
    ruling = decide(load_policies(None), disclosure)
    made = entry(
        ruling,
        disclosure,
        entry_id=uuid.UUID(int=1),
        recorded_at=NOON,
        kind="disclosure",
        actor="process:cases",
        organisation="hub",
        payload=b"Sam Sample",
        keys=KEYS,
        request_id="r1",
    )
    assert made.fields == ("child.sex", "nhs_number", "unlisted")
    assert dict(made.detail) == {
        "recipient": "X0001",
        "sector": "child-death-review",
        "roles": "a,b",
    }
    assert (made.chain, made.policy, made.policy_version) == ("X0001", "child-death", 1)
    assert made.payload_digest == KEYS.digest(b"Sam Sample")
    assert made.key_id == KEYS.bus_id
    assert made.request_id == "r1"
    assert "Sam" not in str(made.body())
    assert "999" not in str(made.body())


def test_a_denial_is_recorded_with_what_was_asked() -> None:
    """Nothing was disclosed, and what would have been is in the record."""
    disclosure = ask(Flow.ALERT, Sector.EDUCATION, fields=frozenset({"alert_id"}), restricted=True)
    made = entry(
        decide(load_policies(None), disclosure),
        disclosure,
        entry_id=uuid.UUID(int=1),
        recorded_at=NOON,
        kind="disclosure",
        actor="process:matching",
        organisation="hub",
        keys=KEYS,
    )
    assert (made.decision, made.rule, made.fields) == ("deny", "no-policy", ())
    assert dict(made.detail)["withheld"] == "alert_id"
    assert dict(made.detail)["restricted"] == "yes"
