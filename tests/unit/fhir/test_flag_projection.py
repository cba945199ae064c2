"""The answer of a look-up as FHIR: valid R4 whatever a policy withholds, and nothing invented."""

from __future__ import annotations

import json
import uuid
from typing import Any

import pytest
from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.operationoutcome import OperationOutcome
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.fhir.access_projection import access_bundle
from connectors.fhir.flag_projection import flag_bundle, lookup_outcome, team_bundle
from connectors.fhir.writing import Pen

CAUSE = uuid.UUID(int=7)
NUMBER = "9990000018"
AT = "2026-03-10T12:00:00+00:00"

PLAN: dict[str, Any] = {
    "plan_type": "LAC",
    "plan": "looked after child",
    "active": True,
    "start": "2025-01-06",
    "end": "2035-03-03",
    "authority": "E09000001",
    "authority_name": "North",
    "phone_office": "01632 960001",
    "phone_emergency": "01632 960002",
    "restricted": False,
}
ACCESS: dict[str, Any] = {
    "at": AT,
    "organisation": "RX901",
    "organisation_name": "Infirmary",
    "name": "Dr T. Test",
    "job_role": "Consultant",
    "system": False,
    "purpose": "urgent-care",
    "unscheduled": True,
}
COVERED: dict[str, Any] = {
    "authority": "E09000001",
    "authority_name": "North",
    "last_file_at": AT,
    "age_seconds": 60,
    "stale": False,
    "unmatched_records": 2,
}
MEMBERS: dict[str, Any] = {
    "answer": "flagged",
    "as_of": AT,
    "death_noted": AT,
    "coverage_as_of": AT,
    "coverage": [COVERED],
    "not_covered": [{"authority": "E09000002", "authority_name": "South"}],
    "flags": [PLAN],
    "accesses": [ACCESS],
    "accesses_rule": "shown",
}
SOME = settings(max_examples=60)
TEXTS = st.one_of(st.none(), st.text(max_size=20))


