"""Arrival rules: the default on the CP-IS unscheduled settings, and what a feed's own rule adds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from connectors.arrival import is_arrival
from schemas.events import VisitDetail, VisitEventKind
from stores.arrival_rules import ARRIVAL_TRIGGERS, DEFAULT_RULE, ArrivalRule, Clause
from tests.unit.hl7v2.messages import arrival, trigger
from tests.unit.hl7v2.reading import event

# A hospital whose walk-in, minor injury, out-of-hours, triage and assessment places register
# outpatients, and that books wound checks into its emergency department
LOCAL = ArrivalRule(
    name="local",
    arrive=(
        *DEFAULT_RULE.arrive,
        Clause(name="open-door", triggers=("A04",), departments=("WIC", "OOH", "MATTRI", "PAU")),
        Clause(name="minor-injuries", triggers=("A04",), sites=("RTE07",)),
    ),
    never=(Clause(name="booked-check", departments=("EDREV",)),),
)


@pytest.mark.parametrize(
    ("name", "patient_class", "place", "method", "default", "local"),
    [
        # emergency department
        ("A04", "E", "ED^^^RTE05", "", "emergency-class", "emergency-class"),
        ("A01", "E", "ED^^^RTE05", "21", "emergency-class", "emergency-class"),
        ("A01", "I", "WARD^^^RTE05", "21", "admission-method", "admission-method"),
        ("A04", "E", "EDREV^^^RTE05", "", "emergency-class", "never.booked-check"),
        # walk-in centre, minor injury unit, GP out of hours: of class E, or of class O
        ("A04", "E", "WIC^^^RTE06", "", "emergency-class", "emergency-class"),
        ("A04", "O", "WIC^^^RTE06", "", "no-arrival", "open-door"),
        ("A04", "E", "MIU^^^RTE07", "", "emergency-class", "emergency-class"),
        ("A04", "O", "MIU^^^RTE07", "", "no-arrival", "minor-injuries"),
        ("A04", "O", "OOH^^^RTE06", "", "no-arrival", "open-door"),
        # maternity: admitted, or seen in triage
        ("A01", "I", "DEL^^^RTE05", "31", "admission-method", "admission-method"),
        ("A01", "I", "DEL^^^RTE05", "32", "admission-method", "admission-method"),
        ("A04", "O", "MATTRI^^^RTE05", "", "no-arrival", "open-door"),
        # direct-admission paediatric ward: by a GP, a bed bureau, a clinic, from elsewhere
        ("A01", "I", "CAU^^^RTE05", "22", "admission-method", "admission-method"),
        ("A01", "I", "CAU^^^RTE05", "23", "admission-method", "admission-method"),
        ("A01", "I", "CAU^^^RTE05", "2A", "admission-method", "admission-method"),
        ("A01", "I", "CAU^^^RTE05", "2B", "admission-method", "admission-method"),
        ("A06", "I", "CAU^^^RTE05", "24", "admission-method", "admission-method"),
        ("A04", "O", "PAU^^^RTE05", "", "no-arrival", "open-door"),
        # planned care, and what is no arrival whatever it says
        ("A01", "I", "WARD^^^RTE05", "11", "no-arrival", "no-arrival"),
        ("A01", "I", "NICU^^^RTE05", "82", "no-arrival", "no-arrival"),
        ("A06", "I", "WARD^^^RTE05", "12", "no-arrival", "no-arrival"),
        ("A06", "E", "WARD^^^RTE05", "", "no-arrival", "no-arrival"),
        ("A04", "O", "CLINIC^^^RTE05", "", "no-arrival", "no-arrival"),
        ("A05", "E", "ED^^^RTE05", "21", "no-arrival", "no-arrival"),
        ("A08", "E", "ED^^^RTE05", "21", "no-arrival", "no-arrival"),
        ("A22", "E", "ED^^^RTE05", "21", "no-arrival", "no-arrival"),
    ],
)
def test_the_unscheduled_settings_by_the_default_and_by_a_feeds_rule(
    name: str, patient_class: str, place: str, method: str, default: str, local: str
) -> None:
    """What a setting of CP-IS sends, and which clause makes it an arrival."""
    data = arrival(msh=trigger(name), pv1=f"PV1|1|{patient_class}|{place}|{method}")
    for rule, decided in ((DEFAULT_RULE, default), (LOCAL, local)):
        found = event(data, rule=rule)
        assert found.arrival_rule == f"{rule.name}.{decided}"
        assert found.arrival is not decided.startswith(("no-arrival", "never"))


def test_the_default_is_that_of_the_decision() -> None:
    """Class E; methods 21-25, 28, 2A-2D, 31, 32, also of an outpatient admitted: no other."""
    emergency, method = DEFAULT_RULE.arrive
    assert (emergency.triggers, emergency.classes) == (("A01", "A04"), ("E",))
    assert method.triggers == ("A01", "A06")
    assert " ".join(sorted(method.admission_methods)) == "21 22 23 24 25 28 2A 2B 2C 2D 31 32"
    assert DEFAULT_RULE.never == ()


def test_codes_are_compared_in_capitals_and_without_spaces() -> None:
    """As people write them, in the directory and in a message."""
    rule = ArrivalRule(
        name="r", arrive=(Clause(name="c", departments=(" wic ",), triggers=("a04",)),)
    )
    detail = VisitDetail(department="Wic ")
    assert is_arrival(VisitEventKind.REGISTER, " A04", detail, rule) == (True, "r.c")


def test_an_empty_code_is_refused() -> None:
    """It could never be met, and the clause would be dead without a word."""
    with pytest.raises(ValidationError, match="leave it out"):
        Clause(name="c", departments=("",))


def test_every_given_condition_must_hold_and_the_first_clause_is_named() -> None:
    """A clause is all of its conditions; a rule any of its clauses."""
    both = Clause(name="both", classes=("O",), departments=("PAU",))
    rule = ArrivalRule(name="r", arrive=(both, Clause(name="any")))
    outpatient = VisitDetail(patient_class="O", department="PAU")
    assert is_arrival(VisitEventKind.REGISTER, "A04", outpatient, rule) == (True, "r.both")
    elsewhere = VisitDetail(patient_class="O", department="X")
    assert is_arrival(VisitEventKind.REGISTER, "A04", elsewhere, rule) == (True, "r.any")
    assert is_arrival(VisitEventKind.REGISTER, "A04", VisitDetail(), rule) == (True, "r.any")


_codes = st.sampled_from(["E", "I", "O", "21", "31", "ED", "WIC", "A01", "A04", "A06", "RTE05"])
_some = st.lists(_codes, max_size=2).map(tuple)
_clauses = st.lists(
    st.builds(
        Clause,
        name=st.sampled_from(["one", "two"]),
        triggers=st.lists(st.sampled_from(ARRIVAL_TRIGGERS), max_size=2).map(tuple),
        classes=_some,
        admission_methods=_some,
        departments=_some,
        sites=_some,
    ),
    max_size=3,
).map(tuple)


@given(
    kind=st.sampled_from(VisitEventKind),
    trigger_=_codes,
    detail=st.builds(
        VisitDetail,
        patient_class=st.none() | _codes,
        admission_method=st.none() | _codes,
        department=st.none() | _codes,
        site_ods=st.none() | _codes,
    ),
    arrive=_clauses.filter(bool),
    never=_clauses,
)
def test_only_a_registration_or_admission_arrives_and_never_forbids(
    kind: VisitEventKind,
    trigger_: str,
    detail: VisitDetail,
    arrive: tuple[Clause, ...],
    never: tuple[Clause, ...],
) -> None:
    """Whatever the rule: no other kind arrives, `never` wins, and more clauses never take away."""
    free = is_arrival(kind, trigger_, detail, ArrivalRule(name="r", arrive=arrive))
    found = is_arrival(kind, trigger_, detail, ArrivalRule(name="r", arrive=arrive, never=never))
    if kind not in (VisitEventKind.REGISTER, VisitEventKind.ADMIT):
        assert found == (False, "r.no-arrival")
    if found[0]:
        assert free == found
    else:
        assert not free[0] or found[1].startswith("r.never.")
    more = (*arrive, Clause(name="more"))
    if free[0]:
        assert is_arrival(kind, trigger_, detail, ArrivalRule(name="r", arrive=more)) == free
