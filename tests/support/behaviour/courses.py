"""Stories: what happens to a visit."""

from __future__ import annotations

from tests.support.behaviour.story import (
    COMMUNITY,
    Again,
    Alert,
    Flag,
    People,
    Step,
    Story,
    Told,
)
from tests.support.behaviour.telling import ED, story, tells

# --- what happens to a visit -------------------------------------------------------------------


@tells
def _booking_is_no_arrival(people: People) -> Story:
    child = people.child()
    return story((Flag(child),), (Step("A05", child),))


@tells
def _booked_and_then_arrived(people: People) -> Story:
    child = people.child()
    steps = (Step("A05", child, at=-600), Step("A04", child))
    return story((Flag(child),), steps, (Alert(child, department=ED, arrived=-30),))


@tells
def _reason_and_acuity_at_triage(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, reason=None),
        Told(child),
        Step("A08", child, at=-20, reason="Burn to hand", acuity="Urgent"),
    )
    told = Alert(child, reason="Burn to hand", acuity="Urgent", arrived=-30)
    return story((Flag(child),), steps, (told,))


@tells
def _departed(people: People) -> Story:
    child = people.child()
    leaving = Step("A03", child, at=-5, ended=-5, destination="19")
    told = Alert(child, state="departed", destination="19")
    return story((Flag(child),), (Step("A04", child), Told(child), leaving), (told,))


@tells
def _departure_taken_back(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child),
        Step("A03", child, at=-10, ended=-10),
        Step("A13", child, at=-10, recorded=-4),
    )
    return story((Flag(child),), steps, (Alert(child),))


@tells
def _cancelled(people: People) -> Story:
    child = people.child()
    steps = (Step("A04", child), Told(child), Step("A11", child, recorded=-5))
    told = Alert(child, live=False, state="cancelled")
    return story((Flag(child),), steps, (told,))


@tells
def _deleted(people: People) -> Story:
    child = people.child()
    steps = (Step("A04", child), Told(child), Step("A23", child, recorded=-5))
    told = Alert(child, live=False, state="cancelled")
    return story((Flag(child),), steps, (told,))


@tells
def _reinstated_after_a_cancel(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child),
        Step("A11", child, recorded=-10),
        Step("A04", child, recorded=-5),
    )
    return story((Flag(child),), steps, (Alert(child),))


@tells
def _cancel_that_overtook_its_arrival(people: People) -> Story:
    child = people.child()
    return story((Flag(child),), (Step("A11", child, recorded=-5), Step("A04", child)))


@tells
def _on_leave(people: People) -> Story:
    child = people.child()
    steps = (Step("A04", child), Step("A21", child, at=-10))
    return story((Flag(child),), steps, (Alert(child, state="departed"),))


@tells
def _back_from_leave(people: People) -> Story:
    child = people.child()
    steps = (Step("A04", child), Step("A21", child, at=-15), Step("A22", child, at=-5))
    return story((Flag(child),), steps, (Alert(child),))


@tells
def _admitted_from_the_emergency_department(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child),
        Step("A01", child, at=-10, patient_class="I", department="PAEDS"),
    )
    return story((Flag(child),), steps, (Alert(child, department="PAEDS", arrived=-30),))


@tells
def _moved_to_another_ward(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child),
        Step("A02", child, at=-10, patient_class="I", department="PICU"),
    )
    return story((Flag(child),), steps, (Alert(child, department="PICU"),))


@tells
def _back_within_a_day(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, at=-400),
        Step("A03", child, at=-300, ended=-300),
        Step("A04", child, visit="V2", reason="Worse"),
    )
    return story((Flag(child),), steps, (Alert(child, reason="Worse"),))


@tells
def _transfer_between_hospitals(people: People) -> Story:
    child = people.child()
    steps = (
        Step("A04", child, at=-200),
        Step("A03", child, at=-100, ended=-100, destination="51"),
        Step("A01", child, hospital=COMMUNITY, visit="C1", patient_class="I", method="2B",
             department="PAEDS"),
    )  # fmt: skip
    told = (
        Alert(child, state="departed", department=ED),
        Alert(child, hospital=COMMUNITY, department="PAEDS"),
    )
    return story((Flag(child),), steps, told)


@tells
def _triggers_that_mean_nothing_here(people: People) -> Story:
    child = people.child()
    steps = (Step("A38", child), Step("A14", child))
    return story((Flag(child),), steps)


@tells
def _the_same_message_again(people: People) -> Story:
    child = people.child()
    return story((Flag(child),), (Step("A04", child), Again(), Again()), (Alert(child),))