def withheld(whole: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`whole` with any of its members withheld, as a policy's mask leaves them."""
    return st.sets(st.sampled_from(sorted(whole))).map(
        lambda gone: {name: None if name in gone else value for name, value in whole.items()}
    )


def bundles(members: dict[str, Any]) -> list[dict[str, Any]]:
    """Every Bundle that is made of an answer, once fhir.resources has taken each."""
    made = [
        flag_bundle(CAUSE, NUMBER, members),
        team_bundle(CAUSE, NUMBER, members),
        access_bundle(CAUSE, NUMBER, members, with_roles=True),
        access_bundle(CAUSE, NUMBER, members, with_roles=False),
    ]
    for one in made:
        Bundle.model_validate_json(json.dumps(one))
    return made


@SOME
@given(st.data())
def test_every_bundle_is_fhir_whatever_is_withheld(data: st.DataObject) -> None:
    """Plans, accesses, coverage: each member may be null, each list empty, each text anything."""
    text = data.draw(st.fixed_dictionaries(dict.fromkeys(("plan", "phone_office"), TEXTS)))
    plans = st.lists(withheld({**PLAN, **text}), max_size=3)
    members = {
        **MEMBERS,
        "flags": data.draw(plans),
        "accesses": data.draw(st.one_of(st.none(), st.lists(withheld(ACCESS), max_size=3))),
        "coverage": data.draw(st.lists(withheld(COVERED), max_size=2)),
        "death_noted": data.draw(st.sampled_from([None, AT])),
    }
    for bundle in bundles(members):
        urls = [one["fullUrl"] for one in bundle["entry"]]
        assert len(set(urls)) == len(urls)
        matched = [one for one in bundle["entry"] if one["search"]["mode"] == "match"]
        assert bundle["total"] == len(matched)
        assert bundle["entry"][-1]["search"]["mode"] == "outcome"


@pytest.mark.parametrize(
    ("plan_type", "code"),
    [("CPP", "342191000000101"), ("LAC", "764841000000100"), ("UCPP", "818901000000100")],
)
def test_each_kind_of_plan_has_its_code(plan_type: str, code: str) -> None:
    """SNOMED CT, in CarePlan and CareTeam; a kind that is not known has words alone."""
    bundle = flag_bundle(CAUSE, NUMBER, {**MEMBERS, "flags": [{**PLAN, "plan_type": plan_type}]})
    for entry in bundle["entry"][1:3]:
        assert entry["resource"]["category"][0]["coding"][0]["code"] == code
    odd = flag_bundle(CAUSE, NUMBER, {**MEMBERS, "flags": [{**PLAN, "plan_type": "UNKNOWN"}]})
    assert "coding" not in odd["entry"][1]["resource"]["category"][0]


def test_a_plan_that_ended_is_inactive() -> None:
    """Flag and CareTeam inactive, CarePlan completed; it is shown all the same."""
    bundle = flag_bundle(CAUSE, NUMBER, {**MEMBERS, "flags": [{**PLAN, "active": False}]})
    states = [one["resource"].get("status") for one in bundle["entry"][:3]]
    assert states == ["inactive", "completed", "inactive"]


def test_no_profile_is_claimed() -> None:
    """`meta.profile` would say that it conforms."""
    for bundle in bundles(MEMBERS):
        assert '"profile"' not in json.dumps(bundle)


@pytest.mark.parametrize(
    ("told", "warned"),
    [
        ({"accesses": None, "accesses_rule": "withheld"}, True),
        ({"accesses": [], "accesses_rule": None}, True),  # the rule itself is withheld
        ({"accesses": [{**ACCESS, "at": None}]}, True),
        ({"accesses": [dict.fromkeys(ACCESS)]}, True),
        ({"accesses": []}, False),
    ],
)
def test_withheld_accesses_are_said_to_be(told: dict[str, Any], warned: bool) -> None:
    """Nobody takes them for none, and none gets a time that is not its own."""
    bundle = access_bundle(CAUSE, NUMBER, {**MEMBERS, **told}, with_roles=True)
    (entry,) = bundle["entry"]
    rules = [one["details"]["coding"][0]["code"] for one in entry["resource"]["issue"]]
    assert (bundle["total"], "accesses-withheld" in rules) == (0, warned)


def test_a_plan_whose_state_is_withheld_is_not_called_ended() -> None:
    """Flag active, CarePlan unknown, CareTeam without; and it is labelled restricted."""
    hidden = {**PLAN, "active": None, "restricted": None}
    bundle = flag_bundle(CAUSE, NUMBER, {**MEMBERS, "flags": [hidden]})
    made = [one["resource"] for one in bundle["entry"][:3]]
    assert [one.get("status") for one in made] == ["active", "unknown", None]
    assert all(one["meta"]["security"][0]["code"] == "R" for one in made)


@pytest.mark.parametrize(
    ("answer", "severity"),
    [("flagged", "information"), ("none-held", "information"), ("could-not-be-checked", "error")],
)
def test_the_outcome_says_which_answer_it_is(answer: str, severity: str) -> None:
    """With what it rests on: as of when, each authority, the age of its last file."""
    outcome = lookup_outcome(Pen(CAUSE, with_number=True), {**MEMBERS, "answer": answer})
    OperationOutcome.model_validate_json(json.dumps(outcome))
    first, covered, missing = outcome["issue"]
    assert (first["severity"], first["details"]["coding"][0]["code"]) == (severity, answer)
    assert "60 seconds old" in covered["details"]["text"]
    assert "has sent no file" in missing["details"]["text"]


def test_none_held_says_of_every_number_to_check_that_it_is_current() -> None:
    """In the same words, whatever the hub knows of it: else they would tell which number has a new
    one.
    """
    words = {
        lookup_outcome(
            Pen(CAUSE, with_number=True), {**MEMBERS, "answer": "none-held", "number": known}
        )["issue"][0]["details"]["text"]
        for known in ("verified-here", "not-known-here")
    }
    assert len(words) == 1
    assert "Check in PDS" in words.pop()


def test_of_a_restricted_plan_nobody_is_named_to_be_asked() -> None:
    """The coverage names authorities; the outcome says that they are not the ones to ring."""
    hidden = {**PLAN, "authority": None, "authority_name": None, "restricted": True}
    for flags, said in (([PLAN], "ask the authorities named"), ([hidden], "ask nobody about it")):
        outcome = lookup_outcome(
            Pen(CAUSE, with_number=True), {"answer": "flagged", "flags": flags}
        )
        assert said in outcome["issue"][0]["details"]["text"]
