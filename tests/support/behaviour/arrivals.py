"""Stories: who arrives, and mothers with their babies."""

from __future__ import annotations

from tests.support.behaviour.story import (
    COMMUNITY,
    SOUTH,
    Alert,
    Flag,
    People,
    Someone,
    Step,
    Story,
    Told,
)
from tests.support.behaviour.telling import ED, story, tells

# --- arrivals ----------------------------------------------------------------------------------


@tells
def _emergency_arrival(people: People) -> Story:
    child = people.child()
    step = Step("A04", child, mode="Ambulance")
    told = Alert(child, department=ED, reason="Fall at home", mode="Ambulance", arrived=-30)
    return story((Flag(child),), (step,), (told,))


@tells
def _english_sample_form(people: People) -> Story:
    child = people.child()
    told = Alert(child, department=ED, arrived=-30)
    return story((Flag(child),), (Step("A04", child, english=True, status="01"),), (told,))


@tells
def _welsh_arrival_triage_discharge(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, welsh="uec-arrival", reason=None),
        Step("A08", child, at=-20, welsh="uec-triage", reason="Burn", acuity="Very urgent"),
        Step("A03", child, at=-5, ended=-5, welsh="uec-discharge", reason="Burn"),
    )
    told = Alert(child, state="departed", reason="Burn", acuity="Very urgent")
    return story((Flag(child),), steps, (told,))


@tells
def _looked_after_child(people: People) -> Story:
    child = people.child()
    told = Alert(child, plans=frozenset({"LAC"}))
    return story((Flag(child, "LAC"),), (Step("A04", child),), (told,))


@tells
def _two_plans_of_one_authority(people: People) -> Story:
    child = people.child()
    flags = (Flag(child), Flag(child, "LAC"))
    return story(flags, (Step("A04", child),), (Alert(child, plans=frozenset({"CPP", "LAC"})),))


@tells
def _two_authorities(people: People) -> Story:
    child = people.child()
    flags = (Flag(child), Flag(child, "LAC", SOUTH))
    told = (Alert(child), Alert(child, SOUTH, plans=frozenset({"LAC"})))
    return story(flags, (Step("A04", child),), told)


@tells
def _child_without_a_flag(people: People) -> Story:
    return story((), (Step("A04", people.child()),))


@tells
def _plan_that_has_ended(people: People) -> Story:
    child = people.child()
    return story((Flag(child, end=-10),), (Step("A04", child),))


@tells
def _walk_in_centre_by_its_own_rule(people: People) -> Story:
    child = people.child()
    step = Step("A04", child, hospital=COMMUNITY, patient_class="O", department="WIC", method=None)
    told = Alert(child, hospital=COMMUNITY, department="Walk-in centre")
    return story((Flag(child),), (step,), (told,))


@tells
def _outpatient_clinic(people: People) -> Story:
    child = people.child()
    step = Step("A04", child, patient_class="O", department="CLINIC", method=None)
    return story((Flag(child),), (step,))


@tells
def _elective_admission(people: People) -> Story:
    child = people.child()
    step = Step("A01", child, patient_class="I", method="11", department="WARD")
    return story((Flag(child),), (step,))


@tells
def _direct_admission_to_a_ward(people: People) -> Story:
    child = people.child()
    step = Step("A01", child, patient_class="I", method="28", department="PAEDS")
    return story((Flag(child),), (step,), (Alert(child, department="PAEDS"),))


@tells
def _clinic_patient_who_is_admitted(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, patient_class="O", department="CLINIC", method=None),
        Step("A06", child, at=-10, patient_class="I", method="24", department="PAEDS"),
    )
    return story((Flag(child),), steps, (Alert(child, department="PAEDS", arrived=-10),))


# --- mothers and babies ------------------------------------------------------------------------


@tells
def _maternity_admission(people: People) -> Story:
    mother = people.woman()
    step = Step("A01", mother, patient_class="I", method="31", department="MAT", reason=None)
    told = Alert(mother, plans=frozenset({"UCPP"}), department="MAT")
    return story((Flag(mother, "UCPP"),), (step,), (told,))


@tells
def _newborn_of_a_mother_with_a_plan(people: People) -> Story:
    mother, baby = people.woman(), people.newborn()
    step = _birth(baby, mother)
    told = Alert(mother, plans=frozenset({"UCPP"}), birth=True, provisional=True)
    return story((Flag(mother, "UCPP"),), (step,), (told,), baby, unknown=(baby,))


@tells
def _newborn_whose_visit_was_an_error(people: People) -> Story:
    mother, baby = people.woman(), people.newborn()
    wrong = _birth(baby, mother, "A11", recorded=-5)
    told = Alert(
        mother, live=False, plans=frozenset({"UCPP"}), state="cancelled",
        birth=True, provisional=True,
    )  # fmt: skip
    steps = (_birth(baby, mother), Told(mother), wrong)
    return story((Flag(mother, "UCPP"),), steps, (told,), baby, unknown=(baby,))


@tells
def _mother_admitted_and_then_the_birth(people: People) -> Story:
    mother, baby = people.woman(), people.newborn()
    admission = Step("A01", mother, patient_class="I", method="31", department="MAT", at=-300)
    told = Alert(mother, plans=frozenset({"UCPP"}), department="MAT", birth=True)
    steps = (admission, Told(mother), _birth(baby, mother))
    return story((Flag(mother, "UCPP"),), steps, (told,), baby, unknown=(baby,))


@tells
def _newborn_of_a_mother_without_a_plan(people: People) -> Story:
    mother, baby = people.woman(), people.newborn()
    return story((), (_birth(baby, mother),), (), mother, baby, unknown=(baby,))


def _birth(
    baby: Someone, mother: Someone, event: str = "A01", *, recorded: int | None = None
) -> Step:
    return Step(
        event, baby, visit="B1", numbers=(), status="08", mother=mother, patient_class="I",
        method="82", department="NICU", reason=None, recorded=recorded,
    )  # fmt: skip
